//! The worker: from snapshots to flows, at `PASSIVE_LEVEL`.

use core::ops::ControlFlow;

use inspect::{Flow, PacketFacts, Recorded, Transport};
use ndis::filter::{Attached, ModuleState};
use ndis::irql::{Caller, Passive};
use ndis::nbl::Segmentation;
use ndis::ring::Drained;
use ndis::time;
use ndis::work::NextRun;
use wpp::wpp;

use crate::datapath::Snapshot;
use crate::message::Worker;
use crate::module::Tap;
use crate::tell::{self, Work};

/// Packets between two looks at the clock; a power of two.
const PACKETS_PER_LOOK: u64 = 16;

/// Drains the ring until it is empty or the time is spent.
///
/// NDIS runs it on the critical worker queue, so it neither waits nor stays long. A module that does not run any more gets no
/// other turn, and no packet comes to the ring either: then it is drained to the end.
pub(crate) fn drain(this: &Attached<'_, Tap>, irql: &mut Passive) -> NextRun {
    let started_ns = time::now_ns();
    let budget_ns = if this.state() == ModuleState::Running {
        this.settings.worker_budget_ns()
    } else {
        u64::MAX
    };
    this.tell_started(Work::Tap);
    let mut taken: u64 = 0;
    let drained = this.ring.drain(|snapshot, frame| {
        let _ = this.inspect(snapshot, frame, irql);
        taken = taken.saturating_add(1);
        let looks = taken & PACKETS_PER_LOOK.wrapping_sub(1) == 0;
        if looks && time::now_ns().saturating_sub(started_ns) >= budget_ns {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    this.counters.max_batch.raise_to(taken);
    let next = match drained {
        Drained::Stopped => NextRun::Again,
        Drained::Empty | Drained::Busy => NextRun::WhenQueued,
    };
    this.tell_stopped(Work::Tap, taken, started_ns, next);
    tell::once_in_a_while(this);
    wpp!(
        Verbose,
        Worker,
        "{FUNC}: adapter {if_index:u32}, {packets:u64} packets",
        this.if_index,
        taken
    );
    next
}

impl Tap {
    /// Looks at one packet, and counts it into its flow.
    pub(crate) fn inspect(
        &self,
        snapshot: &Snapshot,
        frame: &[u8],
        irql: &mut impl Caller,
    ) -> PacketFacts {
        let tag = snapshot.tag.map(|tag| tag.control());
        let facts = inspect::parse(frame, snapshot.length, tag);
        self.flows.with(irql, |flows, _| {
            let (direction, seen_ns) = (snapshot.direction, snapshot.seen_ns);
            if tell::wants_flows() {
                let tell = |change, flow: &Flow| self.tell_flow(change, flow);
                let recorded = flows.record_observed(&facts, direction, seen_ns, tell);
                if recorded == Recorded::Full {
                    self.tell_refused();
                }
            } else {
                flows.record(&facts, direction, seen_ns);
            }
            self.flow_counts.update(flows);
        });
        let counters = self.counters.direction(snapshot.direction);
        counters.inspected.add(1);
        counters.inspected_bytes.add(u64::from(facts.wire_length));
        if facts.error.is_some_and(|error| error.is_malformed()) {
            counters.malformed.add(1);
        }
        if let Segmentation::Large {
            maximum_segment_size,
        } = snapshot.segmentation
        {
            counters
                .coalesced_segments
                .add(segments(&facts, maximum_segment_size));
        }
        facts
    }
}

/// Segments that the adapter will make of a packet: at least the packet itself.
fn segments(facts: &PacketFacts, maximum_segment_size: u32) -> u64 {
    let payload = match facts.transport {
        Transport::Tcp(tcp) => tcp.payload_length,
        Transport::Udp(udp) => udp.payload_length,
        Transport::Icmp(_) | Transport::Other => 0,
    };
    let rounded = payload.saturating_add(maximum_segment_size.saturating_sub(1));
    u64::from(
        rounded
            .checked_div(maximum_segment_size)
            .unwrap_or_default()
            .max(1),
    )
}
