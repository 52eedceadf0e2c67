//! Keys, files and what is registered with the Windows Filtering Platform: opened, used and left wrongly.

use core::ffi::c_void;
use core::mem::{MaybeUninit, size_of};
use core::ptr::null_mut;

use super::control::{self, create, method, play};
use crate::abi::{
    DEVICE_OBJECT, DISPATCH_LEVEL, DRIVER_OBJECT, FILE_ATTRIBUTE_NORMAL, FILE_OVERWRITE_IF,
    FILE_SYNCHRONOUS_IO_NONALERT, GENERIC_READ, GENERIC_WRITE, HANDLE, IO_STATUS_BLOCK, IRP,
    KEY_READ, KeLowerIrql, KeyValuePartialInformation, KfRaiseIrql, METHOD_NEITHER, NTSTATUS,
    OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, STATUS_SUCCESS, SYNCHRONIZE,
    UNICODE_STRING, ZwClose, ZwCreateFile, ZwDeleteFile, ZwOpenKey, ZwQueryValueKey, ZwWriteFile,
};
use crate::module::Module;
use crate::play::{Play, stay};
use crate::text;

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("key-opened-raised", open_raised),
    Play::in_attach("key-left-open", leave_key),
    Play::in_attach("key-used-closed", use_closed),
    play("key-of-process", |driver| create(driver, open_in_process)),
    play("key-read-to-user", |driver| create(driver, read_to_user)),
    play("key-and-file-used", |driver| create(driver, use_both)),
    Play::at_load("wfp-engine-left", leave_engine),
    Play::at_load("wfp-callout-left", leave_callout),
    Play::at_load("wfp-whole", use_platform),
];

static SERVICE: [u16; 69] =
    text::wide(b"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\filter\\Parameters");
static VALUE: [u16; 5] = text::wide(b"Fault");
static FILE: [u16; 29] = text::wide(b"\\SystemRoot\\Temp\\faulty-x.log");

fn attributes(name: &mut UNICODE_STRING, flags: u32) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: null_mut(),
        ObjectName: name,
        Attributes: flags | OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: null_mut(),
        SecurityQualityOfService: null_mut(),
    }
}

/// Opens the driver's parameters; NULL where that fails.
fn open() -> HANDLE {
    let mut name = text::string(&SERVICE);
    let mut it = attributes(&mut name, OBJ_KERNEL_HANDLE);
    let mut key = null_mut();
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let status = unsafe { ZwOpenKey(&raw mut key, KEY_READ, &raw mut it) };
    if status == STATUS_SUCCESS {
        key
    } else {
        null_mut()
    }
}

fn close(handle: HANDLE) {
    // SAFETY: opened and not closed; PASSIVE_LEVEL.
    unsafe { ZwClose(handle) };
}

/// Reads the play's own name to `out`, where that has so many bytes.
fn query(key: HANDLE, out: *mut c_void, length: u32) -> NTSTATUS {
    let (mut name, mut needed) = (text::string(&VALUE), 0);
    let class = KeyValuePartialInformation;
    // SAFETY: PASSIVE_LEVEL; what `out` is, is the caller's.
    unsafe { ZwQueryValueKey(key, &raw mut name, class, out, length, &raw mut needed) }
}

#[inline(never)]
fn open_raised(_: &'static Module) {
    let mut name = text::string(&SERVICE);
    let mut it = attributes(&mut name, OBJ_KERNEL_HANDLE);
    let mut key = null_mut();
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { ZwOpenKey(&raw mut key, KEY_READ, &raw mut it) }; // caught: key-opened-raised by zw-irql-passive
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
}

#[inline(never)]
fn leave_key(_: &'static Module) {
    let mut name = text::string(&SERVICE);
    let mut it = attributes(&mut name, OBJ_KERNEL_HANDLE);
    let mut key = null_mut();
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call. That nobody closes it is the fault.
    unsafe { ZwOpenKey(&raw mut key, KEY_READ, &raw mut it) }; // caught: key-left-open by unload-handles-closed
    stay();
}

#[inline(never)]
fn use_closed(_: &'static Module) {
    let mut room = [0_u64; 16];
    let key = open();
    close(key);
    let (mut name, mut needed) = (text::string(&VALUE), 0);
    let out = room.as_mut_ptr().cast();
    #[rustfmt::skip]
    // SAFETY: none: this is the fault.
    unsafe { ZwQueryValueKey(key, &raw mut name, KeyValuePartialInformation, out, 128, &raw mut needed) }; // caught: key-used-closed by kernel-handle-valid
    stay();
}

/// The process that has sent a request can close the handle, and have another in its place.
#[inline(never)]
extern "system" fn open_in_process(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let mut name = text::string(&SERVICE);
    let mut it = attributes(&mut name, 0);
    let mut key = null_mut();
    // SAFETY: none: this is the fault.
    unsafe { ZwOpenKey(&raw mut key, KEY_READ, &raw mut it) }; // caught: key-of-process by kernel-handle-private
    control::finish(irp, STATUS_SUCCESS)
}

/// Where a METHOD_NEITHER request of user mode wants its answer; of another, NULL.
pub(super) fn user_buffer(irp: *mut IRP) -> *mut c_void {
    // SAFETY: the request is this driver's.
    let is_user = unsafe { (*irp).RequestorMode } != 0;
    if method(irp) == METHOD_NEITHER && is_user {
        // SAFETY: as above.
        unsafe { (*irp).UserBuffer }
    } else {
        null_mut()
    }
}

