//! What the processor refused, and what is at the address. Which rule that breaks, and which bug
//! check Windows would raise, is decided in `lab-rules`.

use super::{
    layout, machine,
    pool::{self, Block},
    processor::KUSER_SHARED_DATA,
    sched::ThreadId,
    stack,
    trace::StackId,
    user::{self, UserPlace},
};

/// How memory was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read.
    Read,
    /// Written.
    Write,
    /// Run as code.
    Execute,
}

/// What driver code does with memory of user mode that no driver may do, whatever is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserMisuse {
    /// It is not ready for an exception.
    Unguarded,
    /// It runs in another process than the one that has the memory.
    OtherProcess,
    /// The request that has brought it is completed.
    Over,
}

/// What kind of thing the processor refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// An address that may not be touched so.
    Memory,
    /// Division by zero, or its quotient too large.
    Divide,
    /// `ud2` or bytes that are no instruction.
    IllegalInstruction,
    /// `int3`.
    Breakpoint,
    /// `int 29h`: the code it was given.
    FastFail(u32),
    /// `int 2Ch`.
    Assertion,
    /// An instruction that only a kernel may run and that the lab does not emulate.
    Privileged,
    /// Memory of user mode.
    User(UserMisuse),
}

/// What an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below 64 KiB.
    Null,
    /// Not an address of the x64 architecture at all.
    NonCanonical,
    /// Inside a live pool block.
    Block(Block),
    /// `distance` bytes past the end of a live block (0 = the first byte past it).
    BeyondBlock {
        /// The block.
        block: Block,
        /// Bytes past its end.
        distance: u64,
    },
    /// `distance` bytes before a live block.
    BeforeBlock {
        /// The block.
        block: Block,
        /// Bytes before its start.
        distance: u64,
    },
    /// Inside a freed block, or less than a page behind it.
    FreedBlock(Block),
    /// In the pool, but near no block that ever was.
    Pool,
    /// The guard below a driver stack: the stack is used up.
    StackGuard,
    /// A driver stack.
    Stack,
    /// The image: section name and offset in the image.
    Image {
        /// Section; the headers and gaps have none.
        section: String,
        /// Offset from the image base.
        offset: u32,
    },
    /// Memory of user mode, or its mapping for the system.
    User(UserPlace),
    /// Nothing that the lab gave out.
    Unmapped,
}

/// A fault in driver code.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// What was refused.
    pub(crate) kind: FaultKind,
    /// The address touched, for [`FaultKind::Memory`].
    pub(crate) address: u64,
    /// How it was touched.
    pub(crate) access: Access,
    /// The instruction.
    pub(crate) rip: u64,
    /// Kernel thread or DPC.
    pub(crate) thread: ThreadId,
    /// IRQL at that moment.
    pub(crate) irql: u8,
    /// Driver stack.
    pub(crate) stack: StackId,
    /// Whether what is at `address` was closed because of the IRQL.
    pub(crate) is_paged_out: bool,
    /// What is at `address`.
    pub(crate) place: Place,
}

/// What is at an address that could not be touched.
pub(crate) fn classify(address: u64) -> Place {
    const NULL_BYTES: u64 = 0x1_0000;
    const CANONICAL_BITS: u32 = 47;
    if address < NULL_BYTES {
        return Place::Null;
    }
    let high = (address as i64) >> CANONICAL_BITS;
    if high != 0 && high != -1 {
        return Place::NonCanonical;
    }
    if let Some(place) = user::place(address) {
        return Place::User(place);
    }
    if let Some(is_stack) = stack::is_stack(address) {
        return if is_stack {
            Place::Stack
        } else {
            Place::StackGuard
        };
    }
    if (layout::POOL..layout::HIGH).contains(&address) {
        return pool::place(address);
    }
    machine::image_place(address).unwrap_or(Place::Unmapped)
}

/// Whether `address` is in the page that Windows shares with every process.
pub(super) fn is_shared_user_data(address: u64) -> bool {
    address.wrapping_sub(KUSER_SHARED_DATA) < layout::PAGE
}
