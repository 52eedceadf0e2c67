//! What is neither packet nor request: status indications and Plug and Play events.

use core::ffi::c_void;
use core::marker::PhantomData;

use ndis_sys::{
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_STATUS_INDICATION,
    NDIS_SIZEOF_STATUS_INDICATION_REVISION_1, NDIS_STATUS_INDICATION,
    NDIS_STATUS_INDICATION_REVISION_1, NDIS_STATUS_LINK_STATE,
    NDIS_STATUS_MEDIA_SPECIFIC_INDICATION_EX, NDIS_STATUS_PACKET_FILTER, NET_DEVICE_PNP_EVENT,
    NET_PNP_EVENT_NOTIFICATION, NdisDevicePnPEventPowerProfileChanged,
    NdisDevicePnPEventSurpriseRemoved, NdisFDevicePnPEventNotify, NdisFIndicateStatus,
    NdisFNetPnPEvent, NetEventFilterPreDetach, NetEventQueryPower, NetEventQueryRemoveDevice,
    NetEventSetPower,
};

use super::{Attached, FilterModule};
use crate::Status;
use crate::irql::{Caller, Passive};
use crate::oid::{BeyondBuffer, Requester};
use crate::work::NotAttached;

/// Declares a view of a structure that NDIS has lent to a callback.
macro_rules! lent {
    ($(#[$attribute:meta])* $name:ident, $raw:ty) => {
        $(#[$attribute])*
        ///
        /// # Invariants
        ///
        /// For `'a`, a callback's activation, `raw` points to what NDIS has lent to it, and `handle` is that of the
        /// module.
        #[derive(Debug)]
        pub struct $name<'a> {
            handle: NDIS_HANDLE,
            raw: *mut $raw,
            _lent: PhantomData<&'a ()>,
        }

        impl $name<'_> {
            /// # Safety
            ///
            /// The invariants hold.
            pub(crate) const unsafe fn new(handle: NDIS_HANDLE, raw: *mut $raw) -> Self {
                // INVARIANT: the caller's promise.
                Self {
                    handle,
                    raw,
                    _lent: PhantomData,
                }
            }
        }
    };
}

lent! {
    /// A status indication on its way up.
    #[must_use = "an indication that is not forwarded ends here"]
    StatusIndication, NDIS_STATUS_INDICATION
}

impl StatusIndication<'_> {
    /// `NDIS_STATUS_LINK_STATE`: the link is up or down, or has another speed.
    pub const LINK_STATE: i32 = NDIS_STATUS_LINK_STATE;
    /// `NDIS_STATUS_MEDIA_SPECIFIC_INDICATION_EX`: something that only those know who know the adapter, or the filter.
    pub const MEDIA_SPECIFIC: i32 = NDIS_STATUS_MEDIA_SPECIFIC_INDICATION_EX;
    /// `NDIS_STATUS_PACKET_FILTER`: the packet filter may be another now. The information is the filter, 32 bits.
    pub const PACKET_FILTER: i32 = NDIS_STATUS_PACKET_FILTER;

    /// The status code, one of the `NDIS_STATUS_…` values.
    #[must_use]
    pub const fn code(&self) -> i32 {
        // SAFETY: by the invariant the indication is there.
        unsafe { (*self.raw).StatusCode }
    }

    /// The port that it is about; 0 if it is about none in particular.
    #[must_use]
    pub const fn port(&self) -> u32 {
        // SAFETY: by the invariant the indication is there.
        unsafe { (*self.raw).PortNumber }
    }

    /// Bytes of the information that comes with it.
    #[must_use]
    pub const fn length(&self) -> u32 {
        // SAFETY: by the invariant the indication is there.
        unsafe { (*self.raw).StatusBufferSize }
    }

    /// Copies information from `offset` on until `to` is full.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less. `to` is as it was.
    pub fn copy_to(&self, offset: u32, to: &mut [u8]) -> Result<(), BeyondBuffer> {
        // SAFETY: by the invariant the indication is there.
        let buffer = unsafe { (*self.raw).StatusBuffer };
        // SAFETY: NDIS has lent the buffer with the indication, and says how long it is.
        unsafe { copy(buffer.cast(), self.length(), offset, to) }
    }

    /// Passes the indication on, up the stack.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfindicatestatus>
    pub fn forward(self, _irql: &mut impl Caller) {
        // SAFETY: by the invariants; the module is attached, because NDIS has called it.
        unsafe { NdisFIndicateStatus(self.handle, self.raw) };
    }
}

