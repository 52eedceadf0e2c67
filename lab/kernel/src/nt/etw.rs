//! `Etw*`: event providers. Nobody listens in the lab, so writing an event costs time only.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{SUCCESS, imports, status};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    EtwRegister => register,
    EtwUnregister => unregister,
    EtwWrite => write,
    EtwWriteTransfer => write,
    EtwEventEnabled => disabled,
    EtwProviderEnabled => disabled,
    EtwSetInformation => write,
}

thread_local! {
    static PROVIDERS: RefCell<(u64, BTreeSet<u64>)> = const { RefCell::new((0, BTreeSet::new())) };
}

/// Forgets all providers: a run begins.
pub(crate) fn reset() {
    PROVIDERS.take();
}

/// Providers that are registered.
pub(crate) fn registered() -> u32 {
    PROVIDERS.with_borrow(|(_, providers)| u32::try_from(providers.len()).unwrap_or(u32::MAX))
}

fn register(call: &Call<'_>) -> u64 {
    let handle = PROVIDERS.with_borrow_mut(|(last, providers)| {
        *last += 1;
        providers.insert(*last);
        *last
    });
    mem::write(call.arg(3), handle).or_fault();
    SUCCESS
}

fn unregister(call: &Call<'_>) -> u64 {
    let known = PROVIDERS.with_borrow_mut(|(_, providers)| providers.remove(&call.arg(0)));
    if known {
        SUCCESS
    } else {
        status(STATUS_INVALID_HANDLE)
    }
}

fn write(_: &Call<'_>) -> u64 {
    SUCCESS
}

fn disabled(_: &Call<'_>) -> u64 {
    0
}
