//! What the processor refused, and what that means.

use std::fmt;

use super::{
    layout, machine,
    pool::{self, Block},
    processor::KUSER_SHARED_DATA,
    sched::DISPATCH_LEVEL,
    stack,
    trace::StackId,
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
    /// The bug check of a Windows with Driver Verifier's special pool.
    pub(crate) fn bugcheck(&self) -> Bugcheck {
        let check = |code, name, parameters| Bugcheck {
            code,
            name,
            parameters,
        };
        match self.kind {
            FaultKind::Memory => self.memory_bugcheck(),
            FaultKind::FastFail(code) => check(
                0x139,
                "KERNEL_SECURITY_CHECK_FAILURE",
                [u64::from(code), 0, 0, 0],
            ),
            FaultKind::Divide => self.exception(0xC000_0094),
            FaultKind::IllegalInstruction => self.exception(0xC000_001D),
            FaultKind::Breakpoint => self.exception(0x8000_0003),
            FaultKind::Assertion => self.exception(0xC000_0420),
            FaultKind::Privileged => self.exception(0xC000_0096),
        }
    }

    fn exception(&self, status: u64) -> Bugcheck {
        let name = "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED";
        Bugcheck {
            code: 0x7E,
            name,
            parameters: [status, self.rip, 0, 0],
        }
    }

    fn memory_bugcheck(&self) -> Bugcheck {
        let check = |code, name, parameters| Bugcheck {
            code,
            name,
            parameters,
        };
        let write = u64::from(self.access == Access::Write);
        match &self.place {
            Place::StackGuard => check(0x7F, "UNEXPECTED_KERNEL_MODE_TRAP", [8, 0, 0, 0]),
            Place::FreedBlock(_) => check(
                0xD5,
                "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL",
                [self.address, write, self.rip, 0],
            ),
            Place::BeyondBlock { .. } | Place::BeforeBlock { .. } => check(
                0xD6,
                "DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION",
                [self.address, write, self.rip, 0],
            ),
            Place::Image { .. } if self.access == Access::Write => check(
                0xBE,
                "ATTEMPTED_WRITE_TO_READONLY_MEMORY",
                [self.address, 0, 0, 0],
            ),
            Place::Image { .. } | Place::Block(_) | Place::Stack
                if self.access == Access::Execute =>
            {
                check(
                    0xFC,
                    "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY",
                    [self.address, 0, 0, 0],
                )
            }
            // A general protection fault is an exception at any IRQL.
            Place::NonCanonical => self.exception(0xC000_0005),
            _ if self.irql >= DISPATCH_LEVEL => {
                let access = if self.access == Access::Execute {
                    8
                } else {
                    write
                };
                check(
                    0xD1,
                    "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
                    [self.address, u64::from(self.irql), access, self.rip],
                )
            }
            Place::Null => self.exception(0xC000_0005),
            _ => {
                let access = match self.access {
                    Access::Read => 0,
                    Access::Write => 2,
                    Access::Execute => 0x10,
                };
                check(
                    0x50,
                    "PAGE_FAULT_IN_NONPAGED_AREA",
                    [self.address, access, self.rip, 0],
                )
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Memory => {
                let verb = match self.access {
                    Access::Read => "reads",
                    Access::Write => "writes",
                    Access::Execute => "jumps to",
                };
                write!(out, "{verb} {:#x}: {}", self.address, self.place)
            }
            FaultKind::Divide => out.write_str("divides by zero, or a quotient that does not fit"),
            FaultKind::IllegalInstruction => out.write_str("runs bytes that are no instruction"),
            FaultKind::Breakpoint => out.write_str("runs a breakpoint without a debugger"),
            FaultKind::FastFail(code) => {
                write!(
                    out,
                    "fails fast with code {code} ({})",
                    fast_fail_name(code)
                )
            }
            FaultKind::Assertion => out.write_str("fails an assertion"),
            FaultKind::Privileged => {
                out.write_str("runs a privileged instruction that a filter has no use for")
            }
        }
    }
}

fn fast_fail_name(code: u32) -> &'static str {
    match code {
        0 | 2 => "a stack cookie was overwritten",
        3 => "a doubly linked list is torn",
        5 => "an invalid parameter is fatal",
        6 => "the security cookie was not set up",
        7 => "the program asked for its end",
        8 => "an array index is out of bounds",
        10 => "an indirect call goes to no function",
        14 => "a reference count is wrong",
        28 => "a buffer is overrun",
        _ => "see the list of fast-fail codes",
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("a null pointer, or a member of one"),
            Self::NonCanonical => {
                out.write_str("no address at all, perhaps poison or a torn pointer")
            }
            Self::Block(block) => write!(out, "inside {block}"),
            Self::BeyondBlock { block, distance: 0 } => {
                write!(out, "the first byte past the end of {block}")
            }
            Self::BeyondBlock { block, distance } => {
                write!(out, "{distance} bytes past the end of {block}")
            }
            Self::BeforeBlock { block, distance } => write!(out, "{distance} bytes before {block}"),
            Self::FreedBlock(block) => write!(out, "{block} was freed"),
            Self::Pool => out.write_str("pool that was never allocated"),
            Self::StackGuard => out.write_str("the stack of 24 KiB is used up"),
            Self::Stack => out.write_str("a kernel stack"),
            Self::Image { section, offset } if section.is_empty() => {
                write!(out, "the image at {offset:#x}")
            }
            Self::Image { section, offset } => {
                write!(out, "the image's section {section} at {offset:#x}")
            }
            Self::Unmapped => out.write_str("nothing is there"),
        }
    }
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
