//! Kernel queues (`KQUEUE`): threads wait for entries, and no more of them work at a time than the queue allows.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{imports, ke, status};
use crate::abi::constant::{STATUS_ABANDONED, STATUS_TIMEOUT};
use crate::abi::nt::DISPATCHER_HEADER as H;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched::{self, ThreadId, Wait};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    KeInitializeQueue => initialize,
    KeInsertQueue => insert_last,
    KeInsertHeadQueue => insert_first,
    KeRemoveQueue => remove,
    KeRundownQueue => run_down,
    KeReadStateQueue => read,
}

/// `QueueObject` as `DISPATCHER_HEADER.Type` has it.
const QUEUE_OBJECT: u8 = 4;
/// Members of a KQUEUE behind its header.
const ENTRIES: u64 = 24;
const MAXIMUM_COUNT: u64 = 44;
const THREADS: u64 = 48;
const SIZE: usize = 64;

#[derive(Default)]
struct Queue {
    /// Threads that have taken an entry and not come back for another.
    workers: Vec<ThreadId>,
    is_run_down: bool,
}

per_image! {
    static QUEUES: RefCell<BTreeMap<u64, Queue>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all queues: a run begins.
pub(super) fn reset() {
    QUEUES.take();
}

fn initialize(call: &Call<'_>) -> u64 {
    let queue = call.arg(0);
    let most = match call.arg_u32(1) {
        0 => sched::processors(),
        most => most,
    };
    let fill = || {
        mem::fill(queue, SIZE, 0)?;
        H::Type.write(queue, QUEUE_OBJECT)?;
        for list in [queue.wrapping_add(ENTRIES), queue.wrapping_add(THREADS)] {
            mem::write(list, list)?;
            mem::write(list.wrapping_add(8), list)?;
        }
        mem::write(queue.wrapping_add(MAXIMUM_COUNT), most)
    };
    fill().or_fault();
    QUEUES.with_borrow_mut(|queues| queues.insert(queue, Queue::default()));
    0
}

/// Puts an entry between two neighbours.
fn link(before: u64, entry: u64, after: u64) -> Result<(), BadAddress> {
    mem::write(entry, after)?;
    mem::write(entry.wrapping_add(8), before)?;
    mem::write(before, entry)?;
    mem::write(after.wrapping_add(8), entry)
}

/// Adds an entry; gives how many there were.
fn insert(queue: u64, entry: u64, is_last: bool) -> Result<u64, BadAddress> {
    let head = queue.wrapping_add(ENTRIES);
    if is_last {
        link(mem::read(head.wrapping_add(8))?, entry, head)?;
    } else {
        link(head, entry, mem::read(head)?)?;
    }
    let count = H::SignalState.read(queue)?;
    H::SignalState.write(queue, count.wrapping_add(1))?;
    Ok(u64::from(count.cast_unsigned()))
}

fn insert_last(call: &Call<'_>) -> u64 {
    insert(call.arg(0), call.arg(1), true).or_fault()
}

fn insert_first(call: &Call<'_>) -> u64 {
    insert(call.arg(0), call.arg(1), false).or_fault()
}

/// Takes the first entry, if there is one.
fn take(queue: u64) -> Result<Option<u64>, BadAddress> {
    let head = queue.wrapping_add(ENTRIES);
    let entry = mem::read::<u64>(head)?;
    if entry == head {
        return Ok(None);
    }
    let after = mem::read::<u64>(entry)?;
    mem::write(head, after)?;
    mem::write(after.wrapping_add(8), head)?;
    let count = H::SignalState.read(queue)?;
    H::SignalState.write(queue, count.wrapping_sub(1))?;
    Ok(Some(entry))
}

/// Whether another thread may work: those that wait for something else, or have ended, do not count.
fn has_room(queue: u64) -> Result<bool, BadAddress> {
    let most = mem::read::<u32>(queue.wrapping_add(MAXIMUM_COUNT))?;
    let is_active = |thread: &&ThreadId| sched::is_active(**thread);
    let busy = QUEUES.with_borrow(|queues| {
        queues
            .get(&queue)
            .map_or(0, |queue| queue.workers.iter().filter(is_active).count())
    });
    Ok(busy < most as usize)
}

fn is_run_down(queue: u64) -> bool {
    QUEUES.with_borrow(|queues| queues.get(&queue).is_some_and(|queue| queue.is_run_down))
}

/// Gives an entry; or a status in its place, which is below any address.
fn remove(call: &Call<'_>) -> u64 {
    let (queue, timeout) = (call.arg(0), call.arg(2));
    let me = sched::current();
    let deadline_ns = ke::deadline_at(timeout).unwrap_or(u64::MAX);
    QUEUES.with_borrow_mut(|queues| {
        let workers = &mut queues.entry(queue).or_default().workers;
        workers.retain(|thread| *thread != me);
    });
    let mut outcome = Ok(None);
    let mut look = || -> Result<bool, BadAddress> {
        if is_run_down(queue) {
            return Ok(true);
        }
        if !has_room(queue)? {
            return Ok(false);
        }
        let entry = take(queue)?;
        outcome = Ok(entry);
        Ok(entry.is_some())
    };
    let mut bad = None;
    let wait = sched::wait_until(deadline_ns, &mut || {
        look().unwrap_or_else(|address| {
            bad = Some(address);
            true
        })
    });
    if let Some(bad) = bad {
        outcome = Err(bad);
    }
    match (outcome.or_fault(), wait) {
        (Some(entry), _) => {
            QUEUES.with_borrow_mut(|queues| queues.entry(queue).or_default().workers.push(me));
            entry
        }
        (None, Wait::TimedOut) => status(STATUS_TIMEOUT),
        (None, Wait::Satisfied) => status(STATUS_ABANDONED),
    }
}

/// Takes all entries out, as a ring without a head; gives the first, or NULL. Whoever waits, or will, is told.
fn run_down(call: &Call<'_>) -> u64 {
    let queue = call.arg(0);
    let head = queue.wrapping_add(ENTRIES);
    let empty = || -> Result<u64, BadAddress> {
        let (first, last) = (
            mem::read::<u64>(head)?,
            mem::read::<u64>(head.wrapping_add(8))?,
        );
        if first == head {
            return Ok(0);
        }
        mem::write(last, first)?;
        mem::write(first.wrapping_add(8), last)?;
        mem::write(head, head)?;
        mem::write(head.wrapping_add(8), head)?;
        H::SignalState.write(queue, 0)?;
        Ok(first)
    };
    let first = empty().or_fault();
    QUEUES.with_borrow_mut(|queues| queues.entry(queue).or_default().is_run_down = true);
    first
}

fn read(call: &Call<'_>) -> u64 {
    u64::from(H::SignalState.read(call.arg(0)).or_fault().cast_unsigned())
}
