//! `SeCaptureSecurityDescriptor`: a copy of a descriptor in one piece, which nobody else changes. What `IoCreateDeviceSecure`
//! in wdmsec.lib calls.

use super::access::KERNEL_MODE;
use super::descriptor::{Descriptor, assemble};
use crate::abi::constant::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_SECURITY_DESCR, STATUS_UNKNOWN_REVISION,
};
use crate::memory;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    SeCaptureSecurityDescriptor => capture,
    SeReleaseSecurityDescriptor => release,
}

/// The bit of `POOL_TYPE` that paged pool has.
const PAGED: u32 = 1;
/// Tag of the copies.
const TAG: u32 = u32::from_le_bytes(*b"SeSd");

/// Descriptor, whose it is, pool, whether the kernel's is copied too, and where the copy's address goes.
fn capture(call: &Call<'_>) -> u64 {
    let (original, out) = (call.arg(0), call.arg(4));
    if original == 0 || call.arg_u8(1) == KERNEL_MODE && call.arg_u8(3) == 0 {
        mem::write(out, original).or_fault();
        return SUCCESS;
    }
    let Some(descriptor) = Descriptor::read(original) else {
        return status(STATUS_UNKNOWN_REVISION);
    };
    let Some(contents) = descriptor.contents() else {
        return status(STATUS_INVALID_SECURITY_DESCR);
    };
    let bytes = assemble(descriptor.control(), &contents);
    let kind = if call.arg_u32(2) & PAGED != 0 {
        Kind::Paged
    } else {
        Kind::NonPaged
    };
    let copy = memory::allocate(TAG, bytes.len() as u64, kind, true);
    if copy == 0 {
        return status(STATUS_INSUFFICIENT_RESOURCES);
    }
    mem::write_bytes(copy, &bytes).or_fault();
    mem::write(out, copy).or_fault();
    SUCCESS
}

/// What `capture` has copied, told by the same arguments.
fn release(call: &Call<'_>) -> u64 {
    let was_copied = call.arg_u8(1) != KERNEL_MODE || call.arg_u8(2) != 0;
    if call.arg(0) != 0 && was_copied {
        memory::free(call.arg(0), Some(TAG));
    }
    SUCCESS
}
