//! What drivers ask of devices and stacks. No device of the lab is one that a bus has found, which is what most of these
//! functions are about: they say so, as they do in Windows.

use super::{SUCCESS, imports, status, thread};
use crate::abi::constant::{
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY,
};
use crate::abi::nt::DEVICE_OBJECT;
use crate::memory;
use crate::rt::pool::Kind;
use crate::rt::{Call, exception, mem};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoGetDeviceNumaNode => numa_node,
    IoGetDeviceProperty => property,
    IoOpenDeviceRegistryKey => open_key,
    IoRegisterDeviceInterface => register_interface,
    IoGetDeviceInterfaces => interfaces,
    IoWithinStackLimits => is_within_stack,
    IoGetRemainingStackSize => remaining_stack,
    IoGetInitialStack => initial_stack,
    IoThreadToProcess => thread::thread_process,
}

// <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55>
const STATUS_NOT_FOUND: i32 = 0xC000_0225_u32.cast_signed();

/// A device that has to be there.
fn look_at(device: u64) {
    DEVICE_OBJECT::DriverObject.read(device).or_fault();
}

fn numa_node(call: &Call<'_>) -> u64 {
    look_at(call.arg(0));
    status(STATUS_NOT_FOUND)
}

fn property(call: &Call<'_>) -> u64 {
    look_at(call.arg(0));
    status(STATUS_INVALID_DEVICE_REQUEST)
}

fn open_key(call: &Call<'_>) -> u64 {
    look_at(call.arg(0));
    status(STATUS_INVALID_PARAMETER)
}

fn register_interface(call: &Call<'_>) -> u64 {
    look_at(call.arg(0));
    status(STATUS_INVALID_DEVICE_REQUEST)
}

/// A list of names, which the driver frees; there are none.
fn interfaces(call: &Call<'_>) -> u64 {
    const TAG: u32 = u32::from_le_bytes(*b"PpIf");
    const END: u64 = 2;
    // The class has to be readable.
    mem::read_bytes(call.arg(0), 16).or_fault();
    let list = memory::allocate(TAG, END, Kind::Paged, true);
    if list == 0 {
        return status(STATUS_NO_MEMORY);
    }
    mem::write(call.arg(3), list).or_fault();
    SUCCESS
}

fn is_within_stack(call: &Call<'_>) -> u64 {
    let (low, high) = exception::stack_limits();
    let start = call.arg(0);
    let end = start.checked_add(call.arg(1));
    u64::from(start >= low && end.is_some_and(|end| end <= high))
}

fn remaining_stack(call: &Call<'_>) -> u64 {
    call.stack_pointer()
        .saturating_sub(exception::stack_limits().0)
}

fn initial_stack(_: &Call<'_>) -> u64 {
    exception::stack_limits().1
}
