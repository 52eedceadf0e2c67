//! The registered filter driver and its handlers.

use std::cell::RefCell;

use lab_rules::event::HandlerSet;

use crate::abi::ndis::{
    NDIS_FILTER_DRIVER_CHARACTERISTICS as C, NDIS_FILTER_PARTIAL_CHARACTERISTICS as P,
    NDIS_OBJECT_HEADER,
};
use crate::per_image::per_image;
use crate::rt::mem::{BadAddress, Field};

/// The handlers that can differ per module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathHandlers {
    pub(crate) send: u64,
    pub(crate) send_complete: u64,
    pub(crate) cancel_send: u64,
    pub(crate) receive: u64,
    pub(crate) return_: u64,
}

impl PathHandlers {
    /// From `NDIS_FILTER_PARTIAL_CHARACTERISTICS`.
    pub(crate) fn read(partial: u64) -> Result<Self, BadAddress> {
        Ok(Self {
            send: P::SendNetBufferListsHandler.read(partial)?,
            send_complete: P::SendNetBufferListsCompleteHandler.read(partial)?,
            cancel_send: P::CancelSendNetBufferListsHandler.read(partial)?,
            receive: P::ReceiveNetBufferListsHandler.read(partial)?,
            return_: P::ReturnNetBufferListsHandler.read(partial)?,
        })
    }
}

/// All handlers of a driver; 0 is NULL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handlers {
    pub(crate) set_options: u64,
    pub(crate) set_module_options: u64,
    pub(crate) attach: u64,
    pub(crate) detach: u64,
    pub(crate) restart: u64,
    pub(crate) pause: u64,
    pub(crate) path: PathHandlers,
    pub(crate) oid_request: u64,
    pub(crate) oid_request_complete: u64,
    pub(crate) cancel_oid_request: u64,
    pub(crate) direct_oid_request: u64,
    pub(crate) direct_oid_request_complete: u64,
    pub(crate) cancel_direct_oid_request: u64,
    pub(crate) synchronous_oid_request: u64,
    pub(crate) synchronous_oid_request_complete: u64,
    pub(crate) status: u64,
    pub(crate) net_pnp_event: u64,
    pub(crate) device_pnp_event: u64,
}

impl Handlers {
    /// From `NDIS_FILTER_DRIVER_CHARACTERISTICS`.
    pub(crate) fn read(at: u64) -> Result<Self, BadAddress> {
        let revision = NDIS_OBJECT_HEADER::Revision.read(at)?;
        let since = |first: u8, handler: Field<u64>| {
            if revision < first {
                return Ok(0);
            }
            handler.read(at)
        };
        Ok(Self {
            set_options: C::SetOptionsHandler.read(at)?,
            set_module_options: C::SetFilterModuleOptionsHandler.read(at)?,
            attach: C::AttachHandler.read(at)?,
            detach: C::DetachHandler.read(at)?,
            restart: C::RestartHandler.read(at)?,
            pause: C::PauseHandler.read(at)?,
            path: PathHandlers {
                send: C::SendNetBufferListsHandler.read(at)?,
                send_complete: C::SendNetBufferListsCompleteHandler.read(at)?,
                cancel_send: C::CancelSendNetBufferListsHandler.read(at)?,
                receive: C::ReceiveNetBufferListsHandler.read(at)?,
                return_: C::ReturnNetBufferListsHandler.read(at)?,
            },
            oid_request: C::OidRequestHandler.read(at)?,
            oid_request_complete: C::OidRequestCompleteHandler.read(at)?,
            cancel_oid_request: C::CancelOidRequestHandler.read(at)?,
            direct_oid_request: since(2, C::DirectOidRequestHandler)?,
            direct_oid_request_complete: since(2, C::DirectOidRequestCompleteHandler)?,
            cancel_direct_oid_request: since(2, C::CancelDirectOidRequestHandler)?,
            synchronous_oid_request: since(3, C::SynchronousOidRequestHandler)?,
            synchronous_oid_request_complete: since(3, C::SynchronousOidRequestCompleteHandler)?,
            status: C::StatusHandler.read(at)?,
            net_pnp_event: C::NetPnPEventHandler.read(at)?,
            device_pnp_event: C::DevicePnPEventNotifyHandler.read(at)?,
        })
    }

    /// Which of them are there, with a module's own path handlers.
    pub(crate) fn set(&self, path: PathHandlers) -> HandlerSet {
        HandlerSet {
            set_options: self.set_options != 0,
            set_module_options: self.set_module_options != 0,
            attach: self.attach != 0,
            detach: self.detach != 0,
            restart: self.restart != 0,
            pause: self.pause != 0,
            send: path.send != 0,
            send_complete: path.send_complete != 0,
            cancel_send: path.cancel_send != 0,
            receive: path.receive != 0,
            return_: path.return_ != 0,
            oid_request: self.oid_request != 0,
            oid_request_complete: self.oid_request_complete != 0,
            cancel_oid_request: self.cancel_oid_request != 0,
            direct_oid_request: self.direct_oid_request != 0,
            direct_oid_request_complete: self.direct_oid_request_complete != 0,
            cancel_direct_oid_request: self.cancel_direct_oid_request != 0,
            synchronous_oid_request: self.synchronous_oid_request != 0,
            synchronous_oid_request_complete: self.synchronous_oid_request_complete != 0,
            status: self.status != 0,
            net_pnp_event: self.net_pnp_event != 0,
            device_pnp_event: self.device_pnp_event != 0,
        }
    }
}

/// The registered driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    pub(crate) context: u64,
    pub(crate) driver_object: u64,
    pub(crate) minor: u8,
    pub(crate) handlers: Handlers,
    /// It deregisters: it attaches to nothing more.
    pub(crate) is_leaving: bool,
}

per_image! {
    static FILTER: RefCell<Option<Filter>> = const { RefCell::new(None) };
}

/// The driver, while it is registered.
pub(crate) fn registered() -> Option<Filter> {
    FILTER.with_borrow(|filter| *filter)
}

/// Sets or clears the driver.
pub(crate) fn set(filter: Option<Filter>) {
    FILTER.set(filter);
}

/// The driver deregisters.
pub(crate) fn leave() {
    FILTER.with_borrow_mut(|filter| {
        if let Some(filter) = filter {
            filter.is_leaving = true;
        }
    });
}
