//! The lower edge of a stack: a miniport that takes its time, refuses sends, or gets stuck.

use super::adapter;
use super::{disturbance, nbl, path};
use crate::abi::constant::{
    NDIS_STATUS_FAILURE, NDIS_STATUS_INVALID_LENGTH, NDIS_STATUS_MEDIA_DISCONNECTED,
    NDIS_STATUS_RESET_IN_PROGRESS, NDIS_STATUS_RESOURCES, NDIS_STATUS_SEND_ABORTED,
};
use crate::abi::ndis::NET_BUFFER_LIST;
use crate::rt::sched;
use crate::watch::OrFault;
use lab_rules::event::NblPath;

/// The longest time that a slow miniport needs for a batch beyond that of others, and that a stuck one does nothing
/// before it is reset, in ns.
const SLOW_NS: u64 = 400_000;
const STUCK_NS: u64 = 2_000_000;
/// One in so many batches gets stuck, and is refused: later, and within the send.
const STUCK: u64 = 6;
const REFUSED: u64 = 2;
const REFUSED_AT_ONCE: u64 = 4;

/// How a miniport treats sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Edge {
    /// It completes all of them, soon.
    #[default]
    Prompt,
    /// It completes all of them, late.
    Slow,
    /// It completes many with a failure.
    Refusing,
    /// It holds what it has at times, until it is halted or reset; what is cancelled meanwhile completes. The rest fails.
    Stuck,
}

impl Edge {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Slow => "slow",
            Self::Refusing => "refusing",
            Self::Stuck => "stuck",
        }
    }

    /// That of an adapter in this run.
    pub(super) fn choose() -> Self {
        if !disturbance::is_on() {
            return Self::Prompt;
        }
        match sched::random(6) {
            0 => Self::Slow,
            1 => Self::Refusing,
            2 => Self::Stuck,
            _ => Self::Prompt,
        }
    }

    /// Before the miniport completes what it has: whether that fails, and how.
    pub(super) fn delay(self, adapter: u32) -> Option<i32> {
        match self {
            Self::Prompt => None,
            Self::Slow => {
                sched::sleep_until(sched::now() + sched::random(SLOW_NS));
                None
            }
            Self::Refusing => sched::chance(1, REFUSED).then(refusal),
            Self::Stuck => sched::chance(1, STUCK).then(|| {
                let until = sched::now() + sched::random(STUCK_NS);
                sched::wait_until(until, &mut || adapter::is_closed(adapter, NblPath::Send));
                NDIS_STATUS_RESET_IN_PROGRESS
            }),
        }
    }

    /// Whether sends are refused within the call, and how.
    pub(super) fn refuses(self) -> Option<i32> {
        (self == Self::Refusing && sched::chance(1, REFUSED_AT_ONCE)).then(refusal)
    }
}

fn refusal() -> i32 {
    const REFUSALS: [i32; 5] = [
        NDIS_STATUS_RESOURCES,
        NDIS_STATUS_FAILURE,
        NDIS_STATUS_INVALID_LENGTH,
        NDIS_STATUS_MEDIA_DISCONNECTED,
        NDIS_STATUS_SEND_ABORTED,
    ];
    REFUSALS[sched::random(REFUSALS.len() as u64) as usize]
}

/// The miniport completes sends with a failure.
pub(super) fn fail(adapter: u32, nbls: Vec<u64>, status: i32) {
    nbl::hand_back(&nbls);
    for nbl in &nbls {
        NET_BUFFER_LIST::Status.write(*nbl, status).or_fault();
    }
    if !nbls.is_empty() {
        path::complete_up(adapter, nbls);
    }
}
