//! Requests that the system builds for a driver, with their buffers.

use lab_rules::event::{IrpEvent, Lent};

use super::{Maker, own, release};
use crate::abi::constant::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IRP_BUFFERED_IO, IRP_DEALLOCATE_BUFFER, IRP_INPUT_OPERATION,
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE,
    MDL_PAGES_LOCKED, MDL_WRITE_OPERATION, METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_OUT_DIRECT,
};
use crate::abi::nt::{DEVICE_OBJECT, IO_STACK_LOCATION as L, IO_STATUS_BLOCK, IRP};
use crate::nt::{ke, mdl, mm};
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::Kind;
use crate::rt::{paged, sched};
use crate::watch::{OrFault, emit};
use crate::{driver, memory};

/// What the system has made for a request that it ends itself; what is not there is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The system's buffer, which is copied to `target` at the end if that is not 0.
    system: u64,
    target: u64,
    room: usize,
    mdl: u64,
    /// Who is told.
    event: u64,
    block: u64,
}

impl Parts {
    /// Whether nobody waits for an event.
    pub(super) fn is_unheard(&self) -> bool {
        self.event == 0
    }

    /// Whether the driver answers in a buffer of the system's.
    pub(super) fn is_copied(&self) -> bool {
        self.target != 0
    }
}

/// Who a request is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The thread, which waits for it: the event, or 0.
    Thread { event: u64 },
    /// The driver, which ends it itself.
    Driver,
}

/// A device control request.
pub(crate) struct Control {
    pub(crate) code: u32,
    pub(crate) device: u64,
    pub(crate) input: u64,
    pub(crate) input_len: u32,
    pub(crate) output: u64,
    pub(crate) output_len: u32,
    pub(crate) is_internal: bool,
    pub(crate) event: u64,
    pub(crate) block: u64,
}

/// Memory for an IRP to a device, and its first stack location; nothing where there is none.
fn make_for(device: u64) -> Option<(u64, u64)> {
    let locations = DEVICE_OBJECT::StackSize.read(device).or_fault();
    let irp = super::make(u8::try_from(locations).unwrap_or(1).max(1));
    if irp == 0 {
        return None;
    }
    let above = IRP::Tail_Overlay_CurrentStackLocation.read(irp).or_fault();
    Some((irp, above - L::SIZE as u64))
}

/// A buffer of the system's with so many bytes of the driver's in it.
fn system_buffer(length: u32, source: u64, copied: u32) -> u64 {
    let bytes = read(source, copied);
    let buffer = driver::rubbish(Lent::SystemBuffer, size(length));
    if !bytes.is_empty() {
        driver::write(buffer, &bytes);
    }
    buffer
}

