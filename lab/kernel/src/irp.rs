//! IRPs: who has made them, which device has them, and how they go down and up a stack of drivers.
//!
//! An IRP that the driver makes is its own until [`call`] gives it to a device. It comes back through the completion
//! routines ([`climb`]), of which that of its maker has to stop it, unless the system knows the thread that it was built
//! in and ends it for that.

pub(crate) mod build;
mod completion;
mod down;
mod offered;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::Kind;
use lab_rules::event::{IrpEvent, IrpMisuse, Lent, Remaining};

use crate::abi::nt::{IO_STACK_LOCATION as L, IRP};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::{self, Owner, Reach};
use crate::watch::{OrFault, emit};
pub(crate) use build::Parts;
pub(crate) use completion::climb;
pub(crate) use down::{Dispatch, call, dispatch};
pub(crate) use offered::{cancel as cancel_offered, device as offered_device};

/// `IO_TYPE_IRP`.
pub(crate) const TYPE: i16 = 6;

/// Who has made an IRP that is the driver's, and so what becomes of it at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    /// `IoAllocateIrp`.
    Allocated,
    /// `IoBuildAsynchronousFsdRequest`.
    Built,
    /// The functions that build one for the running thread.
    Threaded(Parts),
    /// The driver itself, from raw memory.
    Raw,
}

/// An IRP of the driver's.
#[derive(Clone, Copy, Debug)]
struct Own {
    maker: Maker,
    /// `CurrentLocation` of its maker, while a device has it.
    home: Option<i8>,
    /// Whether its completion routine keeps the driver loaded.
    holds_driver: bool,
}

/// A call of a dispatch routine that has not both returned and come to its end.
#[derive(Clone, Copy, Debug)]
struct Sending {
    irp: u64,
    level: i8,
    /// Whether its stack location was marked pending, once it is completed.
    completed: Option<bool>,
    has_returned: bool,
    /// What the next driver's routine has returned.
    lower: Option<u32>,
}

#[derive(Default)]
struct Ledger {
    own: BTreeMap<u64, Own>,
    /// Those that were freed.
    gone: BTreeSet<u64>,
    /// By number.
    sendings: BTreeMap<u64, Sending>,
    last_sending: u64,
}

per_image! {
    static LEDGER: RefCell<Ledger> = RefCell::default();
}

/// Forgets all IRPs: a run begins.
pub(crate) fn reset() {
    LEDGER.take();
    offered::reset();
}

/// IRPs that the driver has made and nobody has freed.
pub(crate) fn remaining() -> Remaining {
    LEDGER.with_borrow(|ledger| {
        let is_system = |own: &Own| own.maker != Maker::Raw;
        let mut left = ledger.own.iter().filter(|(_, own)| is_system(own));
        Remaining {
            first: left.clone().next().map_or(0, |(irp, _)| *irp),
            count: u32::try_from(left.by_ref().count()).unwrap_or(u32::MAX),
        }
    })
}

/// Whether no completion routine has to run that keeps the driver loaded.
pub(crate) fn lets_unload() -> bool {
    LEDGER.with_borrow(|ledger| {
        let holds = |own: &Own| own.holds_driver && own.home.is_some();
        !ledger.own.values().any(holds)
    })
}

fn misuse(irp: u64, misuse: IrpMisuse) {
    emit(Kind::Irp(IrpEvent::Misused { irp, misuse }));
}

/// Fills in an IRP with so many stack locations that begins at `irp`.
fn initialize(irp: u64, size: u16, locations: u8) -> Result<(), BadAddress> {
    mem::fill(irp, usize::from(size), 0)?;
    IRP::Type.write(irp, TYPE)?;
    IRP::Size.write(irp, size)?;
    IRP::StackCount.write(irp, locations.cast_signed())?;
    IRP::CurrentLocation.write(irp, locations.wrapping_add(1).cast_signed())?;
    let top = irp + IRP::SIZE as u64 + L::SIZE as u64 * u64::from(locations);
    IRP::Tail_Overlay_CurrentStackLocation.write(irp, top)?;
    for list in [IRP::ThreadListEntry, IRP::Tail_Overlay_ListEntry] {
        mem::write(irp + list, irp + list)?;
        mem::write(irp + list + 8, irp + list)?;
    }
    Ok(())
}

/// Bytes of an IRP.
fn size(locations: u8) -> u16 {
    (IRP::SIZE + L::SIZE * usize::from(locations)) as u16
}

