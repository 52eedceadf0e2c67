//! The way up: completion routines run, and who waits for an IRP hears of its end.

use lab_rules::Kind;
use lab_rules::event::{Callback, IrpEvent, IrpMisuse};

use super::{LEDGER, Maker, build, misuse};
use crate::abi::constant::{
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_MORE_PROCESSING_REQUIRED,
};
use crate::abi::nt::{IO_STACK_LOCATION as L, IO_STATUS_BLOCK, IRP};
use crate::rt::mem::{self, BadAddress};
use crate::watch::{OrFault, emit, emit_about};
use crate::{device, driver};

/// Completes an IRP for a device of the system's, or for a driver that has no routine for it.
pub(super) fn end(irp: u64, status: i32, information: u64) {
    let block = irp + IRP::IoStatus;
    IO_STATUS_BLOCK::Status.write(block, status).or_fault();
    let member = IO_STATUS_BLOCK::Information;
    member.write(block, information).or_fault();
    climb(irp, None);
}

/// A stack location that completion leaves behind.
struct Step {
    /// Where it goes on.
    level: i8,
    routine: u64,
    context: u64,
    /// The device that the completion routine is told, whose driver has set it.
    device: u64,
    is_pending: bool,
    /// The location above, unless there is none.
    above: Option<u64>,
}

impl Step {
    /// Goes up by one; nothing where the top is reached.
    fn take(irp: u64) -> Result<Option<Self>, BadAddress> {
        let (count, level) = (IRP::StackCount.read(irp)?, IRP::CurrentLocation.read(irp)?);
        if level > count || level == i8::MAX {
            return Ok(None);
        }
        let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
        let control = u32::from(L::Control.read(location)?);
        let is_pending = control & SL_PENDING_RETURNED != 0;
        IRP::PendingReturned.write(irp, is_pending.into())?;
        let above = location.wrapping_add(L::SIZE as u64);
        IRP::CurrentLocation.write(irp, level + 1)?;
        IRP::Tail_Overlay_CurrentStackLocation.write(irp, above)?;
        let status = IO_STATUS_BLOCK::Status.read(irp + IRP::IoStatus)?;
        let is_cancelled = IRP::Cancel.read(irp)? != 0;
        let is_wanted = control & SL_INVOKE_ON_SUCCESS != 0 && status >= 0
            || control & SL_INVOKE_ON_ERROR != 0 && status < 0
            || control & SL_INVOKE_ON_CANCEL != 0 && is_cancelled;
        let above = (level < count).then_some(above);
        let step = Self {
            level: level + 1,
            routine: if is_wanted {
                L::CompletionRoutine.read(location)?
            } else {
                0
            },
            context: L::Context.read(location)?,
            device: above.map_or(Ok(0), |above| L::DeviceObject.read(above))?,
            is_pending,
            above,
        };
        mem::fill(location, L::SIZE, 0)?;
        Ok(Some(step))
    }
}

/// Completes an IRP from where it is: the routines that are set above run, up to the one that stops it. `by` is the call
/// of the dispatch routine whose driver does it, if one does.
pub(crate) fn climb(irp: u64, by: Option<u64>) {
    let mut last = 0;
    loop {
        note_completed(irp, by);
        let Some(step) = Step::take(irp).or_fault() else {
            return finish(irp, last);
        };
        arrive(irp, step.level);
        if step.routine == 0 {
            if step.is_pending {
                mark(step.above).or_fault();
            }
            continue;
        }
        last = step.routine;
        if !run(irp, &step) {
            return;
        }
    }
}

/// Runs a completion routine; tells whether completion goes on.
fn run(irp: u64, step: &Step) -> bool {
    let status = driver::call_status(
        Callback::IoCompletion,
        None,
        step.routine,
        &[step.device, irp, step.context],
    );
    if status == STATUS_MORE_PROCESSING_REQUIRED.cast_unsigned() {
        return false;
    }
    if LEDGER.with_borrow(|ledger| ledger.gone.contains(&irp)) {
        misuse_of(step.routine, irp, IrpMisuse::FreedInCompletion);
        return false;
    }
    if step.is_pending && !is_marked(step.above).or_fault() {
        misuse_of(step.routine, irp, IrpMisuse::NotPropagated);
    }
    true
}

/// A misuse by a completion routine, if there is one.
fn misuse_of(routine: u64, irp: u64, wrong: IrpMisuse) {
    if routine == 0 {
        return misuse(irp, wrong);
    }
    emit_about(Kind::Irp(IrpEvent::Misused { irp, misuse: wrong }), routine);
}

fn mark(location: Option<u64>) -> Result<(), BadAddress> {
    let Some(location) = location else {
        return Ok(());
    };
    let control = L::Control.read(location)?;
    L::Control.write(location, control | SL_PENDING_RETURNED as u8)
}

/// Whether a location is marked pending; there is nothing to mark above the top.
fn is_marked(location: Option<u64>) -> Result<bool, BadAddress> {
    let Some(location) = location else {
        return Ok(true);
    };
    Ok(u32::from(L::Control.read(location)?) & SL_PENDING_RETURNED != 0)
}

/// The driver whose location is the current one has its part completed, and so have those that have passed it on as it
/// was.
fn note_completed(irp: u64, by: Option<u64>) {
    let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp).or_fault();
    let level = IRP::CurrentLocation.read(irp).or_fault();
    if level > IRP::StackCount.read(irp).or_fault() {
        return;
    }
    let is_pending = is_marked(Some(location)).or_fault();
    let status = IO_STATUS_BLOCK::Status.read(irp + IRP::IoStatus).or_fault();
    let mut passed = Vec::new();
    LEDGER.with_borrow_mut(|ledger| {
        ledger.sendings.retain(|number, sending| {
            if sending.irp != irp || sending.level != level || sending.completed.is_some() {
                return true;
            }
            sending.completed = Some(is_pending);
            if by != Some(*number) {
                passed.push(*number);
            }
            !sending.has_returned
        });
    });
    for sending in passed {
        emit(Kind::Irp(IrpEvent::Passed {
            irp,
            sending,
            status: status.cast_unsigned(),
        }));
    }
}

/// An IRP comes back to its maker, if that is who has set the next routine.
fn arrive(irp: u64, level: i8) {
    let is_home = LEDGER.with_borrow_mut(|ledger| {
        let own = ledger.own.get_mut(&irp);
        own.is_some_and(|own| {
            let is_home = own.home == Some(level);
            if is_home {
                own.home = None;
            }
            is_home
        })
    });
    if is_home {
        emit(Kind::Irp(IrpEvent::CameBack { irp }));
    }
}

/// No driver is left above; `routine` was the last to hear of it, if any did.
fn finish(irp: u64, routine: u64) {
    let maker = LEDGER.with_borrow(|ledger| ledger.own.get(&irp).map(|own| own.maker));
    match maker {
        None => device::finish(irp),
        Some(Maker::Threaded(parts)) => build::finish(irp, &parts),
        Some(Maker::Allocated | Maker::Built | Maker::Raw) => {
            misuse_of(routine, irp, IrpMisuse::NotStopped);
        }
    }
}
