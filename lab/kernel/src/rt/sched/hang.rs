//! Runs that do not move.

use super::{MACHINE, Reason, ThreadId, fast, stop};
use crate::rt::trace::{self, StackId};

/// Why nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HangKind {
    /// Every thread waits, and nothing is timed.
    Deadlock,
    /// A processor stayed at DISPATCH_LEVEL for longer than the DPC watchdog allows.
    DispatchTooLong,
    /// Driver code runs without end, and calls nothing.
    EndlessLoop,
    /// Driver code calls or spins without end, and never waits.
    EndlessCalls,
    /// The run's time limit passed.
    TimeLimit,
}

/// A run that does not move.
#[derive(Debug, Clone)]
pub(crate) struct Hang {
    /// Why.
    pub(crate) kind: HangKind,
    /// Who is to blame, where that is clear, as the place in `threads`.
    pub(crate) thread: Option<usize>,
    /// Every thread that has not ended: name, state, driver stack, and the image on whose behalf it runs.
    pub(crate) threads: Vec<(String, &'static str, StackId, u8)>,
}

/// Ends the run because the running thread does not move.
pub(in crate::rt) fn hang(kind: HangKind) -> ! {
    let hang = report_hang(kind, fast(|fast| fast.current.get()));
    stop(Reason::Hang(hang));
}

pub(super) fn report_hang(kind: HangKind, blamed: Option<ThreadId>) -> Hang {
    MACHINE.with_borrow(|machine| Hang {
        kind,
        thread: blamed.and_then(|id| machine.threads.iter().position(|(known, _)| known == id)),
        threads: machine
            .threads
            .iter()
            .map(|(_, thread)| {
                (
                    thread.name.clone(),
                    thread.state(),
                    trace::capture_of(&thread.context),
                    thread.image,
                )
            })
            .collect(),
    })
}
