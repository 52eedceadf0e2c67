//! Pool memory, of every allocator that hands it out.

use super::NblCall;

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
    /// Bytes that were never written since their block was allocated are given to somebody else.
    Exposed {
        /// The block that they were allocated in.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
        /// How they leave.
        exposure: Exposure,
        /// The first of them, counted from the start of the frame or answer.
        offset: u64,
        /// How many they are.
        length: u64,
    },
}

/// How bytes leave the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exposure {
    /// In the data of a NET_BUFFER_LIST that it sends or indicates.
    Frame {
        /// The list.
        nbl: u64,
        /// The function that it was given to.
        call: NblCall,
    },
    /// In the output of a request to a device.
    Irp {
        /// The IRP.
        irp: u64,
    },
    /// In the information of an OID request.
    Oid {
        /// The request.
        request: u64,
    },
}

impl std::fmt::Display for Exposure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame { nbl, call } => {
                let verb = match call {
                    NblCall::Send | NblCall::SendComplete => "sent",
                    NblCall::Indicate | NblCall::Return => "indicated",
                };
                write!(f, "the data {verb} in NET_BUFFER_LIST {nbl:#x}")
            }
            Self::Irp { irp } => write!(f, "the output of IRP {irp:#x}"),
            Self::Oid { request } => write!(f, "the answer to OID request {request:#x}"),
        }
    }
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
