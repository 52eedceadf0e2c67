//! The three interfaces that requests come and go by.

use core::ffi::c_void;
use core::fmt;

use ndis_sys::{
    NDIS_HANDLE, NDIS_OID_REQUEST, NDIS_STATUS, NdisFCancelDirectOidRequest, NdisFCancelOidRequest,
    NdisFDirectOidRequest, NdisFDirectOidRequestComplete, NdisFOidRequest, NdisFOidRequestComplete,
    OID_802_3_CURRENT_ADDRESS, OID_802_3_MULTICAST_LIST, OID_GEN_CURRENT_PACKET_FILTER,
    OID_GEN_LINK_STATE, OID_GEN_MAXIMUM_FRAME_SIZE, OID_GEN_RCV_OK,
    OID_GEN_RECEIVE_SCALE_PARAMETERS, OID_GEN_STATISTICS, OID_GEN_XMIT_OK, OID_PM_PARAMETERS,
    OID_PNP_SET_POWER, OID_TCP_OFFLOAD_PARAMETERS, OID_TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA,
    OID_TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA, OID_TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA,
};

use super::Requests;
use crate::filter::{FilterModule, ModuleCore};

/// What a request is about: an `NDIS_OID`.
///
/// The constants are those that filters look at most; [`from_raw`](Self::from_raw) makes any other.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-oids>
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Oid(u32);

impl Oid {
    /// `OID_GEN_CURRENT_PACKET_FILTER`.
    pub const GEN_CURRENT_PACKET_FILTER: Self = Self(OID_GEN_CURRENT_PACKET_FILTER);
    /// `OID_GEN_LINK_STATE`.
    pub const GEN_LINK_STATE: Self = Self(OID_GEN_LINK_STATE);
    /// `OID_GEN_MAXIMUM_FRAME_SIZE`.
    pub const GEN_MAXIMUM_FRAME_SIZE: Self = Self(OID_GEN_MAXIMUM_FRAME_SIZE);
    /// `OID_GEN_RCV_OK`.
    pub const GEN_RCV_OK: Self = Self(OID_GEN_RCV_OK);
    /// `OID_GEN_RECEIVE_SCALE_PARAMETERS`.
    pub const GEN_RECEIVE_SCALE_PARAMETERS: Self = Self(OID_GEN_RECEIVE_SCALE_PARAMETERS);
    /// `OID_GEN_STATISTICS`.
    pub const GEN_STATISTICS: Self = Self(OID_GEN_STATISTICS);
    /// `OID_GEN_XMIT_OK`.
    pub const GEN_XMIT_OK: Self = Self(OID_GEN_XMIT_OK);
    /// `OID_802_3_CURRENT_ADDRESS`.
    pub const ETHERNET_CURRENT_ADDRESS: Self = Self(OID_802_3_CURRENT_ADDRESS);
    /// `OID_802_3_MULTICAST_LIST`.
    pub const ETHERNET_MULTICAST_LIST: Self = Self(OID_802_3_MULTICAST_LIST);
    /// `OID_PM_PARAMETERS`.
    pub const PM_PARAMETERS: Self = Self(OID_PM_PARAMETERS);
    /// `OID_PNP_SET_POWER`. It cannot be refused.
    pub const PNP_SET_POWER: Self = Self(OID_PNP_SET_POWER);
    /// `OID_TCP_OFFLOAD_PARAMETERS`.
    pub const TCP_OFFLOAD_PARAMETERS: Self = Self(OID_TCP_OFFLOAD_PARAMETERS);

