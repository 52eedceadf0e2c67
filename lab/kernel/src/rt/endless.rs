//! Where driver code that loops without a call is: found so that the same loop gives the same place.
//!
//! The watchdog interrupts such a loop anywhere. From there the code is stepped for a while, one
//! instruction at a time, and the outermost place of the loop is noted: the lowest stack use, and of
//! those instructions the first. When that comes by again, the run ends there.

use std::cell::Cell;

use super::{
    context::{Interrupted, RSP},
    sched::{self, HangKind},
    signal,
};

/// Instructions of which the outermost is looked for, and within which it must come by again.
const STEPS: u32 = 10_000;
/// The trap flag: the processor traps after the next instruction.
pub(super) const TRAP: u64 = 0x100;

/// What is known of the loop that runs.
#[derive(Clone, Copy)]
struct Search {
    /// Imports up to now: when there are more, it was no loop without a call.
    progress: u64,
    steps: u32,
    /// Stack pointer and instruction of the outermost place.
    outermost: (u64, u64),
}

thread_local!(static SEARCH: Cell<Option<Search>> = const { Cell::new(None) });

/// The watchdog has found driver code that makes no progress.
pub(super) fn suspect(registers: &mut Interrupted) {
    let progress = signal::progress();
    if SEARCH
        .get()
        .is_none_or(|search| search.progress != progress)
    {
        SEARCH.set(Some(Search {
            progress,
            steps: 0,
            outermost: place(registers),
        }));
    }
    registers.flags |= TRAP;
}

/// One instruction was stepped, if that is what a search did: then it goes on, or ends the run.
pub(super) fn step(registers: &mut Interrupted) -> bool {
    let Some(mut search) = SEARCH.get() else {
        return false;
    };
    if search.progress != signal::progress() {
        SEARCH.set(None);
        registers.flags &= !TRAP;
        return true;
    }
    let here = place(registers);
    search.steps += 1;
    if search.steps < STEPS {
        let is_outer = |(stack, code), (outer_stack, outer_code)| {
            stack > outer_stack || stack == outer_stack && code < outer_code
        };
        if is_outer(here, search.outermost) {
            search.outermost = here;
        }
    } else if here == search.outermost || search.steps > 2 * STEPS {
        SEARCH.set(None);
        sched::hang(HangKind::EndlessLoop);
    }
    SEARCH.set(Some(search));
    registers.flags |= TRAP;
    true
}

fn place(registers: &Interrupted) -> (u64, u64) {
    (registers.general[RSP], registers.rip)
}
