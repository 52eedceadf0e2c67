//! Which handlers a driver has.

use core::fmt;

use ndis_sys::{
    FILTER_CANCEL_DIRECT_OID_REQUEST_HANDLER, FILTER_CANCEL_OID_REQUEST_HANDLER,
    FILTER_CANCEL_SEND_HANDLER, FILTER_DEVICE_PNP_EVENT_NOTIFY_HANDLER,
    FILTER_DIRECT_OID_REQUEST_COMPLETE_HANDLER, FILTER_DIRECT_OID_REQUEST_HANDLER,
    FILTER_NET_PNP_EVENT_HANDLER, FILTER_OID_REQUEST_COMPLETE_HANDLER, FILTER_OID_REQUEST_HANDLER,
    FILTER_RECEIVE_NET_BUFFER_LISTS_HANDLER, FILTER_RETURN_NET_BUFFER_LISTS_HANDLER,
    FILTER_SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER, FILTER_SEND_NET_BUFFER_LISTS_HANDLER,
    FILTER_SET_FILTER_MODULE_OPTIONS_HANDLER, FILTER_STATUS_HANDLER,
    FILTER_SYNCHRONOUS_OID_REQUEST_COMPLETE_HANDLER, FILTER_SYNCHRONOUS_OID_REQUEST_HANDLER,
    NDIS_FILTER_CHARACTERISTICS_REVISION_3, NDIS_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_FILTER_PARTIAL_CHARACTERISTICS, NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
    NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
    NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3,
    NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
};

use super::{
    Attached, BothWays, BypassPath, HoldPath, ModuleCore, OriginatePath, PnpPath, ReceivePath,
    SendPath, StatusPath,
};
use crate::device::{self, ControlDevice};
use crate::driver::{Installed, Names};
use crate::irql::Passive;
use crate::nbl::OwnPackets;
use crate::oid::{Direct, DirectOidPath, OidPath, Regular, SyncOidPath};
use crate::{lifecycle, thunk, version};

/// The handlers that a driver registers, made by [`driver!`](crate::driver!).
///
/// Each method wants the trait that the handlers call; what is not asked for is null, and NDIS passes it by.
pub struct Handlers<M: Installed> {
    send: FILTER_SEND_NET_BUFFER_LISTS_HANDLER,
    send_complete: FILTER_SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER,
    cancel_send: FILTER_CANCEL_SEND_HANDLER,
    receive: FILTER_RECEIVE_NET_BUFFER_LISTS_HANDLER,
    return_: FILTER_RETURN_NET_BUFFER_LISTS_HANDLER,
    oid: Oid,
    direct_oid: DirectOid,
    synchronous_oid: SyncOid,
    status: FILTER_STATUS_HANDLER,
    net_pnp: FILTER_NET_PNP_EVENT_HANDLER,
    device_pnp: FILTER_DEVICE_PNP_EVENT_NOTIFY_HANDLER,
    module_options: FILTER_SET_FILTER_MODULE_OPTIONS_HANDLER,
    /// How pause gives up what is held.
    pub(crate) drain: Option<Drain<M>>,
    /// How many packets of their own modules want.
    pub(crate) own_packets: Option<WantOwnPackets<M>>,
    pub(crate) device: Option<device::Registration<M>>,
}

/// `FilterOidRequest`, its completion, its cancellation: all or none.
struct Oid {
    request: FILTER_OID_REQUEST_HANDLER,
    complete: FILTER_OID_REQUEST_COMPLETE_HANDLER,
    cancel: FILTER_CANCEL_OID_REQUEST_HANDLER,
}

/// `FilterDirectOidRequest`, its completion, its cancellation: all or none.
struct DirectOid {
    request: FILTER_DIRECT_OID_REQUEST_HANDLER,
    complete: FILTER_DIRECT_OID_REQUEST_COMPLETE_HANDLER,
    cancel: FILTER_CANCEL_DIRECT_OID_REQUEST_HANDLER,
}

/// `FilterSynchronousOidRequest` and its completion: both or none.
struct SyncOid {
    request: FILTER_SYNCHRONOUS_OID_REQUEST_HANDLER,
    complete: FILTER_SYNCHRONOUS_OID_REQUEST_COMPLETE_HANDLER,
}

