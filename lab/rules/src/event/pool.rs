//! Pool memory, of every allocator that hands it out.

/// Pool memory changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolEvent {
    /// A block was handed out.
    Allocated {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
        /// Whether it may only be touched below DISPATCH_LEVEL.
        paged: bool,
    },
    /// A block was asked for that cannot be had: zero bytes, or without a tag.
    BadRequest {
        /// The size that was asked for.
        size: u64,
        /// The tag.
        tag: u32,
    },
    /// A live block was freed.
    Freed {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// Something was freed that cannot be.
    BadFree {
        /// The address that was given.
        address: u64,
        /// Why not.
        error: PoolFreeError,
    },
    /// The bytes around a block were found changed when it was freed, or at the end.
    Damaged {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
        /// The first changed byte, relative to the block (negative: before it).
        offset: i64,
    },
}

/// Why a free cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolFreeError {
    /// The block was freed before.
    Twice {
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// It is live under another tag.
    Tag {
        /// The tag it was allocated with.
        allocated: u32,
        /// The tag it was freed with.
        freed: u32,
    },
    /// It belongs to another allocator's objects (an NBL, a work item).
    Kind,
    /// No block starts there.
    Unknown,
}
