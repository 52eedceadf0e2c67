//! What a filter driver writes: one type per filter module, and a trait for each path that it wants to see.
//!
//! ```text
//!              attach              restart               (packets)
//!   detached ─────────▶ paused ─────────────▶ running ◀───────────▶ send, receive
//!                ▲        │ ▲                    │
//!                └────────┘ └────────────────────┘
//!                 detach            pause
//! ```
//!
//! - [`FilterModule`]: the life of a module; every filter implements it.
//! - [`SendPath`], [`ReceivePath`], [`HoldPath`], [`OriginatePath`], [`BypassPath`], [`StatusPath`], [`PnpPath`], and those of
//!   [`oid`](crate::oid): paths. What [`driver!`](crate::driver!) is not told to
//!   handle has a null handler, and NDIS passes it by.
//! - [`Attached`], [`Running`]: a module in a state, lent to the callbacks.
//!
//! A module's callbacks may run on several processors at once; `attach`, `restart`, `pause` and `detach` of one module
//! never do.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/network/filter-module-states-and-operations>
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::filter::{
//!     AttachParameters, Attached, Attaching, BypassPath, Call, DevicePnpEvent, FilterModule,
//!     MacAddress, Medium, ModuleState, Moment, NetPnpEvent, PnpPath, ReceivePath, Running, SendPath,
//!     Stage, StatusIndication, StatusPath,
//! };
//! use ndis::irql::{AtMostDispatch, Passive};
//! use ndis::nbl::{LowResources, NblBatch, Rx, Tx};
//!
//! /// What one adapter has of the filter.
//! struct Example {
//!     mac: Option<[u8; 6]>,
//! }
//!
//! impl FilterModule for Example {
//!     type Departed = ();
//!
//!     fn attach(attaching: &mut Attaching<'_, Self>, _irql: &mut Passive) -> Result<Self, Status> {
//!         let parameters: &AttachParameters = attaching.parameters();
//!         if parameters.medium != Medium::ETHERNET {
//!             return Err(Status::UNSUPPORTED_MEDIA);
//!         }
//!         let mac: MacAddress = parameters.mac_address;
//!         Ok(Self { mac: mac.ethernet() })
//!     }
//!
//!     fn detach(this: &Attached<'_, Self>, _irql: &mut Passive) {
//!         assert_eq!(this.state(), ModuleState::Paused);
//!     }
//!
//!     fn witness(moment: Moment<'_, Self>) {
//!         if let Moment::NotAttached { why, .. } = moment {
//!             // Somebody wants to know.
//!             let _ = why;
//!         }
//!     }
//!
//!     #[inline(always)]
//!     fn called(call: Call, stage: Stage<'_>) {
//!         if let (Call::FilterAttach, Stage::Ends(Some(status))) = (call, stage) {
//!             let _ = status;
//!         }
//!     }
//! }
//!
//! impl SendPath for Example {
//!     fn send(_this: &Running<'_, Self>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
//!         packets.forward(irql);
//!     }
//! }
//!
//! impl ReceivePath for Example {
//!     fn receive(_this: &Running<'_, Self>, packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
//!         packets.forward(irql);
//!     }
//!
//!     fn receive_low_resources(
//!         _this: &Running<'_, Self>,
//!         packets: LowResources<'_>,
//!         irql: &mut AtMostDispatch,
//!     ) {
//!         packets.forward(irql);
//!     }
//! }
//!
//! impl StatusPath for Example {
//!     fn status(
//!         _this: &Attached<'_, Self>,
//!         indication: StatusIndication<'_>,
//!         irql: &mut AtMostDispatch,
//!     ) {
//!         indication.forward(irql);
//!     }
//! }
//!
//! impl PnpPath for Example {
//!     fn net_pnp_event(
//!         _this: &Attached<'_, Self>,
//!         event: NetPnpEvent<'_>,
//!         irql: &mut Passive,
//!     ) -> Result<(), Status> {
//!         event.forward(irql)
//!     }
//!
//!     fn device_pnp_event(_this: &Attached<'_, Self>, event: DevicePnpEvent<'_>, irql: &mut Passive) {
//!         event.forward(irql);
//!     }
//! }
//!
//! impl BypassPath for Example {
//!     fn is_bypassed(this: &Attached<'_, Self>, _irql: &mut Passive) -> bool {
//!         this.mac.is_none()
//!     }
//! }
//!
//! // Makes `DriverEntry`, and the `Handlers` that are registered.
//! ndis::driver! {
//!     module: Example,
//!     handlers: [send, receive, pnp, bypass],
//!     unique_name: "{9e6f1a70-3c58-4a07-8d9f-6a1f0c2b7d11}",
//!     service_name: "example",
//!     friendly_name: "Example",
//! }
//! # fn main() {}
//! ```

mod attach;
mod call;
mod handlers;
mod indication;
mod module;
mod moment;
mod view;

pub use attach::{AttachParameters, Attaching, MacAddress, Medium};
pub use call::{Call, Stage};
pub use handlers::Handlers;
pub use indication::{DevicePnpEvent, NetPnpEvent, StatusIndication};
pub use module::ModuleState;
pub use moment::Moment;
pub use view::{Attached, Running};

pub(crate) use attach::restart_medium;
pub(crate) use call::{Outcome, around, ending};
pub(crate) use module::{ModuleCore, TAG};
pub(crate) use moment::Stopwatch;

use crate::Status;
use crate::driver::Installed;
use crate::irql::{AtMostDispatch, Passive};
use crate::nbl::{LowResources, NblBatch, Nbls, OwnPackets, Rx, Tx};

/// A filter module: what one adapter has of this driver.
///
/// The value is made by [`attach`](Self::attach), is pinned from then on, and is dropped after
/// [`detach`](Self::detach). Callbacks see it shared.
pub trait FilterModule: Sized + Send + Sync + 'static {
    /// What the driver keeps of modules that are gone.
    type Departed: Default + Send + 'static;

    /// Makes the module.
    ///
    /// Work items and timers are allocated here and stay at rest until this has returned. NDIS cannot be called otherwise: no OIDs,
    /// status or packets from here.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// The module is not attached. What it allocated is freed.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_attach>
    fn attach(attaching: &mut Attaching<'_, Self>, irql: &mut Passive) -> Result<Self, Status>;

    /// Prepares for packets, which come as soon as this has returned.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// The module stays paused, and NDIS detaches it.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_restart>
    fn restart(this: &Attached<'_, Self>, irql: &mut Passive) -> Result<(), Status> {
        let _ = (this, irql);
        Ok(())
    }

    /// Follows the last packet: the datapath callbacks have returned, no new one gets through, and each work item has run
    /// for every wish that came from them.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_pause>
    fn pause(this: &Attached<'_, Self>, irql: &mut Passive) {
        let _ = (this, irql);
    }

    /// Detach has begun, and waits for whoever has the module: device requests and work items. Those that wait for
    /// something have to be woken here.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn detaching(this: &Attached<'_, Self>, irql: &mut Passive) {
        let _ = (this, irql);
    }

    /// Ends the module: nothing of it runs any more, work items included.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_detach>
    fn detach(this: &Attached<'_, Self>, irql: &mut Passive) {
        let _ = (this, irql);
    }

    /// Is told what has just happened, for traces. Without one nothing is called and no clock is read.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn witness(moment: Moment<'_, Self>) {
        let _ = moment;
    }

    /// Is told when the system calls the driver, and when that call ends, for traces: one place for all calls. Make it
    /// `#[inline(always)]`, and let it do nothing but look whether somebody wants to know: it stands on the way of every packet.
    ///
    /// # IRQL
    ///
    /// That of the call: at or below `DISPATCH_LEVEL`. A cancel routine begins with the cancel spin lock held.
    #[inline(always)]
    fn called(call: Call, stage: Stage<'_>) {
        let _ = (call, stage);
    }

    /// Whether [`witness`](Self::witness) wants to know how long things take; asked before each.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    #[must_use]
    fn wants_times() -> bool {
        false
    }

    /// Leaves behind what the driver keeps. It happens under the lock of the list of modules, in one with the module's
    /// disappearance from there, so whoever looks sees either the module or what it has left.
    ///
    /// # IRQL
    ///
    /// `DISPATCH_LEVEL`.
    fn depart(this: &Attached<'_, Self>, departed: &mut Self::Departed) {
        let _ = (this, departed);
    }
}

