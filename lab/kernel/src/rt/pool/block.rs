//! Pool blocks, and what can be wrong with a wish or a free.

use crate::rt::{layout::PAGE, trace::StackId};

/// What memory the block is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// NonPagedPoolNx.
    NonPaged,
    /// NonPagedPool with code in it. Executing it is not emulated: it is a rule to break.
    NonPagedExecute,
    /// PagedPool.
    Paged,
}

/// Who allocated the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The image, by an import that gives it pool.
    Driver,
    /// The lab: an object of Windows that the image only sees.
    Lab,
}

/// What the image may do with a live block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Read and write it.
    Whole,
    /// Read it.
    Read,
    /// Nothing: it is somebody else's for the time being.
    None,
}

/// A wish for memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Pool tag, as `ExAllocatePool2` takes it.
    pub(crate) tag: u32,
    /// Bytes, at least 1.
    pub(crate) size: usize,
    /// Power of two. `ExAllocatePool2` gives 16, and page alignment from one page on.
    pub(crate) align: usize,
    /// Memory type.
    pub(crate) kind: Kind,
    /// Zeroed, or filled with poison.
    pub(crate) zeroed: bool,
    /// Who asks.
    pub(crate) owner: Owner,
}

/// A block, live or freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// First byte.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) size: usize,
    /// Pool tag.
    pub(crate) tag: u32,
    /// Memory type.
    pub(crate) kind: Kind,
    /// Who allocated it.
    pub(crate) owner: Owner,
    /// Counts allocations, from 1.
    pub(crate) serial: u64,
    /// Where it was allocated.
    pub(crate) allocated: StackId,
    /// Where it was freed.
    pub(crate) freed: Option<StackId>,
    /// What the image may do with it while it is live.
    pub(crate) reach: Reach,
    /// Whether it began with poison in it.
    pub(crate) is_poisoned: bool,
}

/// The pool's address space is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// What is wrong with a free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreeError {
    /// No block was ever there.
    Unknown,
    /// The block is freed already.
    Twice(Block),
    /// The address is inside a live block, not its start.
    Inside(Block),
    /// The block has another tag.
    WrongTag(Block),
    /// Bytes around the block were overwritten. The block is freed all the same.
    Damaged {
        /// The block.
        block: Block,
        /// Offset of the first damaged byte from the block's start: negative before it, at least
        /// `size` behind it.
        offset: i64,
    },
}

impl Block {
    /// Address of the byte after its last.
    pub(super) fn end(&self) -> u64 {
        self.address + self.size as u64
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        (self.address..self.end()).contains(&address)
    }

    /// The pages that it takes, without the guard: first address and bytes.
    pub(super) fn pages(&self) -> (u64, usize) {
        let first = self.address - self.address % PAGE;
        (first, (self.end().next_multiple_of(PAGE) - first) as usize)
    }
}
