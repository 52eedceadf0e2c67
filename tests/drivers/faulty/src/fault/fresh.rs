//! Memory that leaves as it was allocated: in frames, and in answers.

use core::ptr;

use super::control::{self, set};
use super::irp::{buffer, lengths};
use super::oid::{self, FORWARD};
use crate::abi::{
    DEVICE_OBJECT, ExAllocatePool2, IRP, IofCompleteRequest, MDL, NDIS_OID_REQUEST,
    NDIS_PORT_NUMBER, NDIS_RECEIVE_FLAGS_RESOURCES, NDIS_STATUS, NDIS_STATUS_PENDING,
    NDIS_STATUS_SUCCESS, NTSTATUS, NdisAllocateMdl, NdisFIndicateReceiveNetBufferLists,
    NdisFOidRequestComplete, NdisFSendNetBufferLists, NdisRequestQueryInformation,
    POOL_FLAG_NON_PAGED, POOL_FLAG_UNINITIALIZED, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use crate::driver;
use crate::module::Module;
use crate::packet::{self, FRAME, Lists};
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "fresh-sent",
        send: Some(send_fresh),
        ..packet::ORIGINATOR
    },
    Play {
        name: "fresh-indicated",
        receive: Some(indicate_fresh),
        ..packet::ORIGINATOR
    },
    Play {
        name: "fresh-copied-and-sent",
        send: Some(send_copy),
        ..packet::ORIGINATOR
    },
    Play {
        name: "fresh-written-and-sent",
        send: Some(send_written),
        receive: Some(indicate_written),
        ..packet::ORIGINATOR
    },
    control::play("fresh-returned", |driver| {
        control::create(driver, return_gap)
    }),
    control::play("fresh-not-returned", |driver| {
        control::create(driver, return_written)
    }),
    Play {
        name: "fresh-oid-answered",
        oid: Some(answer_fresh),
        ..FORWARD
    },
    Play {
        name: "fresh-oid-written",
        oid: Some(answer_written),
        ..FORWARD
    },
];

/// Bytes of a structure with members that are not written.
const RECORD: usize = 16;
/// Bytes of an answer, of which the second half is a member that is not written.
const ANSWER: usize = 8;

/// Memory for a frame as it is allocated, and an MDL for it; the first `written` bytes are written.
fn mdl(bytes: u32, written: u32) -> *mut MDL {
    let flags = POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED;
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let data = unsafe { ExAllocatePool2(flags, bytes.into(), packet::TAG) };
    if data.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the block has that many bytes.
    unsafe { data.cast::<u8>().write_bytes(2, written as usize) };
    // SAFETY: the range is the block's.
    unsafe { NdisAllocateMdl(driver::handle(), data, bytes) }
}

/// A packet of the module's, which counts as out, with so many bytes that were written.
fn make(module: &Module, written: u32) -> Lists {
    let list = packet::over(module, mdl(FRAME, written), FRAME);
    packet::count(module, 1);
    list
}

/// Sends a frame of which only the beginning was written.
fn send_fresh(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = make(module, 40);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // caught: fresh-sent by lab-poison-in-frame
    lists
}

/// Indicates such a frame.
fn indicate_fresh(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = make(module, 40);
    // SAFETY: none: this is the fault.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) }; // caught: fresh-indicated by lab-poison-in-frame
    (lists, count)
}

/// Copies a structure with members that were never written into a frame.
fn send_copy(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = packet::make(module);
    let record = super::pool::uninitialized(RECORD);
    let frame = packet::start(packet::buffer(own), FRAME);
    if !record.is_null() && !frame.is_null() {
        // SAFETY: the block has the bytes.
        unsafe { record.write_bytes(0, 5) };
        // SAFETY: both have the bytes, of which the frame's are behind its header.
        unsafe { ptr::copy_nonoverlapping(record, frame.wrapping_add(21), RECORD) };
        super::pool::free(record);
    }
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // caught: fresh-copied-and-sent by lab-poison-in-frame
    lists
}

// legal: fresh-written-and-sent near lab-poison-in-frame