lent! {
    /// A net Plug and Play or power management event on its way up.
    #[must_use = "an event that is not forwarded ends here"]
    NetPnpEvent, NET_PNP_EVENT_NOTIFICATION
}

impl NetPnpEvent<'_> {
    /// `NetEventSetPower`: the adapter goes to another power state. A module may stay running meanwhile.
    pub const SET_POWER: i32 = NetEventSetPower;
    /// `NetEventQueryPower`: may the adapter go to another power state?
    pub const QUERY_POWER: i32 = NetEventQueryPower;
    /// `NetEventQueryRemoveDevice`: may the adapter be removed?
    pub const QUERY_REMOVE_DEVICE: i32 = NetEventQueryRemoveDevice;
    /// `NetEventFilterPreDetach`: the module will be detached; see [`PnpPath::pre_detach`](super::PnpPath::pre_detach).
    pub const FILTER_PRE_DETACH: i32 = NetEventFilterPreDetach;

    /// The event code, one of the `NetEvent…` values.
    #[must_use]
    pub const fn code(&self) -> i32 {
        // SAFETY: by the invariant the event is there.
        unsafe { (*self.raw).NetPnPEvent.NetEvent }
    }

    /// Whether NDIS heeds an error: whoever is asked may refuse.
    pub(crate) const fn may_be_refused(&self) -> bool {
        matches!(self.code(), Self::QUERY_POWER | Self::QUERY_REMOVE_DEVICE)
    }

    /// Bytes of the information that comes with it: of a power event, the state.
    #[must_use]
    pub const fn length(&self) -> u32 {
        // SAFETY: by the invariant the event is there.
        unsafe { (*self.raw).NetPnPEvent.BufferLength }
    }

    /// Copies information from `offset` on until `to` is full.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less. `to` is as it was.
    pub fn copy_to(&self, offset: u32, to: &mut [u8]) -> Result<(), BeyondBuffer> {
        // SAFETY: by the invariant the event is there.
        let buffer = unsafe { (*self.raw).NetPnPEvent.Buffer };
        // SAFETY: NDIS has lent the buffer with the event, and says how long it is.
        unsafe { copy(buffer.cast(), self.length(), offset, to) }
    }

    /// Passes the event on, up the stack.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// Those of the drivers above.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfnetpnpevent>
    pub fn forward(self, _irql: &mut Passive) -> Result<(), Status> {
        // SAFETY: by the invariants; the token says PASSIVE_LEVEL.
        let status = unsafe { NdisFNetPnPEvent(self.handle, self.raw) };
        Status::from_raw(status).ok()
    }
}

lent! {
    /// A device Plug and Play event on its way down.
    #[must_use = "an event that is not forwarded ends here"]
    DevicePnpEvent, NET_DEVICE_PNP_EVENT
}

impl DevicePnpEvent<'_> {
    /// `NdisDevicePnPEventSurpriseRemoved`: the adapter is gone.
    pub const SURPRISE_REMOVED: i32 = NdisDevicePnPEventSurpriseRemoved;
    /// `NdisDevicePnPEventPowerProfileChanged`: the computer runs on a battery now, or no longer.
    pub const POWER_PROFILE_CHANGED: i32 = NdisDevicePnPEventPowerProfileChanged;

    /// The event code, one of the `NdisDevicePnPEvent…` values.
    #[must_use]
    pub const fn code(&self) -> i32 {
        // SAFETY: by the invariant the event is there.
        unsafe { (*self.raw).DevicePnPEvent }
    }

    /// Bytes of the information that comes with it: of [`POWER_PROFILE_CHANGED`](Self::POWER_PROFILE_CHANGED), the profile.
    #[must_use]
    pub const fn length(&self) -> u32 {
        // SAFETY: by the invariant the event is there.
        unsafe { (*self.raw).InformationBufferLength }
    }

    /// Copies information from `offset` on until `to` is full.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less. `to` is as it was.
    pub fn copy_to(&self, offset: u32, to: &mut [u8]) -> Result<(), BeyondBuffer> {
        // SAFETY: by the invariant the event is there.
        let buffer = unsafe { (*self.raw).InformationBuffer };
        // SAFETY: NDIS has lent the buffer with the event, and says how long it is.
        unsafe { copy(buffer.cast(), self.length(), offset, to) }
    }

    /// Passes the event on, down the stack.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfdevicepnpeventnotify>
    pub fn forward(self, _irql: &mut Passive) {
        // SAFETY: by the invariants; the token says PASSIVE_LEVEL.
        unsafe { NdisFDevicePnPEventNotify(self.handle, self.raw) };
    }
}

