//! NDIS timer objects, kernel timers, deferred procedure calls.

/// A timer changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimerEvent {
    /// `NdisAllocateTimerObject`, or `KeInitializeTimer` for storage of the driver's.
    Allocated {
        /// Its handle or address.
        timer: u64,
        /// Whether it is a `KTIMER`, in memory of the driver's.
        is_kernel: bool,
    },
    /// It was set.
    Set {
        /// Its handle or address.
        timer: u64,
        /// Milliseconds from run to run; 0 for a timer that runs once.
        period_ms: u32,
    },
    /// It was cancelled. Its function may be due already, and run all the same.
    Cancelled {
        /// Its handle or address.
        timer: u64,
    },
    /// Its time has come: its function, or the DPC that it was set with, is due.
    Expired {
        /// Its handle or address.
        timer: u64,
    },
    /// The function of an NDIS timer is called next, on this thread.
    Fired {
        /// Its handle.
        timer: u64,
        /// The argument of the function.
        context: u64,
    },
    /// Its function returned.
    Finished {
        /// Its handle.
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

/// A `KDPC` changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DpcEvent {
    /// `KeInitializeDpc`, `KeInitializeThreadedDpc`.
    Initialized {
        /// Its address.
        dpc: u64,
    },
    /// It was queued, by the driver or by a timer.
    Queued {
        /// Its address.
        dpc: u64,
        /// The argument of its routine.
        context: u64,
    },
    /// It was taken off the queue before it ran.
    Removed {
        /// Its address.
        dpc: u64,
    },
    /// It is taken off the queue; its routine is called next, on this thread.
    Started {
        /// Its address.
        dpc: u64,
        /// The argument of its routine.
        context: u64,
    },
    /// Its routine returned.
    Finished {
        /// Its address at the start of the run.
        dpc: u64,
    },
}
