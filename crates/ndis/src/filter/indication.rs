//! What is neither packet nor request: status indications and Plug and Play events.

use core::marker::PhantomData;

use ndis_sys::{
    NDIS_HANDLE, NDIS_STATUS_INDICATION, NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION,
    NdisFDevicePnPEventNotify, NdisFIndicateStatus, NdisFNetPnPEvent,
};

use crate::Status;
use crate::irql::{Caller, Passive};

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
    /// The status code, one of the `NDIS_STATUS_…` values.
    #[must_use]
    pub const fn code(&self) -> i32 {
        // SAFETY: by the invariant the indication is there.
        unsafe { (*self.raw).StatusCode }
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
    /// The event code, one of the `NetEvent…` values.
    #[must_use]
    pub const fn code(&self) -> i32 {
        // SAFETY: by the invariant the event is there.
        unsafe { (*self.raw).NetPnPEvent.NetEvent }
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
    /// The event code, one of the `NdisDevicePnPEvent…` values.
    #[must_use]
    pub const fn code(&self) -> i32 {
        // SAFETY: by the invariant the event is there.
        unsafe { (*self.raw).DevicePnPEvent }
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