/// Copies from a buffer.
///
/// # Safety
///
/// The buffer is null, or `length` bytes may be read from it.
unsafe fn copy(
    buffer: *const u8,
    length: u32,
    offset: u32,
    to: &mut [u8],
) -> Result<(), BeyondBuffer> {
    let end = u32::try_from(to.len())
        .ok()
        .and_then(|wanted| wanted.checked_add(offset));
    if end.is_none_or(|end| end > length) || (buffer.is_null() && length > 0) {
        return Err(BeyondBuffer);
    }
    if to.is_empty() {
        return Ok(());
    }
    // SAFETY: `offset` is not behind the end of the buffer.
    let from = unsafe { buffer.byte_add(offset as usize) };
    // SAFETY: so many bytes are there from `from` on; `to` is the caller's own memory.
    unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
    Ok(())
}

impl<M: FilterModule> Attached<'_, M> {
    /// Tells the drivers above something: a status indication of the module's own. Those above may use `information` until
    /// this returns.
    ///
    /// `code` is one of the `NDIS_STATUS_…` values; `port` is 0 if it is about no port in particular. The module may be
    /// handling another indication meanwhile.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] before NDIS has called the module for the first time, for `FilterAttach` may not have returned then,
    /// and once detach has begun: nobody above hears it.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/filter-module-status-indications>
    pub fn indicate_status(
        &self,
        code: i32,
        port: u32,
        information: &mut [u8],
        irql: &mut impl Caller,
    ) -> Result<(), NotAttached> {
        self.indicate([core::ptr::null_mut(); 2], code, port, information, irql)
    }

    /// As [`indicate_status`](Self::indicate_status), for who has made a request that has ended with
    /// [`Status::INDICATION_REQUIRED`]: the indication has the handle and the identifier of that request.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] before NDIS has called the module for the first time, for `FilterAttach` may not have returned then,
    /// and once detach has begun: nobody above hears it.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/ns-ndis-_ndis_status_indication>
    pub fn indicate_status_to(
        &self,
        requester: Requester,
        code: i32,
        port: u32,
        information: &mut [u8],
        irql: &mut impl Caller,
    ) -> Result<(), NotAttached> {
        self.indicate(requester.words(), code, port, information, irql)
    }

    /// Indicates a status; `[destination, request]` are those of a request, or null.
    fn indicate(
        &self,
        [destination, request]: [*mut c_void; 2],
        code: i32,
        port: u32,
        information: &mut [u8],
        _irql: &mut impl Caller,
    ) -> Result<(), NotAttached> {
        let core = self.core();
        core.acquire_to_speak().map_err(|_| NotAttached)?;
        let mut indication = NDIS_STATUS_INDICATION {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_STATUS_INDICATION,
                Revision: NDIS_STATUS_INDICATION_REVISION_1,
                Size: NDIS_SIZEOF_STATUS_INDICATION_REVISION_1,
            },
            SourceHandle: core.handle(),
            PortNumber: port,
            StatusCode: code,
            Flags: 0,
            DestinationHandle: destination,
            RequestId: request,
            StatusBuffer: information.as_mut_ptr().cast(),
            // Nothing longer can be indicated, and nothing is as long.
            StatusBufferSize: u32::try_from(information.len()).unwrap_or(u32::MAX),
            Guid: wdk_sys::GUID {
                Data1: 0,
                Data2: 0,
                Data3: 0,
                Data4: [0; 8],
            },
            NdisReserved: [core::ptr::null_mut(); 4],
        };
        // SAFETY: the reference keeps the module attached; the indication and its buffer are there until this returns.
        unsafe { NdisFIndicateStatus(core.handle(), &raw mut indication) };
        core.attached.release();
        Ok(())
    }
}