/// The memory behind the frame is not part of it.
fn make_written(module: &Module) -> Lists {
    let list = packet::over(module, mdl(FRAME + 64, FRAME), FRAME);
    packet::count(module, 1);
    list
}

fn send_written(module: &'static Module, lists: Lists, _: NDIS_PORT_NUMBER, flags: u32) -> Lists {
    let own = make_written(module);
    // SAFETY: the module runs; the packet is its own.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) };
    lists
}

fn indicate_written(
    module: &'static Module,
    lists: Lists,
    _: NDIS_PORT_NUMBER,
    count: u32,
    flags: u32,
) -> (Lists, u32) {
    let own = make_written(module);
    let flags = flags & !NDIS_RECEIVE_FLAGS_RESOURCES;
    // SAFETY: as above.
    unsafe { NdisFIndicateReceiveNetBufferLists(module.handle, own, 0, 1, flags) };
    (lists, count)
}

/// The request's buffer, if it has room for a structure behind its input.
fn room(irp: *mut IRP) -> Option<(*mut u8, usize)> {
    let (input, output) = lengths(irp);
    let (start, end) = (input.next_multiple_of(8) as usize, output as usize);
    (start + ANSWER <= end).then(|| (buffer(irp), start))
}

/// Answers with a structure of which it never wrote a member.
#[inline(never)]
extern "system" fn return_gap(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some((buffer, start)) = room(irp) else {
        return control::finish(irp, STATUS_INVALID_PARAMETER);
    };
    let record = buffer.wrapping_add(start);
    // SAFETY: the buffer has the bytes.
    unsafe { record.write_bytes(0, ANSWER / 2) };
    set(irp, STATUS_SUCCESS, (start + ANSWER) as u64);
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: fresh-returned by lab-poison-in-answer
    stay();
    STATUS_SUCCESS
}

// legal: fresh-not-returned near lab-poison-in-answer

/// Returns what it wrote, and of a failure nothing.
extern "system" fn return_written(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some((buffer, start)) = room(irp) else {
        set(irp, STATUS_UNSUCCESSFUL, lengths(irp).1.into());
        // SAFETY: the request is this driver's until here.
        unsafe { IofCompleteRequest(irp, 0) };
        return STATUS_UNSUCCESSFUL;
    };
    // SAFETY: the buffer has the bytes.
    unsafe { buffer.write_bytes(0, start + ANSWER / 2) };
    set(irp, STATUS_SUCCESS, (start + ANSWER / 2) as u64);
    // SAFETY: the request is this driver's until here.
    unsafe { IofCompleteRequest(irp, 0) };
    STATUS_SUCCESS
}

/// Answers queries itself: gives the buffer, its length, and where to say how much was written.
fn query(request: *mut NDIS_OID_REQUEST) -> Option<(*mut u8, u32, *mut u32)> {
    // SAFETY: given to this filter.
    let request = unsafe { &mut *request };
    if request.RequestType != NdisRequestQueryInformation {
        return None;
    }
    // SAFETY: the type says which member is in use.
    let query = unsafe { &mut request.DATA.QUERY_INFORMATION };
    let length = query.InformationBufferLength;
    (length >= 8).then(|| {
        let buffer = query.InformationBuffer.cast();
        (buffer, length, &raw mut query.BytesWritten)
    })
}

/// Tells of bytes that it never wrote.
#[inline(never)]
fn answer_fresh(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let Some((_, _, written)) = query(request) else {
        return oid::forward(module, request);
    };
    // SAFETY: the request is this filter's.
    unsafe { *written = 8 };
    // SAFETY: none: this is the fault.
    unsafe { NdisFOidRequestComplete(module.handle, request, NDIS_STATUS_SUCCESS) }; // caught: fresh-oid-answered by lab-poison-in-answer
    NDIS_STATUS_PENDING
}

// legal: fresh-oid-written near lab-poison-in-answer

fn answer_written(module: &'static Module, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
    let Some((buffer, length, written)) = query(request) else {
        return oid::forward(module, request);
    };
    // SAFETY: the buffer has the bytes.
    unsafe { buffer.write_bytes(0, length as usize - 1) };
    // SAFETY: the request is this filter's.
    unsafe { *written = length - 1 };
    NDIS_STATUS_SUCCESS
}
