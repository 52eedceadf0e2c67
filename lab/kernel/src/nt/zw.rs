//! `Zw*`: system services.

use super::{SUCCESS, imports, ob, registry, status};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::rt::Call;

imports! {
    "ntoskrnl.exe":
    ZwClose => close,
}

fn close(call: &Call<'_>) -> u64 {
    registry::forget(call.arg(0));
    if ob::close(call.arg(0)) {
        SUCCESS
    } else {
        status(STATUS_INVALID_HANDLE)
    }
}
