//! System worker threads and the queue of I/O work items, of the NDIS and the WDM family.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use lab_rules::Kind;
use lab_rules::event::{Callback, WorkItemEvent, WorkItemOwner};

use crate::WorkItemFunction;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::fault::{self, Place};
use crate::rt::sched;
use crate::watch::emit;

/// Bytes of an `IO_WORKITEM`, which drivers treat as opaque.
pub(crate) const ITEM_SIZE: usize = 0x58;
/// The least time from the queue to the routine, in ns: a context switch.
const SWITCH_NS: u64 = 1_000;
/// The longest time that a worker thread needs to wake up beyond that, in ns.
const WAKE_UP_NS: u64 = 50_000;
/// The same of a slow one.
const SLOW_NS: u64 = 5_000_000;

/// How the routine of an item is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `NDIS_IO_WORKITEM_ROUTINE`: context, handle.
    Ndis,
    /// `IO_WORKITEM_ROUTINE`: device object, context.
    Io,
    /// `IO_WORKITEM_ROUTINE_EX`: object, context, item.
    IoEx,
    /// `WORKER_THREAD_ROUTINE`: context. The item is the driver's again when it starts.
    Plain,
    /// `NDIS_PROC` of NDIS 5: item, context. The same holds.
    Ndis5,
}

/// A queued item.
#[derive(Clone, Copy)]
struct Queued {
    /// What it was queued with.
    by: &'static str,
    item: u64,
    shape: Shape,
    routine: u64,
    context: u64,
}

#[derive(Default)]
struct Workers {
    queue: VecDeque<Queued>,
    /// The object of each item that is allocated.
    items: BTreeMap<u64, u64>,
    /// What was done with which function.
    functions: BTreeMap<&'static str, WorkItemFunction>,
    /// Routines that run.
    running: u32,
    /// Their items, which may have been freed since.
    running_items: Vec<u64>,
    threads: u32,
    /// Whether some wake up much later than others.
    is_slow: bool,
    closing: bool,
}

per_image! {
    static WORKERS: RefCell<Workers> = RefCell::new(Workers::default());
}

/// Starts the worker threads; slow ones are late at times, as on a machine that has more to do.
pub(crate) fn start(count: u8, is_slow: bool) {
    WORKERS.set(Workers {
        threads: count.into(),
        is_slow,
        ..Workers::default()
    });
    for number in 0..count {
        sched::spawn(&format!("system worker {number}"), None, work);
    }
}

/// Lets the worker threads end when the queue is empty.
pub(crate) fn stop() {
    WORKERS.with_borrow_mut(|workers| workers.closing = true);
}

/// Whether no routine runs: each holds a reference of its driver's object until it has returned.
pub(crate) fn has_returned() -> bool {
    WORKERS.with_borrow(|workers| workers.running == 0)
}

/// Whether every routine that runs has an item: NT keeps the image until the others have returned too, though the driver is
/// done with them.
pub(crate) fn has_freed_returned() -> bool {
    WORKERS.with_borrow(|workers| {
        let mut items = workers.running_items.iter();
        items.all(|item| workers.items.contains_key(item))
    })
}

/// Whether nothing is queued and nothing runs.
pub(crate) fn is_idle() -> bool {
    WORKERS.with_borrow(|workers| workers.queue.is_empty() && workers.running == 0)
}

fn work() {
    loop {
        let mut is_over = false;
        sched::wait(&mut || {
            WORKERS.with_borrow(|workers| {
                is_over = workers.closing && workers.queue.is_empty();
                is_over || !workers.queue.is_empty()
            })
        });
        if is_over {
            return;
        }
        // Between the end of the wait and the first instruction of the routine lies what a real
        // scheduler takes.
        let is_slow = WORKERS.with_borrow(|workers| workers.is_slow);
        let delay_ns = if is_slow && sched::chance(1, 16) {
            sched::random(SLOW_NS)
        } else if sched::chance(1, 2) {
            sched::random(WAKE_UP_NS)
        } else {
            0
        };
        sched::sleep_until(sched::now() + SWITCH_NS + delay_ns);
        let next = WORKERS.with_borrow_mut(|workers| {
            let next = workers.queue.pop_front()?;
            workers.running += 1;
            workers.running_items.push(next.item);
            let object = workers.items.get(&next.item).copied().unwrap_or(0);
            Some((next, object))
        });
        if let Some((next, object)) = next {
            run(next, object);
            WORKERS.with_borrow_mut(|workers| {
                workers.running -= 1;
                let mut items = workers.running_items.iter();
                if let Some(at) = items.position(|item| *item == next.item) {
                    workers.running_items.remove(at);
                }
            });
        }
    }
}

