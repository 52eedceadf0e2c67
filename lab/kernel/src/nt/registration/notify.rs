//! Routines for processes, threads and images that come and go: those of the processes that open devices.

use lab_rules::event::{Callback, Lent, Registered};

use super::{add, count, next, remove};
use crate::abi::constant::{
    STATUS_ACCESS_DENIED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    STATUS_PROCEDURE_NOT_FOUND,
};
use crate::driver;
use crate::nt::{SUCCESS, identity, imports, ps, status};
use crate::rt::{Call, exception, mem, sched};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    PsSetCreateProcessNotifyRoutine => set_process,
    PsSetCreateProcessNotifyRoutineEx => set_process_ex,
    PsSetCreateThreadNotifyRoutine => set_thread,
    PsRemoveCreateThreadNotifyRoutine => remove_thread,
    PsSetLoadImageNotifyRoutine => set_image,
    PsRemoveLoadImageNotifyRoutine => remove_image,
}

/// Routines of a kind that the system has room for.
const MOST: usize = 64;

/// The image of each process that opens a device.
const IMAGE: &str = "\\Device\\HarddiskVolume3\\Windows\\System32\\lab.exe";

// PS_CREATE_NOTIFY_INFO.
const INFO_SIZE: usize = 72;
const INFO_BYTES: mem::Field<u64> = mem::Field::at(0);
const PARENT: mem::Field<u64> = mem::Field::at(16);
const CREATOR_PROCESS: mem::Field<u64> = mem::Field::at(24);
const CREATOR_THREAD: mem::Field<u64> = mem::Field::at(32);
const IMAGE_NAME: mem::Field<u64> = mem::Field::at(48);
const CREATION_STATUS: mem::Field<u32> = mem::Field::at(64);

// IMAGE_INFO: of 64 bits, as IMAGE_ADDRESSING_MODE_32BIT is called for every size of address.
const IMAGE_SIZE: usize = 40;
const PROPERTIES: mem::Field<u32> = mem::Field::at(0);
const IMAGE_BASE: mem::Field<u64> = mem::Field::at(8);
const IMAGE_BYTES: mem::Field<u64> = mem::Field::at(24);
const ADDRESSING_MODE: u32 = 3;

/// Adds a routine or takes it back.
fn set(call: &Call<'_>, kind: Registered) -> u64 {
    let (routine, removes) = (call.arg(0), call.arg_u8(1) != 0);
    let done = if removes {
        remove(kind, routine)
    } else {
        count(kind) < MOST && add(kind, routine, routine, 0)
    };
    if done {
        SUCCESS
    } else {
        status(if removes {
            STATUS_PROCEDURE_NOT_FOUND
        } else {
            STATUS_INVALID_PARAMETER
        })
    }
}

fn set_process(call: &Call<'_>) -> u64 {
    set(call, Registered::Process)
}

/// Only of an image that was linked with `/integritycheck`.
fn set_process_ex(call: &Call<'_>) -> u64 {
    let (routine, removes) = (call.arg(0), call.arg_u8(1) != 0);
    if !removes && !is_checked(routine) {
        return status(STATUS_ACCESS_DENIED);
    }
    set(call, Registered::ProcessEx)
}

/// Whether the image that a routine is in has `IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY`.
fn is_checked(routine: u64) -> bool {
    const FORCE_INTEGRITY: u16 = 0x80;
    /// Where the offset of the PE header is, and in that the characteristics.
    const HEADER: u64 = 0x3C;
    const CHARACTERISTICS: u64 = 0x5E;
    let characteristics = exception::image_of(routine).and_then(|image| {
        let header = mem::read::<u32>(image + HEADER).ok()?;
        mem::read::<u16>(image + u64::from(header) + CHARACTERISTICS).ok()
    });
    characteristics.is_some_and(|it| it & FORCE_INTEGRITY != 0)
}

/// Adds a routine, while there is room: the same more than once counts once.
fn append(call: &Call<'_>, kind: Registered) -> u64 {
    if count(kind) >= MOST {
        return status(STATUS_INSUFFICIENT_RESOURCES);
    }
    add(kind, call.arg(0), call.arg(0), 0);
    SUCCESS
}

fn take(call: &Call<'_>, kind: Registered) -> u64 {
    if remove(kind, call.arg(0)) {
        SUCCESS
    } else {
        status(STATUS_PROCEDURE_NOT_FOUND)
    }
}

fn set_thread(call: &Call<'_>) -> u64 {
    append(call, Registered::Thread)
}

fn remove_thread(call: &Call<'_>) -> u64 {
    take(call, Registered::Thread)
}

fn set_image(call: &Call<'_>) -> u64 {
    append(call, Registered::Image)
}

fn remove_image(call: &Call<'_>) -> u64 {
    take(call, Registered::Image)
}

/// Calls all routines of a kind, in the order in which they were registered.
fn call_all(kind: Registered, callback: Callback, arguments: &[u64]) {
    let mut after = 0;
    while let Some(registration) = next(kind, after) {
        after = registration.number;
        driver::call(callback, None, registration.routine, arguments);
    }
}

/// A process of user mode begins, with its image and its first thread: this one.
pub(crate) fn process_began(process: u32) {
    tell_of_process(process, true);
    tell_of_thread(process, true);
    if count(Registered::Image) == 0 {
        return;
    }
    let (name, info) = (
        driver::unicode_string(Lent::Other, IMAGE),
        driver::lend(Lent::Other, IMAGE_SIZE),
    );
    let fill = || {
        PROPERTIES.write(info, ADDRESSING_MODE)?;
        IMAGE_BASE.write(info, exception::USER_END / 2)?;
        IMAGE_BYTES.write(info, 0x10000)
    };
    fill().or_fault();
    let arguments = [name, ps::process_id(process), info];
    call_all(Registered::Image, Callback::ImageNotify, &arguments);
    driver::release(info);
    driver::release(name);
}

/// A process of user mode has ended.
pub(crate) fn process_ended(process: u32) {
    tell_of_thread(process, false);
    tell_of_process(process, false);
}

fn tell_of_thread(process: u32, begins: bool) {
    let thread = ps::thread_id(sched::current());
    let arguments = [ps::process_id(process), thread, begins.into()];
    call_all(Registered::Thread, Callback::ThreadNotify, &arguments);
}

/// The system has made each process.
fn tell_of_process(process: u32, begins: bool) {
    let (parent, id) = (ps::process_id(0), ps::process_id(process));
    let arguments = [parent, id, begins.into()];
    call_all(Registered::Process, Callback::ProcessNotify, &arguments);
    if count(Registered::ProcessEx) == 0 {
        return;
    }
    let object = identity::process_object(process);
    if !begins {
        let arguments = [object, id, 0];
        return call_all(Registered::ProcessEx, Callback::ProcessNotify, &arguments);
    }
    let (name, info) = (
        driver::unicode_string(Lent::Other, IMAGE),
        driver::lend(Lent::Other, INFO_SIZE),
    );
    let fill = || {
        INFO_BYTES.write(info, INFO_SIZE as u64)?;
        PARENT.write(info, parent)?;
        CREATOR_PROCESS.write(info, parent)?;
        CREATOR_THREAD.write(info, ps::thread_id(sched::current()))?;
        IMAGE_NAME.write(info, name)?;
        CREATION_STATUS.write(info, 0)
    };
    fill().or_fault();
    let arguments = [object, id, info];
    call_all(Registered::ProcessEx, Callback::ProcessNotify, &arguments);
    driver::release(info);
    driver::release(name);
}
