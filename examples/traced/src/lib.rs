//! A filter that writes events (ETW) and WPP messages: every kind of field and of value, when an adapter is restarted.
//!
//! It passes no packets and does nothing else. `cargo xtask build -p traced` makes `traced.sys`, `traced.tmf` and the TMF of each
//! source file with messages (`tmf/traced`); `cargo lab run traced.sys --pcap FILE --trace all --tmf traced.tmf` shows the
//! messages.

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

mod event;
mod value;

use ndis::Status;
use ndis::filter::{Attached, Attaching, FilterModule};
use ndis::irql::Passive;
use wpp::wpp;

ndis::driver! {
    module: Traced,
    handlers: [],
    unique_name: "{b0b3c1f4-6f0e-4a55-8d5c-3d0c7a8e2f61}",
    service_name: "traced",
    friendly_name: "deferlwf example: WPP messages",
    trace: event::TRACED,
    wpp: WPP,
}

wpp::control! {
    /// WPP of this driver.
    pub(crate) static WPP = "5d9ca1f7-6d1c-4c3e-9b0e-52f1c04fd6a8";
    /// The life of an adapter.
    pub(crate) flag Life;
    /// Values of every kind.
    pub(crate) flag Value;
    /// Messages that are too long.
    pub(crate) flag Long;
}

/// An adapter.
struct Traced {
    if_index: u32,
}

impl FilterModule for Traced {
    type Departed = ();

    fn attach(attaching: &mut Attaching<'_, Self>, _irql: &mut Passive) -> Result<Self, Status> {
        let if_index = attaching.parameters().if_index;
        wpp!(
            Information,
            Life,
            "{FUNC}: adapter {if_index:u32}",
            if_index
        );
        Ok(Self { if_index })
    }

    fn restart(this: &Attached<'_, Self>, _irql: &mut Passive) -> Result<(), Status> {
        wpp!(
            Verbose,
            Life,
            "{FUNC}: adapter {if_index:u32}",
            this.if_index
        );
        value::write();
        event::write();
        Ok(())
    }

    fn detach(this: &Attached<'_, Self>, _irql: &mut Passive) {
        // Of messages that were too long, and of those for which a session had no room.
        wpp!(
            Information,
            Life,
            "{FUNC}: adapter {if_index:u32}, {refused:u64} messages refused",
            this.if_index,
            WPP.refused()
        );
        event::refused();
    }
}
