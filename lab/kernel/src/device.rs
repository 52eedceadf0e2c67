//! Device objects of the driver, and IRPs sent to them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Callback, DeviceEvent, Exposure, IrpEvent, Lent};

use crate::abi::constant::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, SL_PENDING_RETURNED,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING, STATUS_SUCCESS,
};
use crate::abi::nt::{
    DEVICE_OBJECT, DRIVER_OBJECT, FILE_OBJECT, IO_STACK_LOCATION, IO_STATUS_BLOCK, IRP,
};
use crate::ndis::exposure;
use crate::per_image::per_image;
use crate::rt::mem;
use crate::rt::pool::{self, Reach};
use crate::rt::sched::{self, Wait};
use crate::watch::{self, OrFault, emit};
use crate::{Answer, DeviceRequestReport};
use crate::{driver, nt};

/// How long the caller of a request waits before it gives up, and then for its end, in ns.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Major functions of a dispatch table.
pub(crate) const MAJOR_FUNCTIONS: usize = 28;

/// How long somebody waits at most who cancels what is left pending, in ns.
const SOON_NS: u64 = 2_000_000;

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

/// An IRP that has been sent.
#[derive(Clone, Copy)]
struct Sent {
    completed: bool,
    /// The system buffer.
    buffer: u64,
    /// Bytes of output that it has room for.
    room: usize,
}

#[derive(Default)]
struct Devices {
    /// By handle.
    devices: BTreeMap<u64, Device>,
    irps: BTreeMap<u64, Sent>,
    /// The lock word of `IoAcquireCancelSpinLock`, once it was needed.
    cancel_lock: Option<u64>,
    /// What has been asked, and answered.
    requests: Vec<DeviceRequestReport>,
}

per_image! {
    static DEVICES: RefCell<Devices> = RefCell::new(Devices::default());
}

