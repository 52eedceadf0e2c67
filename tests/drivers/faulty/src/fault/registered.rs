//! What is registered with the system and kept, or not: routines, devices, affinities, pages.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr::null_mut;

use crate::abi::{
    BOOLEAN, DEVICE_OBJECT, DRIVER_OBJECT, ExFreePool, FILE_DEVICE_NETWORK,
    FILE_DEVICE_SECURE_OPEN, IoCreateDevice, IoDeleteDevice, IoWMIRegistrationControl,
    KBUGCHECK_CALLBACK_RECORD, KeDeregisterBugCheckCallback, KeRegisterBugCheckCallback,
    KeRevertToUserAffinityThreadEx, KeSetSystemAffinityThreadEx, LARGE_INTEGER, MDL,
    MmAllocatePagesForMdlEx, MmCached, MmFreePagesFromMdl, NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_FILTER_RESTART_PARAMETERS, NDIS_HANDLE, NDIS_STATUS, NTSTATUS, STATUS_SUCCESS,
};
use crate::module::{self, Module};
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::at_load("bug-check-callback-left", leave_routine),
    Play::at_load("bug-check-callback-whole", register_whole),
    Play::at_load("wmi-device-deleted", delete_registered),
    Play::at_load("processor-callback-twice", deregister_twice),
    Play {
        name: "affinity-kept",
        characteristics: Some(keep_in_restart),
        ..NOTHING
    },
    Play::in_attach("affinity-restored", restore_affinity),
    Play::in_attach("mdl-pages-left", leave_pages),
    Play::in_attach("mdl-pages-freed-twice", free_pages_twice),
    Play::in_attach("mdl-pages-whole", use_pages),
    Play::in_attach("contiguous-freed-as-pool", free_as_pool),
];

extern "system" fn routine(_: *mut c_void, _: u32) {}

/// The record that is registered.
struct Record(core::cell::UnsafeCell<KBUGCHECK_CALLBACK_RECORD>);

// SAFETY: the kernel alone looks into it, and changes it under a lock of its own.
unsafe impl Sync for Record {}

static RECORD: Record = Record(core::cell::UnsafeCell::new(
    // SAFETY: zero is what KeInitializeCallbackRecord makes of it.
    unsafe { zeroed() },
));
static COMPONENT: [u8; 7] = *b"faulty\0";

fn register() -> BOOLEAN {
    let component = COMPONENT.as_ptr().cast_mut();
    let routine: extern "system" fn(*mut c_void, u32) = routine;
    let routine = routine as *mut c_void;
    // SAFETY: record, routine and text are there as long as the driver.
    unsafe { KeRegisterBugCheckCallback(RECORD.0.get(), routine, null_mut(), 0, component) } // caught: bug-check-callback-left by unload-callbacks-gone
}

#[inline(never)]
fn leave_routine(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    register();
    STATUS_SUCCESS
}

// legal: bug-check-callback-whole near unload-callbacks-gone, dev-wmi-deregistered
fn register_whole(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    if register() != 0 {
        // SAFETY: registered above.
        unsafe { KeDeregisterBugCheckCallback(RECORD.0.get()) };
    }
    let device = device(driver);
    if !device.is_null() && control(device, REGISTER) == STATUS_SUCCESS {
        while control(device, DEREGISTER) != STATUS_SUCCESS {}
    }
    delete(device);
    STATUS_SUCCESS
}

/// `WMIREG_ACTION_REGISTER` and `WMIREG_ACTION_DEREGISTER`.
const REGISTER: u32 = 1;
const DEREGISTER: u32 = 2;

/// A device without a name; NULL where there is none to be had.
fn device(driver: *mut DRIVER_OBJECT) -> *mut DEVICE_OBJECT {
    let mut device = null_mut();
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    unsafe {
        IoCreateDevice(
            driver,
            0,
            null_mut(),
            FILE_DEVICE_NETWORK,
            FILE_DEVICE_SECURE_OPEN,
            0,
            &raw mut device,
        )
    };
    device
}

fn delete(device: *mut DEVICE_OBJECT) {
    if !device.is_null() {
        // SAFETY: made in `device`, and nobody has opened it.
        unsafe { IoDeleteDevice(device) };
    }
}

fn control(device: *mut DEVICE_OBJECT, action: u32) -> NTSTATUS {
    // SAFETY: PASSIVE_LEVEL; the device is there.
    unsafe { IoWMIRegistrationControl(device, action) }
}

#[inline(never)]
fn delete_registered(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let device = device(driver);
    if !device.is_null() {
        control(device, REGISTER);
        // SAFETY: none: this is the fault.
        unsafe { IoDeleteDevice(device) }; // caught: wmi-device-deleted by dev-wmi-deregistered
    }
    STATUS_SUCCESS
}

