//! NET_BUFFER_LIST structures changing hands between NDIS and a filter module.

/// NET_BUFFER_LIST structures changed hands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NblEvent {
    /// NDIS hands foreign structures to the filter: `FilterSendNetBufferLists` or
    /// `FilterReceiveNetBufferLists` is called next.
    Given {
        /// The adapter.
        adapter: u32,
        /// Which of the two.
        path: NblPath,
        /// The structures in order.
        nbls: Vec<u64>,
        /// What is in each.
        contents: Vec<Content>,
        /// `NDIS_RECEIVE_FLAGS_RESOURCES`: they are only lent.
        low_resources: bool,
    },
    /// NDIS gives back what the filter passed on: `FilterSendNetBufferListsComplete` or
    /// `FilterReturnNetBufferLists` is called next, or an indication with
    /// `NDIS_RECEIVE_FLAGS_RESOURCES` returns.
    Back {
        /// The adapter.
        adapter: u32,
        /// The direction they travelled.
        path: NblPath,
        /// The structures in order.
        nbls: Vec<u64>,
    },
    /// The filter hands structures to NDIS.
    Handed {
        /// The adapter whose handle was given.
        adapter: u32,
        /// The function.
        call: NblCall,
        /// The structures in order.
        nbls: Vec<HandedNbl>,
        /// What the list itself looks like.
        chain: Chain,
        /// `NumberOfNetBufferLists`, for an indication.
        count: Option<u32>,
        /// Whether the call claims to be made at DISPATCH_LEVEL.
        dispatch_flag: bool,
        /// `NDIS_RECEIVE_FLAGS_RESOURCES`, for an indication.
        low_resources: bool,
        /// Whether the handler that would give them back is registered for the module.
        has_return_handler: bool,
    },
    /// `FilterReceiveNetBufferLists` returned from an indication with
    /// `NDIS_RECEIVE_FLAGS_RESOURCES`.
    LentBack {
        /// The adapter.
        adapter: u32,
        /// The list it was called with.
        given: Vec<u64>,
        /// The list as its links are now.
        now: Vec<u64>,
    },
    /// `FilterSendNetBufferLists` or `FilterReceiveNetBufferLists` returned.
    HandlerReturned {
        /// The adapter.
        adapter: u32,
        /// Which of the two.
        path: NblPath,
        /// The structures it was called with.
        nbls: Vec<u64>,
    },
    /// A foreign structure came back to its owner with something changed that is not the filter's.
    Altered {
        /// The adapter.
        adapter: u32,
        /// The structure.
        nbl: u64,
        /// What changed.
        alteration: Alteration,
    },
    /// `FilterCancelSendNetBufferLists` is called next.
    CancelAsked {
        /// The adapter.
        adapter: u32,
        /// The structures with that cancel id that were given to the filter.
        nbls: Vec<u64>,
    },
    /// What the filter passed on is out of its reach until it is back.
    Away {
        /// The structure.
        nbl: u64,
        /// Every block that it is made of.
        blocks: Vec<u64>,
    },
    /// The miniport has taken the headers of a receive back, as it may with header-data split when
    /// its indication has returned.
    HeaderGone {
        /// The structure.
        nbl: u64,
        /// The block with its headers.
        block: u64,
    },
    /// A receive is given whose memory before the frame is out of reach.
    Unused {
        /// The structure.
        nbl: u64,
        /// The block without any byte of the frame.
        block: u64,
    },
    /// A foreign structure is with its owner for good: its memory goes.
    Home {
        /// The structure.
        nbl: u64,
        /// Every block that it is made of.
        blocks: Vec<u64>,
    },
    /// `NdisAllocateNetBufferListPool`.
    PoolAllocated {
        /// The pool; 0 when it was refused.
        pool: u64,
        /// `ProtocolId`.
        protocol_id: u8,
        /// `fAllocateNetBuffer`.
        allocates_buffer: bool,
        /// `ContextSize`.
        context_size: u32,
        /// `PoolTag`.
        tag: u32,
        /// `DataSize`.
        data_size: u32,
    },
    /// The filter allocated one from a pool.
    Allocated {
        /// The structure.
        nbl: u64,
        /// Its pool.
        pool: u64,
    },
    /// The filter freed a pool.
    PoolFreed {
        /// The pool.
        pool: u64,
    },
    /// The filter freed one.
    Freed {
        /// The structure.
        nbl: u64,
        /// Whether the kernel knows it as one of the filter's.
        known: bool,
    },
}

/// The direction of a packet at the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NblPath {
    /// Down.
    Send,
    /// Up.
    Receive,
}

/// An NDIS function that takes structures from the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NblCall {
    /// `NdisFSendNetBufferLists`.
    Send,
    /// `NdisFSendNetBufferListsComplete`.
    SendComplete,
    /// `NdisFIndicateReceiveNetBufferLists`.
    Indicate,
    /// `NdisFReturnNetBufferLists`.
    Return,
}

impl NblCall {
    /// The function's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "NdisFSendNetBufferLists",
            Self::SendComplete => "NdisFSendNetBufferListsComplete",
            Self::Indicate => "NdisFIndicateReceiveNetBufferLists",
            Self::Return => "NdisFReturnNetBufferLists",
        }
    }
}

/// One structure of a list that the filter hands over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HandedNbl {
    /// Its address.
    pub nbl: u64,
    /// Its `Status`.
    pub status: u32,
    /// Whether `SourceHandle` is the module's own handle.
    pub source_is_module: bool,
    /// What is in it.
    pub facts: NblFacts,
    /// Its frames, as a number, if it is one of the filter's that is sent or indicated.
    pub frames: Option<u64>,
}

/// What is in a structure that a filter is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// How many `NET_BUFFER`s it has.
    pub buffers: u32,
    /// Its frames, as a number; `None` if it holds no byte, or the filter can make no copy.
    pub frames: Option<u64>,
}

/// What a structure looks like inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NblFacts {
    /// Its NET_BUFFERs.
    pub buffers: u32,
    /// Bytes of the first NET_BUFFER's data.
    pub data_len: u32,
    /// How many of them lie in its first MDL with used data.
    pub first_span: u32,
    /// Whether its out-of-band data asks for a large send (LSO, USO).
    pub is_large_send: bool,
    /// Whether its NET_BUFFERs differ in addresses or EtherType.
    pub is_mixed: bool,
    /// Whether offsets, lengths and MDLs of a NET_BUFFER contradict each other.
    pub is_inconsistent: bool,
    /// Its cancel id.
    pub cancel_id: u64,
}

/// The shape of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chain {
    /// Ends with NULL, nothing twice.
    WellFormed,
    /// No structure at all.
    Empty,
    /// Comes back to itself.
    Cyclic,
    /// A link points to what is no NET_BUFFER_LIST.
    Broken,
}

/// What was changed in a structure that belongs to someone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alteration {
    /// `SourceHandle`.
    SourceHandle,
    /// The NET_BUFFER list.
    Buffers,
    /// An MDL chain.
    Chain,
    /// The data offset of a NET_BUFFER, or its place in the MDL chain.
    Offset,
    /// The data length of a NET_BUFFER.
    Geometry,
    /// The range that an MDL describes.
    Mdl,
    /// The context areas.
    Context,
    /// `ParentNetBufferList`.
    Parent,
    /// An out-of-band slot: its index in `NetBufferListInfo`.
    OutOfBand(u8),
    /// A member that is reserved for its owner or NDIS.
    Reserved,
    /// The bytes of the frame.
    Data,
}
