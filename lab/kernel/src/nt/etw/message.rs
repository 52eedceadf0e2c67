//! `Wmi*`: messages of WPP software tracing.

use super::{BUFFER, BUFFER_HEADER, guid_at, session, tell};
use crate::abi::constant::{
    STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY, STATUS_NOT_FOUND,
};
use crate::nt::{SUCCESS, status};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::trace::{TraceBody, TraceMessage, TraceRecord};
use crate::watch::OrFault;

/// `TRACE_MESSAGE_GUID`: without it nobody knows what a message is.
const GUID: u32 = 2;
/// Bytes in front of the values: header, GUID, time stamp, thread and process.
const HEADER: usize = 8 + 16 + 8 + 8;
/// Pairs of a message, at most: what has more has no end.
const PAIRS: usize = 128;

/// `WmiTraceMessage`: pairs of pointer and length up to a null pointer.
pub(super) fn write(call: &Call<'_>) -> u64 {
    put(call, |index| call.arg(4 + index))
}

/// `WmiTraceMessageVa`: the pairs are where the list points to.
pub(super) fn write_list(call: &Call<'_>) -> u64 {
    let list = call.arg(4);
    put(call, |index| {
        mem::read(list.wrapping_add(8 * index as u64)).or_fault()
    })
}

fn put(call: &Call<'_>, word: impl Fn(usize) -> u64) -> u64 {
    let lengths = (0..=PAIRS)
        .take_while(|pair| word(2 * pair) != 0)
        .map(|pair| word(2 * pair + 1));
    let bytes = lengths.fold(0, u64::saturating_add);
    tell(call, HEADER, bytes, 0);
    let logger = (call.arg(0) & 0xFFFF) as u16;
    if !session::has_logger(logger) {
        return status(STATUS_INVALID_HANDLE);
    }
    if call.arg_u32(1) & GUID == 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    let mut message = TraceMessage {
        guid: guid_at(call.arg(2)),
        number: call.arg_u16(3),
        arguments: Vec::new(),
    };
    for pair in 0.. {
        let (address, length) = (word(2 * pair), word(2 * pair + 1));
        if address == 0 {
            break;
        }
        if pair == PAIRS {
            return status(STATUS_INVALID_PARAMETER);
        }
        let left = BUFFER - BUFFER_HEADER - HEADER - message.arguments.len();
        if length > left as u64 {
            return status(STATUS_NO_MEMORY);
        }
        let bytes = mem::read_bytes(address, length as usize).or_fault();
        message.arguments.extend(bytes);
    }
    if u16::try_from(HEADER + message.arguments.len()).is_err() {
        return status(STATUS_NO_MEMORY);
    }
    sched::charge_copy(HEADER + message.arguments.len());
    let record = TraceRecord {
        time_ns: sched::now(),
        processor: u8::try_from(sched::processor()).unwrap_or(u8::MAX),
        irql: sched::irql(),
        thread: sched::current().0,
        body: TraceBody::Message(message),
    };
    session::deliver_message(logger, &record);
    SUCCESS
}

/// `WmiQueryTraceInformation`: of a session of the boot there is nothing to tell.
pub(super) fn query(_: &Call<'_>) -> u64 {
    status(STATUS_NOT_FOUND)
}
