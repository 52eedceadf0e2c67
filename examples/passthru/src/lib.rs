//! The smallest filter: it counts packets both ways and lets them pass.
//!
//! One `PassThru` is made for each adapter. NDIS calls the driver for packets that are sent and received; everything
//! else it sends past the filter, because no handler was asked for.
//!
//! `cargo xtask build -p passthru` makes `passthru.sys`; `cargo lab run passthru.sys --pcap FILE` runs it.

#![cfg(windows)]
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use ndis::counter::Counter;
use ndis::filter::{Attached, Attaching, FilterModule, ReceivePath, Running, SendPath, StatusPath};
use ndis::irql::{AtMostDispatch, Passive};
use ndis::nbl::{Direction, LowResources, NblBatch, Nbls, Rx, Tx};
use ndis::{Status, debug};

// Makes `DriverEntry`, registers the handlers, and unloads. The names are those of the INF.
ndis::driver! {
    module: PassThru,
    handlers: [send, receive],
    unique_name: "{5cbf81be-5055-47cd-9055-a76b2b4e3697}",
    service_name: "passthru",
    friendly_name: "deferlwf example: pass through",
}

/// What one adapter has of this filter. Callbacks share it, so what changes is atomic (or behind a lock).
struct PassThru {
    sent: Counter,
    received: Counter,
}

impl FilterModule for PassThru {
    type Departed = ();

    fn attach(_attaching: &mut Attaching<'_, Self>, _irql: &mut Passive) -> Result<Self, Status> {
        Ok(Self {
            sent: Counter::new(),
            received: Counter::new(),
        })
    }

    fn detach(this: &Attached<'_, Self>, _irql: &mut Passive) {
        debug::print_number(c"passthru: packets sent", this.sent.value());
        debug::print_number(c"passthru: packets received", this.received.value());
    }
}

impl SendPath for PassThru {
    fn send(this: &Running<'_, Self>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
        this.sent.add(count(packets.iter()));
        // The batch is moved: it cannot be used again, and what is not forwarded is completed with a failure.
        packets.forward(irql);
    }
}

// NDIS wants filters that see received packets to see status indications too; the default passes them on.
impl StatusPath for PassThru {}

impl ReceivePath for PassThru {
    fn receive(this: &Running<'_, Self>, packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
        this.received.add(count(packets.iter()));
        packets.forward(irql);
    }

    // NDIS takes these packets back when this returns, so a type of their own has no way to keep them.
    fn receive_low_resources(
        this: &Running<'_, Self>,
        packets: LowResources<'_>,
        irql: &mut AtMostDispatch,
    ) {
        this.received.add(count(packets.iter()));
        packets.forward(irql);
    }
}

/// Packets in lists of them: one `NET_BUFFER_LIST` can hold several.
fn count<D: Direction>(lists: Nbls<'_, D>) -> u64 {
    lists
        .flat_map(|list| list.packets())
        .fold(0, |sum: u64, _| sum.wrapping_add(1))
}
