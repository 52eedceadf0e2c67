//! The way down: an IRP is given to a device.

use lab_rules::Kind;
use lab_rules::event::{Callback, IrpEvent, IrpMisuse};

use super::{LEDGER, Maker, Own, Sending, TYPE, completion, misuse, offered, restrict};
use crate::abi::constant::{
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, METHOD_NEITHER, SL_PENDING_RETURNED,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_SUCH_DEVICE,
};
use crate::abi::nt::{DEVICE_OBJECT, IO_STACK_LOCATION as L, IRP};
use crate::device;
use crate::driver;
use crate::rt::exception;
use crate::rt::mem::BadAddress;
use crate::rt::pool::Reach;
use crate::watch::{self, OrFault, emit};

/// A call of a dispatch routine.
pub(crate) struct Dispatch {
    pub(crate) device: u64,
    pub(crate) irp: u64,
    pub(crate) routine: u64,
    pub(crate) major: u8,
    /// Bytes of the system's buffer that are copied to who asks; the most there can be where none are.
    pub(crate) output_len: u64,
}

/// `IofCallDriver`: gives what the dispatch routine returns.
pub(crate) fn call(device: u64, irp: u64) -> u32 {
    if IRP::Type.read(irp).or_fault() != TYPE {
        misuse(irp, IrpMisuse::NoIrp);
    }
    /// `IO_TYPE_DEVICE`.
    const DEVICE: i16 = 3;
    if DEVICE_OBJECT::Type.read(device).or_fault() != DEVICE {
        misuse(irp, IrpMisuse::NoDevice);
    }
    let level = IRP::CurrentLocation.read(irp).or_fault();
    if level <= 1 {
        misuse(irp, IrpMisuse::NoLocation);
    }
    if IRP::CancelRoutine.read(irp).or_fault() != 0 {
        misuse(irp, IrpMisuse::Cancellable);
    }
    let above = IRP::Tail_Overlay_CurrentStackLocation.read(irp).or_fault();
    let location = above.wrapping_sub(L::SIZE as u64);
    let control = u32::from(L::Control.read(location).or_fault());
    if control & SL_PENDING_RETURNED != 0 {
        misuse(irp, IrpMisuse::MarkedPending);
    }
    if brings_user_address(irp, location).or_fault() {
        misuse(irp, IrpMisuse::UserAddress);
    }
    let outer = begin(irp, level);
    if is_unheard(irp) && L::CompletionRoutine.read(location).or_fault() == 0 {
        misuse(irp, IrpMisuse::NobodyTold);
    }
    let go_down = || {
        IRP::CurrentLocation.write(irp, level - 1)?;
        IRP::Tail_Overlay_CurrentStackLocation.write(irp, location)?;
        L::DeviceObject.write(location, device)
    };
    go_down().or_fault();
    emit(Kind::Irp(IrpEvent::Called { irp }));
    let status = give(device, irp, location);
    if let Some(outer) = outer {
        LEDGER.with_borrow_mut(|ledger| {
            if let Some(outer) = ledger.sendings.get_mut(&outer) {
                outer.lower = Some(status);
            }
        });
    }
    status
}

/// Whether a request that says it is the kernel's has a buffer of user mode.
fn brings_user_address(irp: u64, location: u64) -> Result<bool, BadAddress> {
    if IRP::RequestorMode.read(irp)? != 0 {
        return Ok(false);
    }
    let major = u32::from(L::MajorFunction.read(location)?);
    let mut given = vec![IRP::UserBuffer.read(irp)?];
    if [IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL].contains(&major) {
        let code = L::Parameters_DeviceIoControl_IoControlCode.read(location)?;
        if code & 3 == METHOD_NEITHER {
            given.push(L::Parameters_DeviceIoControl_Type3InputBuffer.read(location)?);
        }
    }
    let is_user = |address: &u64| *address != 0 && exception::is_user(*address);
    Ok(given.iter().any(is_user))
}

