//! Which of the driver's routines run, on which thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Call, Callback};

use super::emit;
use crate::per_image::per_image;
use crate::rt::journal::{self, What};
use crate::rt::sched::{self, ThreadId};

per_image! {
    /// The driver's routines that run, with their addresses, per thread, outermost first.
    static CALLS: RefCell<BTreeMap<ThreadId, Vec<(Call, u64)>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all calls: a run begins.
pub(super) fn reset() {
    CALLS.take();
}

/// The routine of the driver that a thread is in.
pub(super) fn innermost(thread: ThreadId) -> Option<(Call, u64)> {
    CALLS.with_borrow(|calls| calls.get(&thread)?.last().copied())
}

/// Whether this thread is inside one of the driver's routines (at any depth) that `is` accepts.
pub(crate) fn is_inside(is: impl Fn(Call) -> bool) -> bool {
    CALLS.with_borrow(|calls| {
        calls
            .get(&sched::current())
            .is_some_and(|calls| calls.iter().any(|(call, _)| is(*call)))
    })
}

/// The adapter of one of the driver's routines that this thread is inside.
pub(crate) fn inside_of(callback: Callback) -> Option<u32> {
    CALLS.with_borrow(|calls| {
        let inside = calls.get(&sched::current())?;
        let call = inside.iter().find(|(call, _)| call.callback == callback)?;
        call.0.adapter
    })
}

/// A routine that a thread is inside.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    /// The routine.
    pub(crate) call: Call,
    /// Its address.
    pub(super) routine: u64,
    /// Who is inside.
    pub(super) thread: ThreadId,
}

/// A routine, if any thread is inside it.
pub(crate) fn running(callback: Callback, adapter: Option<u32>) -> Option<Running> {
    let wanted = Call { callback, adapter };
    find(|calls| calls.iter().find(|(call, _)| *call == wanted))
}

/// A routine that `is` accepts and some thread is inside: the outermost of the oldest thread.
pub(crate) fn any_running(is: impl Fn(Callback) -> bool) -> Option<Running> {
    find(|calls| calls.first().filter(|(call, _)| is(call.callback)))
}

/// One that `pick` takes of those that a thread is inside.
fn find(pick: impl Fn(&[(Call, u64)]) -> Option<&(Call, u64)>) -> Option<Running> {
    CALLS.with_borrow(|calls| {
        calls.iter().find_map(|(thread, calls)| {
            let (call, routine) = *pick(calls)?;
            let thread = *thread;
            Some(Running {
                call,
                routine,
                thread,
            })
        })
    })
}

/// A routine of the driver begins on this thread.
pub(crate) fn enter(call: Call, address: u64) {
    CALLS.with_borrow_mut(|calls| {
        calls
            .entry(sched::current())
            .or_default()
            .push((call, address))
    });
    journal::note(|| What::Calls {
        name: call.callback.name(),
        adapter: call.adapter,
    });
    emit(Kind::Enter(call));
}

/// It ended.
pub(crate) fn leave(call: Call, status: Option<u32>) {
    emit(Kind::Leave { call, status });
    journal::note(|| What::Returns);
    CALLS.with_borrow_mut(|calls| {
        let thread = sched::current();
        if let Some(running) = calls.get_mut(&thread) {
            running.pop();
        }
    });
}
