//! NDIS timer objects and kernel timers.

/// A timer changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimerEvent {
    /// `NdisAllocateTimerObject`.
    Allocated {
        /// Its handle.
        timer: u64,
    },
    /// It was set.
    Set {
        /// Its handle or address.
        timer: u64,
        /// Milliseconds from run to run; 0 for a timer that runs once.
        period_ms: u32,
    },
    /// It was cancelled.
    Cancelled {
        /// Its handle or address.
        timer: u64,
    },
    /// It is due: its function is called next, on this thread.
    Fired {
        /// Its handle or address.
        timer: u64,
        /// The argument of the function.
        context: u64,
    },
    /// Its function returned.
    Finished {
        /// Its handle or address.
        timer: u64,
    },
    /// `NdisFreeTimerObject`.
    Freed {
        /// Its handle.
        timer: u64,
        /// Whether it was alive.
        known: bool,
    },
}
