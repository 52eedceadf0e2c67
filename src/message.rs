//! What the driver writes with WPP: `docs/tracing.md` has the flags.
//!
//! Every call of the system says when it begins and ends (level `Verbose`), the control device what it refuses (`Warning`).

use ndis::filter::{Call, Stage};
use wpp::wpp;

wpp::control! {
    /// WPP of the driver.
    pub(crate) static WPP = "0f3a6d52-8e0b-4d43-9a57-1c6f52d7b8e4", switched: switched;
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
    /// Calls of the driver by the system.
    pub(crate) enumeration Calls(Call) {
        DriverEntry = 0,
        DriverUnload = 1,
        FilterSetOptions = 2,
        FilterAttach = 3,
        FilterSetModuleOptions = 4,
        FilterRestart = 5,
        FilterPause = 6,
        FilterDetach = 7,
        FilterSendNetBufferLists = 8,
        FilterSendNetBufferListsComplete = 9,
        FilterCancelSendNetBufferLists = 10,
        FilterReceiveNetBufferLists = 11,
        FilterReturnNetBufferLists = 12,
        FilterOidRequest = 13,
        FilterOidRequestComplete = 14,
        FilterCancelOidRequest = 15,
        FilterSynchronousOidRequest = 16,
        FilterSynchronousOidRequestComplete = 17,
        FilterStatus = 18,
        FilterNetPnPEvent = 19,
        FilterDevicePnPEventNotify = 20,
        WorkItem = 21,
        Timer = 22,
        Dpc = 23,
        Thread = 24,
        DispatchCreate = 25,
        DispatchCleanup = 26,
        DispatchClose = 27,
        DispatchDeviceControl = 28,
        DispatchOther = 29,
        Cancel = 30,
        EtwEnableCallback = 31,
    }
}

/// Writes that a call of the system begins or ends.
#[inline(always)]
pub(crate) fn called(call: Call, stage: Stage<'_>) {
    match call {
        Call::FilterSendNetBufferLists
        | Call::FilterSendNetBufferListsComplete
        | Call::FilterCancelSendNetBufferLists
        | Call::FilterReceiveNetBufferLists
        | Call::FilterReturnNetBufferLists => packets(call, stage),
        Call::WorkItem | Call::Timer | Call::Dpc | Call::Thread => work(call, stage),
        Call::DispatchCreate
        | Call::DispatchCleanup
        | Call::DispatchClose
        | Call::DispatchDeviceControl
        | Call::DispatchOther
        | Call::Cancel => request(call, stage),
        _ => life(call, stage),
    }
}

#[inline(always)]
fn packets(call: Call, stage: Stage<'_>) {
    match stage {
        Stage::Begins(module) => wpp!(
            Verbose,
            Packets,
            "{call:Calls} begins: adapter {if_index:u32}",
            call,
            module.map_or(0, |module| module.if_index)
        ),
        Stage::Ends(_) => wpp!(Verbose, Packets, "{call:Calls} ends", call),
    }
}

#[inline(always)]
fn work(call: Call, stage: Stage<'_>) {
    match stage {
        Stage::Begins(Some(module)) => wpp!(
            Verbose,
            Worker,
            "{call:Calls} begins: adapter {if_index:u32}",
            call,
            module.if_index
        ),
        Stage::Begins(None) => wpp!(Verbose, Worker, "{call:Calls} begins", call),
        Stage::Ends(_) => wpp!(Verbose, Worker, "{call:Calls} ends", call),
    }
}

#[inline(always)]
fn request(call: Call, stage: Stage<'_>) {
    match stage {
        Stage::Begins(_) => wpp!(Verbose, Request, "{call:Calls} begins", call),
        Stage::Ends(Some(status)) => wpp!(
            Verbose,
            Request,
            "{call:Calls} ends: {status:ntstatus}",
            call,
            status
        ),
        Stage::Ends(None) => wpp!(Verbose, Request, "{call:Calls} ends", call),
    }
}

#[inline(always)]
fn life(call: Call, stage: Stage<'_>) {
    match stage {
        Stage::Begins(Some(module)) => wpp!(
            Verbose,
            Life,
            "{call:Calls} begins: adapter {if_index:u32}",
            call,
            module.if_index
        ),
        Stage::Begins(None) => wpp!(Verbose, Life, "{call:Calls} begins", call),
        Stage::Ends(Some(status)) => wpp!(
            Verbose,
            Life,
            "{call:Calls} ends: {status:ndis_status}",
            call,
            status
        ),
        Stage::Ends(None) => wpp!(Verbose, Life, "{call:Calls} ends", call),
    }
}

/// Writes that the system's call about a session of these messages begins or ends, if there is one then.
fn switched(stage: wpp::Stage) {
    match stage {
        wpp::Stage::Begins => wpp!(Verbose, Life, "WppEnableCallback begins"),
        wpp::Stage::Ends => wpp!(Verbose, Life, "WppEnableCallback ends"),
    }
}