/// Forgets all devices: a run begins.
pub(crate) fn reset() {
    DEVICES.take();
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
    emit(Kind::Device(DeviceEvent::Deleted {
        device: handle,
        known: device.is_some(),
    }));
    let Some(device) = device else { return false };
    driver::release(device.extension);
    driver::release(device.object);
    true
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
pub(crate) struct File {
    device: Device,
    file: u64,
    is_cleaned_up: Cell<bool>,
}

/// Opens a device by name, as an administrator does; `None` without such a device.
pub(crate) fn open(name: &str) -> Option<Result<File, u32>> {
    let device = DEVICES.with_borrow(|devices| {
        devices
            .devices
            .values()
            .find(|device| device.name.eq_ignore_ascii_case(name))
            .cloned()
    })?;
    /// `IO_TYPE_FILE`.
    const TYPE: i16 = 5;
    let file = driver::object(FILE_OBJECT::SIZE);
    FILE_OBJECT::Type.write(file, TYPE).or_fault();
    FILE_OBJECT::Size
        .write(file, FILE_OBJECT::SIZE as i16)
        .or_fault();
    FILE_OBJECT::DeviceObject
        .write(file, device.object)
        .or_fault();
    let opened = File {
        device,
        file,
        is_cleaned_up: Cell::new(false),
    };
    let answer = request(&opened, IRP_MJ_CREATE, 0, &[], 0);
    Some(if answer.status == STATUS_SUCCESS.cast_unsigned() {
        Ok(opened)
    } else {
        Err(answer.status)
    })
}

/// Sends `IRP_MJ_DEVICE_CONTROL`.
pub(crate) fn io_control(file: &File, code: u32, input: &[u8], output_len: u32) -> Answer {
    request(file, IRP_MJ_DEVICE_CONTROL, code, input, output_len)
}

/// The same by somebody who may lose patience: what is left pending is cancelled at times, as `CancelIo` does.
pub(crate) fn impatient_io_control(
    file: &File,
    code: u32,
    input: &[u8],
    output_len: u32,
) -> Answer {
    let after_ns = sched::chance(1, 2).then(|| sched::random(SOON_NS));
    let is_control = IRP_MJ_DEVICE_CONTROL;
    request_for(file, is_control, code, input, output_len, after_ns)
}

/// Asks as another driver does that made its IRP itself: without a file object.
pub(crate) fn io_control_without_file(name: &str, code: u32, input: &[u8], output_len: u32) {
    let device = DEVICES.with_borrow(|devices| {
        let mut all = devices.devices.values();
        all.find(|device| device.name.eq_ignore_ascii_case(name))
            .cloned()
    });
    if let Some(device) = device {
        let file = File {
            device,
            file: 0,
            is_cleaned_up: Cell::new(true),
        };
        io_control(&file, code, input, output_len);
    }
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

/// Cancels an IRP, as `IoCancelIrp` does.
fn cancel(device: &Device, irp: u64) {
    let lock = cancel_lock();
    let irql = nt::lock::acquire(lock);
    let is_completed =
        DEVICES.with_borrow(|devices| devices.irps.get(&irp).is_none_or(|sent| sent.completed));
    if is_completed {
        return nt::lock::release_to(lock, irql);
    }
    IRP::Cancel.write(irp, 1).or_fault();
    let routine = IRP::CancelRoutine.read(irp).or_fault();
    IRP::CancelRoutine.write(irp, 0).or_fault();
    if routine == 0 {
        return nt::lock::release_to(lock, irql);
    }
    IRP::CancelIrql.write(irp, irql).or_fault();
    if nt::csq::is_cancel_routine(routine) {
        return nt::csq::cancel(device.object, irp);
    }
    // The routine releases the lock.
    driver::call(Callback::Cancel, None, routine, &[device.object, irp]);
}

/// Closes an open file.
pub(crate) fn close(file: File) {
    cleanup(&file);
    request(&file, IRP_MJ_CLOSE, 0, &[], 0);
    driver::release(file.file);
}

/// Sends `IRP_MJ_CLEANUP`, once: nobody has a handle any more.
fn cleanup(file: &File) {
    if !file.is_cleaned_up.replace(true) {
        request(file, IRP_MJ_CLEANUP, 0, &[], 0);
    }
}

/// Sends an IRP and waits for its end.
fn request(file: &File, major: u32, code: u32, input: &[u8], output_len: u32) -> Answer {
    request_for(file, major, code, input, output_len, None)
}

/// Sends an IRP and waits for its end, which is hurried by a cancellation after `cancelled_after_ns`.
fn request_for(
    file: &File,
    major: u32,
    code: u32,
    input: &[u8],
    output_len: u32,
    cancelled_after_ns: Option<u64>,
) -> Answer {
    let major_index = usize::try_from(major).unwrap_or(0);
    let routine = file.device.majors.routine(major_index);
    if routine == 0 {
        // NDIS answers for what the table leaves out, and the system for what a driver object does.
        return Answer {
            status: STATUS_INVALID_DEVICE_REQUEST.cast_unsigned(),
            output: Vec::new(),
        };
    }
    let input_len = u32::try_from(input.len()).unwrap_or(u32::MAX);
    let output_room = usize::try_from(output_len).unwrap_or(0);
    // METHOD_BUFFERED: one system buffer for both directions.
    let buffer_len = input.len().max(output_room);
    let buffer = if buffer_len == 0 {
        0
    } else {
        // Nobody fills what is behind the input.
        driver::rubbish(Lent::SystemBuffer, buffer_len)
    };
    if !input.is_empty() {
        driver::write(buffer, input);
    }
    let irp = driver::lend(Lent::Irp, IRP::SIZE + IO_STACK_LOCATION::SIZE);
    let stack = irp + IRP::SIZE as u64;
    fill(irp, stack, file, major, buffer).or_fault();
    IO_STACK_LOCATION::Parameters_DeviceIoControl_OutputBufferLength
        .write(stack, output_len)
        .or_fault();
    IO_STACK_LOCATION::Parameters_DeviceIoControl_InputBufferLength
        .write(stack, input_len)
        .or_fault();
    IO_STACK_LOCATION::Parameters_DeviceIoControl_IoControlCode
        .write(stack, code)
        .or_fault();
    let sent = Sent {
        completed: false,
        buffer,
        room: output_room,
    };
    DEVICES.with_borrow_mut(|devices| devices.irps.insert(irp, sent));
    let since_ns = sched::now();
    watch::note_handler(&[irp], routine);
    watch::note_parts(irp, &[buffer]);
    emit(Kind::Irp(IrpEvent::Sent {
        irp,
        major: major as u8,
        output_len: output_len.into(),
    }));
    let status = driver::call_status(
        Callback::Dispatch,
        None,
        routine,
        &[file.device.object, irp],
    );
    pool::restrict(&[irp], Reach::Whole);
    let control = IO_STACK_LOCATION::Control.read(stack).or_fault();
    let marked_pending = u32::from(control) & SL_PENDING_RETURNED != 0;
    let returned = IrpEvent::Returned {
        irp,
        status,
        marked_pending,
    };
    watch::emit_about(Kind::Irp(returned), routine);
    if status == STATUS_PENDING.cast_unsigned() {
        if let Some(after_ns) = cancelled_after_ns {
            sched::sleep_until(sched::now() + after_ns);
            cancel(&file.device, irp);
        }
        let is_over = || {
            DEVICES.with_borrow(|devices| devices.irps.get(&irp).is_none_or(|sent| sent.completed))
        };
        let wait = || sched::wait_until(sched::now() + PATIENCE_NS, &mut || is_over());
        if wait() == Wait::TimedOut {
            // The caller gives up, and with its handle everything goes that waits for it.
            cleanup(file);
            if wait() == Wait::TimedOut {
                emit(Kind::Irp(IrpEvent::Overdue {
                    irp,
                    waited_ns: sched::now() - since_ns,
                }));
            }
        }
        sched::wait(&mut || is_over());
        pool::restrict(&[irp], Reach::Whole);
    }
    let answer = read_answer(irp, buffer, output_room).or_fault();
    let report = DeviceRequestReport {
        major,
        code,
        input_bytes: input_len,
        room_bytes: output_len,
        has_file: file.file != 0,
        was_pending: status == STATUS_PENDING.cast_unsigned(),
        status: answer.status,
        output_bytes: u32::try_from(answer.output.len()).unwrap_or(u32::MAX),
    };
    DEVICES.with_borrow_mut(|devices| {
        devices.irps.remove(&irp);
        devices.requests.push(report);
    });
    driver::release(irp);
    if buffer != 0 {
        driver::release(buffer);
    }
    answer
}

fn fill(irp: u64, stack: u64, file: &File, major: u32, buffer: u64) -> Result<(), mem::BadAddress> {
    /// `IO_TYPE_IRP`.
    const TYPE: i16 = 6;
    IRP::Type.write(irp, TYPE)?;
    IRP::Size.write(irp, (IRP::SIZE + IO_STACK_LOCATION::SIZE) as u16)?;
    IRP::StackCount.write(irp, 1)?;
    IRP::CurrentLocation.write(irp, 1)?;
    // UserMode.
    IRP::RequestorMode.write(irp, 1)?;
    IRP::AssociatedIrp_SystemBuffer.write(irp, buffer)?;
    IRP::Tail_Overlay_CurrentStackLocation.write(irp, stack)?;
    IRP::Tail_Overlay_OriginalFileObject.write(irp, file.file)?;
    IRP::Tail_Overlay_Thread.write(irp, sched::thread_object(sched::current()))?;
    IO_STACK_LOCATION::MajorFunction.write(stack, major as u8)?;
    IO_STACK_LOCATION::DeviceObject.write(stack, file.device.object)?;
    IO_STACK_LOCATION::FileObject.write(stack, file.file)
}

/// Whether the I/O manager copies output back: not for errors, but for warnings.
fn has_output(status: u32) -> bool {
    status < 0xC000_0000
}

fn read_answer(irp: u64, buffer: u64, room: usize) -> Result<Answer, mem::BadAddress> {
    let block = irp + IRP::IoStatus;
    let status = IO_STATUS_BLOCK::Status.read(block)?.cast_unsigned();
    let information = IO_STATUS_BLOCK::Information.read(block)?;
    let copied = if has_output(status) {
        usize::try_from(information).unwrap_or(room).min(room)
    } else {
        0
    };
    Ok(Answer {
        status,
        output: if copied == 0 {
            Vec::new()
        } else {
            mem::read_bytes(buffer, copied)?
        },
    })
}

/// `IofCompleteRequest`.
pub(crate) fn complete(irp: u64) {
    let block = irp.wrapping_add(IRP::IoStatus);
    let sent = DEVICES.with_borrow(|devices| devices.irps.get(&irp).copied());
    let known = sent.is_some();
    // One that was completed before is out of reach.
    let is_again = sent.is_some_and(|sent| sent.completed);
    let read = || {
        let status = IO_STATUS_BLOCK::Status.read(block)?.cast_unsigned();
        let information = IO_STATUS_BLOCK::Information.read(block)?;
        Ok((status, information, IRP::CancelRoutine.read(irp)? != 0))
    };
    let (status, information, is_cancellable) = if is_again {
        (0, 0, false)
    } else {
        let read: Result<_, mem::BadAddress> = read();
        read.or_fault()
    };
    emit(Kind::Irp(IrpEvent::Completed {
        irp,
        status,
        information,
        is_cancellable,
        known,
    }));
    if let Some(sent) = sent.filter(|_| has_output(status)) {
        let bytes = usize::try_from(information).map_or(sent.room, |bytes| bytes.min(sent.room));
        if let Some(exposed) = exposure::in_answer(Exposure::Irp { irp }, sent.buffer, bytes) {
            emit(exposed);
        }
    }
    DEVICES.with_borrow_mut(|devices| {
        if let Some(sent) = devices.irps.get_mut(&irp) {
            sent.completed = true;
        }
    });
    if known {
        pool::restrict(&[irp], Reach::None);
    }
}
