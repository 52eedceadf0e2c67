//! Routines that the driver registers with the system: for bug checks, interrupts, processors, processes, images and
//! power settings. What is registered when the driver is gone would call code that is not there.

mod notify;
mod power;
mod processor;

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::{Lent, Registered};

use super::imports;
use super::{SUCCESS, status};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::mem;
use crate::rt::{Call, Import};
use crate::watch::{self, Holder, OrFault};
pub(crate) use notify::{process_began, process_ended};

imports! {
    "ntoskrnl.exe":
    KeRegisterBugCheckCallback => add_bug_check,
    KeDeregisterBugCheckCallback => remove_bug_check,
    KeRegisterBugCheckReasonCallback => add_bug_check_reason,
    KeDeregisterBugCheckReasonCallback => remove_bug_check_reason,
    KeRegisterNmiCallback => add_nmi,
    KeDeregisterNmiCallback => remove_nmi,
}

/// Those of the files below.
pub(crate) const OTHER_IMPORTS: [&[Import]; 3] =
    [notify::IMPORTS, power::IMPORTS, processor::IMPORTS];

/// Bytes behind a handle of a registration.
const HANDLE_BYTES: usize = 16;

/// What is registered: the routine, and what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registration {
    routine: u64,
    context: u64,
    number: u64,
}

/// What is registered, by kind and by what it is deregistered with: a record, a routine or a handle.
#[derive(Default)]
struct State {
    registered: BTreeMap<(Registered, u64), Registration>,
    last_number: u64,
}

per_image! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Forgets everything: a run begins.
pub(crate) fn reset() {
    STATE.take();
    power::reset();
}

/// What is registered and was not deregistered: how much, and the first with what it is known by.
pub(crate) fn remaining() -> (u32, Option<(Registered, u64)>) {
    STATE.with_borrow(|state| {
        let count = u32::try_from(state.registered.len()).unwrap_or(u32::MAX);
        (count, state.registered.keys().next().copied())
    })
}

/// Registers something; tells whether it was not registered yet.
pub(crate) fn add(kind: Registered, key: u64, routine: u64, context: u64) -> bool {
    let is_new = STATE.with_borrow_mut(|state| {
        state.last_number += 1;
        let registration = Registration {
            routine,
            context,
            number: state.last_number,
        };
        let entry = state.registered.entry((kind, key));
        let is_new = matches!(entry, std::collections::btree_map::Entry::Vacant(_));
        entry.or_insert(registration);
        is_new
    });
    if is_new {
        watch::note_object(kind.noun(), key, "allocated", Holder::Driver);
    }
    is_new
}

/// Registers something that a new handle stands for; gives that.
pub(crate) fn open(kind: Registered, routine: u64, context: u64) -> u64 {
    let handle = driver::rubbish(Lent::Other, HANDLE_BYTES);
    add(kind, handle, routine, context);
    handle
}

/// Takes something back; tells whether it was registered.
pub(crate) fn remove(kind: Registered, key: u64) -> bool {
    let known = STATE.with_borrow_mut(|state| state.registered.remove(&(kind, key)));
    if known.is_some() {
        watch::note_object(kind.noun(), key, "given back", Holder::Nobody);
    }
    known.is_some()
}

/// The same, and the end of its handle.
pub(crate) fn close(kind: Registered, handle: u64) -> bool {
    let was_there = remove(kind, handle);
    if was_there {
        driver::release(handle);
    }
    was_there
}

/// The same, where there is no answer for a handle that is none: it is followed, and what it points to is gone.
pub(crate) fn close_known(kind: Registered, handle: u64) {
    mem::read::<u64>(handle).or_fault();
    close(kind, handle);
}

/// Whether something is registered.
pub(crate) fn holds(kind: Registered, key: u64) -> bool {
    STATE.with_borrow(|state| state.registered.contains_key(&(kind, key)))
}

/// How many are registered of a kind.
fn count(kind: Registered) -> usize {
    STATE.with_borrow(|state| {
        state
            .registered
            .keys()
            .filter(|(it, _)| *it == kind)
            .count()
    })
}

/// The next routine of a kind after a number, in the order in which they were registered.
fn next(kind: Registered, after: u64) -> Option<Registration> {
    STATE.with_borrow(|state| {
        let all = state.registered.iter();
        let of_kind =
            all.filter(|((it, _), registration)| *it == kind && registration.number > after);
        of_kind
            .map(|(_, registration)| *registration)
            .min_by_key(|it| it.number)
    })
}

/// A record of the driver's that must be there.
fn record(call: &Call<'_>) -> u64 {
    mem::read::<u64>(call.arg(0)).or_fault();
    call.arg(0)
}

fn add_bug_check(call: &Call<'_>) -> u64 {
    add(Registered::BugCheck, record(call), call.arg(1), call.arg(2)).into()
}

fn remove_bug_check(call: &Call<'_>) -> u64 {
    remove(Registered::BugCheck, record(call)).into()
}

fn add_bug_check_reason(call: &Call<'_>) -> u64 {
    let (routine, reason) = (call.arg(1), call.arg_u32(2));
    add(
        Registered::BugCheckReason,
        record(call),
        routine,
        reason.into(),
    )
    .into()
}

fn remove_bug_check_reason(call: &Call<'_>) -> u64 {
    remove(Registered::BugCheckReason, record(call)).into()
}

/// No such interrupt comes in the lab.
fn add_nmi(call: &Call<'_>) -> u64 {
    open(Registered::Nmi, call.arg(0), call.arg(1))
}

fn remove_nmi(call: &Call<'_>) -> u64 {
    if close(Registered::Nmi, call.arg(0)) {
        SUCCESS
    } else {
        status(STATUS_INVALID_HANDLE)
    }
}
