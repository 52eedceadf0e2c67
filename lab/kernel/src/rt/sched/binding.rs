//! What a thread is bound to, what it has spent, and whether it waits.

use super::{
    DISPATCH_LEVEL, MACHINE, ThreadId, current, fast, irql, last_id, layout, processor, suspend,
    with_thread,
};

/// Binds the running thread to these processors, a bit for each, or to none; gives what it was bound to. Below
/// DISPATCH_LEVEL it is on one of them when this returns, above as soon as it leaves that level.
pub(crate) fn bind(mask: Option<u64>) -> Option<u64> {
    let old = with_thread(current(), |thread| {
        std::mem::replace(&mut thread.affinity, mask)
    });
    let is_misplaced = mask.is_some_and(|mask| mask >> processor() & 1 == 0);
    fast(|fast| fast.is_misplaced.set(is_misplaced));
    if is_misplaced && irql() < DISPATCH_LEVEL {
        suspend();
    }
    old
}

/// The processors that the running thread is bound to, if it is.
pub(crate) fn bound_to() -> Option<u64> {
    with_thread(current(), |thread| thread.affinity)
}

/// The thread of an address that [`thread_object`] gives.
pub(crate) fn thread_of_object(object: u64) -> Option<ThreadId> {
    let offset = object.checked_sub(layout::THREADS)?;
    let number = u32::try_from(offset / layout::PAGE).ok()?;
    let is_one = offset.is_multiple_of(layout::PAGE) && (1..=last_id()).contains(&number.into());
    is_one.then_some(ThreadId(number))
}

/// Virtual time that a thread which has not ended has run, in ns.
pub(crate) fn time_of(thread: ThreadId) -> u64 {
    let before = MACHINE.with_borrow(|machine| machine.threads.get(thread).map(|it| it.spent_ns));
    let now = fast(|fast| match fast.current.get() {
        Some(current) if current == thread => fast.spent_ns.get() - fast.spent_before_ns.get(),
        _ => 0,
    });
    before.unwrap_or(0) + now
}

/// Whether a thread is there and waits for nothing.
pub(crate) fn is_active(thread: ThreadId) -> bool {
    MACHINE.with_borrow(|machine| {
        let thread = machine.threads.get(thread);
        thread.is_some_and(|thread| thread.waiting.is_none())
    })
}