type WantOwnPackets<M> = fn(&Attached<'_, M>, &mut Passive) -> BothWays<OwnPackets>;

/// Gives up what a module holds.
type Drain<M> = unsafe fn(&ModuleCore<M>, &mut Passive);

impl<M: Installed> Handlers<M> {
    /// Attach, detach, restart and pause only: NDIS sends everything past the filter.
    pub const LIFECYCLE: Self = Self {
        send: None,
        send_complete: None,
        cancel_send: None,
        receive: None,
        return_: None,
        oid: Oid {
            request: None,
            complete: None,
            cancel: None,
        },
        direct_oid: DirectOid {
            request: None,
            complete: None,
            cancel: None,
        },
        synchronous_oid: SyncOid {
            request: None,
            complete: None,
        },
        status: None,
        net_pnp: None,
        device_pnp: None,
        module_options: None,
        drain: None,
        own_packets: None,
        device: None,
    };

    /// Adds [`SendPath`]: `FilterSendNetBufferLists` and its completion.
    #[must_use]
    pub const fn send(mut self) -> Self
    where
        M: SendPath,
    {
        self.send = Some(thunk::send::<M>);
        self.send_complete = Some(thunk::send_complete::<M>);
        self
    }

    /// Adds [`ReceivePath`]: `FilterReceiveNetBufferLists`, its return, and `FilterStatus`, which NDIS wants beside them.
    #[must_use]
    pub const fn receive(mut self) -> Self
    where
        M: ReceivePath,
    {
        self.receive = Some(thunk::receive::<M>);
        self.return_ = Some(thunk::return_::<M>);
        self.status()
    }

    /// Adds [`HoldPath`]: both directions, and `FilterCancelSendNetBufferLists`, which NDIS wants of who holds sends.
    #[must_use]
    pub const fn hold(mut self) -> Self
    where
        M: HoldPath,
    {
        self.cancel_send = Some(thunk::cancel_send::<M>);
        self.drain = Some(lifecycle::drain::<M>);
        self.send().receive()
    }

    /// Adds [`OriginatePath`]: the handlers that packets of the module's own come back through, and `FilterStatus`, which
    /// NDIS wants beside that of returned receives.
    #[must_use]
    pub const fn originate(mut self) -> Self
    where
        M: OriginatePath,
    {
        self.send_complete = Some(thunk::send_complete::<M>);
        self.return_ = Some(thunk::return_::<M>);
        self.own_packets = Some(M::own_packets);
        self.status()
    }

    /// Whether [`originate`](Self::originate) was called.
    pub(crate) const fn can_originate(&self) -> bool {
        self.own_packets.is_some()
    }

    /// Whether [`hold`](Self::hold) was called.
    pub(crate) const fn can_hold(&self) -> bool {
        self.cancel_send.is_some()
    }

    /// Adds [`OidPath`]: `FilterOidRequest`, its completion, and its cancellation.
    #[must_use]
    pub const fn oid(mut self) -> Self
    where
        M: OidPath,
    {
        self.oid = Oid {
            request: Some(thunk::request::<M, Regular>),
            complete: Some(thunk::request_complete::<M, Regular>),
            cancel: Some(thunk::cancel_request::<M, Regular>),
        };
        self
    }

    /// Whether [`oid`](Self::oid) was called.
    pub(crate) const fn has_oid(&self) -> bool {
        self.oid.complete.is_some()
    }

    /// Adds [`DirectOidPath`]: `FilterDirectOidRequest`, its completion, and its cancellation.
    #[must_use]
    pub const fn direct_oid(mut self) -> Self
    where
        M: DirectOidPath,
    {
        self.direct_oid = DirectOid {
            request: Some(thunk::request::<M, Direct>),
            complete: Some(thunk::request_complete::<M, Direct>),
            cancel: Some(thunk::cancel_request::<M, Direct>),
        };
        self
    }

    /// Whether [`direct_oid`](Self::direct_oid) was called.
    pub(crate) const fn has_direct_oid(&self) -> bool {
        self.direct_oid.complete.is_some()
    }

    /// Adds [`SyncOidPath`]: `FilterSynchronousOidRequest` and its completion.
    #[must_use]
    pub const fn synchronous_oid(mut self) -> Self
    where
        M: SyncOidPath,
    {
        self.synchronous_oid = SyncOid {
            request: Some(thunk::synchronous_request::<M>),
            complete: Some(thunk::synchronous_request_complete::<M>),
        };
        self
    }

    /// Adds [`BypassPath`]: `FilterSetModuleOptions`.
    #[must_use]
    pub const fn bypass(mut self) -> Self
    where
        M: BypassPath,
    {
        self.module_options = Some(thunk::set_module_options::<M>);
        self
    }

    /// Adds [`StatusPath`]: `FilterStatus`.
    #[must_use]
    pub const fn status(mut self) -> Self
    where
        M: StatusPath,
    {
        self.status = Some(thunk::status::<M>);
        self
    }

    /// Adds [`PnpPath`]: `FilterNetPnPEvent` and `FilterDevicePnPEventNotify`.
    #[must_use]
    pub const fn pnp(mut self) -> Self
    where
        M: PnpPath,
    {
        self.net_pnp = Some(thunk::net_pnp_event::<M>);
        self.device_pnp = Some(thunk::device_pnp_event::<M>);
        self
    }

    /// Adds [`ControlDevice`].
    #[must_use]
    pub const fn control_device(mut self) -> Self
    where
        M: ControlDevice,
    {
        self.device = Some(device::registration::<M>());
        self
    }

    /// What NDIS is told about the driver.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/ns-ndis-_ndis_filter_driver_characteristics>
    pub(crate) const fn characteristics(
        &self,
        names: &Names,
        minor_version: u8,
    ) -> NDIS_FILTER_DRIVER_CHARACTERISTICS {
        NDIS_FILTER_DRIVER_CHARACTERISTICS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
                // The revision of every version from 6.80 to 6.89.
                Revision: NDIS_FILTER_CHARACTERISTICS_REVISION_3,
                Size: NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3,
            },
            MajorNdisVersion: version::MAJOR,
            MinorNdisVersion: minor_version,
            MajorDriverVersion: names.version.0,
            MinorDriverVersion: names.version.1,
            Flags: 0,
            FriendlyName: names.friendly.as_unicode_string(),
            UniqueName: names.unique.as_unicode_string(),
            ServiceName: names.service.as_unicode_string(),
            SetOptionsHandler: Some(thunk::set_options::<M>),
            SetFilterModuleOptionsHandler: self.module_options,
            AttachHandler: Some(thunk::attach::<M>),
            DetachHandler: Some(thunk::detach::<M>),
            RestartHandler: Some(thunk::restart::<M>),
            PauseHandler: Some(thunk::pause::<M>),
            SendNetBufferListsHandler: self.send,
            SendNetBufferListsCompleteHandler: self.send_complete,
            CancelSendNetBufferListsHandler: self.cancel_send,
            ReceiveNetBufferListsHandler: self.receive,
            ReturnNetBufferListsHandler: self.return_,
            OidRequestHandler: self.oid.request,
            OidRequestCompleteHandler: self.oid.complete,
            CancelOidRequestHandler: self.oid.cancel,
            DevicePnPEventNotifyHandler: self.device_pnp,
            NetPnPEventHandler: self.net_pnp,
            StatusHandler: self.status,
            DirectOidRequestHandler: self.direct_oid.request,
            DirectOidRequestCompleteHandler: self.direct_oid.complete,
            CancelDirectOidRequestHandler: self.direct_oid.cancel,
            SynchronousOidRequestHandler: self.synchronous_oid.request,
            SynchronousOidRequestCompleteHandler: self.synchronous_oid.complete,
        }
    }
}

impl<M: Installed> Handlers<M> {
    /// What NDIS is told about the packets of one module: the handlers of the driver, or none.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/ns-ndis-_ndis_filter_partial_characteristics>
    pub(crate) const fn partial_characteristics(
        &self,
        is_bypassed: bool,
    ) -> NDIS_FILTER_PARTIAL_CHARACTERISTICS {
        let handlers = if is_bypassed { &Self::LIFECYCLE } else { self };
        NDIS_FILTER_PARTIAL_CHARACTERISTICS {
            Header: NDIS_OBJECT_HEADER {
                Type: NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
                Revision: NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
                Size: NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
            },
            Flags: 0,
            SendNetBufferListsHandler: handlers.send,
            SendNetBufferListsCompleteHandler: handlers.send_complete,
            CancelSendNetBufferListsHandler: handlers.cancel_send,
            ReceiveNetBufferListsHandler: handlers.receive,
            ReturnNetBufferListsHandler: handlers.return_,
        }
    }
}

impl<M: Installed> fmt::Debug for Handlers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}
