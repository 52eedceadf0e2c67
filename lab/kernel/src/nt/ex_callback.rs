//! Callback objects: routines that drivers and the system register, and somebody notifies.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::{Callback, Lent, Remaining};

use super::{SUCCESS, imports, ob, status};
use crate::abi::constant::{STATUS_OBJECT_NAME_NOT_FOUND, STATUS_UNSUCCESSFUL};
use crate::abi::nt::OBJECT_ATTRIBUTES as O;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::watch::{self, Holder, OrFault};

imports! {
    "ntoskrnl.exe":
    ExCreateCallback => create,
    ExRegisterCallback => register,
    ExUnregisterCallback => unregister,
    ExNotifyCallback => notify,
}

/// Objects that the system has made for drivers; it notifies of nothing in the lab.
const SYSTEM: &[&str] = &[
    "\\CALLBACK\\POWERSTATE",
    "\\CALLBACK\\PROCESSORADD",
    "\\CALLBACK\\SETSYSTEMTIME",
];

/// Bytes of an opaque object, and of a registration.
const BYTES: usize = 32;

/// A callback object.
struct Object {
    address: u64,
    takes_many: bool,
}

/// A routine of the driver's.
#[derive(Clone, Copy)]
struct Registered {
    object: u64,
    routine: u64,
    context: u64,
    /// How many threads are in it.
    running: u32,
}

#[derive(Default)]
struct State {
    /// By name, in upper case.
    objects: BTreeMap<String, Object>,
    /// In the order in which they came.
    registered: Vec<(u64, Registered)>,
}

per_image! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

/// Routines that are registered still.
pub(crate) fn registered() -> Remaining {
    STATE.with_borrow(|state| Remaining {
        count: u32::try_from(state.registered.len()).unwrap_or(u32::MAX),
        first: state.registered.first().map_or(0, |(handle, _)| *handle),
    })
}

/// Gives a reference to the object of a name, which is made where it may be.
fn create(call: &Call<'_>) -> u64 {
    let (out, attributes, makes) = (call.arg(0), call.arg(1), call.arg_u8(2) != 0);
    let name = O::ObjectName.read(attributes).or_fault();
    if name == 0 {
        return status(STATUS_UNSUCCESSFUL);
    }
    let name = driver::read_unicode_string(name).or_fault().to_uppercase();
    if name.is_empty() {
        return status(STATUS_UNSUCCESSFUL);
    }
    let is_system = SYSTEM.contains(&name.as_str());
    let known = STATE.with_borrow(|state| state.objects.get(&name).map(|object| object.address));
    if known.is_none() && !makes && !is_system {
        return status(STATUS_OBJECT_NAME_NOT_FOUND);
    }
    let address = known.unwrap_or_else(|| {
        let address = driver::object(BYTES);
        let takes_many = is_system || call.arg_u8(3) != 0;
        let object = Object {
            address,
            takes_many,
        };
        STATE.with_borrow_mut(|state| state.objects.insert(name, object));
        address
    });
    ob::note_reference(address);
    mem::write(out, address).or_fault();
    SUCCESS
}

/// Gives what to take it back with; 0 where the object takes no more.
fn register(call: &Call<'_>) -> u64 {
    let object = call.arg(0);
    mem::read::<u64>(object).or_fault();
    let is_full = STATE.with_borrow(|state| {
        let is_it = |known: &&Object| known.address == object;
        let known = state.objects.values().find(is_it);
        let is_taken = state.registered.iter().any(|(_, it)| it.object == object);
        known.is_none_or(|known| !known.takes_many && is_taken)
    });
    if is_full || driver::is_short() {
        return 0;
    }
    let handle = driver::lend(Lent::Other, BYTES);
    watch::note_object("callback registration", handle, "allocated", Holder::Driver);
    let registered = Registered {
        object,
        routine: call.arg(1),
        context: call.arg(2),
        running: 0,
    };
    STATE.with_borrow_mut(|state| state.registered.push((handle, registered)));
    handle
}

fn with<T>(handle: u64, change: impl FnOnce(&mut Registered) -> T) -> Option<T> {
    STATE.with_borrow_mut(|state| {
        let mut all = state.registered.iter_mut();
        all.find(|(known, _)| *known == handle)
            .map(|(_, registered)| change(registered))
    })
}

/// Waits for who is in the routine.
fn unregister(call: &Call<'_>) -> u64 {
    let handle = call.arg(0);
    mem::read::<u64>(handle).or_fault();
    sched::wait(&mut || with(handle, |it| it.running).is_none_or(|running| running == 0));
    let was_there = STATE.with_borrow_mut(|state| {
        let before = state.registered.len();
        state.registered.retain(|(known, _)| *known != handle);
        state.registered.len() < before
    });
    if was_there {
        driver::release(handle);
    }
    0
}

/// Calls all routines, in the order in which they were registered.
fn notify(call: &Call<'_>) -> u64 {
    let (object, first, second) = (call.arg(0), call.arg(1), call.arg(2));
    mem::read::<u64>(object).or_fault();
    let of_object: Vec<u64> = STATE.with_borrow(|state| {
        let its = state
            .registered
            .iter()
            .filter(|(_, it)| it.object == object);
        its.map(|(handle, _)| *handle).collect()
    });
    for handle in of_object {
        // Another one may have been unregistered meanwhile.
        let begin = |it: &mut Registered| {
            it.running += 1;
            *it
        };
        if let Some(it) = with(handle, begin) {
            let arguments = [it.context, first, second];
            driver::call(Callback::ExCallback, None, it.routine, &arguments);
            with(handle, |it| it.running -= 1);
        }
    }
    0
}
