//! `Ob*`: handles and references.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{SUCCESS, imports, status};
use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::{self, Holder, OrFault};

imports! {
    "ntoskrnl.exe":
    ObReferenceObjectByHandle => reference_by_handle,
    ObReferenceObjectByPointer => reference_by_pointer,
    ObfReferenceObject => reference,
    ObfDereferenceObject => dereference,
    ObDereferenceObjectDeferDelete => dereference,
}

/// Kernel handles have the top bits set and go in steps of four.
const FIRST_HANDLE: u64 = 0xFFFF_FFFF_8000_0004;
/// What reports call one.
const HANDLE: &str = "kernel handle";

per_image! {
    static HANDLES: RefCell<BTreeMap<u64, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all handles: a run begins.
pub(crate) fn reset() {
    HANDLES.take();
}

/// A new kernel handle of an object.
pub(crate) fn open(object: u64) -> u64 {
    let handle = HANDLES.with_borrow_mut(|handles| {
        let handle = handles
            .last_key_value()
            .map_or(FIRST_HANDLE, |(last, _)| last + 4);
        handles.insert(handle, object);
        handle
    });
    watch::note_object(HANDLE, handle, "opened", Holder::Driver);
    handle
}

/// Closes a handle; tells whether it was open.
pub(crate) fn close(handle: u64) -> bool {
    let was_open = HANDLES.with_borrow_mut(|handles| handles.remove(&handle).is_some());
    if was_open {
        watch::note_object(HANDLE, handle, "closed", Holder::Nobody);
    }
    was_open
}

/// The object of a handle that is open.
pub(super) fn object_of(handle: u64) -> Option<u64> {
    HANDLES.with_borrow(|handles| handles.get(&handle).copied())
}

fn reference_by_handle(call: &Call<'_>) -> u64 {
    match object_of(call.arg(0)) {
        Some(object) => {
            mem::write(call.arg(4), object).or_fault();
            SUCCESS
        }
        None => status(STATUS_INVALID_HANDLE),
    }
}

fn reference_by_pointer(_: &Call<'_>) -> u64 {
    SUCCESS
}

/// Objects of the lab live until the end of the run, so references need no count.
fn reference(_: &Call<'_>) -> u64 {
    1
}

fn dereference(_: &Call<'_>) -> u64 {
    1
}
