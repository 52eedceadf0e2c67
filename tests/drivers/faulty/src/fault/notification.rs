//! What the I/O manager keeps for a driver: remove locks, timers of devices, registrations, shared events; kept or used
//! wrongly.

use core::ffi::{c_char, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::irp_own::{delete, device};
use crate::abi::{
    DEVICE_OBJECT, DRIVER_OBJECT, HANDLE, KEVENT, KeSetEvent, NTSTATUS, STATUS_SUCCESS,
    UNICODE_STRING, ZwClose,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};
use crate::text;

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("remove-lock-left", leave_lock),
    Play::in_attach("remove-lock-foreign", release_foreign),
    Play::in_attach("remove-lock-used", use_lock),
    Play::at_load("io-timer-twice", initialize_twice),
    Play {
        name: "io-timer-used",
        load: Some(leave_timer),
        unload: Some(stop_timer),
        ..NOTHING
    },
    Play::at_load("notification-left", leave_notification),
    Play::at_load("notification-whole", register_and_unregister),
    Play::in_attach("event-used-closed", use_closed),
    Play::in_attach("event-closed-used", close_used),
];

#[link(name = "ntoskrnl")]
unsafe extern "system" {
    fn IoInitializeRemoveLockEx(lock: *mut Lock, tag: u32, minutes: u32, most: u32, size: u32);
    fn IoAcquireRemoveLockEx(
        lock: *mut Lock,
        tag: *mut c_void,
        file: *const c_char,
        line: u32,
        size: u32,
    ) -> NTSTATUS;
    fn IoReleaseRemoveLockEx(lock: *mut Lock, tag: *mut c_void, size: u32);
    fn IoReleaseRemoveLockAndWaitEx(lock: *mut Lock, tag: *mut c_void, size: u32);
    fn IoInitializeTimer(
        device: *mut DEVICE_OBJECT,
        routine: extern "system" fn(*mut DEVICE_OBJECT, *mut c_void),
        context: *mut c_void,
    ) -> NTSTATUS;
    fn IoStartTimer(device: *mut DEVICE_OBJECT);
    fn IoStopTimer(device: *mut DEVICE_OBJECT);
    fn IoRegisterPlugPlayNotification(
        category: i32,
        flags: u32,
        data: *mut c_void,
        driver: *mut DRIVER_OBJECT,
        routine: extern "system" fn(*mut c_void, *mut c_void) -> NTSTATUS,
        context: *mut c_void,
        entry: *mut *mut c_void,
    ) -> NTSTATUS;
    fn IoUnregisterPlugPlayNotificationEx(entry: *mut c_void) -> NTSTATUS;
    fn IoCreateNotificationEvent(name: *mut UNICODE_STRING, handle: *mut HANDLE) -> *mut KEVENT;
}

/// `IO_REMOVE_LOCK` of a free build.
type Lock = [u64; 4];
const BYTES: u32 = size_of::<Lock>() as u32;

fn initialize(lock: &mut Lock) {
    // SAFETY: PASSIVE_LEVEL; writable memory for a lock.
    unsafe { IoInitializeRemoveLockEx(lock, 1, 0, 0, BYTES) };
}

fn acquire(lock: &mut Lock, tag: *mut c_void) {
    // SAFETY: initialized.
    unsafe { IoAcquireRemoveLockEx(lock, tag, c"".as_ptr(), 0, BYTES) };
}

#[inline(never)]
fn leave_lock(_: &'static Module) {
    let mut lock = [0; 4];
    initialize(&mut lock);
    let tag = null_mut();
    // SAFETY: initialized. That nobody releases it is the fault.
    unsafe { IoAcquireRemoveLockEx(&raw mut lock, tag, c"".as_ptr(), 0, BYTES) }; // caught: remove-lock-left by remove-lock-balanced
    stay();
}

#[inline(never)]
fn release_foreign(module: &'static Module) {
    let mut lock = [0; 4];
    initialize(&mut lock);
    acquire(&mut lock, module.handle);
    // SAFETY: none: this is the fault.
    unsafe { IoReleaseRemoveLockEx(&raw mut lock, null_mut(), BYTES) }; // caught: remove-lock-foreign by remove-lock-balanced
    stay();
}

