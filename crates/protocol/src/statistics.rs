//! The answer to [`IOCTL_DEFERLWF_QUERY_STATISTICS`](crate::IOCTL_DEFERLWF_QUERY_STATISTICS).

use crate::wire::{enumeration, record};

/// In [`StatisticsHeader::untraced`]: events (ETW).
pub const UNTRACED_EVENTS: u16 = 0x1;
/// In [`StatisticsHeader::untraced`]: messages (WPP).
pub const UNTRACED_MESSAGES: u16 = 0x2;

record! {
    /// First part of the answer: the driver as a whole, and what adapters left behind that are gone.
    versioned pub struct StatisticsHeader {
        /// Tracing that the driver could not register for, and runs without: [`UNTRACED_EVENTS`], [`UNTRACED_MESSAGES`].
        pub untraced: u16,
        /// Events (ETW) that the system did not take: too long, or no buffer was free.
        pub refused_events: u64,
        /// Messages (WPP) that it did not take.
        pub refused_messages: u64,
        /// Filter modules attached now: the number of records there are, not of those that fit.
        pub adapter_count: u32,
        /// Version of the driver package.
        pub driver: DriverVersion,
        /// NDIS minor version that the driver registered with, for example 89 for NDIS 6.89.
        pub ndis_minor: u16,
        /// Filter modules that have detached since the driver was loaded.
        pub departed_count: u32,
        /// Sums over the filter modules that have detached, so that a reading after a detach still adds up. Here
        /// `if_index`, `mac`, `state` and `mode` are zero, and maxima are those of the highest module.
        pub departed: AdapterStatistics,
    }
}

record! {
    /// Version of the driver package.
    pub struct DriverVersion {
        /// Incompatible changes.
        pub major: u16,
        /// Additions.
        pub minor: u16,
        /// Fixes.
        pub patch: u16,
    }
}

record! {
    /// What one filter module counted since it attached.
    ///
    /// A packet is one `NET_BUFFER`; its bytes are those of the frame on the wire, without the frame check sequence and
    /// with a VLAN tag that the adapter stripped.
    pub struct AdapterStatistics {
        /// Interface index (`NET_IFINDEX`) of the adapter.
        pub if_index: u32,
        /// Current MAC address of the adapter.
        pub mac: [u8; 6],
        /// State of the filter module.
        pub state: ModuleState,
        /// What the module does with packets.
        pub mode: Mode,
        /// Frames on their way down, passed to `FilterSendNetBufferLists`.
        pub send: DirectionCounters,
        /// Frames on their way up, passed to `FilterReceiveNetBufferLists`.
        pub receive: DirectionCounters,
        /// The ring between the datapath and the worker.
        pub ring: RingCounters,
        /// The worker.
        pub work_items: WorkItemCounters,
        /// The flow table.
        pub flows: FlowCounters,
    }
}

record! {
    /// Packets of one direction. `packets` is the sum of `inspected`, the `not_inspected_…`, `loopback`, and what still
    /// waits in the ring or is held. Of those that the module did not pass on, each is under exactly one `dropped_…`.
    pub struct DirectionCounters {
        /// Packets that the datapath saw.
        pub packets: u64,
        /// Their bytes.
        pub bytes: u64,
        /// Packets whose snapshot the worker has parsed.
        pub inspected: u64,
        /// Their bytes.
        pub inspected_bytes: u64,
        /// Not inspected: the ring had no free entry.
        pub not_inspected_ring_full: u64,
        /// Not inspected: the packet's memory could not be mapped.
        pub not_inspected_no_memory: u64,
        /// Not inspected: the frame is shorter than an Ethernet header, or its buffers are shorter than it says.
        pub not_inspected_unreadable: u64,
        /// Not inspected: the filter module was not running.
        pub not_inspected_paused: u64,
        /// Not inspected: more than `HoldLimit` packets would have waited.
        pub not_inspected_overload: u64,
        /// Not inspected: the packet had waited for `MaxHoldMs`.
        pub not_inspected_late: u64,
        /// Not inspected: the packet cannot be held (low resources, header-data split).
        pub not_inspected_unholdable: u64,
        /// Not inspected: a protocol has cancelled the send meanwhile.
        pub not_inspected_cancelled: u64,
        /// Dropped: a rule blocks it.
        pub dropped_blocked: u64,
        /// Dropped: more than `HoldLimit` packets would have waited.
        pub dropped_overload: u64,
        /// Dropped: it had waited for `MaxHoldMs`.
        pub dropped_late: u64,
        /// Dropped: it cannot be held, and would have overtaken what is held.
        pub dropped_unholdable: u64,
        /// Dropped: the filter module was not running, or paused while it was held.
        pub dropped_paused: u64,
        /// Dropped: a protocol has cancelled the send.
        pub dropped_cancelled: u64,
        /// Packets that are held and wait for a verdict now.
        pub held: u32,
        /// The most that ever did.
        pub held_peak: u32,
        /// The longest time that a packet was held, in nanoseconds, rounded up by at most a millisecond.
        pub longest_hold_ns: u64,
        /// Passed without a snapshot because NDIS loops the packet back and the module sees it a second time.
        pub loopback: u64,
        /// Among `inspected`: packets with a header that is cut short or contradicts itself above Ethernet.
        pub malformed: u64,
        /// Among `packets`: those that stand for several segments (RSC and URO when received, LSO and USO when sent).
        pub coalesced: u64,
        /// The segments that those stand for, where the stack says how many.
        pub coalesced_segments: u64,
    }
}