fn run(next: Queued, object: u64) {
    let Queued {
        by,
        item,
        shape,
        routine,
        context,
    } = next;
    emit(Kind::WorkItem(WorkItemEvent::Started { item }));
    WORKERS.with_borrow_mut(|workers| workers.functions.entry(by).or_default().runs += 1);
    if matches!(shape, Shape::Plain | Shape::Ndis5) {
        make_unknown(item);
    }
    match shape {
        Shape::Ndis => driver::call(
            Callback::NdisIoWorkItemRoutine,
            None,
            routine,
            &[context, item],
        ),
        Shape::Io => driver::call(
            Callback::IoWorkItemRoutine,
            None,
            routine,
            &[object, context],
        ),
        Shape::Plain => driver::call(Callback::IoWorkItemRoutine, None, routine, &[context]),
        Shape::Ndis5 => driver::call(Callback::IoWorkItemRoutine, None, routine, &[item, context]),
        Shape::IoEx => driver::call(
            Callback::IoWorkItemRoutine,
            None,
            routine,
            &[object, context, item],
        ),
    }
    emit(Kind::WorkItem(WorkItemEvent::Finished {
        item,
        routine,
        context,
    }));
}

/// What was done with which function, so far.
pub(crate) fn functions() -> BTreeMap<&'static str, WorkItemFunction> {
    WORKERS.with_borrow(|workers| workers.functions.clone())
}

fn count(call: &Call<'_>) -> &'static str {
    let by = call.import().name;
    WORKERS.with_borrow_mut(|workers| workers.functions.entry(by).or_default().calls += 1);
    by
}

/// Makes an item known: allocated, or initialised in storage of the driver's.
pub(crate) fn allocate(call: &Call<'_>, item: u64, object: u64, owner: WorkItemOwner) {
    count(call);
    make_known(item, object, owner);
}

fn make_known(item: u64, object: u64, owner: WorkItemOwner) {
    WORKERS.with_borrow_mut(|workers| workers.items.insert(item, object));
    emit(Kind::WorkItem(WorkItemEvent::Allocated { item, owner }));
}

/// Queues an item.
pub(crate) fn queue(call: &Call<'_>, item: u64, shape: Shape, routine: u64, context: u64) {
    let routine_is_code = matches!(fault::classify(routine), Place::Image { .. });
    let by = count(call);
    emit(Kind::WorkItem(WorkItemEvent::Queued {
        item,
        routine,
        routine_is_code,
        context,
    }));
    WORKERS.with_borrow_mut(|workers| {
        workers.queue.push_back(Queued {
            by,
            item,
            shape,
            routine,
            context,
        })
    });
}

/// Queues an item that nobody allocates: it is known while it is queued.
pub(crate) fn queue_unallocated(
    call: &Call<'_>,
    item: u64,
    shape: Shape,
    routine: u64,
    context: u64,
) {
    if !WORKERS.with_borrow(|workers| workers.items.contains_key(&item)) {
        make_known(item, 0, WorkItemOwner::Driver);
    }
    queue(call, item, shape, routine, context);
}

/// Whether a worker thread is free right now.
pub(crate) fn has_idle_thread() -> bool {
    WORKERS.with_borrow(|workers| {
        let waiting = u32::try_from(workers.queue.len()).unwrap_or(u32::MAX);
        workers.running.saturating_add(waiting) < workers.threads
    })
}

/// Makes an item unknown; tells whether it was known.
pub(crate) fn free(call: &Call<'_>, item: u64) -> bool {
    count(call);
    make_unknown(item)
}

fn make_unknown(item: u64) -> bool {
    emit(Kind::WorkItem(WorkItemEvent::Freed { item }));
    WORKERS.with_borrow_mut(|workers| workers.items.remove(&item).is_some())
}
