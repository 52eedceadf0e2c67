//! `Zw*`: system services.

use super::{SUCCESS, imports, ob, status};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::rt::Call;

imports! {
    "ntoskrnl.exe":
    ZwClose => close,
}

fn close(call: &Call<'_>) -> u64 {
    if ob::close(call.arg(0)) {
        SUCCESS
    } else {
        status(STATUS_INVALID_HANDLE)
    }
}
