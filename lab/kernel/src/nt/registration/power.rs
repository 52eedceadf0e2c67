//! Power settings: a machine on mains, awake, with its display on. Nothing changes in a run, so that each routine is
//! called once, with what is so now.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::{Callback, Lent, Registered};

use super::{close, open};
use crate::abi::constant::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use crate::abi::nt::IRP;
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    PoRegisterPowerSettingCallback => register,
    PoUnregisterPowerSettingCallback => unregister,
    PoSetPowerState => set_state,
    PoStartNextPowerIrp => start_next,
}

per_image! {
    /// The state that each device was said to be in, by device and type.
    static STATES: RefCell<BTreeMap<(u64, u32), u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all devices: a run begins.
pub(super) fn reset() {
    STATES.take();
}

/// Notes a state; gives that of before: a device has none at first.
fn set_state(call: &Call<'_>) -> u64 {
    let (device, kind, state) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    mem::read::<u64>(device).or_fault();
    let old = STATES.with_borrow_mut(|states| states.insert((device, kind), state));
    old.unwrap_or(0).into()
}

/// Since Vista it does nothing for a power IRP.
fn start_next(call: &Call<'_>) -> u64 {
    IRP::Type.read(call.arg(0)).or_fault();
    0
}

/// Bytes of a GUID.
const KEY_BYTES: usize = 16;

/// What a setting is, by the first part of its GUID: each is a ULONG.
fn value(guid: &[u8]) -> Option<u32> {
    let (first, _) = guid.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*first) {
        // GUID_ACDC_POWER_SOURCE: mains.
        0x5D3E_9A59 => Some(0),
        // GUID_BATTERY_PERCENTAGE_REMAINING.
        0xA7AD_8041 => Some(100),
        // GUID_CONSOLE_DISPLAY_STATE, GUID_MONITOR_POWER_ON, GUID_LIDSWITCH_STATE_CHANGE: on, on, open.
        0x6FE6_9556 | 0x0273_1015 | 0xBA3E_0F4D => Some(1),
        // GUID_SYSTEM_AWAYMODE, GUID_POWER_SAVING_STATUS: not.
        0x98A7_F580 | 0xE005_11A8 => Some(0),
        _ => None,
    }
}

/// A setting that the lab does not know has no value that could be told.
fn register(call: &Call<'_>) -> u64 {
    let (guid, routine, context, out) = (call.arg(1), call.arg(2), call.arg(3), call.arg(4));
    let key = mem::read_bytes(guid, KEY_BYTES).or_fault();
    let value = value(&key);
    drop(key);
    let handle = open(Registered::PowerSetting, routine, context);
    if out != 0 {
        mem::write(out, handle).or_fault();
    }
    if let Some(value) = value {
        let at = driver::lend(Lent::Other, size_of::<u32>());
        driver::write(at, &value.to_le_bytes());
        let arguments = [guid, at, size_of::<u32>() as u64, context];
        driver::call_status(Callback::PowerSetting, None, routine, &arguments);
        driver::release(at);
    }
    SUCCESS
}

fn unregister(call: &Call<'_>) -> u64 {
    if close(Registered::PowerSetting, call.arg(0)) {
        status(STATUS_SUCCESS)
    } else {
        status(STATUS_INVALID_PARAMETER)
    }
}