fn read(source: u64, length: u32) -> Vec<u8> {
    if length == 0 {
        return Vec::new();
    }
    sched::charge_copy(size(length));
    mem::read_bytes(source, size(length)).or_fault()
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Flags of the MDL of locked pages that the device writes to, or reads only.
fn mdl_flags(is_written: bool) -> u32 {
    MDL_PAGES_LOCKED | if is_written { MDL_WRITE_OPERATION } else { 0 }
}

/// Locks pages that the device writes to, or reads only.
fn lock_pages(address: u64, length: u32, is_written: bool) {
    mm::probe(address, length.into(), is_written).or_fault();
    paged::lock(address, size(length));
}

/// Locked pages that describe a buffer, in memory of the system's.
fn lock(address: u64, length: u32, is_written: bool) -> u64 {
    lock_pages(address, length, is_written);
    let mdl = driver::lend(Lent::Irp, mdl::size(address, length.into()));
    mdl::initialize(mdl, address, length, mdl_flags(is_written)).or_fault();
    mdl
}

/// `IoBuildDeviceIoControlRequest`: gives the IRP, or 0.
pub(crate) fn control(wish: &Control) -> u64 {
    if driver::is_too_much(wish.input_len.max(wish.output_len)) {
        return 0;
    }
    let Some((irp, location)) = make_for(wish.device) else {
        return 0;
    };
    let mut parts = Parts {
        event: wish.event,
        block: wish.block,
        ..Parts::default()
    };
    let (mut flags, mut type3, mut user) = (0, 0, 0);
    match wish.code & 3 {
        METHOD_BUFFERED => {
            let length = wish.input_len.max(wish.output_len);
            if length > 0 {
                parts.system = system_buffer(length, wish.input, wish.input_len);
                flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
            }
            if wish.output != 0 {
                (parts.target, parts.room) = (wish.output, size(wish.output_len));
                (flags, user) = (flags | IRP_INPUT_OPERATION, wish.output);
            }
        }
        method @ (METHOD_IN_DIRECT | METHOD_OUT_DIRECT) => {
            if wish.input_len > 0 {
                parts.system = system_buffer(wish.input_len, wish.input, wish.input_len);
                flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
            }
            if wish.output_len > 0 {
                let is_written = method == METHOD_OUT_DIRECT;
                parts.mdl = lock(wish.output, wish.output_len, is_written);
            }
        }
        _ => (type3, user) = (wish.input, wish.output),
    }
    let major = if wish.is_internal {
        IRP_MJ_INTERNAL_DEVICE_CONTROL
    } else {
        IRP_MJ_DEVICE_CONTROL
    };
    let fill = || {
        L::MajorFunction.write(location, major as u8)?;
        L::Parameters_DeviceIoControl_OutputBufferLength.write(location, wish.output_len)?;
        L::Parameters_DeviceIoControl_InputBufferLength.write(location, wish.input_len)?;
        L::Parameters_DeviceIoControl_IoControlCode.write(location, wish.code)?;
        L::Parameters_DeviceIoControl_Type3InputBuffer.write(location, type3)?;
        IRP::UserBuffer.write(irp, user)?;
        fill_for_thread(irp, flags, &parts)
    };
    fill().or_fault();
    own(irp, Maker::Threaded(parts));
    irp
}

fn fill_for_thread(irp: u64, flags: u32, parts: &Parts) -> Result<(), BadAddress> {
    IRP::Flags.write(irp, flags)?;
    IRP::AssociatedIrp_SystemBuffer.write(irp, parts.system)?;
    IRP::MdlAddress.write(irp, parts.mdl)?;
    IRP::UserEvent.write(irp, parts.event)?;
    IRP::UserIosb.write(irp, parts.block)?;
    IRP::Tail_Overlay_Thread.write(irp, sched::thread_object(sched::current()))
}

/// A read, a write, or what has no buffer.
pub(crate) struct Transfer {
    pub(crate) major: u32,
    pub(crate) device: u64,
    pub(crate) buffer: u64,
    pub(crate) length: u32,
    /// Where the offset is, or 0.
    pub(crate) offset: u64,
    pub(crate) block: u64,
    pub(crate) whose: For,
}

/// `IoBuildSynchronousFsdRequest` and `IoBuildAsynchronousFsdRequest`: gives the IRP, or 0.
pub(crate) fn transfer(wish: &Transfer) -> u64 {
    if driver::is_too_much(wish.length) {
        return 0;
    }
    let Some((irp, location)) = make_for(wish.device) else {
        return 0;
    };
    let (event, is_ours) = match wish.whose {
        For::Thread { event } => (event, true),
        For::Driver => (0, false),
    };
    let mut parts = Parts {
        event,
        block: wish.block,
        ..Parts::default()
    };
    let mut flags = 0;
    let is_write = wish.major == IRP_MJ_WRITE;
    let has_data = is_write || wish.major == IRP_MJ_READ;
    if has_data && wish.length > 0 {
        let device_flags = DEVICE_OBJECT::Flags.read(wish.device).or_fault();
        if device_flags & DO_BUFFERED_IO != 0 {
            let copied = if is_write { wish.length } else { 0 };
            parts.system = if is_ours {
                system_buffer(wish.length, wish.buffer, copied)
            } else {
                drivers_buffer(wish.length, wish.buffer, copied)
            };
            flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
            if !is_write {
                (parts.target, parts.room) = (wish.buffer, size(wish.length));
                flags |= IRP_INPUT_OPERATION;
            }
        } else if device_flags & DO_DIRECT_IO != 0 {
            parts.mdl = if is_ours {
                lock(wish.buffer, wish.length, !is_write)
            } else {
                drivers_mdl(wish.buffer, wish.length, !is_write)
            };
        }
        let is_short = device_flags & (DO_BUFFERED_IO | DO_DIRECT_IO) != 0
            && parts.system == 0
            && parts.mdl == 0;
        if is_short {
            driver::release(irp);
            return 0;
        }
    }
    let fill = || {
        L::MajorFunction.write(location, wish.major as u8)?;
        if has_data {
            // The members of a write are where those of a read are.
            L::Parameters_Read_Length.write(location, wish.length)?;
            let offset = match wish.offset {
                0 => 0,
                offset => mem::read(offset)?,
            };
            L::Parameters_Read_ByteOffset.write(location, offset)?;
            IRP::UserBuffer.write(irp, wish.buffer)?;
        }
        fill_for_thread(irp, flags, &parts)
    };
    fill().or_fault();
    own(
        irp,
        if is_ours {
            Maker::Threaded(parts)
        } else {
            Maker::Built
        },
    );
    irp
}

/// Tag of the buffers that a driver has to free itself.
const TAG: u32 = u32::from_le_bytes(*b"Irp ");

/// A buffer as in [`system_buffer`], which the driver frees.
fn drivers_buffer(length: u32, source: u64, copied: u32) -> u64 {
    let bytes = read(source, copied);
    let buffer = memory::allocate(TAG, length.into(), Kind::NonPaged, false);
    if buffer != 0 && !bytes.is_empty() {
        mem::write_bytes(buffer, &bytes).or_fault();
    }
    buffer
}

/// Locked pages as in [`lock`], which the driver unlocks and frees.
fn drivers_mdl(address: u64, length: u32, is_written: bool) -> u64 {
    let mdl = mm::allocate_mdl_with(address, length, mdl_flags(is_written));
    if mdl != 0 {
        lock_pages(address, length, is_written);
        emit(lab_rules::Kind::Irp(IrpEvent::PagesLocked {
            mdl,
            address,
            length: length.into(),
        }));
    }
    mdl
}

/// A request for a thread has come to its end: what is in the system's buffer goes to who has asked, who is told, and all
/// that the system has made goes.
pub(super) fn finish(irp: u64, parts: &Parts) {
    let block = irp + IRP::IoStatus;
    let status = IO_STATUS_BLOCK::Status.read(block).or_fault();
    let information = IO_STATUS_BLOCK::Information.read(block).or_fault();
    // Errors bring nothing, but warnings do.
    if parts.target != 0 && status.cast_unsigned() < 0xC000_0000 {
        let count = usize::try_from(information).map_or(parts.room, |count| count.min(parts.room));
        if count > 0 {
            let bytes = mem::read_bytes(parts.system, count).or_fault();
            sched::charge_copy(count);
            mem::write_bytes(parts.target, &bytes).or_fault();
        }
    }
    if parts.mdl != 0 {
        mm::end(parts.mdl).or_fault();
        paged::unlock(mdl::address(parts.mdl).or_fault());
    }
    for made in [parts.system, parts.mdl]
        .into_iter()
        .filter(|made| *made != 0)
    {
        driver::release(made);
    }
    if parts.block != 0 {
        let tell = || {
            IO_STATUS_BLOCK::Status.write(parts.block, status)?;
            IO_STATUS_BLOCK::Information.write(parts.block, information)
        };
        tell().or_fault();
    }
    release(irp);
    if parts.event != 0 {
        ke::set_event_at(parts.event).or_fault();
    }
}
