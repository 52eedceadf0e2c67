//! For whom a thread acts: tokens and silos. There is one of each, and neither changes what a thread may do.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::security::token::Token;
use super::{SUCCESS, imports};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::sched::{self, ThreadId};

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

/// The system process, in which the driver's routines run.
fn process(_: &Call<'_>) -> u64 {
    object("process")
}

/// The process whose thread has sent a request, by its number.
pub(super) fn requestor(_process: u32) -> u64 {
    object("process")
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