fn keep_in_restart(to: &mut NDIS_FILTER_DRIVER_CHARACTERISTICS) {
    to.RestartHandler = Some(keep_affinity);
}

/// Returns with a thread that may not run where it could.
#[rustfmt::skip] // The mark stays on this line.
extern "system" fn keep_affinity(context: NDIS_HANDLE, parameters: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS { // warned: affinity-kept by callback-affinity-restored
    let status = module::restart(context, parameters);
    // SAFETY: PASSIVE_LEVEL. That nobody goes back is the fault.
    unsafe { KeSetSystemAffinityThreadEx(1) };
    status
}

// legal: affinity-restored near callback-affinity-restored
fn restore_affinity(_: &'static Module) {
    // SAFETY: PASSIVE_LEVEL.
    let old = unsafe { KeSetSystemAffinityThreadEx(1) };
    // SAFETY: as above; what was before.
    unsafe { KeRevertToUserAffinityThreadEx(old) };
}

/// Physical addresses.
const LOWEST: LARGE_INTEGER = LARGE_INTEGER {
    LowPart: 0,
    HighPart: 0,
};
const HIGHEST: LARGE_INTEGER = LARGE_INTEGER {
    LowPart: u32::MAX,
    HighPart: -1,
};

/// Two pages, without an address of their own.
fn pages() -> *mut MDL {
    // SAFETY: PASSIVE_LEVEL.
    unsafe { MmAllocatePagesForMdlEx(LOWEST, HIGHEST, LOWEST, 8192, MmCached, 0) } // caught: mdl-pages-left by unload-pool-freed
}

fn free_mdl(mdl: *mut MDL) {
    // SAFETY: its pages are freed, and it is the driver's.
    unsafe { ExFreePool(mdl.cast()) };
}

#[inline(never)]
fn leave_pages(_: &'static Module) {
    let mdl = pages();
    if !mdl.is_null() {
        // The pages stay: that is the fault.
        free_mdl(mdl);
    }
    stay();
}

#[inline(never)]
fn free_pages_twice(_: &'static Module) {
    let mdl = pages();
    if !mdl.is_null() {
        // SAFETY: made in `pages`.
        unsafe { MmFreePagesFromMdl(mdl) };
        // SAFETY: none: this is the fault.
        unsafe { MmFreePagesFromMdl(mdl) }; // caught: mdl-pages-freed-twice by mem-double-free
        stay();
    }
}

// legal: mdl-pages-whole near unload-pool-freed
fn use_pages(_: &'static Module) {
    let mdl = pages();
    if !mdl.is_null() {
        // SAFETY: made in `pages`.
        unsafe { MmFreePagesFromMdl(mdl) };
        free_mdl(mdl);
    }
}

// The table of prototypes does not have it.
#[link(name = "ntoskrnl")]
unsafe extern "system" {
    fn MmAllocateContiguousMemory(bytes: usize, highest: LARGE_INTEGER) -> *mut c_void;
}

#[inline(never)]
fn free_as_pool(_: &'static Module) {
    // SAFETY: PASSIVE_LEVEL.
    let memory = unsafe { MmAllocateContiguousMemory(64, HIGHEST) };
    if !memory.is_null() {
        // SAFETY: none: this is the fault.
        unsafe { ExFreePool(memory) }; // caught: contiguous-freed-as-pool by mem-free-pair
        stay();
    }
}

// Nor these.
#[link(name = "ntoskrnl")]
unsafe extern "system" {
    fn KeRegisterProcessorChangeCallback(
        routine: *const c_void,
        context: *mut c_void,
        flags: u32,
    ) -> *mut c_void;
    fn KeDeregisterProcessorChangeCallback(handle: *mut c_void);
}

extern "system" fn processor_change(_: *mut c_void, _: *mut c_void, _: *mut i32) {}

#[inline(never)]
fn deregister_twice(_: *mut DRIVER_OBJECT) -> NTSTATUS {
    let routine: extern "system" fn(*mut c_void, *mut c_void, *mut i32) = processor_change;
    // SAFETY: PASSIVE_LEVEL; the routine is there as long as the driver.
    let handle =
        unsafe { KeRegisterProcessorChangeCallback(routine as *const c_void, null_mut(), 0) };
    if !handle.is_null() {
        // SAFETY: registered above.
        unsafe { KeDeregisterProcessorChangeCallback(handle) };
        // SAFETY: none: this is the fault.
        unsafe { KeDeregisterProcessorChangeCallback(handle) }; // caught: processor-callback-twice by mem-use-after-free
    }
    STATUS_SUCCESS
}
