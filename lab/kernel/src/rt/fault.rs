//! What the processor refused, and what that means.

use super::{pool::Block, trace::StackId};

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
    /// Inside a freed block.
    FreedBlock(Block),
    /// In the pool, but in no block that ever was.
    Pool,
    /// The guard below a driver stack: the stack is used up.
    StackGuard,
    /// A driver stack.
    Stack,
    /// The image: section name and offset in the image.
    Image {
        /// Section.
        section: String,
        /// Offset from the image base.
        offset: u32,
    },
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
    /// IRQL at that moment.
    pub(crate) irql: u8,
    /// Kernel thread or DPC.
    pub(crate) thread: String,
    /// Driver stack.
    pub(crate) stack: StackId,
    /// What is at `address`.
    pub(crate) place: Place,
}

/// A bug check that Windows would raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bugcheck {
    /// Code.
    pub(crate) code: u32,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its four parameters.
    pub(crate) parameters: [u64; 4],
}

impl Fault {
    /// The bug check of Windows with Driver Verifier's special pool.
    pub(crate) fn bugcheck(&self) -> Bugcheck {
        unreachable!("next commit")
    }
}

/// What is at an address that could not be touched.
pub(crate) fn classify(address: u64) -> Place {
    let _ = address;
    unreachable!("next commit")
}
