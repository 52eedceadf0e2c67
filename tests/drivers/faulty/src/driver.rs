//! Load, registration and unload.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    DRIVER_OBJECT, NDIS_FILTER_CHARACTERISTICS_REVISION_3, NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3, NDIS_STATUS, NDIS_STATUS_SUCCESS,
    NTSTATUS, NdisFDeregisterFilterDriver, NdisFRegisterFilterDriver, NdisGetVersion,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS, UNICODE_STRING,
};
use crate::play::Play;
use crate::{configuration, datapath, event, fault, module, request, text};

/// The highest NDIS 6 minor version that the declarations describe.
const MINOR: u32 = 89;

static FRIENDLY: [u16; 22] = text::wide(b"deferlwf faulty filter");
static UNIQUE: [u16; 38] = text::wide(b"{5b6e2f0c-6f0e-4d0b-9c43-0d8a5a6a7a11}");
static SERVICE: [u16; 6] = text::wide(b"faulty");

static OBJECT: AtomicPtr<DRIVER_OBJECT> = AtomicPtr::new(null_mut());
static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static PLAY: AtomicPtr<Play> = AtomicPtr::new(null_mut());

/// The driver object.
pub(crate) fn object() -> *mut DRIVER_OBJECT {
    OBJECT.load(Ordering::Acquire)
}

/// The driver's NDIS handle, from `FilterSetOptions` on.
pub(crate) fn handle() -> NDIS_HANDLE {
    HANDLE.load(Ordering::Acquire)
}

/// The play of this life.
pub(crate) fn play() -> &'static Play {
    let play = PLAY.load(Ordering::Acquire);
    // SAFETY: NULL, or one of the plays, which are static and never written.
    unsafe { play.as_ref() }.unwrap_or(fault::plain())
}

#[unsafe(no_mangle)]
#[rustfmt::skip]
extern "system" fn DriverEntry(driver: *mut DRIVER_OBJECT, registry_path: *mut UNICODE_STRING) -> NTSTATUS { // warned: unload-absent by unload-present // caught: entry-pends by reg-no-pending-driver-entry; reg-entry-fails-registered by reg-fail-undo
    enter(driver, registry_path)
}

fn enter(driver: *mut DRIVER_OBJECT, registry_path: *mut UNICODE_STRING) -> NTSTATUS {
    let Some(play) = configuration::play(registry_path) else {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    };
    PLAY.store(ptr::from_ref(play).cast_mut(), Ordering::Release);
    OBJECT.store(driver, Ordering::Release);
    // SAFETY: the system's object, valid while the driver is loaded.
    unsafe { (*driver).DriverUnload = Some(unload) };
    let loaded = play.load.map_or(STATUS_SUCCESS, |load| load(driver));
    if loaded != STATUS_SUCCESS {
        return loaded;
    }
    let status = register(driver);
    if status != NDIS_STATUS_SUCCESS {
        return status;
    }
    play.registered
        .map_or(STATUS_SUCCESS, |registered| registered(handle()))
}

/// Registers the driver with NDIS.
pub(crate) fn register(driver: *mut DRIVER_OBJECT) -> NDIS_STATUS {
    let mut handle = null_mut();
    let mut characteristics = characteristics();
    // SAFETY: PASSIVE_LEVEL in DriverEntry; all pointers are valid for the call.
    unsafe {
        NdisFRegisterFilterDriver(
            driver,
            driver.cast(),
            &raw mut characteristics,
            &raw mut handle,
        )
    }
}

/// Undoes [`register`]. Called at PASSIVE_LEVEL.
pub(crate) fn deregister() {
    // SAFETY: registered in DriverEntry, deregistered once; PASSIVE_LEVEL.
    unsafe { NdisFDeregisterFilterDriver(handle()) };
}

extern "system" fn unload(_driver: *mut DRIVER_OBJECT) {
    let play = play();
    if play.unload.is_none_or(|unload| unload()) {
        deregister();
    }
    if let Some(unloaded) = play.unloaded {
        unloaded();
    }
}

/// Runs inside registration, before the first attach.
extern "system" fn set_options(handle: NDIS_HANDLE, _context: NDIS_HANDLE) -> NDIS_STATUS {
    HANDLE.store(handle, Ordering::Release);
    play()
        .options
        .map_or(NDIS_STATUS_SUCCESS, |options| options(handle))
}

/// What the driver registers.
pub(crate) fn characteristics() -> NDIS_FILTER_DRIVER_CHARACTERISTICS {
    // SAFETY: plain data and nullable handlers: all zeroes is a value.
    let empty: NDIS_FILTER_DRIVER_CHARACTERISTICS = unsafe { zeroed() };
    // SAFETY: callable at any IRQL that DriverEntry has.
    let running = unsafe { NdisGetVersion() } & 0xffff;
    let mut characteristics = NDIS_FILTER_DRIVER_CHARACTERISTICS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
            Revision: NDIS_FILTER_CHARACTERISTICS_REVISION_3,
            Size: NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3,
        },
        MajorNdisVersion: 6,
        MinorNdisVersion: running.min(MINOR) as u8,
        MajorDriverVersion: 1,
        FriendlyName: text::string(&FRIENDLY),
        UniqueName: text::string(&UNIQUE),
        ServiceName: text::string(&SERVICE),
        SetOptionsHandler: Some(set_options),
        AttachHandler: Some(module::attach),
        DetachHandler: Some(module::detach),
        RestartHandler: Some(module::restart),
        PauseHandler: Some(module::pause),
        SendNetBufferListsHandler: Some(datapath::send),
        SendNetBufferListsCompleteHandler: Some(datapath::send_complete),
        ReceiveNetBufferListsHandler: Some(datapath::receive),
        ReturnNetBufferListsHandler: Some(datapath::returned),
        StatusHandler: Some(event::status),
        ..empty
    };
    let play = play();
    event::add_handlers(play, &mut characteristics);
    request::add_handlers(play, &mut characteristics);
    if let Some(change) = play.characteristics {
        change(&mut characteristics);
    }
    characteristics
}
