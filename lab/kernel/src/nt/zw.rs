//! `Zw*`: system services.

use super::{SUCCESS, imports, ke, ob, status};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::rt::Call;

imports! {
    "ntoskrnl.exe":
    ZwClose => close,
    ZwWaitForSingleObject => wait_single,
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
        Some(object) => ke::wait_for_object(object, call.arg(2)),
        None => status(STATUS_INVALID_HANDLE),
    }
}