/// A Zw function looks at no address: it takes what it is given for the system's.
#[inline(never)]
extern "system" fn read_to_user(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let out = user_buffer(irp);
    let key = open();
    if !out.is_null() && !key.is_null() {
        let (mut name, mut needed) = (text::string(&VALUE), 0);
        #[rustfmt::skip]
        // SAFETY: none: this is the fault.
        unsafe { ZwQueryValueKey(key, &raw mut name, KeyValuePartialInformation, out, 16, &raw mut needed) }; // caught: key-read-to-user by mem-user-address
    }
    close(key);
    control::finish(irp, STATUS_SUCCESS)
}

/// Closes a handle while `left`, of user mode or not, is in a register that other functions take an argument in.
fn close_beside(handle: HANDLE, left: *mut c_void) {
    type Close = unsafe extern "system" fn(HANDLE, *mut c_void) -> NTSTATUS;
    let close: unsafe extern "system" fn(HANDLE) -> NTSTATUS = ZwClose;
    // SAFETY: on x64 a function does not see what more it is given than it takes.
    let close: Close = unsafe { core::mem::transmute(close) };
    // SAFETY: opened and not closed; PASSIVE_LEVEL.
    unsafe { close(handle, left) };
}

/// Reads a value and writes it to a file, in the process of whoever asks.
// legal: key-and-file-used near kernel-handle-private, kernel-handle-valid, unload-handles-closed
// legal: key-and-file-used near mem-user-address, zw-irql-passive
extern "system" fn use_both(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    const BYTES: u32 = 128;
    let mut room = [0_u64; 16];
    let key = open();
    if key.is_null() {
        return control::finish(irp, STATUS_SUCCESS);
    }
    let read = query(key, room.as_mut_ptr().cast(), BYTES);
    close_beside(key, user_buffer(irp));
    let mut name = text::string(&FILE);
    let mut it = attributes(&mut name, OBJ_KERNEL_HANDLE);
    let mut block = MaybeUninit::<IO_STATUS_BLOCK>::uninit();
    let mut file = null_mut();
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let opened = unsafe {
        ZwCreateFile(
            &raw mut file,
            GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE,
            &raw mut it,
            block.as_mut_ptr(),
            null_mut(),
            FILE_ATTRIBUTE_NORMAL,
            0,
            FILE_OVERWRITE_IF,
            FILE_SYNCHRONOUS_IO_NONALERT,
            null_mut(),
            0,
        )
    };
    if opened == STATUS_SUCCESS {
        let (status, data) = (block.as_mut_ptr(), room.as_mut_ptr().cast());
        if read == STATUS_SUCCESS {
            // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
            unsafe {
                ZwWriteFile(
                    file,
                    null_mut(),
                    None,
                    null_mut(),
                    status,
                    data,
                    BYTES,
                    null_mut(),
                    null_mut(),
                )
            };
        }
        close(file);
        // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
        unsafe { ZwDeleteFile(&raw mut it) };
    }
    control::finish(irp, STATUS_SUCCESS)
}

#[link(name = "fwpkclnt")]
unsafe extern "system" {
    fn FwpmEngineOpen0(
        server: *const u16,
        service: u32,
        identity: *mut c_void,
        session: *const c_void,
        engine: *mut HANDLE,
    ) -> NTSTATUS;
    fn FwpmEngineClose0(engine: HANDLE) -> NTSTATUS;
    fn FwpsCalloutRegister3(device: *mut c_void, callout: *const Callout, id: *mut u32)
    -> NTSTATUS;
    fn FwpsCalloutUnregisterById0(id: u32) -> NTSTATUS;
}

/// FWPS_CALLOUT3: a key, flags and three routines.
#[repr(C)]
struct Callout {
    key: [u32; 4],
    flags: u32,
    routines: [usize; 3],
}

/// `RPC_C_AUTHN_WINNT`.
const AUTHENTICATION: u32 = 10;
static CALLOUT: Callout = Callout {
    key: [0x5CBF_81BD, 1, 2, 3],
    flags: 0,
    routines: [0; 3],
};

#[inline(never)]
fn leave_engine(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (none, mut engine) = (null_mut(), null_mut());
    #[rustfmt::skip]
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call. That nobody closes it is the fault.
    unsafe { FwpmEngineOpen0(null_mut(), AUTHENTICATION, none, none, &raw mut engine) }; // caught: wfp-engine-left by unload-wfp-gone
    stay();
    STATUS_SUCCESS
}

#[inline(never)]
fn leave_callout(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let mut id = 0;
    // SAFETY: as above.
    unsafe { FwpsCalloutRegister3(driver.cast(), &raw const CALLOUT, &raw mut id) }; // caught: wfp-callout-left by unload-wfp-gone
    stay();
    STATUS_SUCCESS
}

// legal: wfp-whole near unload-wfp-gone
fn use_platform(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (none, mut engine, mut id) = (null_mut(), null_mut(), 0);
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let opened =
        unsafe { FwpmEngineOpen0(null_mut(), AUTHENTICATION, none, none, &raw mut engine) };
    // SAFETY: as above.
    let registered =
        unsafe { FwpsCalloutRegister3(driver.cast(), &raw const CALLOUT, &raw mut id) };
    if registered == STATUS_SUCCESS {
        // SAFETY: registered above.
        unsafe { FwpsCalloutUnregisterById0(id) };
    }
    if opened == STATUS_SUCCESS {
        // SAFETY: opened above.
        unsafe { FwpmEngineClose0(engine) };
    }
    STATUS_SUCCESS
}
