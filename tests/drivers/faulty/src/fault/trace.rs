//! Plays of software tracing: what a WPP driver does, with what fits and with what does not.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::{from_ref, null, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{
    EVENT_DATA_DESCRIPTOR, EVENT_DESCRIPTOR, EtwRegister, EtwUnregister, EtwWrite, EtwWriteEx,
    EtwWriteString, EtwWriteTransfer, GUID, MmGetSystemRoutineAddress,
    NDIS_FILTER_RESTART_PARAMETERS, NDIS_STATUS, NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS,
    NTSTATUS, STATUS_NO_MEMORY, STATUS_SUCCESS, WmiTraceMessage,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::text::{string, wide};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "wpp-messages",
        load: Some(register),
        restart: Some(write),
        unload: Some(unregister),
        ..NOTHING
    },
    Play {
        name: "trace-long-message",
        load: Some(register),
        attach: Some(write_long_message),
        unload: Some(unregister),
        ..NOTHING
    },
    play("trace-largest", write_largest),
    play("trace-long-event", write_long),
    play("trace-long-transfer", transfer_long),
    play("trace-long-ex", write_ex_long),
    play("trace-long-string", write_long_string),
    play("trace-descriptors", write_many),
];

// legal: wpp-messages near unload-wmi-etw
// legal: trace-largest near trace-record-size, trace-descriptors

/// A play that writes an event when it has attached.
const fn play(name: &'static str, attach: fn(&'static Module)) -> Play {
    Play {
        name,
        load: Some(register_events),
        attach: Some(attach),
        unload: Some(unregister),
        ..NOTHING
    }
}

/// `EtwRegisterClassicProvider`, which has no import library everywhere: WPP looks it up.
type Register = extern "system" fn(
    *const GUID,
    u32,
    extern "system" fn(*const GUID, u8, *const u64, *mut c_void),
    *mut c_void,
    *mut u64,
) -> NTSTATUS;

const fn guid(last: u8) -> GUID {
    GUID {
        Data1: 0x6f0d_3a52,
        Data2: 0x1c44,
        Data3: 0x5a0b,
        Data4: [0x9d, 0x6e, 0x2b, 0x7a, 0x51, 0xc0, 0xe4, last],
    }
}

static CONTROL: GUID = guid(0);
static MESSAGES: GUID = guid(0x11);

static REGISTRATION: AtomicU64 = AtomicU64::new(0);
/// What the session has given: its number, level and flags.
static LOGGER: AtomicU64 = AtomicU64::new(0);

extern "system" fn enable(_: *const GUID, code: u8, context: *const u64, _: *mut c_void) {
    let logger = match code {
        // SAFETY: the context of an enabled session has 8 bytes.
        1 => unsafe { context.read_unaligned() },
        _ => 0,
    };
    LOGGER.store(logger, Ordering::Relaxed);
}

fn register(_: *mut crate::abi::DRIVER_OBJECT) -> NTSTATUS {
    static NAME: [u16; 26] = wide(b"EtwRegisterClassicProvider");
    let mut name = string(&NAME);
    // SAFETY: PASSIVE_LEVEL, and the name is valid for the call.
    let address = unsafe { MmGetSystemRoutineAddress(&raw mut name) };
    if !address.is_null() {
        // SAFETY: what has this name is such a function.
        let register = unsafe { transmute::<*mut c_void, Register>(address) };
        let mut handle = 0;
        register(&CONTROL, 0, enable, null_mut(), &raw mut handle);
        REGISTRATION.store(handle, Ordering::Relaxed);
    }
    STATUS_SUCCESS
}

fn unregister() -> bool {
    let handle = REGISTRATION.swap(0, Ordering::Relaxed);
    if handle != 0 {
        // SAFETY: PASSIVE_LEVEL; registered by `register`.
        unsafe { EtwUnregister(handle) };
    }
    true
}

/// Longer than any record.
static LONG: [u8; 70_000] = [0; 70_000];

/// Writes a message of each sort, and one that is too long for the session.
fn write(_: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    /// Sequence number, GUID, time stamp, thread and process: what WPP asks for.
    const OPTIONS: u32 = 0x2B;
    /// What a session's buffer of 64 KiB has no room for, behind the buffer's own header.
    const TOO_LONG: usize = 65_450;
    let logger = LOGGER.load(Ordering::Relaxed);
    if logger == 0 {
        return NDIS_STATUS_SUCCESS;
    }
    let (count, status, text) = (31_u32, 0xC000_009A_u32, b"\x02\0ab");
    // SAFETY: pairs of pointer and length of what is valid for the call, and a null pointer.
    let written = unsafe {
        WmiTraceMessage(
            logger,
            OPTIONS,
            (&raw const MESSAGES).cast_mut().cast(),
            10,
            from_ref(&count),
            size_of_val(&count),
            from_ref(&status),
            size_of_val(&status),
            text.as_ptr(),
            text.len(),
            null::<c_void>(),
            0_usize,
        )
    };
    // SAFETY: as above.
    let refused = unsafe {
        WmiTraceMessage(
            logger,
            OPTIONS,
            (&raw const MESSAGES).cast_mut().cast(),
            11,
            LONG.as_ptr(),
            TOO_LONG,
            null::<c_void>(),
            0_usize,
        )
    };
    if written == STATUS_SUCCESS && refused == STATUS_NO_MEMORY {
        NDIS_STATUS_SUCCESS
    } else {
        NDIS_STATUS_FAILURE
    }
}

