//! What an administrator may set in the registry, per adapter and for the driver as a whole.
//!
//! | adapter's value (`REG_DWORD`) | unit | range | default | meaning |
//! |---|---|---|---|---|
//! | `SnapLen` | bytes | 128 to 2048 | 256 | bytes of each frame that are looked at; 128 hold the headers of TCP over IPv6 with two VLAN tags |
//! | `RingEntries` | snapshots | 16 to 32768 | 4096 | how many wait for the worker; rounded up to a power of two |
//! | `MaxFlows` | flows | 16 to 262144 | 8192 | flows that are kept |
//! | `FlowIdleMs` | milliseconds | 1000 to 86400000 | 60000 | silence after which a flow may have to give way |
//! | `WorkerBudgetUs` | microseconds | 10 to 10000 | 500 | how long the worker runs at a time |
//! | `Mode` | | 0 to 2 | 1 | 0: `off`, 1: `tap`, 2: `inline` |
//! | `HoldLimit` | packets | 1 to 65536 | 1024 | `inline`: how many of one direction wait for their verdict |
//! | `MaxHoldMs` | milliseconds | 1 to 1000 | 50 | `inline`: how long one waits for it, counted in half milliseconds: a packet may be late up to 1.05 ms early |
//! | `OnOverload` | | 0 or 1 | 1 | `inline`: what becomes of packets beyond either; 0: dropped, 1: passed without a verdict, in order |
//!
//! | adapter's value (`REG_SZ`) | length | default | meaning |
//! |---|---|---|---|
//! | `Block` | up to 512 characters | nothing | `inline`: what is dropped, as [`inspect::BlockTable`] reads it: `tcp:23, udp:53@10.0.0.0/8` |
//!
//! | driver's value (`REG_DWORD`) | unit | range | default | meaning |
//! |---|---|---|---|---|
//! | `MaxMemoryMiB` | MiB | 1 to 65536 | 1024 | what rings and flow tables of all adapters together take; an adapter that would take more is not attached to |
//!
//! An adapter takes `RingEntries` times (`SnapLen` and about 64 bytes) and `MaxFlows` times about 140 bytes of nonpaged
//! pool, and 150 KiB for copies: 2.5 MiB by default, about 100 MiB at most, which `MaxMemoryMiB` keeps from adding up.
//!
//! A value that is out of range or no number is not used; the default is. The driver's is read when an adapter is
//! attached; an adapter's are read then, and when
//! [`IOCTL_DEFERLWF_REREAD_PARAMETERS`](protocol::IOCTL_DEFERLWF_REREAD_PARAMETERS) asks for it, which restarts the
//! module. `SnapLen`, `RingEntries` and `MaxFlows` then stay as they were: memory was allocated by them.

use inspect::{BlockTable, Slot};
use ndis::config::{BadText, Configuration, Parameter};
use ndis::filter::Attaching;
use ndis::irql::Passive;
use ndis::nbl::Overload;
use ndis::ring::SnapshotRing;
use ndis::text;
use ndis::text::Text;
use protocol::Mode;

use crate::datapath::Snapshot;
use crate::module::Tap;
use crate::tell;

/// What is set for one adapter.
#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    pub(crate) snapshot_length: u32,
    pub(crate) ring_entries: u32,
    pub(crate) max_flows: u32,
    pub(crate) flow_idle_ns: u64,
    pub(crate) worker_budget_ns: u64,
    pub(crate) mode: Mode,
    pub(crate) overload: Overload,
    pub(crate) hold_limit: u32,
    pub(crate) max_hold_ns: u64,
    pub(crate) blocked: BlockTable,
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

const MODE: Range = Range {
    keyword: text!("Mode"),
    least: 0,
    most: 2,
    default: 1,
};
// The table above, the INF and its check have the numbers.
const _: () = assert!(MODE.least == Mode::Off as u32 && MODE.most == Mode::Inline as u32);
const HOLD_LIMIT: Range = Range {
    keyword: text!("HoldLimit"),
    least: 1,
    most: 65_536,
    default: 1024,
};
const MAX_HOLD_MS: Range = Range {
    keyword: text!("MaxHoldMs"),
    least: 1,
    most: 1000,
    default: 50,
};
const ON_OVERLOAD: Range = Range {
    keyword: text!("OnOverload"),
    least: 0,
    most: 1,
    default: 1,
};
const BLOCK: Text = text!("Block");
/// Characters of `Block`, at most.
const BLOCK_LENGTH: usize = 512;

/// One that is the driver's and no adapter's.
struct DriverWide(Range);

