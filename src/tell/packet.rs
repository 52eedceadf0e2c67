//! What becomes of packets, and of the work items that look at them.

use inspect::{Direction, Flow, FlowChange, Network, PacketFacts, Transport, Verdict};
use ndis::irql::Caller;
use ndis::nbl::Unreadable;
use ndis::time;
use ndis::trace::{self, SocketAddress};
use ndis::work::{NextRun, NotAttached, Queued, WorkItem};

use super::{direction, end, flow_ended, flow_started};
use crate::event::*;
use crate::inline::Group;
use crate::module::Tap;

/// A work item of a module.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// What drains the ring.
    Tap,
    /// What judges packets of a direction.
    Judge(Direction),
}

impl Work {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Tap => b"tap",
            Self::Judge(Direction::Send) => b"judge-send",
            Self::Judge(Direction::Receive) => b"judge-receive",
        }
    }
}

/// Why packets were not looked at.
#[derive(Clone, Copy)]
pub(crate) enum Miss {
    /// The module was not running.
    Paused,
    /// Too many waited.
    Overload,
    /// They waited for too long.
    Late,
    /// They cannot be held.
    Unholdable,
    /// Their sender has cancelled them.
    Cancelled,
}

impl Miss {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Paused => b"paused",
            Self::Overload => b"overload",
            Self::Late => b"late",
            Self::Unholdable => b"unholdable",
            Self::Cancelled => b"cancelled",
        }
    }
}

impl Tap {
    const fn work_item(&self, work: Work) -> &WorkItem<Self> {
        match work {
            Work::Tap => &self.worker,
            Work::Judge(direction) => &self.judge(direction).worker,
        }
    }

    /// Wishes for a run.
    pub(crate) fn wish_for(
        &self,
        work: Work,
        irql: &mut impl Caller,
    ) -> Result<Queued, NotAttached> {
        let queued = self.work_item(work).queue(irql)?;
        trace::write(|| WorkQueued {
            if_index: self.if_index,
            work: work.name(),
            is_coalesced: queued == Queued::Coalesced,
        });
        Ok(queued)
    }

    /// A run begins.
    pub(crate) fn tell_started(&self, work: Work) {
        trace::write(|| WorkStarted {
            if_index: self.if_index,
            work: work.name(),
            queued_ns: self.work_item(work).waited_ns(),
        });
    }

    /// A run that has dealt with so many packets ends; `next` is what it wants.
    pub(crate) fn tell_stopped(&self, work: Work, packets: u64, started_ns: u64, next: NextRun) {
        trace::write(|| WorkStopped {
            if_index: self.if_index,
            work: work.name(),
            packets,
            duration_ns: time::now_ns().saturating_sub(started_ns),
            is_budget_spent: next == NextRun::Again,
        });
    }

    /// The ring had no room for snapshots of so many packets.
    pub(crate) fn tell_lost(&self, way: Direction, packets: u64) {
        if packets > 0 {
            trace::write(|| SnapshotsLost {
                if_index: self.if_index,
                direction: direction(way),
                packets,
                capacity: u32::try_from(self.ring.capacity()).unwrap_or(u32::MAX),
            });
        }
    }

    /// Counts packets that pass or are dropped without a verdict.
    pub(crate) fn miss(&self, way: Direction, why: Miss, group: Group, are_dropped: bool) {
        self.counters
            .direction(way)
            .missed(why)
            .add(group, are_dropped);
        self.tell_missed(way, why.name(), group.all, are_dropped);
    }

    /// So many packets could not be read: they pass.
    pub(crate) fn tell_unreadable(&self, way: Direction, why: Unreadable, packets: u64) {
        let reason: &[u8] = match why {
            Unreadable::NotMapped => b"unmapped",
            Unreadable::Inconsistent | Unreadable::TooShort => b"unreadable",
        };
        self.tell_missed(way, reason, packets, false);
    }

    fn tell_missed(&self, way: Direction, reason: &'static [u8], packets: u64, are_dropped: bool) {
        if packets > 0 {
            trace::write(|| PacketsMissed {
                if_index: self.if_index,
                direction: direction(way),
                reason,
                packets,
                are_dropped,
            });
        }
    }

    /// A packet was judged.
    pub(crate) fn tell_verdict(&self, way: Direction, facts: &PacketFacts, verdict: Verdict) {
        let Network::Ip(ip) = facts.network else {
            return;
        };
        trace::write(|| {
            let (source_port, destination_port) = match facts.transport {
                Transport::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
                Transport::Udp(udp) => (udp.source_port, udp.destination_port),
                Transport::Icmp(_) | Transport::Other => (0, 0),
            };
            PacketJudged {
                if_index: self.if_index,
                direction: direction(way),
                is_blocked: verdict == Verdict::Block,
                protocol: ip.protocol,
                source: SocketAddress::new(ip.source, source_port),
                destination: SocketAddress::new(ip.destination, destination_port),
                length: facts.wire_length,
            }
        });
    }

    /// Tells what a packet changed about a flow.
    pub(crate) fn tell_flow(&self, change: FlowChange, flow: &Flow) {
        match change {
            FlowChange::Started => flow_started(self.if_index, flow),
            FlowChange::Ended(why) => flow_ended(self.if_index, flow, end(why)),
        }
    }

    /// A flow was refused.
    pub(crate) fn tell_refused(&self) {
        trace::write(|| FlowRefused {
            if_index: self.if_index,
            capacity: self.max_flows,
        });
    }
}
