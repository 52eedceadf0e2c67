//! What the driver writes with WPP: `docs/tracing.md` has the flags.
//!
//! Callbacks say when they begin and end (level `Verbose`), the control device what it refuses (`Warning`).

use ndis::Status;

wpp::control! {
    /// WPP of the driver.
    pub(crate) static WPP = "0f3a6d52-8e0b-4d43-9a57-1c6f52d7b8e4";
    /// The driver and its modules come, stop and go.
    pub(crate) flag Life;
    /// Packets come by.
    pub(crate) flag Packets;
    /// Work items and timers.
    pub(crate) flag Worker;
    /// Requests to the control device.
    pub(crate) flag Request;
}

wpp::names! {
    /// Ways of packets.
    pub(crate) enumeration Directions(inspect::Direction) { Send = 0, Receive = 1 }
    /// Modes.
    pub(crate) enumeration Modes(protocol::Mode) { Off = 0, Tap = 1, Inline = 2 }
}

/// The status that a result is for the system.
pub(crate) fn status<T>(result: &Result<T, Status>) -> Status {
    match result {
        Ok(_) => Status::SUCCESS,
        Err(status) => *status,
    }
}
