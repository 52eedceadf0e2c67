//! The way of a work item from a wish to rest: the part without raw calls, which both families share.
//!
//! `gate` is the rundown of whom the item belongs to. While the item is queued, or runs, one reference of it is held for the
//! item: so its owner stays, and the item is freed after the rundown only.

use super::state::{After, State, Wish};
use crate::rundown::{Rundown, Signal};
use crate::sync::or_mutant;

/// How a wish was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// The item was queued.
    First,
    /// A run that has not begun yet, or one that follows the present one, takes care of it.
    Coalesced,
}

/// How a wish was taken that asks for an idle thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "nothing runs if there was no idle thread: wish with `queue`, or do without"]
pub enum Tried {
    /// A run follows.
    Queued(Queued),
    /// No thread was idle, or the system has no such queue: nothing follows.
    NotQueued,
}

/// Whom the item belongs to is not there yet, or not any more: nothing will run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAttached;

/// Wishes for a run. `enqueue` is called if this call has to give the item to the system; it may run before that returns.
///
/// # Errors
///
/// [`NotAttached`], and `enqueue` was not called.
pub(crate) fn wish<S: Signal>(
    state: &State,
    gate: &Rundown<S>,
    enqueue: impl FnOnce(),
) -> Result<Queued, NotAttached> {
    if !gate.acquire() {
        return Err(NotAttached);
    }
    match state.wish() {
        // INVARIANT: the reference goes to the item.
        Wish::Queue => {
            enqueue();
            Ok(Queued::First)
        }
        Wish::Coalesced => {
            or_mutant!(gate.release(), "cycle-reference", ());
            Ok(Queued::Coalesced)
        }
    }
}

/// Wishes for a run if the system has an idle thread: `offer` says whether it has taken the item, `enqueue` gives it to the
/// queue for somebody else's wish that came meanwhile.
///
/// # Errors
///
/// [`NotAttached`], and neither was called.
pub(crate) fn try_wish<S: Signal>(
    state: &State,
    gate: &Rundown<S>,
    quiet: &S,
    offer: impl FnOnce() -> bool,
    enqueue: impl FnOnce(),
) -> Result<Tried, NotAttached> {
    if !gate.acquire() {
        return Err(NotAttached);
    }
    if state.offer() == Wish::Coalesced {
        gate.release();
        return Ok(Tried::Queued(Queued::Coalesced));
    }
    // INVARIANT: the reference goes to the item, and comes back if it is refused and nobody wants it.
    if offer() {
        return Ok(Tried::Queued(Queued::First));
    }
    match state.refused() {
        After::Requeue { .. } => {
            enqueue();
            Ok(Tried::Queued(Queued::First))
        }
        After::Rest { wake } => {
            rest(gate, quiet, wake);
            Ok(Tried::NotQueued)
        }
    }
}

/// Runs `routine`, which says whether it wants to run again: that is heeded until the gate closes. Called by the system's thread, once for each time that the item
/// was given to it; the system took it from its queue before. The item may be gone when this returns.
pub(crate) fn run<S: Signal>(
    state: &State,
    gate: &Rundown<S>,
    quiet: &S,
    routine: impl FnOnce() -> bool,
    enqueue: impl FnOnce(),
) {
    state.start();
    // Who closes the gate waits for this run, and for what others have wished for before.
    let again = routine() && !or_mutant!(gate.is_closed(), "cycle-again", false);
    match state.finish(again) {
        // INVARIANT: the reference stays with the item.
        After::Requeue { wake } => {
            if wake {
                quiet.set();
            }
            enqueue();
        }
        After::Rest { wake } => rest(gate, quiet, wake),
    }
}

/// Gives the item's reference back, which is the last touch. The image stays until the routine has returned: NT sees to that
/// (`docs/work-items.md`, "The end of a routine, and unload").
fn rest<S: Signal>(gate: &Rundown<S>, quiet: &S, wake: bool) {
    if wake {
        quiet.set();
    }
    gate.release();
}