record! {
    /// The ring between the datapath and the worker. Each of its entries holds one snapshot.
    pub struct RingCounters {
        /// Entries that it has.
        pub capacity: u32,
        /// Bytes of a frame that an entry can hold.
        pub snapshot_length: u32,
        /// Snapshots ever written.
        pub written: u64,
        /// Snapshots that wait now.
        pub waiting: u32,
        /// The most that ever waited.
        pub waiting_peak: u32,
    }
}

record! {
    /// The work items that drain the ring.
    pub struct WorkItemCounters {
        /// Work items that `NdisAllocateIoWorkItem` gave.
        pub allocated: u64,
        /// Calls of `NdisQueueIoWorkItem`.
        pub queued: u64,
        /// Wishes for a run that another run, queued already, took care of.
        pub coalesced: u64,
        /// Runs of the routine.
        pub runs: u64,
        /// Among `queued`: by the routine itself, because its time was spent before the ring was empty.
        pub requeued: u64,
        /// Work items that went to `NdisFreeIoWorkItem`.
        pub freed: u64,
        /// The most packets that one run took.
        pub max_batch: u64,
        /// Nanoseconds between queueing and running, over all runs.
        pub wait_ns: u64,
        /// The longest of them.
        pub max_wait_ns: u64,
    }
}

record! {
    /// The flow table.
    pub struct FlowCounters {
        /// Flows that it can hold.
        pub capacity: u32,
        /// Flows that it holds.
        pub active: u32,
        /// Flows ever made.
        pub created: u64,
        /// Among them: flows that gave their place to another after a long silence.
        pub evicted: u64,
        /// Packets that belong to a flow for which no place was left.
        pub table_full: u64,
    }
}

enumeration! {
    /// What a filter module does with packets.
    pub enum Mode {
        /// Nothing: NDIS sends them past it.
        #[default]
        Off = 0,
        /// It takes a snapshot of each, and passes it on at once.
        Tap = 1,
        /// It holds each until it is judged.
        Inline = 2,
    }
}

enumeration! {
    /// State of a filter module, by the names of the NDIS documentation.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-filter-module-states-and-operations>
    pub enum ModuleState {
        /// Not attached.
        #[default]
        Detached = 0,
        /// `FilterAttach` is under way.
        Attaching = 1,
        /// Attached, with nothing on its way.
        Paused = 2,
        /// `FilterRestart` is under way.
        Restarting = 3,
        /// Packets pass.
        Running = 4,
        /// `FilterPause` is under way.
        Pausing = 5,
    }
}

impl DirectionCounters {
    /// Packets that were not inspected, for whatever reason but loopback.
    #[must_use]
    pub const fn not_inspected(&self) -> u64 {
        self.not_inspected_ring_full
            .saturating_add(self.not_inspected_no_memory)
            .saturating_add(self.not_inspected_unreadable)
            .saturating_add(self.not_inspected_paused)
            .saturating_add(self.not_inspected_overload)
            .saturating_add(self.not_inspected_late)
            .saturating_add(self.not_inspected_unholdable)
            .saturating_add(self.not_inspected_cancelled)
    }