/// Memory for an IRP of the system's, filled in; 0 where there is none.
pub(crate) fn make(locations: u8) -> u64 {
    if driver::is_short() {
        return 0;
    }
    lend(locations)
}

/// The same where there always is some.
pub(crate) fn lend(locations: u8) -> u64 {
    let irp = driver::lend(Lent::Irp, size(locations).into());
    initialize(irp, size(locations), locations).or_fault();
    irp
}

fn own(irp: u64, maker: Maker) {
    let own = Own {
        maker,
        home: None,
        holds_driver: false,
    };
    LEDGER.with_borrow_mut(|ledger| {
        ledger.gone.remove(&irp);
        ledger.own.insert(irp, own)
    });
    if maker != Maker::Raw {
        emit(Kind::Irp(IrpEvent::Allocated { irp }));
    }
}

/// `IoAllocateIrp`.
pub(crate) fn allocate(locations: u8) -> u64 {
    let irp = make(locations);
    if irp != 0 {
        own(irp, Maker::Allocated);
    }
    irp
}

fn maker(irp: u64) -> Option<Maker> {
    LEDGER.with_borrow(|ledger| ledger.own.get(&irp).map(|own| own.maker))
}

/// `IoInitializeIrp`.
pub(crate) fn initialize_raw(irp: u64, size: u16, locations: u8) {
    if maker(irp).is_some_and(|maker| maker != Maker::Raw) {
        misuse(irp, IrpMisuse::Initialized);
    }
    initialize(irp, size, locations).or_fault();
    own(irp, Maker::Raw);
}

/// `IoReuseIrp`.
pub(crate) fn reuse(irp: u64, status: i32) {
    let is_built = |maker| matches!(maker, Maker::Built | Maker::Threaded(_));
    if maker(irp).is_some_and(is_built) {
        misuse(irp, IrpMisuse::ReusedBuilt);
    }
    let again = || {
        let (size, locations) = (IRP::Size.read(irp)?, IRP::StackCount.read(irp)?);
        let flags = IRP::AllocationFlags.read(irp)?;
        initialize(irp, size, locations.cast_unsigned())?;
        IRP::AllocationFlags.write(irp, flags)?;
        mem::write(irp + IRP::IoStatus, status)
    };
    again().or_fault();
}

/// `IoFreeIrp`.
pub(crate) fn free(irp: u64) {
    let (known, is_gone) = LEDGER.with_borrow(|ledger| {
        let known = ledger.own.get(&irp).copied();
        (known, ledger.gone.contains(&irp))
    });
    let wrong = match known {
        None if is_gone => Some(IrpMisuse::FreedAgain),
        None => Some(IrpMisuse::FreedForeign),
        Some(own) => match own.maker {
            Maker::Raw => Some(IrpMisuse::FreedForeign),
            Maker::Threaded(_) => Some(IrpMisuse::FreedThreaded),
            _ if own.home.is_some() => Some(IrpMisuse::FreedInUse),
            _ => None,
        },
    };
    match wrong {
        Some(wrong) => misuse(irp, wrong),
        None => release(irp),
    }
}

/// An IRP is gone.
fn release(irp: u64) {
    LEDGER.with_borrow_mut(|ledger| {
        ledger.own.remove(&irp);
        ledger.gone.insert(irp);
    });
    emit(Kind::Irp(IrpEvent::Freed { irp }));
    driver::release(irp);
}

/// The completion routine of an IRP keeps the driver loaded until it has run.
pub(crate) fn hold_driver(irp: u64) {
    LEDGER.with_borrow_mut(|ledger| {
        if let Some(own) = ledger.own.get_mut(&irp) {
            own.holds_driver = true;
        }
    });
}

/// The call of a dispatch routine that has to end an IRP where it is now.
pub(crate) fn open_sending(irp: u64) -> Option<u64> {
    let level = IRP::CurrentLocation.read(irp).ok()?;
    LEDGER.with_borrow(|ledger| {
        let is_it = |sending: &Sending| {
            sending.irp == irp && sending.level == level && sending.completed.is_none()
        };
        let mut all = ledger.sendings.iter().rev();
        all.find(|(_, sending)| is_it(sending))
            .map(|(number, _)| *number)
    })
}

/// What the driver may do with an IRP's memory from now on, if that is the system's.
fn restrict(irp: u64, reach: Reach) {
    if pool::find(irp).is_some_and(|block| block.owner == Owner::Lab) {
        pool::restrict(&[irp], reach);
    }
}
