//! What a driver asks the I/O manager to be told of: shutdown, and devices that come and go. Neither happens in the lab,
//! where the system does not shut down and no device comes; what is registered at unload is a leak.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::{Callback, Lent, Remaining};

use super::{SUCCESS, imports, status};
use crate::abi::constant::STATUS_INVALID_PARAMETER;
use crate::abi::nt::{DEVICE_OBJECT, DRIVER_OBJECT};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::watch::{self, Holder, OrFault};

imports! {
    "ntoskrnl.exe":
    IoRegisterShutdownNotification => register_shutdown,
    IoRegisterLastChanceShutdownNotification => register_shutdown,
    IoUnregisterShutdownNotification => unregister_shutdown,
    IoRegisterPlugPlayNotification => register_plug_play,
    IoUnregisterPlugPlayNotification => unregister_plug_play,
    IoUnregisterPlugPlayNotificationEx => unregister_plug_play,
    IoRegisterDriverReinitialization => reinitialize,
    IoRegisterBootDriverReinitialization => reinitialize,
}

#[derive(Default)]
struct State {
    /// How often each device is registered, for either time of a shutdown.
    shutdown: BTreeMap<u64, u32>,
    /// Entries of the other kind.
    entries: Vec<u64>,
    /// Routines that go on with initialization: driver object, routine, context.
    reinitializations: Vec<[u64; 3]>,
}

per_image! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

/// What is registered still.
pub(crate) fn registered() -> Remaining {
    STATE.with_borrow(|state| {
        let devices: u32 = state.shutdown.values().sum();
        let entries = u32::try_from(state.entries.len()).unwrap_or(u32::MAX);
        let device = state.shutdown.keys().next();
        Remaining {
            count: devices.saturating_add(entries),
            first: device.or(state.entries.first()).copied().unwrap_or(0),
        }
    })
}

fn register_shutdown(call: &Call<'_>) -> u64 {
    let device = call.arg(0);
    DEVICE_OBJECT::DriverObject.read(device).or_fault();
    STATE.with_borrow_mut(|state| *state.shutdown.entry(device).or_default() += 1);
    watch::note_object("device", device, "registered for shutdown", Holder::Driver);
    SUCCESS
}

fn unregister_shutdown(call: &Call<'_>) -> u64 {
    let device = call.arg(0);
    DEVICE_OBJECT::DriverObject.read(device).or_fault();
    STATE.with_borrow_mut(|state| state.shutdown.remove(&device));
    0
}

fn register_plug_play(call: &Call<'_>) -> u64 {
    /// `EventCategoryHardwareProfileChange` to `EventCategoryTargetDeviceChange`, and one that is reserved between.
    const CATEGORIES: [u32; 3] = [1, 2, 3];
    let (category, driver_object, out) = (call.arg_u32(0), call.arg(3), call.arg(6));
    DRIVER_OBJECT::Type.read(driver_object).or_fault();
    if !CATEGORIES.contains(&category) {
        return status(STATUS_INVALID_PARAMETER);
    }
    let entry = driver::lend(Lent::Other, 64);
    watch::note_object("notification", entry, "allocated", Holder::Driver);
    STATE.with_borrow_mut(|state| state.entries.push(entry));
    mem::write(out, entry).or_fault();
    SUCCESS
}

fn unregister_plug_play(call: &Call<'_>) -> u64 {
    let entry = call.arg(0);
    // One that is not there any more is out of reach.
    mem::read::<u64>(entry).or_fault();
    let was_there = STATE.with_borrow_mut(|state| {
        let before = state.entries.len();
        state.entries.retain(|known| *known != entry);
        state.entries.len() < before
    });
    if was_there {
        driver::release(entry);
        SUCCESS
    } else {
        status(STATUS_INVALID_PARAMETER)
    }
}

/// The routine runs once `DriverEntry` has succeeded, and is told how often that was.
fn reinitialize(call: &Call<'_>) -> u64 {
    let (driver_object, routine, context) = (call.arg(0), call.arg(1), call.arg(2));
    DRIVER_OBJECT::Type.read(driver_object).or_fault();
    STATE.with_borrow_mut(|state| {
        let wish = [driver_object, routine, context];
        state.reinitializations.push(wish);
    });
    0
}

/// `DriverEntry` has succeeded: what it has asked for is called, one after the other.
pub(crate) fn reinitialize_all() {
    let count = STATE.with_borrow(|state| state.reinitializations.len());
    if count == 0 {
        return;
    }
    sched::spawn("reinitialization", None, move || {
        for (index, number) in (0..count).zip(1..) {
            let wish = STATE.with_borrow(|state| state.reinitializations.get(index).copied());
            let Some([driver_object, routine, context]) = wish else {
                return;
            };
            let arguments = [driver_object, context, number];
            driver::call(Callback::Reinitialize, None, routine, &arguments);
        }
    });
}
