//! What can change while packets pass.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use ndis::nbl::Overload;
use protocol::Mode;

/// What may become of packets now. Each value is read for each batch; nothing is ordered by them.
#[derive(Debug)]
pub(crate) struct Settings {
    mode: AtomicU8,
    drops_at_overload: AtomicU8,
    hold_limit: AtomicU32,
    max_hold_ns: AtomicU64,
}

impl Settings {
    pub(crate) const fn new(
        mode: Mode,
        overload: Overload,
        hold_limit: u32,
        max_hold_ns: u64,
    ) -> Self {
        Self {
            mode: AtomicU8::new(mode as u8),
            drops_at_overload: AtomicU8::new(matches!(overload, Overload::Refuse) as u8),
            hold_limit: AtomicU32::new(hold_limit),
            max_hold_ns: AtomicU64::new(max_hold_ns),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        let mode = self.mode.load(Ordering::Relaxed);
        Mode::ALL
            .iter()
            .copied()
            .find(|&known| known as u8 == mode)
            .unwrap_or_default()
    }

    /// What becomes of packets that cannot wait for their verdict.
    pub(crate) fn overload(&self) -> Overload {
        if self.drops_at_overload.load(Ordering::Relaxed) != 0 {
            Overload::Refuse
        } else {
            Overload::Unjudged
        }
    }

    /// The most packets of one direction that wait for their verdict.
    pub(crate) fn hold_limit(&self) -> u32 {
        self.hold_limit.load(Ordering::Relaxed)
    }

    /// The longest time that a packet waits for it.
    pub(crate) fn max_hold_ns(&self) -> u64 {
        self.max_hold_ns.load(Ordering::Relaxed)
    }
}
