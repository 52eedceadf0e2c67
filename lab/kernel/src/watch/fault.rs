//! Faults of the driver as events: its own, and those of imports that it gave bad pointers.

use lab_rules::Kind;
use lab_rules::event::{Access, Fault, FaultKind, Lent, Region, UserMisuse};

use super::{emit, hook};
use crate::abi::constant::STATUS_ACCESS_VIOLATION;
use crate::rt::mem::BadAddress;
use crate::rt::sched::{self, Reason};
use crate::rt::user::UserPlace;
use crate::rt::{exception, fault, paged, pool};

/// What an import does with a bad pointer of the driver's: the run ends with the fault.
pub(crate) trait OrFault<T> {
    /// The value, or the end of the run.
    fn or_fault(self) -> T;
}

impl<T> OrFault<T> for Result<T, BadAddress> {
    fn or_fault(self) -> T {
        match self {
            Ok(value) => value,
            Err(bad) => bad_pointer(bad),
        }
    }
}

/// The driver gave an import a pointer that cannot be used.
fn bad_pointer(bad: BadAddress) -> ! {
    let import = hook::current_import();
    let access = if bad.write {
        Access::Write
    } else {
        Access::Read
    };
    let place = fault::classify(bad.address);
    raise_for_copy(bad, import);
    emit(Kind::Fault(Fault {
        kind: if place == fault::Place::NonCanonical {
            FaultKind::NonCanonical
        } else {
            FaultKind::Memory(access)
        },
        address: bad.address,
        instruction: 0,
        region: region(&place, paged::is_closed(bad.address)),
        in_import: import,
    }));
    sched::stop(Reason::Internal(format!(
        "a bad pointer {:#x} broke no rule",
        bad.address
    )))
}

/// Functions that copy for the driver: what they do with a bad pointer of user mode is as if the driver had done it.
/// Nothing of theirs is under way then that an exception would cut off.
const COPIES: &[&str] = &[
    "RtlCompareMemory",
    "RtlCopyMemoryNonTemporal",
    "RtlFillMemoryNonTemporal",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
];

/// Raises an access violation in the driver, if that may handle it; comes back if it does not.
fn raise_for_copy(bad: BadAddress, import: Option<&str>) {
    let is_copy = import.is_some_and(|name| COPIES.contains(&name));
    if is_copy && exception::is_user(bad.address) && sched::irql() < sched::DISPATCH_LEVEL {
        let code = STATUS_ACCESS_VIOLATION.cast_unsigned();
        exception::raise(code, 0, &[u64::from(bad.write), bad.address]);
    }
}

/// A fault of the driver's own code, after the run.
pub(crate) fn fault_event(fault: &fault::Fault) -> Kind {
    let access = match fault.access {
        fault::Access::Read => Access::Read,
        fault::Access::Write => Access::Write,
        fault::Access::Execute => Access::Execute,
    };
    let kind = match (fault.kind, &fault.place) {
        (fault::FaultKind::Memory, fault::Place::NonCanonical) => FaultKind::NonCanonical,
        (fault::FaultKind::Memory, fault::Place::StackGuard) => FaultKind::StackOverflow,
        (fault::FaultKind::Memory, _) => FaultKind::Memory(access),
        (fault::FaultKind::Divide, _) => FaultKind::Divide,
        (fault::FaultKind::IllegalInstruction, _) => FaultKind::IllegalInstruction,
        (fault::FaultKind::Privileged, _) => FaultKind::Privileged,
        (fault::FaultKind::Breakpoint, _) => FaultKind::Breakpoint,
        (fault::FaultKind::FastFail(code), _) => FaultKind::FastFail(code),
        (fault::FaultKind::Assertion, _) => FaultKind::Assertion,
        (fault::FaultKind::User(misuse), _) => FaultKind::User {
            access,
            misuse: match misuse {
                fault::UserMisuse::Unguarded => UserMisuse::Unguarded,
                fault::UserMisuse::OtherProcess => UserMisuse::OtherProcess,
                fault::UserMisuse::Over => UserMisuse::Over,
            },
        },
    };
    Kind::Fault(Fault {
        kind,
        address: fault.address,
        instruction: fault.rip,
        region: region(&fault.place, fault.is_paged_out),
        in_import: None,
    })
}

/// What rules need to know of a place.
fn region(place: &fault::Place, is_paged_out: bool) -> Region {
    let parts = |block: &pool::Block| {
        (
            block.address,
            u64::try_from(block.size).unwrap_or(u64::MAX),
            block.tag,
        )
    };
    match place {
        fault::Place::Null => Region::Null,
        fault::Place::FreedBlock(block) if block.owner == pool::Owner::Lab => Region::GivenAway {
            block: block.address,
            object: Lent::of_tag(block.tag).unwrap_or(Lent::Other),
        },
        fault::Place::FreedBlock(block) => {
            let (block, size, tag) = parts(block);
            Region::PoolFreed { block, size, tag }
        }
        fault::Place::BeyondBlock { block, .. } => {
            let (block, size, tag) = parts(block);
            Region::PoolPast { block, size, tag }
        }
        fault::Place::BeforeBlock { block, .. } => {
            let (block, size, tag) = parts(block);
            Region::PoolBefore { block, size, tag }
        }
        fault::Place::Block(block) if is_paged_out => {
            let (block, size, tag) = parts(block);
            Region::PagedPool { block, size, tag }
        }
        fault::Place::Image { .. } if is_paged_out => Region::PagedSection,
        fault::Place::StackGuard | fault::Place::Stack => Region::Stack,
        fault::Place::Image { .. } => Region::Image,
        fault::Place::Block(block) => restricted(block),
        fault::Place::User(UserPlace::ReadOnly) => Region::UserReadOnly,
        fault::Place::User(place) => Region::User {
            is_gone: *place == UserPlace::Gone,
        },
        fault::Place::NonCanonical | fault::Place::Pool | fault::Place::Unmapped => {
            Region::Unmapped
        }
    }
}

/// A live block that could not be touched.
fn restricted(block: &pool::Block) -> Region {
    // The driver's own memory is away when it is a packet's.
    let object = match block.owner {
        pool::Owner::Lab => Lent::of_tag(block.tag).unwrap_or(Lent::Other),
        pool::Owner::Driver => Lent::Packet,
    };
    let (address, reach) = (block.address, block.reach);
    match reach {
        pool::Reach::Whole => Region::Pool {
            block: address,
            size: u64::try_from(block.size).unwrap_or(u64::MAX),
            tag: block.tag,
        },
        pool::Reach::Read => Region::ReadOnly {
            block: address,
            object,
        },
        // A buffer of no bytes.
        pool::Reach::None if object == Lent::Request => Region::PoolPast {
            block: address,
            size: 0,
            tag: block.tag,
        },
        pool::Reach::None => Region::GivenAway {
            block: address,
            object,
        },
    }
}
