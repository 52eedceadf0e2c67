//! What the processor refused.

/// The driver (or the kernel, with a pointer of the driver's) did what cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// The address that was touched, or the instruction when no memory is concerned.
    pub address: u64,
    /// The instruction, relative to the image when it lies in it.
    pub instruction: u64,
    /// What lies at `address`.
    pub region: Region,
    /// The import that was given a bad pointer, when the kernel touched memory for the driver.
    pub in_import: Option<&'static str>,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Memory that may not be touched like that.
    Memory(Access),
    /// An address no processor accepts.
    NonCanonical,
    /// Division by zero or overflow.
    Divide,
    /// An undefined instruction.
    IllegalInstruction,
    /// `int3`.
    Breakpoint,
    /// `int 29h` with this code.
    FastFail(u32),
    /// An instruction that only the system itself may run.
    Privileged,
    /// `int 2Ch`: a failed assertion.
    Assertion,
    /// The 24 KiB stack is used up.
    StackOverflow,
    /// The driver stopped the system itself.
    BugCheck {
        /// The code it gave.
        code: u32,
        /// The parameters it gave.
        parameters: [u64; 4],
    },
    /// A call came on a stack that the kernel did not make.
    ForeignStack,
    /// Memory of user mode, touched as no driver may touch it, whatever is there.
    User {
        /// How it was touched.
        access: Access,
        /// What is wrong with it.
        misuse: UserMisuse,
    },
    /// A C++ or structured exception that no one handles, with its code.
    Unhandled(u32),
}

/// Why no driver may touch memory of user mode so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserMisuse {
    /// The code is not ready for an exception.
    Unguarded,
    /// Another process runs than the one whose memory it is.
    OtherProcess,
    /// The request that has brought the address is completed.
    Over,
}

/// How memory was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read.
    Read,
    /// Written.
    Write,
    /// Fetched as an instruction.
    Execute,
}

/// What lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// The first 64 KiB.
    Null,
    /// Behind the end of a live allocation.
    PoolPast {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// Before the start of a live allocation.
    PoolBefore {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// In an allocation that was freed.
    PoolFreed {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// In a live block of pool, which holds no code.
    Pool {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// In a live block of paged pool, while the processor is at DISPATCH_LEVEL.
    PagedPool {
        /// Its address.
        block: u64,
        /// Its size in bytes.
        size: u64,
        /// Its tag.
        tag: u32,
    },
    /// In a pageable section of the image, while the processor is at DISPATCH_LEVEL.
    PagedSection,
    /// In the driver's image.
    Image,
    /// In an image that was unloaded.
    UnloadedImage,
    /// A structure that belongs to NDIS or another driver now: an NBL that was passed on.
    GivenAway {
        /// The memory block.
        block: u64,
        /// What it was.
        object: Lent,
    },
    /// What the driver has been given only to read: a frame.
    ReadOnly {
        /// The memory block.
        block: u64,
        /// What it is.
        object: Lent,
    },
    /// A driver stack, or the guard below it.
    Stack,
    /// Memory of user mode, or its mapping for the system.
    User {
        /// Whether the request is over that brought it, or the mapping undone.
        is_gone: bool,
    },
    /// The system's mapping of pages of user mode that are locked to be read.
    UserReadOnly,
    /// Nothing known.
    Unmapped,
}

/// What the kernel lends to the driver, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lent {
    /// A NET_BUFFER_LIST, NET_BUFFER, MDL, or the frame.
    Packet,
    /// What `NdisReadConfiguration` gave.
    Configuration,
    /// Attach parameters.
    Attach,
    /// Restart or pause parameters.
    Restart,
    /// A status indication.
    Status,
    /// An OID request or its information buffer.
    Request,
    /// An IRP.
    Irp,
    /// The system buffer of an IRP.
    SystemBuffer,
    /// A work item.
    WorkItem,
    /// Memory of the system's whose address a request of user mode brings for one of its own.
    Bait,
    /// Anything else.
    Other,
}

impl Lent {
    /// All of them, with the pool tag of their memory.
    const TAGS: [(Self, [u8; 4]); 11] = [
        (Self::Packet, *b"LabP"),
        (Self::Configuration, *b"LabC"),
        (Self::Attach, *b"LabA"),
        (Self::Restart, *b"LabR"),
        (Self::Status, *b"LabS"),
        (Self::Request, *b"LabO"),
        (Self::Irp, *b"LabI"),
        (Self::SystemBuffer, *b"LabB"),
        (Self::WorkItem, *b"LabW"),
        (Self::Bait, *b"LabU"),
        (Self::Other, *b"Lab "),
    ];

    /// The pool tag of its memory.
    #[must_use]
    pub fn tag(self) -> u32 {
        let known = Self::TAGS.iter().find(|(lent, _)| *lent == self);
        known.map_or(0, |(_, tag)| u32::from_le_bytes(*tag))
    }

    /// What it is, for a person.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Packet => "packet memory of NDIS",
            Self::Configuration => "configuration value of NDIS",
            Self::Attach => "attach parameters",
            Self::Restart => "restart or pause parameters",
            Self::Status => "status indication",
            Self::Request => "memory of an OID request",
            Self::Irp => "IRP",
            Self::SystemBuffer => "system buffer of an IRP",
            Self::WorkItem => "work item",
            Self::Bait | Self::Other => "memory of the system",
        }
    }

    /// What memory with this tag holds, if the kernel lent it.
    #[must_use]
    pub fn of_tag(tag: u32) -> Option<Self> {
        let is_it = |(_, known): &&(Self, [u8; 4])| u32::from_le_bytes(*known) == tag;
        Self::TAGS.iter().find(is_it).map(|(lent, _)| *lent)
    }
}