/// Notes who sends an IRP on: its maker, or the dispatch routine that has it, whose call this gives.
fn begin(irp: u64, level: i8) -> Option<u64> {
    LEDGER.with_borrow_mut(|ledger| {
        if !device::is_sent(irp) {
            // What was not even initialized is the driver's own memory.
            let own = ledger.own.entry(irp).or_insert(Own {
                maker: Maker::Raw,
                home: None,
                holds_driver: false,
            });
            own.home.get_or_insert(level);
        }
        let is_it = |sending: &Sending| sending.irp == irp && !sending.has_returned;
        let mut all = ledger.sendings.iter().rev();
        all.find(|(_, sending)| is_it(sending))
            .map(|(number, _)| *number)
    })
}

/// Whether nobody hears of the end of an IRP that was built for a thread, but by a completion routine.
fn is_unheard(irp: u64) -> bool {
    LEDGER.with_borrow(|ledger| {
        let own = ledger.own.get(&irp);
        own.is_some_and(|own| matches!(own.maker, Maker::Threaded(parts) if parts.is_unheard()))
    })
}

fn give(device: u64, irp: u64, location: u64) -> u32 {
    let major = L::MajorFunction.read(location).or_fault();
    if offered::is(device) {
        return offered::dispatch(irp, location, major);
    }
    let end = |status: i32| {
        completion::end(irp, status, 0);
        status.cast_unsigned()
    };
    match device::routine(device, major) {
        None => end(STATUS_NO_SUCH_DEVICE),
        // The system answers for what a driver object leaves out.
        Some(0) => end(STATUS_INVALID_DEVICE_REQUEST),
        Some(routine) => dispatch(&Dispatch {
            device,
            irp,
            routine,
            major,
            output_len: room(irp, location, major),
        }),
    }
}

/// How many bytes a driver may claim to have answered with.
fn room(irp: u64, location: u64, major: u8) -> u64 {
    let is_control = u32::from(major) == IRP_MJ_DEVICE_CONTROL;
    let own = LEDGER.with_borrow(|ledger| ledger.own.get(&irp).copied());
    match own.map(|own| own.maker) {
        Some(Maker::Threaded(parts)) if is_control && parts.is_copied() => {
            let length = L::Parameters_DeviceIoControl_OutputBufferLength;
            length.read(location).or_fault().into()
        }
        _ => u64::MAX,
    }
}

/// Calls a dispatch routine with an IRP that is where it has to be.
pub(crate) fn dispatch(to: &Dispatch) -> u32 {
    let irp = to.irp;
    let level = IRP::CurrentLocation.read(irp).or_fault();
    let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp).or_fault();
    let sending = LEDGER.with_borrow_mut(|ledger| {
        ledger.last_sending += 1;
        let sending = Sending {
            irp,
            level,
            completed: None,
            has_returned: false,
            lower: None,
        };
        ledger.sendings.insert(ledger.last_sending, sending);
        ledger.last_sending
    });
    watch::note_handler(&[irp], to.routine);
    emit(Kind::Irp(IrpEvent::Sent {
        irp,
        sending,
        major: to.major,
        output_len: to.output_len,
    }));
    let status = driver::call_status(Callback::Dispatch, None, to.routine, &[to.device, irp]);
    let (completed, lower) = LEDGER.with_borrow_mut(|ledger| {
        let Some(known) = ledger.sendings.get_mut(&sending) else {
            return (None, None);
        };
        known.has_returned = true;
        let ended = (known.completed, known.lower);
        if ended.0.is_some() {
            ledger.sendings.remove(&sending);
        }
        ended
    });
    let marked_pending = completed.unwrap_or_else(|| is_marked(irp, location));
    let returned = IrpEvent::Returned {
        irp,
        sending,
        status,
        marked_pending,
        lower,
    };
    watch::emit_about(Kind::Irp(returned), to.routine);
    status
}

/// Whether a stack location of an IRP that is not completed is marked pending.
fn is_marked(irp: u64, location: u64) -> bool {
    restrict(irp, Reach::Whole);
    let control = L::Control.read(location);
    if offered::has(irp) {
        restrict(irp, Reach::None);
    }
    // One that the driver has freed has nothing in it.
    control.is_ok_and(|control| u32::from(control) & SL_PENDING_RETURNED != 0)
}