/// A filter that sees packets on their way down.
///
/// Their completions pass by it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no send path",
    label = "this needs `impl SendPath`"
)]
pub trait SendPath: FilterModule {
    /// Deals with packets to send. What is not used when this returns is completed with `NDIS_STATUS_FAILURE`.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_send_net_buffer_lists>
    fn send(this: &Running<'_, Self>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch);

    /// Is told of packets that came while the module was not running: they are completed with `NDIS_STATUS_PAUSED` when
    /// this has returned.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    fn send_refused(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        let _ = (this, packets);
    }
}

/// A filter that sees packets on their way up. NDIS wants such a filter to handle status indications too.
///
/// Packets that come back from above pass by it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no receive path",
    label = "this needs `impl ReceivePath`"
)]
pub trait ReceivePath: StatusPath {
    /// Deals with received packets. What is not used when this returns is returned.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_receive_net_buffer_lists>
    fn receive(this: &Running<'_, Self>, packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch);

    /// Deals with received packets that NDIS takes back when this returns.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    fn receive_low_resources(
        this: &Running<'_, Self>,
        packets: LowResources<'_>,
        irql: &mut AtMostDispatch,
    );

    /// Is told of packets that came while the module was not running: they go back when this has returned.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    fn receive_refused(this: &Attached<'_, Self>, packets: Nbls<'_, Rx>) {
        let _ = (this, packets);
    }
}

