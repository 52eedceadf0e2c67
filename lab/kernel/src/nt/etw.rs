//! `Etw*`: providers, and what they write.

mod activity;
mod message;
mod session;

use lab_rules::Kind;
use lab_rules::event::TraceWrite;

use super::{SUCCESS, imports, status};
use crate::abi::constant::{
    EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA, EVENT_DATA_DESCRIPTOR_TYPE_NONE,
    EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA, MAX_EVENT_DATA_DESCRIPTORS,
    STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY, STATUS_NOT_SUPPORTED,
};
use crate::abi::nt::{EVENT_DATA_DESCRIPTOR as DATA, EVENT_DESCRIPTOR as DESCRIPTOR};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::trace::{TraceBody, TraceEvent, TraceRecord};
use crate::watch::{OrFault, emit};

pub(crate) use session::{capture_state, configure, registered, start_visits};

imports! {
    "ntoskrnl.exe":
    EtwRegister => register,
    EtwUnregister => unregister,
    EtwSetInformation => set_information,
    EtwWrite => write,
    EtwWriteEx => write_ex,
    EtwWriteTransfer => write_transfer,
    EtwWriteString => write_string,
    EtwEventEnabled => event_enabled,
    EtwProviderEnabled => provider_enabled,
    EtwActivityIdControl => activity::control,
    EtwRegisterClassicProvider => register_classic,
    WmiTraceMessage => message::write,
    WmiTraceMessageVa => message::write_list,
    WmiQueryTraceInformation => message::query,
}

/// Bytes of a session's buffer, and of the buffer's header.
const BUFFER: usize = 0x1_0000;
const BUFFER_HEADER: usize = 0x48;
/// Bytes of an `EVENT_HEADER`, and of what stands before an extended item.
const EVENT_HEADER: usize = 0x50;
const ITEM_HEADER: usize = 8;

fn register(call: &Call<'_>) -> u64 {
    admit(call.arg(0), false, [call.arg(1), call.arg(2)], call.arg(3))
}

/// It has no page: the guid, a type, a callback and its context, and where the handle goes.
fn register_classic(call: &Call<'_>) -> u64 {
    admit(call.arg(0), true, [call.arg(2), call.arg(3)], call.arg(4))
}

fn guid_at(address: u64) -> [u8; 16] {
    let words = [address, address.wrapping_add(8)].map(|word| mem::read::<u64>(word).or_fault());
    let mut guid = [0; 16];
    for (half, word) in guid.chunks_exact_mut(8).zip(words) {
        half.copy_from_slice(&word.to_le_bytes());
    }
    guid
}

/// Registers a provider; its handle goes to `result`.
fn admit(id: u64, is_classic: bool, [callback, context]: [u64; 2], result: u64) -> u64 {
    let handle = session::add(guid_at(id), is_classic, callback, context);
    // The pages do not say which comes first.
    let is_greeted_first = sched::chance(1, 2);
    if is_greeted_first {
        session::greet(handle);
    }
    mem::write(result, handle).or_fault();
    if !is_greeted_first {
        session::greet(handle);
    }
    SUCCESS
}

fn unregister(call: &Call<'_>) -> u64 {
    session::remove(call.arg(0))
}

/// `EtwSetInformation`: `EventProviderSetTraits` is what drivers use.
fn set_information(call: &Call<'_>) -> u64 {
    /// Of `EVENT_INFO_CLASS`.
    const SET_TRAITS: u32 = 2;
    const USE_DESCRIPTOR_TYPE: u32 = 3;
    if !session::has(call.arg(0)) {
        return status(STATUS_INVALID_HANDLE);
    }
    match call.arg_u32(1) {
        SET_TRAITS => {
            let traits = mem::read_bytes(call.arg(2), call.arg_u32(3) as usize).or_fault();
            // They begin with their length.
            let length = traits.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
            if length.map(usize::from) != Some(traits.len()) {
                return status(STATUS_INVALID_PARAMETER);
            }
            session::set_traits(call.arg(0), traits);
            SUCCESS
        }
        USE_DESCRIPTOR_TYPE => SUCCESS,
        _ => status(STATUS_NOT_SUPPORTED),
    }
}

fn write(call: &Call<'_>) -> u64 {
    put(call, call.arg_u32(3), call.arg(4))
}

fn write_transfer(call: &Call<'_>) -> u64 {
    put(call, call.arg_u32(4), call.arg(5))
}

fn write_ex(call: &Call<'_>) -> u64 {
    put(call, call.arg_u32(6), call.arg(7))
}

