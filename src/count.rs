//! What is counted, and the record that shows it.

use inspect::{Direction, FlowTable, Slot};
use ndis::counter::Counter;
use ndis::filter::{Attached, ModuleState};
use ndis::mem::PoolVec;
use ndis::nbl::{HeldCounts, Rx, Segmentation, Tx, Unreadable, VlanTag};
use protocol::{
    AdapterStatistics, DirectionCounters, FlowCounters, RingCounters, WorkItemCounters,
};

use crate::inline::Group;
use crate::module::Tap;
use crate::tell::Miss;

/// Counters of one module.
#[derive(Default)]
pub(crate) struct Counters {
    send: PathCounters,
    receive: PathCounters,
    /// Snapshots ever written.
    pub(crate) written: Counter,
    /// The most that ever waited in the ring.
    pub(crate) waiting_peak: Counter,
    /// The most packets that one run of the worker took.
    pub(crate) max_batch: Counter,
}

impl Counters {
    /// Those of one direction.
    pub(crate) const fn direction(&self, direction: Direction) -> &PathCounters {
        match direction {
            Direction::Send => &self.send,
            Direction::Receive => &self.receive,
        }
    }
}

/// Counters of one direction.
#[derive(Default)]
pub(crate) struct PathCounters {
    packets: Counter,
    bytes: Counter,
    ring_full: Counter,
    no_memory: Counter,
    unreadable: Counter,
    paused: Missed,
    overload: Missed,
    late: Missed,
    unholdable: Missed,
    cancelled: Missed,
    /// Packets that a rule has blocked.
    pub(crate) blocked: Counter,
    pub(crate) longest_hold_ns: Counter,
    loopback: Counter,
    coalesced: Counter,
    pub(crate) coalesced_segments: Counter,
    pub(crate) inspected: Counter,
    pub(crate) inspected_bytes: Counter,
    pub(crate) malformed: Counter,
}

impl PathCounters {
    /// Adds what one call of the datapath saw.
    pub(crate) fn add_seen(&self, seen: &Seen) {
        // Taken apart so that a new field cannot be forgotten. `written` is not of a direction.
        let Seen {
            packets,
            bytes,
            written: _,
            ring_full,
            no_memory,
            unreadable,
            loopback,
            coalesced,
            coalesced_segments,
        } = *seen;
        for (counter, amount) in [
            (&self.packets, packets),
            (&self.bytes, bytes),
            (&self.ring_full, ring_full),
            (&self.no_memory, no_memory),
            (&self.unreadable, unreadable),
            (&self.loopback, loopback),
            (&self.coalesced, coalesced),
            (&self.coalesced_segments, coalesced_segments),
        ] {
            // Most are zero, and an addition takes the cache line away from other processors.
            if amount > 0 {
                counter.add(amount);
            }
        }
    }

    /// Packets that were not inspected for this reason.
    pub(crate) const fn missed(&self, why: Miss) -> &Missed {
        match why {
            Miss::Paused => &self.paused,
            Miss::Overload => &self.overload,
            Miss::Late => &self.late,
            Miss::Unholdable => &self.unholdable,
            Miss::Cancelled => &self.cancelled,
        }
    }

    /// Counts a packet that could not be read.
    pub(crate) fn add_unreadable(&self, why: Unreadable) {
        match why {
            Unreadable::NotMapped => self.no_memory.add(1),
            Unreadable::Inconsistent | Unreadable::TooShort => self.unreadable.add(1),
        }
    }

    fn record(&self, held: HeldCounts) -> DirectionCounters {
        DirectionCounters {
            packets: self.packets.value(),
            bytes: self.bytes.value(),
            inspected: self.inspected.value(),
            inspected_bytes: self.inspected_bytes.value(),
            not_inspected_ring_full: self.ring_full.value(),
            not_inspected_no_memory: self.no_memory.value(),
            not_inspected_unreadable: self.unreadable.value(),
            not_inspected_paused: self.paused.not_inspected.value(),
            not_inspected_overload: self.overload.not_inspected.value(),
            not_inspected_late: self.late.not_inspected.value(),
            not_inspected_unholdable: self.unholdable.not_inspected.value(),
            not_inspected_cancelled: self.cancelled.not_inspected.value(),
            dropped_blocked: self.blocked.value(),
            dropped_overload: self.overload.dropped.value(),
            dropped_late: self.late.dropped.value(),
            dropped_unholdable: self.unholdable.dropped.value(),
            dropped_paused: self.paused.dropped.value(),
            dropped_cancelled: self.cancelled.dropped.value(),
            held: held.waiting,
            held_peak: u32::try_from(held.waiting_peak).unwrap_or(u32::MAX),
            longest_hold_ns: self.longest_hold_ns.value(),
            loopback: self.loopback.value(),
            malformed: self.malformed.value(),
            coalesced: self.coalesced.value(),
            coalesced_segments: self.coalesced_segments.value(),
        }
    }
}

