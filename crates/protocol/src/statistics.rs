//! The answer to [`IOCTL_DEFERLWF_QUERY_STATISTICS`](crate::IOCTL_DEFERLWF_QUERY_STATISTICS).

use crate::wire::{enumeration, record};

record! {
    /// First part of the answer: the driver as a whole, and what adapters left behind that are gone.
    versioned pub struct StatisticsHeader {
        /// Must be zero.
        pub reserved: u16,
        /// Filter modules attached now: the number of records there are, not of those that fit.
        pub adapter_count: u32,
        /// Version of the driver package.
        pub driver: DriverVersion,
        /// NDIS minor version that the driver registered with, for example 89 for NDIS 6.89.
        pub ndis_minor: u16,
        /// Filter modules that have detached since the driver was loaded.
        pub departed_count: u32,
        /// Sums over the filter modules that have detached, so that a reading after a detach still adds up. Here
        /// `if_index`, `mac` and `state` are zero, and maxima are those of the highest module.
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
        /// Must be zero.
        pub reserved: u8,
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
    /// Packets of one direction. `packets` is the sum of `inspected`, the four `not_inspected_…`, `loopback`, and what
    /// still waits in the ring.
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
    }

    /// Adds what `other` counted.
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
            (&mut self.loopback, loopback),
            (&mut self.malformed, malformed),
            (&mut self.coalesced, coalesced),
            (&mut self.coalesced_segments, coalesced_segments),
        ] {
            *sum = sum.saturating_add(*part);
        }
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