const MAX_MEMORY_MIB: DriverWide = DriverWide(Range {
    keyword: text!("MaxMemoryMiB"),
    least: 1,
    most: 65_536,
    default: 1024,
});

/// Bytes that rings and flow tables of all adapters together may take.
pub(crate) fn memory_limit(attaching: &mut Attaching<'_, Tap>, irql: &mut Passive) -> u64 {
    let DriverWide(range) = MAX_MEMORY_MIB;
    let if_index = attaching.parameters().if_index;
    let limit_mib = attaching
        .driver_configuration(irql, |configuration, irql| {
            range.read(if_index, configuration, irql)
        })
        .unwrap_or_else(|status| {
            tell::parameters_not_read(if_index, status);
            range.default
        });
    u64::from(limit_mib).saturating_mul(1 << 20)
}

impl Parameters {
    /// Reads the parameters of the adapter that is being attached. Without a configuration they are the defaults.
    pub(crate) fn read(attaching: &mut Attaching<'_, Tap>, irql: &mut Passive) -> Self {
        let if_index = attaching.parameters().if_index;
        attaching
            .configuration(irql, |configuration, irql| {
                Self::of(if_index, &BlockTable::EMPTY, configuration, irql)
            })
            .unwrap_or_else(|status| {
                tell::parameters_not_read(if_index, status);
                Self::with(|range| range.default, BlockTable::EMPTY)
            })
    }

    /// Reads the parameters in a configuration; `before` are the rules in effect, of which a change is told.
    pub(crate) fn of(
        if_index: u32,
        before: &BlockTable,
        configuration: &mut Configuration<'_>,
        irql: &mut Passive,
    ) -> Self {
        let mut room = [0; BLOCK_LENGTH];
        let read = match configuration.ascii(BLOCK, &mut room, irql) {
            Ok(None) => None,
            Ok(Some(rules)) => match BlockTable::parse(rules) {
                Ok(blocked) => Some((blocked, rules)),
                Err(why) => {
                    tell::bad_rules(if_index, Some(why), rules);
                    None
                }
            },
            Err(BadText::NotAscii) => {
                tell::bad_rules(if_index, None, b"");
                None
            }
            Err(BadText::Unreadable(status)) => {
                tell::parameter_not_read(if_index, BLOCK, status);
                None
            }
        };
        let (blocked, text) = read.unwrap_or((BlockTable::EMPTY, &[]));
        if blocked != *before {
            tell::rules_changed(if_index, before, &blocked, text);
        }
        Self::with(|range| range.read(if_index, configuration, irql), blocked)
    }

    /// Bytes that an adapter's ring and flow table take.
    pub(crate) fn memory(&self) -> u64 {
        let ring = SnapshotRing::<Snapshot>::size(
            self.ring_entries as usize,
            self.snapshot_length as usize,
        );
        let flows = (self.max_flows as usize).saturating_mul(size_of::<Slot>());
        // What is too large for memory has no size.
        ring.map_or(u64::MAX, |ring| ring.saturating_add(flows) as u64)
    }

    fn with(mut value: impl FnMut(&Range) -> u32, blocked: BlockTable) -> Self {
        Self {
            mode: match value(&MODE) {
                0 => Mode::Off,
                2 => Mode::Inline,
                _ => Mode::Tap,
            },
            overload: if value(&ON_OVERLOAD) == 0 {
                Overload::Refuse
            } else {
                Overload::Unjudged
            },
            hold_limit: value(&HOLD_LIMIT),
            max_hold_ns: u64::from(value(&MAX_HOLD_MS)).saturating_mul(1_000_000),
            blocked,
            snapshot_length: value(&SNAPSHOT_LENGTH),
            ring_entries: value(&RING_ENTRIES),
            max_flows: value(&MAX_FLOWS),
            flow_idle_ns: u64::from(value(&FLOW_IDLE_MS)).saturating_mul(1_000_000),
            worker_budget_ns: u64::from(value(&WORKER_BUDGET_US)).saturating_mul(1000),
        }
    }
}

impl Range {
    fn read(
        &self,
        if_index: u32,
        configuration: &mut Configuration<'_>,
        irql: &mut Passive,
    ) -> u32 {
        match configuration.integer(self.keyword, irql) {
            Parameter::Integer(value) if (self.least..=self.most).contains(&value) => return value,
            Parameter::Integer(value) => {
                tell::bad_parameter(if_index, self.keyword, Some(value), self.default);
            }
            Parameter::WrongType => tell::bad_parameter(if_index, self.keyword, None, self.default),
            Parameter::Unreadable(status) => {
                tell::parameter_not_read(if_index, self.keyword, status);
            }
            Parameter::Absent => {}
        }
        self.default
    }
}
