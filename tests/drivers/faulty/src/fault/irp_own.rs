//! Requests that the driver makes itself: sent, ended and freed wrongly. They go to a device of the system's that leaves
//! every second request pending.

use core::ffi::c_void;
use core::mem::{MaybeUninit, offset_of, size_of};
use core::ptr::null_mut;

use super::control::{self, create, play};
use super::zw::user_buffer;
use crate::abi::{
    DEVICE_OBJECT, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, FILE_OBJECT, FILE_READ_DATA,
    IO_STACK_LOCATION, IO_STATUS_BLOCK, IRP, IRP_MJ_WRITE, IoAllocateIrp,
    IoBuildDeviceIoControlRequest, IoCreateDevice, IoDeleteDevice, IoFreeIrp,
    IoGetDeviceObjectPointer, IoInitializeIrp, IoReuseIrp, IofCallDriver, IofCompleteRequest,
    KEVENT, KeInitializeEvent, KeSetEvent, KeWaitForSingleObject, NTSTATUS, ObfDereferenceObject,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, STATUS_SUCCESS,
};
use crate::module::Module;
use crate::play::{Play, stay};
use crate::text;

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("irp-own-left", leave),
    Play::in_attach("irp-own-freed-twice", free_twice),
    Play::in_attach("irp-own-freed-in-use", free_in_use),
    Play::in_attach("irp-own-touched", touch),
    Play::in_attach("irp-own-no-location", send_without_location),
    Play::in_attach("irp-own-not-stopped", go_on),
    Play::in_attach("irp-own-freed-and-on", free_and_go_on),
    Play::in_attach("irp-own-pending-lost", lose_pending),
    Play::in_attach("irp-own-cancellable", send_cancellable),
    Play::in_attach("irp-own-marked", send_marked),
    Play::in_attach("irp-own-initialized", initialize),
    Play::in_attach("irp-own-completed", complete),
    Play::in_attach("irp-built-freed", free_built),
    Play::in_attach("irp-built-reused", reuse_built),
    Play::in_attach("irp-built-unheard", send_unheard),
    Play::in_attach("irp-file-left", leave_file),
    Play::in_attach("irp-own-whole", do_it_right),
    play("irp-own-to-user", |driver| create(driver, send_users)),
    play("irp-own-from-system", |driver| create(driver, send_systems)),
    Play::at_load("device-attached-deleted", delete_attached),
    Play::at_load("device-detached-twice", detach_twice),
    Play::at_load("device-attached", attach),
    Play::at_load("irp-own-to-deleted", send_to_deleted),
];

#[link(name = "ntoskrnl")]
unsafe extern "system" {
    fn IoAttachDeviceToDeviceStack(
        source: *mut DEVICE_OBJECT,
        target: *mut DEVICE_OBJECT,
    ) -> *mut DEVICE_OBJECT;
    fn IoDetachDevice(target: *mut DEVICE_OBJECT);
}

static NULL: [u16; 12] = text::wide(b"\\Device\\Null");

/// The system's device, and the file that it is kept by.
struct Null {
    device: *mut DEVICE_OBJECT,
    file: *mut FILE_OBJECT,
}

impl Null {
    fn open() -> Self {
        let (mut name, mut file, mut device) = (text::string(&NULL), null_mut(), null_mut());
        #[rustfmt::skip]
        // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
        unsafe { IoGetDeviceObjectPointer(&raw mut name, FILE_READ_DATA, &raw mut file, &raw mut device) };
        Self { device, file }
    }

    fn close(&self) {
        // SAFETY: the reference that `open` has taken.
        unsafe { ObfDereferenceObject(self.file.cast()) };
    }

    fn send(&self, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: the IRP is set up for this device, which is there.
        unsafe { IofCallDriver(self.device, irp) }
    }
}

/// Where an IRP's current stack location is noted.
fn current(irp: *mut IRP) -> *mut *mut IO_STACK_LOCATION {
    irp.wrapping_byte_add(offset_of!(IRP, Tail.Overlay.CurrentStackLocation))
        .cast()
}

/// The stack location of the next driver.
fn next(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: the IRP is this driver's.
    unsafe { *current(irp) }.wrapping_sub(1)
}

type Completion = unsafe extern "system" fn(*mut DEVICE_OBJECT, *mut IRP, *mut c_void) -> NTSTATUS;

