//! Requests that bring addresses of their sender's, and locked pages. Nothing here can handle an exception, so nothing
//! here may touch an address of user mode at all.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::control::{self, create, defer, method, play, set};
use crate::abi::{
    DEVICE_OBJECT, DISPATCH_LEVEL, IRP, IofCompleteRequest, KeLowerIrql, KfRaiseIrql, MDL,
    METHOD_IN_DIRECT, METHOD_NEITHER, METHOD_OUT_DIRECT, MmMapLockedPagesSpecifyCache,
    MmUnlockPages, NDIS_HANDLE, NTSTATUS, NdisFreeIoWorkItem, ProbeForRead,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    play("irp-user-read", |driver| create(driver, read)),
    play("irp-user-probe-alone", |driver| create(driver, probe_alone)),
    play("irp-user-at-dispatch", |driver| create(driver, read_raised)),
    play("irp-user-trusted", |driver| create(driver, trust)),
    play("irp-user-elsewhere", |driver| {
        create(driver, read_elsewhere)
    }),
    play("irp-pages-touched-after", |driver| {
        create(driver, touch_pages_after)
    }),
    play("irp-pages-written-after", |driver| {
        create(driver, write_pages_after)
    }),
    play("irp-pages-unlocked", |driver| create(driver, unlock_pages)),
    play("irp-pages-too-much", |driver| {
        create(driver, claim_too_much)
    }),
    play("irp-pages-read-only", |driver| {
        create(driver, write_read_only)
    }),
    play("irp-pages-answered", |driver| create(driver, answer_pages)),
    play("irp-pages-summed", |driver| create(driver, sum_pages)),
    play("irp-pages-elsewhere", |driver| {
        create(driver, answer_elsewhere)
    }),
    play("irp-kernel-answered", |driver| {
        create(driver, answer_kernel)
    }),
];

/// Where the system's addresses begin in the lab, and do not end in Windows.
const SYSTEM_FIRST: usize = 0x6000_0000_0000;

/// The address of the input that a METHOD_NEITHER request brings; of another request, NULL.
fn input(irp: *mut IRP) -> *mut u8 {
    if method(irp) != METHOD_NEITHER {
        return null_mut();
    }
    control::parameters(irp).Type3InputBuffer.cast()
}

fn refuse(irp: *mut IRP) -> NTSTATUS {
    control::finish(irp, STATUS_INVALID_DEVICE_REQUEST)
}

#[inline(never)]
extern "system" fn read(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let input = input(irp);
    if input.is_null() {
        return refuse(irp);
    }
    // SAFETY: none: this is the fault.
    let byte = unsafe { *input }; // caught: irp-user-read by irp-user-try
    black_box(byte);
    control::finish(irp, STATUS_SUCCESS)
}

/// A probe raises where the address is none of user mode, and that nobody handles.
#[inline(never)]
extern "system" fn probe_alone(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let input = input(irp);
    if input.is_null() {
        return refuse(irp);
    }
    // SAFETY: none: this is the fault.
    unsafe { ProbeForRead(input.cast(), 8, 1) }; // caught: irp-user-probe-alone by irp-user-try
    control::finish(irp, STATUS_SUCCESS)
}

#[inline(never)]
extern "system" fn read_raised(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let input = input(irp);
    if input.is_null() {
        return refuse(irp);
    }
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    let byte = unsafe { *input }; // caught: irp-user-at-dispatch by mem-pageable-at-dispatch
    black_box(byte);
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
    control::finish(irp, STATUS_SUCCESS)
}

/// Takes an address of the system's for one that the system has sent, and not for one that a process has made up.
#[inline(never)]
extern "system" fn trust(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let input = input(irp);
    if input.addr() < SYSTEM_FIRST {
        return refuse(irp);
    }
    // SAFETY: none: this is the fault.
    let byte = unsafe { *input }; // caught: irp-user-trusted by irp-user-probe
    black_box(byte);
    control::finish(irp, STATUS_SUCCESS)
}

static KEPT: AtomicPtr<u8> = AtomicPtr::new(null_mut());

extern "system" fn read_elsewhere(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let input = input(irp);
    if input.is_null() {
        return refuse(irp);
    }
    KEPT.store(input, Ordering::Release);
    defer(irp, read_kept)
}

#[inline(never)]
extern "system" fn read_kept(irp: *mut c_void, item: NDIS_HANDLE) {
    let kept = KEPT.load(Ordering::Acquire);
    // SAFETY: none: this is the fault.
    let byte = unsafe { *kept }; // caught: irp-user-elsewhere by irp-user-context
    black_box(byte);
    control::finish(irp.cast(), STATUS_SUCCESS);
    // SAFETY: the item was taken from the queue before this run.
    unsafe { NdisFreeIoWorkItem(item) };
}

/// Where the locked pages of a METHOD_OUT_DIRECT request are mapped; of another, NULL.
fn pages(irp: *mut IRP) -> *mut u8 {
    pages_of(irp, METHOD_OUT_DIRECT)
}

