//! What ran where and when, for a picture: written only in a run that asks for it.

use std::cell::{Cell, RefCell};

use super::{
    context,
    sched::{self, ThreadId},
};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A thread or DPC body exists from now on.
    Born {
        /// Its name.
        name: String,
        /// Whether it is a DPC body.
        is_dpc: bool,
    },
    /// It goes on, on this processor.
    Runs,
    /// It gives way.
    Rests,
    /// It has ended.
    Ends,
    /// The processor's level is another.
    Level,
    /// A call begins: of a routine of the driver's, or of an import.
    Calls {
        /// Its name.
        name: &'static str,
        /// The adapter whose module it concerns, if one.
        adapter: Option<u32>,
    },
    /// The innermost call ends.
    Returns,
    /// Something happened to an object.
    Mark(String),
    /// A rule is broken: its identifier.
    Broken(&'static str),
    /// The object at this address is to run later: a work item that was queued, a timer that was set.
    Queued(u64),
    /// It is taken off its queue: the next call is that of its routine.
    Taken(u64),
}

/// Something that happened, when and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Virtual nanoseconds since the run began.
    pub time_ns: u64,
    /// Virtual processor; of a thread that is born, none yet.
    pub processor: u32,
    /// Thread or DPC body: a number that is never used again in the run.
    pub thread: u32,
    /// Level of the processor.
    pub irql: u8,
    /// What it was.
    pub what: What,
}

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static MOMENTS: RefCell<Vec<Moment>> = const { RefCell::new(Vec::new()) };
}

/// Begins a run, in which a journal is kept or not.
pub(super) fn reset(is_on: bool) {
    IS_ON.set(is_on);
    MOMENTS.take();
}

/// The journal of the run so far.
pub(crate) fn take() -> Vec<Moment> {
    MOMENTS.take()
}

/// Writes what happens now on the running thread, if a journal is kept.
pub(crate) fn note(what: impl FnOnce() -> What) {
    // Outside of the run's coroutines nothing happens on a thread.
    if IS_ON.get() && context::current().is_some() {
        write(sched::current(), sched::processor(), sched::irql(), what());
    }
}

/// Writes what happens now to a thread that need not be the running one, if a journal is kept.
pub(crate) fn note_of(thread: ThreadId, processor: u32, irql: u8, what: impl FnOnce() -> What) {
    if IS_ON.get() {
        write(thread, processor, irql, what());
    }
}

fn write(thread: ThreadId, processor: u32, irql: u8, what: What) {
    let moment = Moment {
        time_ns: sched::now(),
        processor,
        thread: thread.0,
        irql,
        what,
    };
    MOMENTS.with_borrow_mut(|moments| moments.push(moment));
}