/// Packets that were not inspected for one reason.
#[derive(Default)]
pub(crate) struct Missed {
    not_inspected: Counter,
    dropped: Counter,
}

impl Missed {
    /// Adds packets, which were dropped or not. Those that were seen before count as loopback already.
    pub(crate) fn add(&self, group: Group, are_dropped: bool) {
        if group.all > 0 {
            self.not_inspected.add(group.fresh);
            if are_dropped {
                self.dropped.add(group.all);
            }
        }
    }
}

/// What one call of the datapath saw.
#[derive(Default)]
pub(crate) struct Seen {
    packets: u64,
    bytes: u64,
    pub(crate) written: u64,
    pub(crate) ring_full: u64,
    pub(crate) no_memory: u64,
    pub(crate) unreadable: u64,
    pub(crate) loopback: u64,
    coalesced: u64,
    coalesced_segments: u64,
}

impl Seen {
    /// Adds a packet of so many bytes on the wire.
    pub(crate) fn add_packet(&mut self, bytes: Wire, segmentation: Segmentation) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(bytes.0));
        let segments = match segmentation {
            Segmentation::One => return,
            Segmentation::Coalesced(segments) => u64::from(segments),
            // How many they are depends on the headers, which the worker knows.
            Segmentation::Large { .. } => 0,
        };
        self.coalesced = self.coalesced.saturating_add(1);
        self.coalesced_segments = self.coalesced_segments.saturating_add(segments);
    }
}

/// Bytes on the wire: the frame, and a VLAN tag that stands beside it.
pub(crate) struct Wire(u32);

impl Wire {
    pub(crate) const fn of(length: u32, tag: Option<VlanTag>) -> Self {
        Self(match tag {
            Some(_) => length.saturating_add(VlanTag::LENGTH),
            None => length,
        })
    }
}

/// What a flow table counts.
#[derive(Default)]
pub(crate) struct FlowCounts {
    active: Counter,
    created: Counter,
    evicted: Counter,
    table_full: Counter,
}

impl FlowCounts {
    /// Takes over what the table says. All of it only grows.
    pub(crate) fn update(&self, flows: &FlowTable<PoolVec<Slot>>) {
        self.active.raise_to(u64::from(flows.active()));
        self.created.raise_to(flows.created());
        self.evicted.raise_to(flows.evicted());
        self.table_full.raise_to(flows.refused());
    }
}

/// The record of a module.
pub(crate) fn statistics(tap: &Attached<'_, Tap>) -> AdapterStatistics {
    let work = tap.work_items();
    AdapterStatistics {
        if_index: tap.parameters().if_index,
        mac: tap.parameters().mac_address.ethernet().unwrap_or_default(),
        state: state(tap.state()),
        mode: tap.settings.mode(),
        send: tap.counters.send.record(tap.held::<Tx>()),
        receive: tap.counters.receive.record(tap.held::<Rx>()),
        ring: RingCounters {
            capacity: narrow(tap.ring.capacity()),
            snapshot_length: narrow(tap.ring.snapshot_length()),
            written: tap.counters.written.value(),
            waiting: narrow(tap.ring.waiting()),
            waiting_peak: u32::try_from(tap.counters.waiting_peak.value()).unwrap_or(u32::MAX),
        },
        work_items: WorkItemCounters {
            allocated: work.allocated,
            queued: work.queued,
            coalesced: work.coalesced,
            runs: work.runs,
            requeued: work.requeued,
            freed: work.freed,
            max_batch: tap.counters.max_batch.value(),
            wait_ns: work.wait_ns,
            max_wait_ns: work.max_wait_ns,
        },
        flows: FlowCounters {
            capacity: tap.max_flows,
            active: u32::try_from(tap.flow_counts.active.value()).unwrap_or(u32::MAX),
            created: tap.flow_counts.created.value(),
            evicted: tap.flow_counts.evicted.value(),
            table_full: tap.flow_counts.table_full.value(),
        },
    }
}

const fn state(state: ModuleState) -> protocol::ModuleState {
    match state {
        ModuleState::Attaching => protocol::ModuleState::Attaching,
        ModuleState::Paused => protocol::ModuleState::Paused,
        ModuleState::Restarting => protocol::ModuleState::Restarting,
        ModuleState::Running => protocol::ModuleState::Running,
        ModuleState::Pausing => protocol::ModuleState::Pausing,
        ModuleState::Detached => protocol::ModuleState::Detached,
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