/// A filter that holds packets of both directions, and releases them later: see [`Running::hold`].
///
/// What is held is kept by this crate, one queue for each direction. Pause gives it up, and a protocol may cancel its
/// sends; the methods are told.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path for what is held",
    label = "this needs `impl HoldPath`"
)]
pub trait HoldPath: SendPath + ReceivePath + Installed {
    /// Is told of held sends that pause gives up: they are completed with `NDIS_STATUS_PAUSED` when this has returned.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn sends_drained(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        let _ = (this, packets);
    }

    /// Is told of held receives that pause gives up: they are returned when this has returned.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn receives_drained(this: &Attached<'_, Self>, packets: Nbls<'_, Rx>) {
        let _ = (this, packets);
    }

    /// Is told of held sends that a protocol has cancelled: they are completed with `NDIS_STATUS_SEND_ABORTED` when this
    /// has returned. There may be none.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_cancel_send_net_buffer_lists>
    fn sends_cancelled(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        let _ = (this, packets);
    }
}

/// A filter that has packets of its own: copies of what it cannot hold, or what it makes up.
///
/// They are made ready in restart, and freed in pause when all are back. Their way back is this crate's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path for packets of its own",
    label = "this needs `impl OriginatePath`"
)]
pub trait OriginatePath: StatusPath + Installed {
    /// How many there are for each direction from the restart on that is under way. If memory is short there are fewer.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    fn own_packets(this: &Attached<'_, Self>, irql: &mut Passive) -> BothWays<OwnPackets>;
}

/// Something for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BothWays<T> {
    /// Down the stack.
    pub send: T,
    /// Up the stack.
    pub receive: T,
}

/// A filter that NDIS can send packets past: while it has nothing to do with them, they cost nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no bypass path",
    label = "this needs `impl BypassPath`"
)]
pub trait BypassPath: FilterModule {
    /// Whether packets pass by the module from the next restart on. What is not a packet still comes to it.
    ///
    /// It is asked before each [`restart`](FilterModule::restart), with nothing on its way.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_set_module_options>
    fn is_bypassed(this: &Attached<'_, Self>, irql: &mut Passive) -> bool;

    /// Is told what came of the answer. With an error packets take the way that they took before, at first through the
    /// module, and the restart goes on.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndissetoptionalhandlers>
    fn bypass_settled(this: &Attached<'_, Self>, result: Result<(), Status>, irql: &mut Passive) {
        let _ = (this, result, irql);
    }
}

/// A filter that sees status indications.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no status path",
    label = "this needs `impl StatusPath`",
    note = "NDIS wants a filter that sees received packets to handle status indications"
)]
pub trait StatusPath: FilterModule {
    /// Deals with an indication; one that is not forwarded ends here. Several may come at once.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_status>
    fn status(
        this: &Attached<'_, Self>,
        indication: StatusIndication<'_>,
        irql: &mut AtMostDispatch,
    ) {
        let _ = this;
        indication.forward(irql);
    }
}

/// A filter that sees Plug and Play events of both kinds.
///
/// An adapter may go to sleep and wake up with its modules running: since NDIS 6.30 no pause comes with it, and packets are
/// held back, or fail, elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path for Plug and Play",
    label = "this needs `impl PnpPath`"
)]
pub trait PnpPath: FilterModule {
    /// Is the last place for what others have to hear: requests of the module's own, and status indications. The module is
    /// detached afterwards; in [`detach`](FilterModule::detach) nobody hears it any more. It follows
    /// `NetEventFilterPreDetach`, before [`net_pnp_event`](Self::net_pnp_event) is given that.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/netpnp/ns-netpnp-_net_pnp_event>
    fn pre_detach(this: &Attached<'_, Self>, irql: &mut Passive) {
        let _ = (this, irql);
    }

    /// Deals with an event on its way up.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// The event is refused, which goes for `NetEventQueryPower` and `NetEventQueryRemoveDevice`; all others count as a
    /// success. Forwarded, they are those of the drivers above.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_net_pnp_event>
    fn net_pnp_event(
        this: &Attached<'_, Self>,
        event: NetPnpEvent<'_>,
        irql: &mut Passive,
    ) -> Result<(), Status> {
        let _ = this;
        event.forward(irql)
    }

    /// Deals with an event on its way down.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_device_pnp_event_notify>
    fn device_pnp_event(this: &Attached<'_, Self>, event: DevicePnpEvent<'_>, irql: &mut Passive) {
        let _ = this;
        event.forward(irql);
    }
}
