//! Device objects of the driver, and IRPs sent to them.

pub(crate) mod attachment;
mod buffer;
mod request;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::Kind;
use lab_rules::event::{Callback, DeviceEvent, Lent};

use crate::abi::constant::{IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, STATUS_SUCCESS};
use crate::abi::nt::{
    DEVICE_OBJECT, DRIVER_OBJECT, FILE_OBJECT, IO_STACK_LOCATION, IRP, UNICODE_STRING,
};
use crate::per_image::{MOST, per_image};
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::{OrFault, emit};
use crate::{DeviceRequestReport, Request, Requestor, driver, irp, nt};
use request::Sent;
pub(crate) use request::{SystemControl, complete, finish, is_sent, requestor, send};

/// How long the caller of a request waits before it gives up, and then for its end, in ns.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Major functions of a dispatch table.
pub(crate) const MAJOR_FUNCTIONS: usize = 28;

/// Where a device's dispatch routines are.
#[derive(Clone)]
pub(crate) enum Majors {
    /// In a table of its own, which NDIS was given.
    Own(Box<[u64; MAJOR_FUNCTIONS]>),
    /// In the driver object.
    Driver(u64),
}

impl Majors {
    /// The routine for a major function; 0 for none.
    fn routine(&self, major: usize) -> u64 {
        match self {
            Self::Own(table) => table.get(major).copied().unwrap_or(0),
            Self::Driver(object) if major < MAJOR_FUNCTIONS => {
                let table = DRIVER_OBJECT::MajorFunction.of(*object);
                mem::read(table.wrapping_add(8 * major as u64)).or_fault()
            }
            Self::Driver(_) => 0,
        }
    }
}

/// A device object.
#[derive(Clone)]
struct Device {
    object: u64,
    name: String,
    majors: Majors,
    extension: u64,
}

#[derive(Default)]
struct Devices {
    /// By handle.
    devices: BTreeMap<u64, Device>,
    /// Those that are deleted and go with the last file of theirs, by object.
    dying: BTreeMap<u64, Device>,
    /// How many files each object has, if any.
    opens: BTreeMap<u64, u32>,
    irps: BTreeMap<u64, Sent>,
    /// The lock word of `IoAcquireCancelSpinLock`, once it was needed.
    cancel_lock: Option<u64>,
    /// What has been asked, and answered.
    requests: Vec<DeviceRequestReport>,
    /// The last process that has opened a device.
    processes: u32,
    /// Those that have not ended.
    live: BTreeSet<u32>,
}