    /// Packets that the module did not pass on, for whatever reason.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped_blocked
            .saturating_add(self.dropped_overload)
            .saturating_add(self.dropped_late)
            .saturating_add(self.dropped_unholdable)
            .saturating_add(self.dropped_paused)
            .saturating_add(self.dropped_cancelled)
    }

    /// Adds what `other` counted. Of two maxima the higher stays; what is held now is not summed.
    pub fn add(&mut self, other: &Self) {
        // Taken apart so that a new field cannot be forgotten.
        let Self {
            packets,
            bytes,
            inspected,
            inspected_bytes,
            not_inspected_ring_full,
            not_inspected_no_memory,
            not_inspected_unreadable,
            not_inspected_paused,
            not_inspected_overload,
            not_inspected_late,
            not_inspected_unholdable,
            not_inspected_cancelled,
            dropped_blocked,
            dropped_overload,
            dropped_late,
            dropped_unholdable,
            dropped_paused,
            dropped_cancelled,
            held: _,
            held_peak,
            longest_hold_ns,
            loopback,
            malformed,
            coalesced,
            coalesced_segments,
        } = other;
        for (sum, part) in [
            (&mut self.packets, packets),
            (&mut self.bytes, bytes),
            (&mut self.inspected, inspected),
            (&mut self.inspected_bytes, inspected_bytes),
            (&mut self.not_inspected_ring_full, not_inspected_ring_full),
            (&mut self.not_inspected_no_memory, not_inspected_no_memory),
            (&mut self.not_inspected_unreadable, not_inspected_unreadable),
            (&mut self.not_inspected_paused, not_inspected_paused),
            (&mut self.not_inspected_overload, not_inspected_overload),
            (&mut self.not_inspected_late, not_inspected_late),
            (&mut self.not_inspected_unholdable, not_inspected_unholdable),
            (&mut self.not_inspected_cancelled, not_inspected_cancelled),
            (&mut self.dropped_blocked, dropped_blocked),
            (&mut self.dropped_overload, dropped_overload),
            (&mut self.dropped_late, dropped_late),
            (&mut self.dropped_unholdable, dropped_unholdable),
            (&mut self.dropped_paused, dropped_paused),
            (&mut self.dropped_cancelled, dropped_cancelled),
            (&mut self.loopback, loopback),
            (&mut self.malformed, malformed),
            (&mut self.coalesced, coalesced),
            (&mut self.coalesced_segments, coalesced_segments),
        ] {
            *sum = sum.saturating_add(*part);
        }
        self.held_peak = self.held_peak.max(*held_peak);
        self.longest_hold_ns = self.longest_hold_ns.max(*longest_hold_ns);
    }
}

impl AdapterStatistics {
    /// Adds to a sum over departed modules what one more of them counted. Its identity is left out; of two maxima the
    /// higher stays; capacities and what waits or is active are not summed, because they went with the module.
    pub fn add_departed(&mut self, other: &Self) {
        self.send.add(&other.send);
        self.receive.add(&other.receive);
        let (ring, work, flows) = (&mut self.ring, &mut self.work_items, &mut self.flows);
        for (sum, part) in [
            (&mut ring.written, other.ring.written),
            (&mut work.allocated, other.work_items.allocated),
            (&mut work.queued, other.work_items.queued),
            (&mut work.coalesced, other.work_items.coalesced),
            (&mut work.runs, other.work_items.runs),
            (&mut work.requeued, other.work_items.requeued),
            (&mut work.freed, other.work_items.freed),
            (&mut work.wait_ns, other.work_items.wait_ns),
            (&mut flows.created, other.flows.created),
            (&mut flows.evicted, other.flows.evicted),
            (&mut flows.table_full, other.flows.table_full),
        ] {
            *sum = sum.saturating_add(part);
        }
        ring.waiting_peak = ring.waiting_peak.max(other.ring.waiting_peak);
        work.max_batch = work.max_batch.max(other.work_items.max_batch);
        work.max_wait_ns = work.max_wait_ns.max(other.work_items.max_wait_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_over_departed_modules_adds_counts_and_keeps_maxima() {
        let mut module = AdapterStatistics {
            if_index: 7,
            state: ModuleState::Running,
            ..Default::default()
        };
        module.send.packets = 3;
        module.receive.not_inspected_paused = 2;
        module.work_items.runs = 5;
        module.work_items.max_batch = 9;
        module.flows.active = 4;
        let mut sum = AdapterStatistics::default();
        sum.add_departed(&module);
        module.work_items.max_batch = 1;
        sum.add_departed(&module);
        assert_eq!(sum.send.packets, 6);
        assert_eq!(sum.receive.not_inspected(), 4);
        assert_eq!(sum.work_items.runs, 10);
        assert_eq!(sum.work_items.max_batch, 9);
        assert_eq!(
            (sum.if_index, sum.state, sum.flows.active),
            (0, ModuleState::Detached, 0)
        );
    }

    #[test]
    fn sums_saturate() {
        let full = DirectionCounters {
            packets: u64::MAX,
            ..Default::default()
        };
        let mut sum = full;
        sum.add(&full);
        assert_eq!(sum.packets, u64::MAX);
    }
}
