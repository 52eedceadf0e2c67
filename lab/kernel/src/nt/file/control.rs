//! Devices of the driver's that it opens as files, and asks by handle.

use super::{end, signal};
use crate::abi::constant::{
    FILE_OPENED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_HANDLE,
};
use crate::abi::nt::{IO_STATUS_BLOCK, OBJECT_ATTRIBUTES as O};
use crate::nt::ob::{self, Object};
use crate::nt::status;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;
use crate::{Answer, Request, Requestor, device, driver};

/// The device that object attributes name, if it is one: by its name or a link.
fn named(attributes: u64) -> Option<String> {
    let root = O::RootDirectory.read(attributes).or_fault();
    let name = O::ObjectName.read(attributes).or_fault();
    if root != 0 {
        return None;
    }
    let name = driver::read_unicode_string(name).or_fault();
    let target = crate::nt::device::target(&name);
    device::object(&target).map(|_| target)
}

/// Opens a device, if that is what the attributes name; gives what the call gives.
pub(super) fn open(handle_out: u64, attributes: u64, block: u64) -> Option<u64> {
    let opened = device::open_with_handle(&named(attributes)?)?;
    Some(match opened {
        Ok(file) => {
            let handle = ob::open_by(attributes, Object::Address(file));
            mem::write(handle_out, handle).or_fault();
            end(block, Ok(FILE_OPENED.into()))
        }
        Err(refusal) => refusal.into(),
    })
}

fn ask(handle: u64, request: &Request) -> Result<Answer, i32> {
    match ob::look_up(handle) {
        Some(Object::Address(file)) => device::ask_file(file, request).ok_or(STATUS_INVALID_HANDLE),
        Some(_) => Err(STATUS_INVALID_DEVICE_REQUEST),
        None => Err(STATUS_INVALID_HANDLE),
    }
}

/// `ZwDeviceIoControlFile`: of a file of the disk there is nothing to ask.
pub(super) fn control(call: &Call<'_>) -> u64 {
    let (block, code) = (call.arg(4), call.arg_u32(5));
    let (input, input_len) = (call.arg(6), call.arg_u32(7));
    let (output, output_len) = (call.arg(8), call.arg_u32(9));
    if driver::is_too_much(input_len.max(output_len)) {
        return status(STATUS_INSUFFICIENT_RESOURCES);
    }
    let length = usize::try_from(input_len).unwrap_or(usize::MAX);
    let input = mem::read_bytes(input, length).or_fault();
    let request = Request {
        requestor: Requestor::Kernel,
        ..Request::io_control(code, &input, output_len)
    };
    let result = match ask(call.arg(0), &request) {
        Ok(answer) => {
            mem::write_bytes(output, &answer.output).or_fault();
            let fill = || {
                IO_STATUS_BLOCK::Status.write(block, answer.status.cast_signed())?;
                IO_STATUS_BLOCK::Information.write(block, answer.information)
            };
            fill().or_fault();
            answer.status.into()
        }
        Err(refusal) => status(refusal),
    };
    signal(call.arg(1));
    result
}
