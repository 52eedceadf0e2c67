//! OID requests, regular, direct and synchronous.

use super::Header;

/// A request changed hands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OidEvent {
    /// NDIS hands a request to the filter; its handler is called next.
    Given {
        /// The adapter.
        adapter: u32,
        /// The interface.
        path: OidPath,
        /// The request.
        request: OidRequest,
    },
    /// The handler returned.
    Answered {
        /// The adapter.
        adapter: u32,
        /// The interface.
        path: OidPath,
        /// The request as it is now.
        request: OidRequest,
        /// The returned status.
        status: u32,
    },
    /// `NdisFOidRequestComplete` or `NdisFDirectOidRequestComplete`.
    Completed {
        /// The adapter.
        adapter: u32,
        /// The interface.
        path: OidPath,
        /// The request as it is now.
        request: OidRequest,
        /// The status it was given.
        status: u32,
    },
    /// `NdisAllocateCloneOidRequest` returned.
    Cloned {
        /// The adapter.
        adapter: u32,
        /// The original.
        source: u64,
        /// The clone; 0 when there was none to have.
        clone: u64,
    },
    /// `NdisAllocateCloneOidRequest` was called for what is no request, by its header.
    CloneRefused {
        /// The original.
        source: u64,
    },
    /// `NdisFreeCloneOidRequest`.
    CloneFreed {
        /// The adapter whose handle was given.
        adapter: u32,
        /// The clone.
        clone: u64,
    },
    /// `NdisFOidRequest`, `NdisFDirectOidRequest` or `NdisFSynchronousOidRequest`.
    Sent {
        /// The adapter.
        adapter: u32,
        /// The interface.
        path: OidPath,
        /// The request.
        request: OidRequest,
        /// Its header against what it should be.
        header: Header,
    },
    /// That call returned, or `FilterOidRequestComplete` is called next.
    Back {
        /// The adapter.
        adapter: u32,
        /// The interface.
        path: OidPath,
        /// The request as it is now.
        request: OidRequest,
        /// The result; NDIS_STATUS_PENDING when it is still below.
        status: u32,
    },
    /// `FilterCancelOidRequest` is called next.
    CancelGiven {
        /// The adapter.
        adapter: u32,
        /// The `RequestId` to look for.
        id: u64,
    },
    /// `NdisFCancelOidRequest`.
    CancelSent {
        /// The adapter.
        adapter: u32,
        /// The `RequestId` it was given.
        id: u64,
    },
    /// The filter has not finished a request that it was given.
    Overdue {
        /// The adapter.
        adapter: u32,
        /// The request.
        request: u64,
        /// Virtual nanoseconds since it was given.
        waited_ns: u64,
    },
    /// A member that is reserved for others, or the memory of a pending request, was changed.
    Altered {
        /// The adapter.
        adapter: u32,
        /// The request.
        request: u64,
        /// What was changed.
        alteration: OidAlteration,
    },
}

/// The interface that a request goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OidPath {
    /// `FilterOidRequest`.
    Regular,
    /// `FilterDirectOidRequest`.
    Direct,
    /// `FilterSynchronousOidRequest`.
    Synchronous,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OidKind {
    /// Information is asked for.
    #[default]
    Query,
    /// Information is given.
    Set,
    /// Both.
    Method,
}

/// An `NDIS_OID_REQUEST` as it is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OidRequest {
    /// Its address.
    pub request: u64,
    /// The OID.
    pub oid: u32,
    /// What it is for.
    pub kind: OidKind,
    /// `RequestId`.
    pub id: u64,
    /// `RequestHandle`.
    pub handle: u64,
    /// `PortNumber`.
    pub port: u32,
    /// Bytes of the information buffer, by direction: what may be written or read.
    pub buffer_len: u32,
    /// `BytesWritten` or `BytesRead`.
    pub bytes_done: u32,
    /// `BytesNeeded`.
    pub bytes_needed: u32,
    /// `SupportedRevision`.
    pub supported_revision: u8,
    /// Whether structure and information buffer lie in nonpaged memory.
    pub is_resident: bool,
}

/// What was changed in a request that is not the filter's to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OidAlteration {
    /// `NdisReserved` or `MiniportReserved`.
    Reserved,
    /// A member that a synchronous request declares read-only.
    Synchronous,
    /// The filter's own request, while it is pending below.
    Pending,
}