/// The same of one with this method.
fn pages_of(irp: *mut IRP, wanted: u32) -> *mut u8 {
    /// `MmCached`, `NormalPagePriority | MdlMappingNoExecute`.
    const CACHED: i32 = 1;
    const PRIORITY: u32 = 0x4000_0010;
    // SAFETY: the request is this driver's.
    let mdl: *mut MDL = unsafe { (*irp).MdlAddress };
    if mdl.is_null() || method(irp) != wanted {
        return null_mut();
    }
    // SAFETY: the I/O manager has locked the pages, which nobody has mapped.
    let mapped = unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, CACHED, null_mut(), 0, PRIORITY) };
    mapped.cast()
}

#[inline(never)]
extern "system" fn touch_pages_after(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let kept = KEPT.load(Ordering::Acquire);
    if !kept.is_null() {
        // SAFETY: none: this is the fault.
        let byte = unsafe { *kept }; // caught: irp-pages-touched-after by mem-use-after-free
        black_box(byte);
    }
    KEPT.store(pages(irp), Ordering::Release);
    refuse(irp)
}

#[inline(never)]
extern "system" fn write_pages_after(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let pages = pages(irp);
    if pages.is_null() {
        return refuse(irp);
    }
    control::finish(irp, STATUS_SUCCESS);
    // SAFETY: none: this is the fault.
    unsafe { *pages = 1 }; // caught: irp-pages-written-after by mem-use-after-free
    STATUS_SUCCESS
}

/// The I/O manager has locked them, and unlocks them.
#[inline(never)]
extern "system" fn unlock_pages(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    if pages(irp).is_null() {
        return refuse(irp);
    }
    // SAFETY: the request is this driver's.
    let mdl = unsafe { (*irp).MdlAddress };
    // SAFETY: none: this is the fault.
    unsafe { MmUnlockPages(mdl) }; // caught: irp-pages-unlocked by mdl-lock-pairs
    control::finish(irp, STATUS_SUCCESS)
}

/// Bytes of room for output.
fn room(irp: *mut IRP) -> u64 {
    control::parameters(irp).OutputBufferLength.into()
}

#[inline(never)]
extern "system" fn claim_too_much(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    if pages(irp).is_null() {
        return refuse(irp);
    }
    set(irp, STATUS_SUCCESS, room(irp) + 1);
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: irp-pages-too-much by irp-information-bounds
    stay();
    STATUS_SUCCESS
}

/// What METHOD_IN_DIRECT brings is there to be read.
#[inline(never)]
extern "system" fn write_read_only(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let pages = pages_of(irp, METHOD_IN_DIRECT);
    if pages.is_null() {
        return refuse(irp);
    }
    // SAFETY: none: this is the fault.
    unsafe { *pages = 1 }; // caught: irp-pages-read-only by mdl-write-access
    control::finish(irp, STATUS_SUCCESS)
}

// legal: irp-pages-answered near irp-information-bounds, mdl-write-access, mem-use-after-free, mdl-lock-pairs
extern "system" fn answer_pages(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let pages = pages(irp);
    if pages.is_null() {
        return refuse(irp);
    }
    // SAFETY: the request has a byte of room at least, or no pages.
    unsafe { *pages = 1 };
    set(irp, STATUS_SUCCESS, room(irp));
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    STATUS_SUCCESS
}

/// What METHOD_IN_DIRECT ends with is any number.
// legal: irp-pages-summed near irp-information-bounds, mdl-write-access
extern "system" fn sum_pages(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let pages = pages_of(irp, METHOD_IN_DIRECT);
    if pages.is_null() {
        return refuse(irp);
    }
    // SAFETY: the request has a byte at least, or no pages.
    let byte = unsafe { *pages };
    set(irp, STATUS_SUCCESS, room(irp) + u64::from(byte) + 1);
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    STATUS_SUCCESS
}

/// What is mapped can be touched by any thread, at any level, as long as the request lasts.
extern "system" fn answer_elsewhere(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let pages = pages(irp);
    if pages.is_null() {
        return refuse(irp);
    }
    KEPT.store(pages, Ordering::Release);
    defer(irp, write_kept)
}

// legal: irp-pages-elsewhere near irp-user-context, mem-pageable-at-dispatch, irp-user-try, mem-use-after-free
extern "system" fn write_kept(irp: *mut c_void, item: NDIS_HANDLE) {
    stay();
    let irp = irp.cast();
    let kept = KEPT.load(Ordering::Acquire);
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: a byte of the request's pages, which stay locked and mapped until it is completed.
    unsafe { *kept = 1 };
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
    set(irp, STATUS_SUCCESS, 1);
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    // SAFETY: the item was taken from the queue before this run.
    unsafe { NdisFreeIoWorkItem(item) };
}

/// Another driver's addresses need neither probe nor handler.
// legal: irp-kernel-answered near irp-user-probe, irp-user-try
extern "system" fn answer_kernel(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let input = input(irp);
    // SAFETY: the request is this driver's.
    let is_kernel = unsafe { (*irp).RequestorMode } == 0;
    if input.is_null() || !is_kernel {
        return refuse(irp);
    }
    // SAFETY: a byte of another driver's input.
    black_box(unsafe { *input });
    control::finish(irp, STATUS_SUCCESS)
}