    /// The OID that C calls by this number.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The number that C calls this OID by.
    #[must_use]
    pub const fn into_raw(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({:#010x})", self.0)
    }
}

/// One of the OIDs that the direct interface supports: those for security associations of IPsec offload version 2.
///
/// A filter may send no other through that interface, so there is no way to make one of a number.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/direct-oid-request-interface-in-ndis-6-1>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectOid(Oid);

impl DirectOid {
    /// `OID_TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA`.
    pub const IPSEC_ADD_SA: Self = Self(Oid(OID_TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA));
    /// `OID_TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA`. It cannot be refused.
    pub const IPSEC_DELETE_SA: Self = Self(Oid(OID_TCP_TASK_IPSEC_OFFLOAD_V2_DELETE_SA));
    /// `OID_TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA`.
    pub const IPSEC_UPDATE_SA: Self = Self(Oid(OID_TCP_TASK_IPSEC_OFFLOAD_V2_UPDATE_SA));
}

impl From<DirectOid> for Oid {
    fn from(oid: DirectOid) -> Self {
        oid.0
    }
}

/// An interface by which requests come: [`Regular`], [`Direct`] or [`Synchronous`].
pub trait Interface: sealed::Sealed + 'static {
    /// What a module may ask for through it.
    type Oid: Copy + Into<Oid>;
}

/// An interface whose requests may be left pending: [`Regular`] or [`Direct`].
pub trait MayPend: Interface {}

impl MayPend for Regular {}
impl MayPend for Direct {}

/// Requests of which a module gets one at a time. They may be left pending.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/filtering-oid-requests-in-an-ndis-filter-driver>
#[derive(Debug)]
pub enum Regular {}

/// Requests that may come while others are under way. They may be left pending.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/filter-module-direct-oid-requests>
#[derive(Debug)]
pub enum Direct {}

/// Requests that pass the filters within one call, and cannot be left pending.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/synchronous-oid-request-interface-in-ndis-6-80>
#[derive(Debug)]
pub enum Synchronous {}

impl Interface for Regular {
    type Oid = Oid;
}

impl Interface for Direct {
    type Oid = DirectOid;
}

impl Interface for Synchronous {
    type Oid = Oid;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Regular {}
    impl Sealed for super::Direct {}
    impl Sealed for super::Synchronous {}
}

/// An interface whose requests may be left pending: what NDIS offers for it.
///
/// What callers of the functions owe: `handle` is that of an attached module whose handlers for the interface are
/// registered.
pub(crate) trait Calls: Interface {
    /// Sends a request down: a clone, or one of the module's own. `NDIS_STATUS_PENDING` means that its answer comes, or
    /// came, through the completion handler, and that it may be gone.
    unsafe fn send(handle: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS;

    /// Completes a request that was left pending, and that nobody has completed.
    unsafe fn complete(handle: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS);

    /// Cancels what is below with this identifier, if anything is.
    unsafe fn cancel(handle: NDIS_HANDLE, id: *mut c_void);

    /// What a module has of this interface.
    fn requests<M: FilterModule>(core: &ModuleCore<M>) -> &Requests;
}

impl Calls for Regular {
    unsafe fn send(handle: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
        // SAFETY: this function's contract.
        unsafe { NdisFOidRequest(handle, request) }
    }

    unsafe fn complete(handle: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
        // SAFETY: this function's contract.
        unsafe { NdisFOidRequestComplete(handle, request, status) };
    }

    unsafe fn cancel(handle: NDIS_HANDLE, id: *mut c_void) {
        // SAFETY: this function's contract.
        unsafe { NdisFCancelOidRequest(handle, id) };
    }

    fn requests<M: FilterModule>(core: &ModuleCore<M>) -> &Requests {
        &core.regular_oids
    }
}

impl Calls for Direct {
    unsafe fn send(handle: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST) -> NDIS_STATUS {
        // SAFETY: this function's contract.
        unsafe { NdisFDirectOidRequest(handle, request) }
    }

    unsafe fn complete(handle: NDIS_HANDLE, request: *mut NDIS_OID_REQUEST, status: NDIS_STATUS) {
        // SAFETY: this function's contract.
        unsafe { NdisFDirectOidRequestComplete(handle, request, status) };
    }

    unsafe fn cancel(handle: NDIS_HANDLE, id: *mut c_void) {
        // SAFETY: this function's contract.
        unsafe { NdisFCancelDirectOidRequest(handle, id) };
    }

    fn requests<M: FilterModule>(core: &ModuleCore<M>) -> &Requests {
        &core.direct_oids
    }
}