/// Tells the monitors what is to be written: `bytes` behind a header.
fn tell(call: &Call<'_>, header: usize, bytes: u64, descriptors: u32) {
    emit(Kind::Trace(TraceWrite {
        function: call.import().name,
        bytes: bytes.saturating_add(header as u64),
        descriptors,
    }));
}

/// Writes an event of `count` pieces.
fn put(call: &Call<'_>, count: u32, pieces: u64) -> u64 {
    let (handle, descriptor) = (call.arg(0), call.arg(1));
    if !session::has(handle) {
        return status(STATUS_INVALID_HANDLE);
    }
    if count > MAX_EVENT_DATA_DESCRIPTORS {
        tell(call, EVENT_HEADER, 0, count);
        return status(STATUS_INVALID_PARAMETER);
    }
    let piece = |index: u32| pieces.wrapping_add(u64::from(index) * DATA::SIZE as u64);
    let bytes = (0..count)
        .map(|index| u64::from(DATA::Size.read(piece(index)).or_fault()))
        .sum();
    tell(call, EVENT_HEADER, bytes, count);
    let level = DESCRIPTOR::Level.read(descriptor).or_fault();
    let keywords = DESCRIPTOR::Keyword.read(descriptor).or_fault();
    if !session::wants(level, keywords) {
        return SUCCESS;
    }
    let mut event = TraceEvent::default();
    for piece in (0..count).map(piece) {
        let address = DATA::Ptr.read(piece).or_fault();
        let length = DATA::Size.read(piece).or_fault() as usize;
        let bytes = mem::read_bytes(address, length).or_fault();
        match u32::from(DATA::Type.read(piece).or_fault()) {
            EVENT_DATA_DESCRIPTOR_TYPE_NONE => event.payload.extend(bytes),
            EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA => event.metadata.extend(bytes),
            // The traits that were set count.
            EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA => {}
            _ => return status(STATUS_INVALID_PARAMETER),
        }
    }
    let bytes = mem::read_bytes(descriptor, DESCRIPTOR::SIZE).or_fault();
    event.descriptor.copy_from_slice(&bytes);
    drop(bytes);
    record(handle, event, level, keywords)
}

fn write_string(call: &Call<'_>) -> u64 {
    /// A string that is longer does not fit into a buffer.
    const LONGEST: u64 = BUFFER as u64;
    let (handle, level, keywords) = (call.arg(0), call.arg_u8(1), call.arg(2));
    if !session::has(handle) {
        return status(STATUS_INVALID_HANDLE);
    }
    let mut length = 0;
    while length < LONGEST && mem::read::<u16>(call.arg(4) + length).or_fault() != 0 {
        length += 2;
    }
    tell(call, EVENT_HEADER, length + 2, 0);
    if !session::wants(level, keywords) {
        return SUCCESS;
    }
    let mut event = TraceEvent {
        is_string: true,
        payload: mem::read_bytes(call.arg(4), length as usize + 2).or_fault(),
        ..TraceEvent::default()
    };
    event.descriptor[4] = level;
    event.descriptor[8..].copy_from_slice(&keywords.to_le_bytes());
    record(handle, event, level, keywords)
}

/// Puts an event into the sessions' buffers, if it fits.
fn record(handle: u64, mut event: TraceEvent, level: u8, keywords: u64) -> u64 {
    let Some((provider, traits)) = session::provider(handle) else {
        return status(STATUS_INVALID_HANDLE);
    };
    (event.provider, event.traits) = (provider, traits);
    let item = |length: usize| match length {
        0 => 0,
        _ => (ITEM_HEADER + length).next_multiple_of(8),
    };
    let length =
        EVENT_HEADER + item(event.traits.len()) + item(event.metadata.len()) + event.payload.len();
    if length.next_multiple_of(8) > BUFFER - BUFFER_HEADER || u16::try_from(length).is_err() {
        // The pages promise no status, but that it is counted as lost.
        return status(STATUS_NO_MEMORY);
    }
    sched::charge_copy(length);
    let record = TraceRecord {
        time_ns: sched::now(),
        processor: u8::try_from(sched::processor()).unwrap_or(u8::MAX),
        irql: sched::irql(),
        thread: sched::current().0,
        body: TraceBody::Event(event),
    };
    session::deliver(level, keywords, &record);
    SUCCESS
}

fn event_enabled(call: &Call<'_>) -> u64 {
    let level = DESCRIPTOR::Level.read(call.arg(1)).or_fault();
    let keywords = DESCRIPTOR::Keyword.read(call.arg(1)).or_fault();
    u64::from(session::has(call.arg(0)) && session::wants(level, keywords))
}

fn provider_enabled(call: &Call<'_>) -> u64 {
    u64::from(session::has(call.arg(0)) && session::wants(call.arg_u8(1), call.arg(2)))
}