/// A write of nothing, whose end `routine` hears of.
fn fill(irp: *mut IRP, routine: Option<Completion>, event: *mut KEVENT) {
    // SAFETY: the IRP is this driver's, and has a location for the next one.
    let location = unsafe { &mut *next(irp) };
    location.MajorFunction = IRP_MJ_WRITE as u8;
    location.CompletionRoutine = routine;
    location.Context = event.cast();
    location.Control = (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
}

/// A request of the driver's own, with so many locations.
fn make(locations: i8) -> *mut IRP {
    // SAFETY: at or below DISPATCH_LEVEL.
    unsafe { IoAllocateIrp(locations, 0) }
}

fn free(irp: *mut IRP) {
    // SAFETY: made here, not freed, and no device has it.
    unsafe { IoFreeIrp(irp) };
}

/// An event that is not set.
fn event() -> KEVENT {
    let mut event = MaybeUninit::<KEVENT>::uninit();
    // SAFETY: writable memory for an event.
    unsafe { KeInitializeEvent(event.as_mut_ptr().cast(), 0, 0) };
    // SAFETY: initialized above.
    unsafe { event.assume_init() }
}

fn wait(event: &mut KEVENT) {
    let event: *mut KEVENT = event;
    // SAFETY: PASSIVE_LEVEL; the event outlives the wait.
    unsafe { KeWaitForSingleObject(event.cast(), 0, 0, 0, null_mut()) };
}

/// The completion routine of what stays the driver's.
unsafe extern "system" fn keep(_: *mut DEVICE_OBJECT, _: *mut IRP, event: *mut c_void) -> NTSTATUS {
    // SAFETY: who has sent the request waits for the event.
    unsafe { KeSetEvent(event, 0, 0) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Sends until the device leaves the request pending, and calls `then` while it does.
fn while_pending(then: fn(*mut IRP)) {
    let null = Null::open();
    let irp = make(1);
    loop {
        let mut done = event();
        // SAFETY: no device has it.
        unsafe { IoReuseIrp(irp, STATUS_SUCCESS) };
        fill(irp, Some(keep), &raw mut done);
        if null.send(irp) == STATUS_PENDING {
            then(irp);
            wait(&mut done);
            break;
        }
        wait(&mut done);
    }
    free(irp);
    null.close();
}

#[inline(never)]
fn leave(_: &'static Module) {
    // SAFETY: at or below DISPATCH_LEVEL. That nobody frees it is the fault.
    unsafe { IoAllocateIrp(1, 0) }; // caught: irp-own-left by unload-irps-gone
    stay();
}

#[inline(never)]
fn free_twice(_: &'static Module) {
    let irp = make(1);
    free(irp);
    // SAFETY: none: this is the fault.
    unsafe { IoFreeIrp(irp) }; // caught: irp-own-freed-twice by irp-free
    stay();
}

#[inline(never)]
fn free_pending(irp: *mut IRP) {
    // SAFETY: none: this is the fault.
    unsafe { IoFreeIrp(irp) }; // caught: irp-own-freed-in-use by irp-free
    stay();
}

fn free_in_use(_: &'static Module) {
    while_pending(free_pending);
}

#[inline(never)]
fn touch_pending(irp: *mut IRP) {
    // SAFETY: none: this is the fault.
    let byte = unsafe { (*irp).StackCount }; // caught: irp-own-touched by mem-use-after-free
    core::hint::black_box(byte);
}

fn touch(_: &'static Module) {
    while_pending(touch_pending);
}

#[inline(never)]
fn send_without_location(_: &'static Module) {
    let null = Null::open();
    let irp = make(0);
    // SAFETY: none: this is the fault.
    unsafe { IofCallDriver(null.device, irp) }; // caught: irp-own-no-location by irp-location
    free(irp);
    null.close();
}

#[rustfmt::skip] // The mark stays on this line.
unsafe extern "system" fn let_go( // caught: irp-own-not-stopped by irp-maker-stops
    _: *mut DEVICE_OBJECT,
    _: *mut IRP,
    event: *mut c_void,
) -> NTSTATUS {
    stay();
    // SAFETY: who has sent the request waits for the event.
    unsafe { KeSetEvent(event, 0, 0) };
    STATUS_SUCCESS
}

fn send_once(routine: Completion) {
    let null = Null::open();
    let irp = make(1);
    let mut done = event();
    fill(irp, Some(routine), &raw mut done);
    null.send(irp);
    wait(&mut done);
    null.close();
}

fn go_on(_: &'static Module) {
    send_once(let_go);
}

#[rustfmt::skip] // The mark stays on this line.
unsafe extern "system" fn free_it( // caught: irp-own-freed-and-on by irp-maker-stops
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    event: *mut c_void,
) -> NTSTATUS {
    stay();
    free(irp);
    // SAFETY: who has sent the request waits for the event.
    unsafe { KeSetEvent(event, 0, 0) };
    STATUS_SUCCESS
}

fn free_and_go_on(_: &'static Module) {
    send_once(free_it);
}

#[rustfmt::skip] // The mark stays on this line.
unsafe extern "system" fn forget_pending( // caught: irp-own-pending-lost by irp-pending-propagated
    _: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    event: *mut c_void,
) -> NTSTATUS {
    stay();
    // SAFETY: the request is here.
    let was_pending = unsafe { (*irp).PendingReturned } != 0;
    // SAFETY: who has sent the request waits for the event.
    unsafe { KeSetEvent(event, 0, 0) };
    if was_pending { STATUS_SUCCESS } else { STATUS_MORE_PROCESSING_REQUIRED }
}

/// With a location of the driver's own, which is not marked.
fn lose_pending(_: &'static Module) {
    let null = Null::open();
    loop {
        let irp = make(2);
        let mut done = event();
        // What IoSetNextIrpStackLocation does.
        let below = next(irp);
        // SAFETY: the IRP is this driver's, and has two locations.
        unsafe { *current(irp) = below };
        // SAFETY: as above.
        unsafe { (*irp).CurrentLocation -= 1 };
        fill(irp, Some(forget_pending), &raw mut done);
        null.send(irp);
        wait(&mut done);
        free(irp);
    }
}

unsafe extern "system" fn cancelled(_: *mut DEVICE_OBJECT, _: *mut IRP) {}

#[inline(never)]
fn send_cancellable(_: &'static Module) {
    let null = Null::open();
    let irp = make(1);
    let mut done = event();
    fill(irp, Some(keep), &raw mut done);
    // SAFETY: the IRP is this driver's.
    unsafe { (*irp).CancelRoutine = Some(cancelled) };
    // SAFETY: none: this is the fault.
    unsafe { IofCallDriver(null.device, irp) }; // caught: irp-own-cancellable by irp-call
    stay();
}

#[inline(never)]
fn send_marked(_: &'static Module) {
    let null = Null::open();
    let irp = make(1);
    let mut done = event();
    fill(irp, Some(keep), &raw mut done);
    // SAFETY: the IRP is this driver's, and has a location for the next one.
    unsafe { (*next(irp)).Control |= SL_PENDING_RETURNED as u8 };
    // SAFETY: none: this is the fault.
    unsafe { IofCallDriver(null.device, irp) }; // caught: irp-own-marked by irp-call
    stay();
}

/// Bytes of an IRP with one stack location.
const BYTES: u16 = (size_of::<IRP>() + size_of::<IO_STACK_LOCATION>()) as u16;

#[inline(never)]
fn initialize(_: &'static Module) {
    let irp = make(1);
    // SAFETY: none: this is the fault.
    unsafe { IoInitializeIrp(irp, BYTES, 1) }; // caught: irp-own-initialized by irp-reuse
    free(irp);
}

#[inline(never)]
fn complete(_: &'static Module) {
    let irp = make(1);
    // SAFETY: none: this is the fault.
    unsafe { IofCompleteRequest(irp, 0) }; // caught: irp-own-completed by irp-complete-once
    free(irp);
}

/// A control request that the system has built.
fn build(null: &Null, event: *mut KEVENT, block: *mut IO_STATUS_BLOCK) -> *mut IRP {
    let none = null_mut();
    let event = event.cast();
    // SAFETY: PASSIVE_LEVEL; event and block outlive the request.
    unsafe {
        IoBuildDeviceIoControlRequest(0x8000_2000, null.device, none, 0, none, 0, 0, event, block)
    }
}

#[inline(never)]
fn free_built(_: &'static Module) {
    let null = Null::open();
    let (mut done, mut block) = (event(), MaybeUninit::uninit());
    let irp = build(&null, &raw mut done, block.as_mut_ptr());
    // SAFETY: none: this is the fault.
    unsafe { IoFreeIrp(irp) }; // caught: irp-built-freed by irp-free
    null.close();
}

#[inline(never)]
fn reuse_built(_: &'static Module) {
    let null = Null::open();
    let (mut done, mut block) = (event(), MaybeUninit::uninit());
    let irp = build(&null, &raw mut done, block.as_mut_ptr());
    // SAFETY: none: this is the fault.
    unsafe { IoReuseIrp(irp, STATUS_SUCCESS) }; // caught: irp-built-reused by irp-reuse
    null.close();
}

#[inline(never)]
fn send_unheard(_: &'static Module) {
    let null = Null::open();
    let mut block = MaybeUninit::uninit();
    let irp = build(&null, null_mut(), block.as_mut_ptr());
    // SAFETY: none: this is the fault.
    unsafe { IofCallDriver(null.device, irp) }; // caught: irp-built-unheard by irp-maker-told
    null.close();
}

#[inline(never)]
fn leave_file(_: &'static Module) {
    let (mut name, mut file, mut device) = (text::string(&NULL), null_mut(), null_mut());
    #[rustfmt::skip]
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call. That the file stays referenced is the fault.
    unsafe { IoGetDeviceObjectPointer(&raw mut name, FILE_READ_DATA, &raw mut file, &raw mut device) }; // caught: irp-file-left by object-reference-left
    stay();
}

// legal: irp-own-whole near unload-irps-gone, irp-free, irp-location, irp-maker-stops, irp-call, irp-reuse
// legal: irp-own-whole near irp-pending-propagated, irp-maker-told, object-reference-left, object-refcount
fn do_it_right(_: &'static Module) {
    let null = Null::open();
    let irp = make(1);
    for _ in 0..4 {
        let mut done = event();
        fill(irp, Some(keep), &raw mut done);
        null.send(irp);
        wait(&mut done);
        // SAFETY: no device has it.
        unsafe { IoReuseIrp(irp, STATUS_SUCCESS) };
    }
    free(irp);
    let (mut done, mut block) = (event(), MaybeUninit::uninit());
    let irp = build(&null, &raw mut done, block.as_mut_ptr());
    if !irp.is_null() && null.send(irp) == STATUS_PENDING {
        wait(&mut done);
    }
    null.close();
}

/// Sends a write of `buffer` for a request that the driver was given.
#[inline(always)]
fn send_buffer(buffer: *mut c_void, send: fn(*mut DEVICE_OBJECT, *mut IRP)) {
    let null = Null::open();
    let irp = make(1);
    let mut done = event();
    fill(irp, Some(keep), &raw mut done);
    // SAFETY: the IRP is this driver's.
    unsafe { (*irp).UserBuffer = buffer };
    send(null.device, irp);
    wait(&mut done);
    free(irp);
    null.close();
}

#[inline(never)]
fn send_as_kernels(device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: none: this is the fault.
    unsafe { IofCallDriver(device, irp) }; // caught: irp-own-to-user by dv-irp-requestor-mode
    stay();
}

/// What a process of user mode has brought goes on as the kernel's.
extern "system" fn send_users(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let buffer = user_buffer(irp);
    if !buffer.is_null() {
        send_buffer(buffer, send_as_kernels);
    }
    control::finish(irp, STATUS_SUCCESS)
}

// legal: irp-own-from-system near dv-irp-requestor-mode
extern "system" fn send_systems(_: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    send_buffer(irp.cast(), |device, irp| {
        // SAFETY: the IRP is set up for this device, which is there.
        unsafe { IofCallDriver(device, irp) };
    });
    control::finish(irp, STATUS_SUCCESS)
}

/// A device without a name.
pub(super) fn device(driver: *mut DRIVER_OBJECT) -> *mut DEVICE_OBJECT {
    let mut device = null_mut();
    #[rustfmt::skip]
    // SAFETY: PASSIVE_LEVEL; all pointers are valid for the call.
    unsafe { IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
    device
}

/// Deletes one.
pub(super) fn delete(device: *mut DEVICE_OBJECT) {
    // SAFETY: made here, and attached to nothing.
    unsafe { IoDeleteDevice(device) };
}

#[inline(never)]
fn delete_attached(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (lower, upper) = (device(driver), device(driver));
    // SAFETY: both are there.
    unsafe { IoAttachDeviceToDeviceStack(upper, lower) };
    // SAFETY: none: this is the fault.
    unsafe { IoDeleteDevice(upper) }; // caught: device-attached-deleted by dev-detach-first
    STATUS_SUCCESS
}

#[inline(never)]
fn detach_twice(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (lower, upper) = (device(driver), device(driver));
    // SAFETY: both are there.
    unsafe { IoAttachDeviceToDeviceStack(upper, lower) };
    // SAFETY: attached above.
    unsafe { IoDetachDevice(lower) };
    // SAFETY: none: this is the fault.
    unsafe { IoDetachDevice(lower) }; // caught: device-detached-twice by dev-detach-first
    delete(upper);
    delete(lower);
    STATUS_SUCCESS
}

// legal: device-attached near dev-detach-first
fn attach(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let (lower, upper) = (device(driver), device(driver));
    // SAFETY: both are there.
    unsafe { IoAttachDeviceToDeviceStack(upper, lower) };
    // SAFETY: attached above.
    unsafe { IoDetachDevice(lower) };
    delete(upper);
    delete(lower);
    STATUS_SUCCESS
}

#[inline(never)]
fn send_to_deleted(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    let gone = device(driver);
    delete(gone);
    let irp = make(1);
    let mut done = event();
    fill(irp, Some(keep), &raw mut done);
    // SAFETY: none: this is the fault.
    unsafe { IofCallDriver(gone, irp) }; // caught: irp-own-to-deleted by mem-use-after-free
    free(irp);
    STATUS_SUCCESS
}
