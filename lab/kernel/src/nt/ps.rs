//! `Ps*`: system threads.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Call as Activation, Callback};

use super::ob::{self, Object};
use super::{SUCCESS, imports};
use crate::abi::nt::{CLIENT_ID, DISPATCHER_HEADER as H};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, ThreadId};
use crate::watch::{self, OrFault, emit};

imports! {
    "ntoskrnl.exe":
    PsCreateSystemThread => create_system_thread,
    PsTerminateSystemThread => terminate_system_thread,
    PsGetCurrentThreadId => current_thread_id,
    PsGetCurrentProcessId => current_process_id,
}

/// The type of a thread as `DISPATCHER_HEADER.Type` has it.
const THREAD_OBJECT: u8 = 6;

/// The id of the system process.
const SYSTEM_PROCESS: u64 = 4;
/// Ids of processes and threads are multiples of this.
const ID_STEP: u64 = 4;
/// Processes have other ids than threads, and none that is low.
const FIRST_PROCESS: u64 = 0x1000;

per_image! {
    /// The driver's threads that have not ended, with their objects.
    static RUNNING: RefCell<BTreeMap<ThreadId, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all threads: a run begins.
pub(crate) fn reset() {
    RUNNING.take();
}

/// The driver's threads that have not ended.
pub(crate) fn running() -> u32 {
    RUNNING.with_borrow(|running| u32::try_from(running.len()).unwrap_or(u32::MAX))
}

/// The object of the oldest of them, or 0.
pub(crate) fn first_running() -> u64 {
    RUNNING.with_borrow(|running| running.values().next().copied().unwrap_or(0))
}

/// The thread of this object, if it has not ended.
pub(crate) fn find(object: u64) -> Option<ThreadId> {
    RUNNING.with_borrow(|running| {
        let mut running = running.iter();
        running.find_map(|(thread, known)| (*known == object).then_some(*thread))
    })
}

fn create_system_thread(call: &Call<'_>) -> u64 {
    let (handle, client, routine, context) = (call.arg(0), call.arg(4), call.arg(5), call.arg(6));
    // The object must exist before the thread can end.
    let object = driver::object(64);
    H::Type.write(object, THREAD_OBJECT).or_fault();
    let opened = ob::open_by(call.arg(2), Object::Address(object));
    mem::write(handle, opened).or_fault();
    let thread = sched::spawn("driver thread", None, move || {
        driver::call(Callback::SystemThread, None, routine, &[context]);
        end();
    });
    RUNNING.with_borrow_mut(|running| running.insert(thread, object));
    emit(Kind::ThreadStarted {
        thread: object,
        context,
    });
    if client != 0 {
        CLIENT_ID::UniqueProcess
            .write(client, SYSTEM_PROCESS)
            .or_fault();
        CLIENT_ID::UniqueThread
            .write(client, thread_id(thread))
            .or_fault();
    }
    SUCCESS
}

/// This thread of the driver's has ended: who waits for it goes on.
fn end() {
    let object = RUNNING.with_borrow_mut(|running| running.remove(&sched::current()));
    if let Some(object) = object {
        emit(Kind::ThreadEnded { thread: object });
        // And what a lookup by its number gives.
        for object in [object, sched::thread_object(sched::current())] {
            H::SignalState.write(object, 1).or_fault();
        }
    }
}

/// Never returns: the thread stays suspended, and its stack is reclaimed with the machine.
fn terminate_system_thread(_: &Call<'_>) -> u64 {
    watch::leave(
        Activation {
            callback: Callback::SystemThread,
            adapter: None,
        },
        None,
    );
    end();
    sched::wait(&mut || false);
    0
}

/// The id of a thread.
pub(super) fn thread_id(thread: ThreadId) -> u64 {
    u64::from(thread.0) * ID_STEP
}

/// The thread of an id, whether it has ended or not.
pub(super) fn thread_of_id(id: u64) -> Option<ThreadId> {
    let number = u32::try_from(id / ID_STEP).ok()?;
    (number != 0 && id.is_multiple_of(ID_STEP)).then_some(ThreadId(number))
}

/// The thread of an object: what `KeGetCurrentThread` gives, or what a handle of a driver's thread is of.
pub(super) fn thread_of_object(object: u64) -> Option<ThreadId> {
    find(object).or_else(|| sched::thread_of_object(object))
}

fn current_thread_id(_: &Call<'_>) -> u64 {
    thread_id(sched::current())
}

fn current_process_id(_: &Call<'_>) -> u64 {
    process_id(sched::process())
}

/// The id of a process by its number.
pub(crate) fn process_id(process: u32) -> u64 {
    match process {
        0 => SYSTEM_PROCESS,
        process => FIRST_PROCESS + ID_STEP * u64::from(process),
    }
}

/// The number of a process by its id.
pub(super) fn process_of_id(id: u64) -> Option<u32> {
    if id == SYSTEM_PROCESS {
        return Some(0);
    }
    let above = id.checked_sub(FIRST_PROCESS)?;
    let number = u32::try_from(above / ID_STEP).ok()?;
    (number != 0 && above.is_multiple_of(ID_STEP)).then_some(number)
}