// legal: remove-lock-used near remove-lock-balanced
fn use_lock(module: &'static Module) {
    let mut lock = [0; 4];
    initialize(&mut lock);
    acquire(&mut lock, module.handle);
    acquire(&mut lock, null_mut());
    // SAFETY: acquired above with this tag.
    unsafe { IoReleaseRemoveLockEx(&raw mut lock, null_mut(), BYTES) };
    // SAFETY: as above.
    unsafe { IoReleaseRemoveLockAndWaitEx(&raw mut lock, module.handle, BYTES) };
}

extern "system" fn tick(_: *mut DEVICE_OBJECT, _: *mut c_void) {}

#[inline(never)]
fn initialize_twice(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let device = device(driver);
    // SAFETY: PASSIVE_LEVEL; the device is there.
    unsafe { IoInitializeTimer(device, tick, null_mut()) };
    // SAFETY: none: this is the fault.
    unsafe { IoInitializeTimer(device, tick, null_mut()) }; // caught: io-timer-twice by io-timer-once
    delete(device);
    STATUS_SUCCESS
}

static DEVICE: AtomicPtr<DEVICE_OBJECT> = AtomicPtr::new(null_mut());

/// Starts a timer that runs once a second from now on.
// legal: io-timer-used near io-timer-once, dv-unload-scan
fn leave_timer(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let device = device(driver);
    DEVICE.store(device, Ordering::Release);
    // SAFETY: PASSIVE_LEVEL; the device is there.
    unsafe { IoInitializeTimer(device, tick, null_mut()) };
    // SAFETY: initialized above.
    unsafe { IoStartTimer(device) };
    STATUS_SUCCESS
}

fn stop_timer() -> bool {
    let device = DEVICE.load(Ordering::Acquire);
    // SAFETY: the device is there, and its timer.
    unsafe { IoStopTimer(device) };
    delete(device);
    true
}

extern "system" fn hear(_: *mut c_void, _: *mut c_void) -> NTSTATUS {
    STATUS_SUCCESS
}

/// `EventCategoryHardwareProfileChange`.
const HARDWARE_PROFILE: i32 = 1;

#[inline(never)]
fn leave_notification(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (none, mut entry) = (null_mut(), null_mut());
    #[rustfmt::skip]
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call. That it stays registered is the fault.
    unsafe { IoRegisterPlugPlayNotification(HARDWARE_PROFILE, 0, none, driver, hear, none, &raw mut entry) }; // caught: notification-left by unload-notifications-gone
    stay();
    STATUS_SUCCESS
}

// legal: notification-whole near unload-notifications-gone
fn register_and_unregister(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (none, mut entry) = (null_mut(), null_mut());
    #[rustfmt::skip]
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let status =
        unsafe { IoRegisterPlugPlayNotification(HARDWARE_PROFILE, 0, none, driver, hear, none, &raw mut entry) };
    if status == STATUS_SUCCESS {
        // SAFETY: registered above.
        unsafe { IoUnregisterPlugPlayNotificationEx(entry) };
    }
    STATUS_SUCCESS
}

static EVENT: [u16; 24] = text::wide(b"\\BaseNamedObjects\\Faulty");

/// An event that lasts as long as its handle.
fn event() -> (*mut KEVENT, HANDLE) {
    let (mut name, mut handle) = (text::string(&EVENT), null_mut());
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    let event = unsafe { IoCreateNotificationEvent(&raw mut name, &raw mut handle) };
    (event, handle)
}

#[inline(never)]
fn use_closed(_: &'static Module) {
    let (event, handle) = event();
    // SAFETY: opened above.
    unsafe { ZwClose(handle) };
    // SAFETY: none: this is the fault.
    unsafe { KeSetEvent(event.cast(), 0, 0) }; // caught: event-used-closed by mem-use-after-free
    stay();
}

// legal: event-closed-used near mem-use-after-free, unload-handles-closed
fn close_used(_: &'static Module) {
    let (event, handle) = event();
    // SAFETY: the handle keeps the event.
    unsafe { KeSetEvent(event.cast(), 0, 0) };
    // SAFETY: opened above.
    unsafe { ZwClose(handle) };
}
