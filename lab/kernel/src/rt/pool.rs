//! Special pool: every block ends at a guard page and is never reused.

use super::trace::StackId;

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
    /// Zeroed, or filled with a poison byte.
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

/// Bytes and blocks of one owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Live bytes.
    pub(crate) bytes: u64,
    /// The most that were live at once.
    pub(crate) peak_bytes: u64,
    /// Live blocks.
    pub(crate) blocks: u64,
}

/// Allocates a block that ends at a guard page (as closely as its alignment allows).
///
/// # Errors
/// [`Exhausted`], which is the lab's limit, not the driver's fault.
pub(crate) fn allocate(request: Request) -> Result<u64, Exhausted> {
    let _ = request;
    unreachable!("next commit")
}

/// Frees a block: from now on, touching it is a fault that names it.
///
/// # Errors
/// [`FreeError`]; nothing is freed then, but for [`FreeError::Damaged`].
pub(crate) fn free(address: u64, tag: Option<u32>) -> Result<Block, FreeError> {
    let _ = (address, tag);
    unreachable!("next commit")
}

/// The block that holds or once held `address`, live or freed.
pub(crate) fn find(address: u64) -> Option<Block> {
    let _ = address;
    unreachable!("next commit")
}

/// Live blocks in the order of their allocation.
pub(crate) fn live() -> Vec<Block> {
    unreachable!("next commit")
}

/// Memory held by `owner`.
pub(crate) fn usage(owner: Owner) -> Usage {
    let _ = owner;
    unreachable!("next commit")
}
