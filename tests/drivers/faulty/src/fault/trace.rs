//! Plays of software tracing: what a WPP driver does, with what fits and with what does not.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::{from_ref, null};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{
    EtwUnregister, GUID, MmGetSystemRoutineAddress, NDIS_FILTER_RESTART_PARAMETERS, NDIS_STATUS,
    NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS, NTSTATUS, STATUS_NO_MEMORY, STATUS_SUCCESS,
    WmiTraceMessage,
};
use crate::module::Module;
use crate::play::{NOTHING, Play};
use crate::text::{string, wide};

pub(crate) const PLAYS: &[Play] = &[Play {
    name: "wpp-messages",
    load: Some(register),
    restart: Some(write),
    unload: Some(unregister),
    ..NOTHING
}];

// legal: wpp-messages near unload-wmi-etw

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
        register(&CONTROL, 0, enable, core::ptr::null_mut(), &raw mut handle);
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

/// Writes a message of each sort, and one that is too long.
fn write(_: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    /// Sequence number, GUID, time stamp, thread and process: what WPP asks for.
    const OPTIONS: u32 = 0x2B;
    static LONG: [u8; 70_000] = [0; 70_000];
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
            LONG.len(),
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
