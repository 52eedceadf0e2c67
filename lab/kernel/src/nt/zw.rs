//! `Zw*`: system services.

use super::{SUCCESS, imports, ke, ob, status};
use crate::abi::constant::{STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER};
use crate::rt::{Call, mem};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    ZwClose => close,
    NtClose => close,
    ZwWaitForSingleObject => wait_single,
    ZwWaitForMultipleObjects => wait_multiple,
}

fn close(call: &Call<'_>) -> u64 {
    if ob::close(call.arg(0)) {
        SUCCESS
    } else {
        status(STATUS_INVALID_HANDLE)
    }
}

fn wait_single(call: &Call<'_>) -> u64 {
    match ob::object_of(call.arg(0)) {
        Some(object) => {
            ob::hold(&[object]);
            let result = ke::wait_for_object(object, call.arg(2));
            ob::let_go(&[object]);
            result
        }
        None => status(STATUS_INVALID_HANDLE),
    }
}

/// Each object stays at least as long as the wait takes.
fn wait_multiple(call: &Call<'_>) -> u64 {
    let (count, handles) = (call.arg_u32(0), call.arg(1));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut all = [0; ke::MAXIMUM_WAIT_OBJECTS];
    let Some(wanted) = all.get_mut(..count).filter(|wanted| !wanted.is_empty()) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    for (object, at) in wanted.iter_mut().zip((handles..).step_by(8)) {
        let handle = mem::read(at).or_fault();
        let Some(known) = ob::object_of(handle) else {
            return status(STATUS_INVALID_HANDLE);
        };
        *object = known;
    }
    let objects = &all[..count];
    ob::hold(objects);
    let result = ke::wait_for_objects(objects, call.arg_u32(2), call.arg(4));
    ob::let_go(objects);
    result
}
