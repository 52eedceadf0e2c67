//! The calls of the system.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::{from_ref, null};
use core::sync::atomic::Ordering;

use crate::message::{MOST_PIECES, Piece};
use crate::{Control, Guid, Stage};

// What NT exports; every driver links its import library.
unsafe extern "C" {
    /// Writes pairs of pointer and length, up to a null pointer.
    fn WmiTraceMessage(logger: u64, flags: u32, id: *const Guid, number: u16, ...) -> i32;
}

unsafe extern "system" {
    fn EtwUnregister(handle: u64) -> i32;
    fn MmGetSystemRoutineAddress(name: *mut UnicodeString) -> *mut c_void;
}

/// `UNICODE_STRING`.
#[repr(C)]
struct UnicodeString {
    length: u16,
    maximum_length: u16,
    buffer: *const u16,
}

/// `EtwRegisterClassicProvider`, which has no page: GUID, a type that is 0, callback and its context, and where the handle goes.
type Register = unsafe extern "system" fn(*const Guid, u32, Callback, *mut c_void, *mut u64) -> i32;

/// What the system calls when a session comes or goes: GUID, what happened, 8 bytes about the session, context.
type Callback = unsafe extern "system" fn(*const Guid, u8, *const [u8; 8], *mut c_void);

/// Why a control is not registered: WPP is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRegistered {
    /// The system has no `EtwRegisterClassicProvider`.
    Absent,
    /// It refuses, with this NTSTATUS.
    Refused(i32),
}

impl Control {
    /// Registers the control: sessions can enable its messages. Nothing happens if it is registered.
    ///
    /// # Errors
    ///
    /// Why WPP is off; the driver can go on without.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Safety
    ///
    /// Called at `PASSIVE_LEVEL`, by one at a time; before the image is unloaded, [`unregister`](Self::unregister) is called.
    pub unsafe fn register(&'static self) -> Result<(), NotRegistered> {
        if self.is_registered() {
            return Ok(());
        }
        let address = routine().ok_or(NotRegistered::Absent)?;
        // SAFETY: what the system exports under this name is such a function.
        let register = unsafe { transmute::<*mut c_void, Register>(address) };
        let mut handle = 0;
        let context = from_ref(self).cast_mut().cast();
        // SAFETY: GUID and context are static, the result is valid for the call; this function's contract has the rest.
        let status = unsafe { register(&raw const self.id, 0, enable, context, &raw mut handle) };
        if status < 0 || handle == 0 {
            self.disable();
            return Err(NotRegistered::Refused(status));
        }
        // INVARIANT: the system gave it.
        self.handle.store(handle, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the registration, if there is one: no callback runs when this has returned, and no message is written any more.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Safety
    ///
    /// Called at `PASSIVE_LEVEL`, and not while [`register`](Self::register) runs: what that gets later would stay.
    pub unsafe fn unregister(&self) {
        // INVARIANT: given back below.
        let handle = self.handle.swap(0, Ordering::Relaxed);
        if handle != 0 {
            // SAFETY: by the invariant it is registered; this function's contract has the level.
            let _ = unsafe { EtwUnregister(handle) };
        }
        self.disable();
    }
}

/// Where `EtwRegisterClassicProvider` is. It is looked up, as WPP has always done: no header declares it.
fn routine() -> Option<*mut c_void> {
    const NAME: [u16; 26] = {
        let mut name = [0; 26];
        let mut rest: &[u8] = b"EtwRegisterClassicProvider";
        let mut room: &mut [u16] = &mut name;
        while let ([byte, behind @ ..], [unit, more @ ..]) = (rest, room) {
            *unit = *byte as u16;
            (rest, room) = (behind, more);
        }
        name
    };
    static ROUTINE: [u16; 26] = NAME;
    const LENGTH: u16 = size_of::<[u16; 26]>() as u16;
    let mut name = UnicodeString {
        length: LENGTH,
        maximum_length: LENGTH,
        buffer: ROUTINE.as_ptr(),
    };
    // SAFETY: the name is valid for the call; `register`, which calls this, runs at PASSIVE_LEVEL.
    let address = unsafe { MmGetSystemRoutineAddress(&raw mut name) };
    (!address.is_null()).then_some(address)
}

/// A session has come, changed or gone. What else there is, is not for WPP.
unsafe extern "system" fn enable(
    _id: *const Guid,
    code: u8,
    session: *const [u8; 8],
    context: *mut c_void,
) {
    const DISABLE: u8 = 0;
    const ENABLE: u8 = 1;
    // SAFETY: `register` gave a `&'static Control` as the context.
    let control = unsafe { &*context.cast_const().cast::<Control>() };
    control.tell(Stage::Begins);
    match code {
        DISABLE => control.disable(),
        ENABLE if !session.is_null() => {
            // SAFETY: the system gives 8 bytes about the session, of no alignment that is known.
            let session = unsafe { session.read_unaligned() };
            control.enable(u64::from_le_bytes(session));
        }
        _ => {}
    }
    control.tell(Stage::Ends);
}

/// Hands a message to a session; whether it was taken. One whose session has just gone is.
pub(crate) fn write(
    logger: u64,
    id: &'static Guid,
    number: u16,
    pieces: &[Piece<'_>; MOST_PIECES],
) -> bool {
    /// Sequence number, GUID, time, thread and process in front of the message: what WPP asks for.
    const OPTIONS: u32 = 0x1 | 0x2 | 0x8 | 0x20;
    const STATUS_INVALID_HANDLE: i32 = 0xC000_0008_u32.cast_signed();

    macro_rules! trace {
        ($($piece:ident)*) => {{
            let [$($piece),*] = pieces;
            // SAFETY: pairs of pointer and length of bytes that are borrowed for the call, and a null pointer behind them;
            // the first one without bytes is null, and ends the message. They are resident: what safe code of a driver
            // has is on its stack, in its image, or in nonpaged pool, which `wpp!` demands above APC_LEVEL.
            unsafe {
                WmiTraceMessage(
                    logger, OPTIONS, from_ref(id), number,
                    $($piece.address(), $piece.0.len(),)*
                    null::<c_void>(), 0_usize,
                )
            }
        }};
    }
    let status = trace!(a b c d e f g h i j k l m n o p q r s t u v w x);
    status >= 0 || status == STATUS_INVALID_HANDLE
}

impl Piece<'_> {
    /// Where it begins; null if it has no bytes.
    const fn address(&self) -> *const u8 {
        if self.0.is_empty() {
            null()
        } else {
            self.0.as_ptr()
        }
    }
}