fn write_long_message(_: &'static Module) {
    let logger = LOGGER.load(Ordering::Relaxed);
    let id = (&raw const MESSAGES).cast_mut().cast();
    let (data, length) = (LONG.as_ptr(), LONG.len());
    // SAFETY: a pair of pointer and length of what is valid for the call, and a null pointer. Its length is the fault.
    unsafe { WmiTraceMessage(logger, 2, id, 11, data, length, null::<c_void>(), 0_usize) }; // warned: trace-long-message by trace-record-size
    stay();
}

static EVENT: EVENT_DESCRIPTOR = EVENT_DESCRIPTOR {
    Id: 0,
    Version: 0,
    Channel: 11,
    Level: 4,
    Opcode: 0,
    Task: 0,
    Keyword: 0,
};

fn register_events(_: *mut crate::abi::DRIVER_OBJECT) -> NTSTATUS {
    let mut handle = 0;
    let provider = (&raw const CONTROL).cast_mut().cast();
    // SAFETY: PASSIVE_LEVEL; both pointers are valid for the call, and `unregister` ends it.
    let status = unsafe { EtwRegister(provider, None, null_mut(), &raw mut handle) };
    REGISTRATION.store(handle, Ordering::Relaxed);
    status
}

/// The first bytes of what is too long.
fn data(length: usize) -> EVENT_DATA_DESCRIPTOR {
    EVENT_DATA_DESCRIPTOR {
        Ptr: LONG.as_ptr() as u64,
        Size: length as u32,
        Reserved: 0,
    }
}

/// As many descriptors as there may be, of as many bytes.
fn write_largest(_: &'static Module) {
    const HEADER: usize = 80;
    const LENGTH: usize = 511;
    let handle = REGISTRATION.load(Ordering::Relaxed);
    let mut pieces = [data(LENGTH); 128];
    pieces[0] = data(0xFFFF - HEADER - 127 * LENGTH);
    // SAFETY: all pointers are valid for the call.
    unsafe { EtwWrite(handle, &EVENT, null_mut(), 128, pieces.as_mut_ptr()) };
}

fn write_long(_: &'static Module) {
    let handle = REGISTRATION.load(Ordering::Relaxed);
    let mut piece = data(LONG.len());
    // SAFETY: all pointers are valid for the call. What there is too much of is the fault.
    unsafe { EtwWrite(handle, &EVENT, null_mut(), 1, &raw mut piece) }; // warned: trace-long-event by trace-record-size
    stay();
}

fn transfer_long(_: &'static Module) {
    let handle = REGISTRATION.load(Ordering::Relaxed);
    let mut piece = data(LONG.len());
    // SAFETY: as above.
    unsafe { EtwWriteTransfer(handle, &EVENT, null_mut(), null_mut(), 1, &raw mut piece) }; // warned: trace-long-transfer by trace-record-size
    stay();
}

fn write_ex_long(_: &'static Module) {
    let handle = REGISTRATION.load(Ordering::Relaxed);
    let mut piece = data(LONG.len());
    let none = null_mut();
    // SAFETY: as above.
    unsafe { EtwWriteEx(handle, &EVENT, 0, 0, none, none, 1, &raw mut piece) }; // warned: trace-long-ex by trace-record-size
    stay();
}

fn write_long_string(_: &'static Module) {
    static TEXT: [u16; 40_000] = {
        let mut text = [0x41; 40_000];
        text[39_999] = 0;
        text
    };
    let handle = REGISTRATION.load(Ordering::Relaxed);
    // SAFETY: the text ends in a null character. Its length is the fault.
    unsafe { EtwWriteString(handle, 4, 0, null_mut(), TEXT.as_ptr()) }; // warned: trace-long-string by trace-record-size
    stay();
}

fn write_many(_: &'static Module) {
    let handle = REGISTRATION.load(Ordering::Relaxed);
    let mut pieces = [data(1); 129];
    // SAFETY: as above.
    unsafe { EtwWrite(handle, &EVENT, null_mut(), 129, pieces.as_mut_ptr()) }; // warned: trace-descriptors by trace-descriptors
    stay();
}
