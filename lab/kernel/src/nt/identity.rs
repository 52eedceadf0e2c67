//! For whom a thread acts: tokens and silos. There is one of each, and neither changes what a thread may do.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::security::token::Token;
use super::{SUCCESS, imports};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::sched::{self, ThreadId};
use crate::rt::{Call, SYSTEM_PROCESS};

imports! {
    "ntoskrnl.exe":
    IoGetCurrentProcess => process,
    PsReferencePrimaryToken => token,
    PsDereferencePrimaryToken => nothing,
    PsImpersonateClient => impersonate,
    PsRevertToSelf => nothing,
    PsGetHostSilo => silo,
    PsAttachSiloToCurrentThread => attach_silo,
    PsDetachSiloFromCurrentThread => detach_silo,
}

/// Bytes of an opaque object.
const BYTES: usize = 64;

#[derive(Default)]
struct State {
    /// The objects that were asked for, by kind.
    objects: BTreeMap<&'static str, u64>,
    /// The objects of processes of user mode, by number.
    processes: BTreeMap<u32, u64>,
    /// The silo that each thread is attached to.
    silos: BTreeMap<ThreadId, u64>,
}

per_image! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

/// The one object of a kind.
fn object(kind: &'static str) -> u64 {
    if let Some(object) = STATE.with_borrow(|state| state.objects.get(kind).copied()) {
        return object;
    }
    let object = driver::object(BYTES);
    STATE.with_borrow_mut(|state| state.objects.insert(kind, object));
    object
}

/// The process whose thread runs: the system's, or one that has sent a request.
pub(super) fn process(_: &Call<'_>) -> u64 {
    process_object(sched::process())
}

/// The object of a process by its number.
pub(super) fn process_object(number: u32) -> u64 {
    if number == 0 {
        return SYSTEM_PROCESS;
    }
    if let Some(object) = STATE.with_borrow(|state| state.processes.get(&number).copied()) {
        return object;
    }
    let object = driver::object(BYTES);
    STATE.with_borrow_mut(|state| state.processes.insert(number, object));
    object
}

/// The number of the process of an object.
pub(super) fn process_number(object: u64) -> Option<u32> {
    if object == SYSTEM_PROCESS {
        return Some(0);
    }
    STATE.with_borrow(|state| {
        let mut processes = state.processes.iter();
        processes
            .find(|(_, known)| **known == object)
            .map(|(number, _)| *number)
    })
}

/// That of the running process.
fn token(_: &Call<'_>) -> u64 {
    Token::current().address()
}

fn silo(_: &Call<'_>) -> u64 {
    object("silo")
}

fn impersonate(_: &Call<'_>) -> u64 {
    SUCCESS
}

/// Gives the silo that the thread was attached to before; NULL for none.
fn attach_silo(call: &Call<'_>) -> u64 {
    attach(call.arg(0))
}

fn detach_silo(call: &Call<'_>) -> u64 {
    attach(call.arg(0));
    0
}

fn attach(silo: u64) -> u64 {
    STATE
        .with_borrow_mut(|state| state.silos.insert(sched::current(), silo))
        .unwrap_or(0)
}

fn nothing(_: &Call<'_>) -> u64 {
    0
}
