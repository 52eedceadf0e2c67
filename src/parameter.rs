//! What an administrator may set, per adapter, in the registry.
//!
//! | value (`REG_DWORD`) | unit | range | default | meaning |
//! |---|---|---|---|---|
//! | `SnapLen` | bytes | 128 to 2048 | 256 | bytes of each frame that are looked at; 128 hold the headers of TCP over IPv6 with two VLAN tags |
//! | `RingEntries` | snapshots | 16 to 32768 | 4096 | how many wait for the worker; rounded up to a power of two |
//! | `MaxFlows` | flows | 16 to 262144 | 8192 | flows that are kept |
//! | `FlowIdleMs` | milliseconds | 1000 to 86400000 | 60000 | silence after which a flow may have to give way |
//! | `WorkerBudgetUs` | microseconds | 10 to 10000 | 500 | how long the worker runs at a time |
//!
//! An adapter takes `RingEntries` times (`SnapLen` and about 64 bytes) and `MaxFlows` times about 140 bytes of nonpaged
//! pool: 2.3 MiB by default, about 100 MiB at most.
//!
//! A value that is out of range or no number is not used; the default is. They are read when the adapter is attached.

use ndis::config::{Configuration, Parameter};
use ndis::filter::Attaching;
use ndis::irql::Passive;
use ndis::text;
use ndis::text::Text;

use crate::module::Tap;

/// What is set for one adapter.
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    pub(crate) snapshot_length: u32,
    pub(crate) ring_entries: u32,
    pub(crate) max_flows: u32,
    pub(crate) flow_idle_ns: u64,
    pub(crate) worker_budget_ns: u64,
}

/// One of them: its name, range and default.
struct Range {
    keyword: Text,
    least: u32,
    most: u32,
    default: u32,
}

const SNAPSHOT_LENGTH: Range = Range {
    keyword: text!("SnapLen"),
    least: 128,
    most: 2048,
    default: 256,
};
const RING_ENTRIES: Range = Range {
    keyword: text!("RingEntries"),
    least: 16,
    most: 32_768,
    default: 4096,
};
const MAX_FLOWS: Range = Range {
    keyword: text!("MaxFlows"),
    least: 16,
    most: 262_144,
    default: 8192,
};
const FLOW_IDLE_MS: Range = Range {
    keyword: text!("FlowIdleMs"),
    least: 1000,
    most: 86_400_000,
    default: 60_000,
};
const WORKER_BUDGET_US: Range = Range {
    keyword: text!("WorkerBudgetUs"),
    least: 10,
    most: 10_000,
    default: 500,
};

impl Parameters {
    /// Reads the parameters of the adapter that is being attached. Without a configuration they are the defaults.
    pub(crate) fn read(attaching: &mut Attaching<'_, Tap>, irql: &mut Passive) -> Self {
        attaching
            .configuration(irql, |configuration, irql| {
                Self::with(|range| range.read(configuration, irql))
            })
            .unwrap_or_else(|_| Self::with(|range| range.default))
    }

    fn with(mut value: impl FnMut(&Range) -> u32) -> Self {
        Self {
            snapshot_length: value(&SNAPSHOT_LENGTH),
            ring_entries: value(&RING_ENTRIES),
            max_flows: value(&MAX_FLOWS),
            flow_idle_ns: u64::from(value(&FLOW_IDLE_MS)).saturating_mul(1_000_000),
            worker_budget_ns: u64::from(value(&WORKER_BUDGET_US)).saturating_mul(1000),
        }
    }
}

impl Range {
    fn read(&self, configuration: &mut Configuration<'_>, irql: &mut Passive) -> u32 {
        match configuration.integer(self.keyword, irql) {
            Parameter::Integer(value) if (self.least..=self.most).contains(&value) => value,
            Parameter::Integer(_) | Parameter::Absent | Parameter::WrongType => self.default,
        }
    }
}