per_image! {
    static DEVICES: RefCell<Devices> = RefCell::new(Devices::default());
    /// Files that the driver has by references alone; none of a device of the system's.
    static FILES: RefCell<BTreeMap<u64, Option<File>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all devices: a run begins.
pub(crate) fn reset() {
    DEVICES.take();
    FILES.take();
    attachment::reset();
    irp::reset();
}

/// Every request that has ended.
pub(crate) fn take_requests() -> Vec<DeviceRequestReport> {
    DEVICES.with_borrow_mut(|devices| std::mem::take(&mut devices.requests))
}

/// What a device is made of.
pub(crate) struct NewDevice {
    /// NDIS's handle of it; 0 for none, then the object is its own.
    pub(crate) handle: u64,
    pub(crate) driver_object: u64,
    /// Empty for a device without a name.
    pub(crate) name: String,
    pub(crate) majors: Majors,
    pub(crate) extension_size: u32,
    pub(crate) with_driver_handle: bool,
    pub(crate) with_sddl: bool,
}

/// `IRP_MJ_POWER` and `IRP_MJ_PNP`.
const PNP_OR_POWER: [usize; 2] = [0x16, 0x1B];

/// Whether a device of that name exists.
pub(crate) fn exists(name: &str) -> bool {
    DEVICES.with_borrow(|devices| {
        devices
            .devices
            .values()
            .any(|device| device.name.eq_ignore_ascii_case(name))
    })
}

/// The names of all devices.
pub(crate) fn names() -> Vec<String> {
    DEVICES.with_borrow(|devices| {
        devices
            .devices
            .values()
            .map(|device| device.name.clone())
            .filter(|name| !name.is_empty())
            .collect()
    })
}

/// Creates a device object; gives its address.
pub(crate) fn create(new: NewDevice) -> u64 {
    /// `IO_TYPE_DEVICE`.
    const TYPE: i16 = 3;
    let object = driver::object(DEVICE_OBJECT::SIZE);
    let extension = driver::object(usize::try_from(new.extension_size).unwrap_or(0));
    DEVICE_OBJECT::Type.write(object, TYPE).or_fault();
    DEVICE_OBJECT::Size
        .write(object, DEVICE_OBJECT::SIZE as u16)
        .or_fault();
    DEVICE_OBJECT::ReferenceCount.write(object, 1).or_fault();
    DEVICE_OBJECT::DriverObject
        .write(object, new.driver_object)
        .or_fault();
    DEVICE_OBJECT::StackSize.write(object, 1).or_fault();
    let (handle, seen_extension) = match new.majors {
        // NDIS keeps its own data in front; the driver's part is what it asks for by function.
        Majors::Own(_) => (new.handle, driver::rubbish(Lent::Other, 64)),
        Majors::Driver(_) if new.extension_size == 0 => (object, 0),
        Majors::Driver(_) => (object, extension),
    };
    DEVICE_OBJECT::DeviceExtension
        .write(object, seen_extension)
        .or_fault();
    let with_pnp_or_power = match &new.majors {
        Majors::Own(table) => PNP_OR_POWER.iter().any(|major| table[*major] != 0),
        // A driver object is for all kinds of devices.
        Majors::Driver(_) => false,
    };
    let device = Device {
        object,
        name: new.name,
        majors: new.majors,
        extension,
    };
    link(new.driver_object, object).or_fault();
    DEVICES.with_borrow_mut(|devices| devices.devices.insert(handle, device));
    emit(Kind::Device(DeviceEvent::Created {
        device: handle,
        with_driver_handle: new.with_driver_handle,
        with_sddl: new.with_sddl,
        with_pnp_or_power,
    }));
    object
}

/// Deletes the device of a handle; gives back its object.
pub(crate) fn delete(handle: u64) -> bool {
    let device = DEVICES.with_borrow_mut(|devices| devices.devices.remove(&handle));
    if let Some(Device { object, .. }) = device
        && nt::wmi::has(object)
    {
        emit(Kind::Device(DeviceEvent::WmiLeft { device: object }));
    }
    let is_attached = |device: &Device| attachment::is_attached(device.object);
    emit(Kind::Device(DeviceEvent::Deleted {
        device: handle,
        known: device.is_some(),
        is_attached: device.as_ref().is_some_and(is_attached),
    }));
    let Some(device) = device else { return false };
    nt::io_timer::forget(device.object);
    unlink(device.object).or_fault();
    let gone = DEVICES.with_borrow_mut(|devices| {
        if devices.opens.contains_key(&device.object) {
            devices.dying.insert(device.object, device);
            return None;
        }
        Some(device)
    });
    gone.into_iter().for_each(Device::release);
    true
}

impl Device {
    fn release(self) {
        driver::release(self.extension);
        driver::release(self.object);
    }
}

/// A file of a device is opened: the device stays as long.
fn note_open(object: u64) {
    DEVICES.with_borrow_mut(|devices| *devices.opens.entry(object).or_default() += 1);
}

/// It is closed.
fn note_close(object: u64) {
    let gone = DEVICES.with_borrow_mut(|devices| {
        let count = devices.opens.get_mut(&object)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        devices.opens.remove(&object);
        devices.dying.remove(&object)
    });
    gone.into_iter().for_each(Device::release);
}

/// Puts a device in front of those of its driver object, as a driver finds them that deletes all it has.
fn link(driver_object: u64, object: u64) -> Result<(), BadAddress> {
    let next = DRIVER_OBJECT::DeviceObject.read(driver_object)?;
    DEVICE_OBJECT::NextDevice.write(object, next)?;
    DRIVER_OBJECT::DeviceObject.write(driver_object, object)
}

/// Undoes [`link`].
fn unlink(object: u64) -> Result<(), BadAddress> {
    let next = DEVICE_OBJECT::NextDevice.read(object)?;
    let driver_object = DEVICE_OBJECT::DriverObject.read(object)?;
    let first = DRIVER_OBJECT::DeviceObject.read(driver_object)?;
    if first == object {
        return DRIVER_OBJECT::DeviceObject.write(driver_object, next);
    }
    /// More devices than a driver has: it may have made a circle of them.
    const MOST: u32 = 10_000;
    let mut before = first;
    for _ in 0..MOST {
        if before == 0 {
            break;
        }
        let after = DEVICE_OBJECT::NextDevice.read(before)?;
        if after == object {
            return DEVICE_OBJECT::NextDevice.write(before, next);
        }
        before = after;
    }
    Ok(())
}

/// The dispatch routine of a device of the driver's for a major function: 0 where there is none.
pub(crate) fn routine(object: u64, major: u8) -> Option<u64> {
    let majors = DEVICES.with_borrow(|devices| {
        let mut all = devices.devices.values().chain(devices.dying.values());
        all.find(|device| device.object == object)
            .map(|device| device.majors.clone())
    })?;
    Some(majors.routine(major.into()))
}

/// The name of a device of the driver's, or of the device that a file is of.
pub(crate) fn name_of(object: u64) -> Option<String> {
    let file_of = |file: &Option<File>| file.as_ref().map(|file| file.device.object);
    let device = FILES.with_borrow(|files| files.get(&object).and_then(file_of));
    DEVICES.with_borrow(|devices| {
        let is_it = |known: &&Device| known.object == device.unwrap_or(object);
        let known = devices.devices.values().find(is_it)?;
        (!known.name.is_empty()).then(|| known.name.clone())
    })
}

/// The object of the device with a name, the driver's or one that the system has.
pub(crate) fn object(name: &str) -> Option<u64> {
    let own = DEVICES.with_borrow(|devices| {
        let mut all = devices.devices.values();
        all.find(|device| device.name.eq_ignore_ascii_case(name))
            .map(|device| device.object)
    });
    own.or_else(|| irp::offered_device(name))
}

/// The driver's part of a device's extension.
pub(crate) fn extension(object: u64) -> u64 {
    DEVICES.with_borrow(|devices| {
        devices
            .devices
            .values()
            .find(|device| device.object == object)
            .map_or(0, |device| device.extension)
    })
}

/// An open file of a device.
#[derive(Clone)]
pub(crate) struct File {
    device: Device,
    file: u64,
    /// The process that has it.
    process: u32,
    /// Who opens and closes it.
    requestor: Requestor,
    /// The string that its name is in, if it has one.
    file_name: Option<u64>,
    is_cleaned_up: Cell<bool>,
}

impl File {
    /// Whether nobody has a handle of it any more.
    pub(crate) fn is_cleaned_up(&self) -> bool {
        self.is_cleaned_up.get()
    }

    fn release(self) {
        note_close(self.device.object);
        end_process(self.process);
        driver::release(self.file);
        self.file_name.into_iter().for_each(driver::release);
    }
}

/// Opens a device for a driver that keeps the file by a reference, and has no handle of it; gives the file object, or the
/// status with which the device's driver has refused it. `None` without such a device.
pub(crate) fn open_for_driver(name: &str) -> Option<Result<u64, u32>> {
    if let Some(device) = irp::offered_device(name) {
        let file = file_object(device);
        FILES.with_borrow_mut(|files| files.insert(file, None));
        return Some(Ok(file));
    }
    Some(open_as(name, "", Requestor::Kernel)?.map(|file| {
        cleanup(&file);
        let object = file.file;
        FILES.with_borrow_mut(|files| files.insert(object, Some(file)));
        object
    }))
}

/// The same for a driver that has a handle of it; only devices of the driver's own can be asked by handle.
pub(crate) fn open_with_handle(name: &str) -> Option<Result<u64, u32>> {
    Some(open_as(name, "", Requestor::Kernel)?.map(|file| {
        let object = file.file;
        FILES.with_borrow_mut(|files| files.insert(object, Some(file)));
        object
    }))
}

/// Sends a request by a file that a driver has opened; nothing where there is no such file.
pub(crate) fn ask_file(object: u64, request: &Request) -> Option<crate::Answer> {
    let file = FILES.with_borrow(|files| files.get(&object)?.clone())?;
    Some(send(&file, request))
}

/// The last handle of a file that a driver has opened is closed.
pub(crate) fn close_handle(object: u64) {
    let file = FILES.with_borrow(|files| files.get(&object)?.clone());
    let Some(file) = file else { return };
    cleanup(&file);
    FILES.with_borrow_mut(|files| {
        if let Some(Some(known)) = files.get(&object) {
            known.is_cleaned_up.set(true);
        }
    });
}

/// The last reference to a file of [`open_for_driver`] is given up.
pub(crate) fn close_for_driver(object: u64) {
    match FILES.with_borrow_mut(|files| files.remove(&object)) {
        Some(Some(file)) => close(file),
        Some(None) => driver::release(object),
        None => {}
    }
}

/// A file object of a device.
fn file_object(device: u64) -> u64 {
    /// `IO_TYPE_FILE`.
    const TYPE: i16 = 5;
    let file = driver::object(FILE_OBJECT::SIZE);
    FILE_OBJECT::Type.write(file, TYPE).or_fault();
    FILE_OBJECT::Size
        .write(file, FILE_OBJECT::SIZE as i16)
        .or_fault();
    FILE_OBJECT::DeviceObject.write(file, device).or_fault();
    file
}

/// Opens a device by name, as an administrator does; `None` without such a device. `file_name` is what follows the
/// device's name in the path that is opened, if anything does.
pub(crate) fn open(name: &str, file_name: &str) -> Option<Result<File, u32>> {
    open_as(name, file_name, Requestor::User)
}

fn open_as(name: &str, file_name: &str, requestor: Requestor) -> Option<Result<File, u32>> {
    let device = DEVICES.with_borrow(|devices| {
        devices
            .devices
            .values()
            .find(|device| device.name.eq_ignore_ascii_case(name))
            .cloned()
    })?;
    note_open(device.object);
    let file = file_object(device.object);
    let file_name = (!file_name.is_empty()).then(|| {
        let text = driver::unicode_string(Lent::Other, file_name);
        let string = mem::read_bytes(text, UNICODE_STRING::SIZE).or_fault();
        driver::write(file + FILE_OBJECT::FileName, &string);
        text
    });
    let opened = File {
        device,
        file,
        process: begin_process(),
        requestor,
        file_name,
        is_cleaned_up: Cell::new(false),
    };
    let answer = request::plain(&opened, IRP_MJ_CREATE);
    Some(if answer.status == STATUS_SUCCESS.cast_unsigned() {
        Ok(opened)
    } else {
        opened.release();
        Err(answer.status)
    })
}

/// Asks as another driver does that made its IRP itself: without a file object.
pub(crate) fn send_without_file(name: &str, request: &Request) {
    let device = DEVICES.with_borrow(|devices| {
        let mut all = devices.devices.values();
        all.find(|device| device.name.eq_ignore_ascii_case(name))
            .cloned()
    });
    if let Some(device) = device {
        let file = File {
            device,
            file: 0,
            process: begin_process(),
            requestor: request.requestor,
            file_name: None,
            is_cleaned_up: Cell::new(true),
        };
        let object = file.device.object;
        note_open(object);
        send(&file, request);
        note_close(object);
        end_process(file.process);
    }
}

/// Sends `IRP_MJ_SYSTEM_CONTROL` to a device, as WMI does; gives the status, or nothing without such a device.
pub(crate) fn system_control(object: u64, request: &SystemControl) -> Option<u32> {
    let device = DEVICES.with_borrow(|devices| {
        let mut all = devices.devices.values();
        all.find(|device| device.object == object).cloned()
    })?;
    let file = File {
        device,
        file: 0,
        process: 0,
        requestor: Requestor::Kernel,
        file_name: None,
        is_cleaned_up: Cell::new(true),
    };
    Some(request::system_control(&file, request).status)
}

/// A process that has sent nothing yet.
fn begin_process() -> u32 {
    let process = DEVICES.with_borrow_mut(|devices| {
        devices.processes += 1;
        // Images have devices of their own, and all share the processes.
        let process = devices.processes * MOST as u32 + u32::from(sched::image());
        devices.live.insert(process);
        process
    });
    nt::registration::process_began(process);
    process
}

fn end_process(process: u32) {
    nt::registration::process_ended(process);
    DEVICES.with_borrow_mut(|devices| devices.live.remove(&process));
}

/// Whether a process is there: the system's, or one that has a device open.
pub(crate) fn has_process(process: u32) -> bool {
    process == 0 || DEVICES.with_borrow(|devices| devices.live.contains(&process))
}

/// The lock word of `IoAcquireCancelSpinLock`.
pub(crate) fn cancel_lock() -> u64 {
    if let Some(lock) = DEVICES.with_borrow(|devices| devices.cancel_lock) {
        return lock;
    }
    let lock = driver::object(size_of::<u64>());
    DEVICES.with_borrow_mut(|devices| devices.cancel_lock = Some(lock));
    lock
}

/// Cancels an IRP, as `IoCancelIrp` does; tells whether its cancel routine was called.
pub(crate) fn cancel(irp: u64) -> bool {
    if irp::cancel_offered(irp) {
        return true;
    }
    let lock = cancel_lock();
    let irql = nt::lock::acquire(lock);
    // Nobody can cancel what is over, and who had sent it looks no more.
    let is_over =
        DEVICES.with_borrow(|devices| devices.irps.get(&irp).is_some_and(|sent| sent.completed));
    if is_over {
        nt::lock::release_to(lock, irql);
        return false;
    }
    IRP::Cancel.write(irp, 1).or_fault();
    let routine = IRP::CancelRoutine.read(irp).or_fault();
    IRP::CancelRoutine.write(irp, 0).or_fault();
    if routine == 0 {
        nt::lock::release_to(lock, irql);
        return false;
    }
    IRP::CancelIrql.write(irp, irql).or_fault();
    let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp).or_fault();
    let object = IO_STACK_LOCATION::DeviceObject.read(location).or_fault();
    if nt::csq::is_cancel_routine(routine) {
        nt::csq::cancel(object, irp);
    } else {
        // The routine releases the lock.
        driver::call(Callback::Cancel, None, routine, &[object, irp]);
    }
    true
}

/// Closes an open file.
pub(crate) fn close(file: File) {
    cleanup(&file);
    request::plain(&file, IRP_MJ_CLOSE);
    file.release();
}

/// Sends `IRP_MJ_CLEANUP`, once: nobody has a handle any more.
pub(crate) fn cleanup(file: &File) {
    if !file.is_cleaned_up.replace(true) {
        request::plain(file, IRP_MJ_CLEANUP);
    }
}
