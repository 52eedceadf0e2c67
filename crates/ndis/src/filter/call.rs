//! The system's calls of the driver, told to the driver for its traces.

use super::{AttachParameters, FilterModule};
use crate::Status;
use crate::work::NextRun;

/// What of a driver the system calls, by the name that its documentation has for it.
///
/// Those for packets, requests and status come only to a driver that has such handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `DriverEntry`.
    DriverEntry,
    /// `DriverUnload`.
    DriverUnload,
    /// `FilterSetOptions`.
    FilterSetOptions,
    /// `FilterAttach`.
    FilterAttach,
    /// `FilterSetModuleOptions`.
    FilterSetModuleOptions,
    /// `FilterRestart`.
    FilterRestart,
    /// `FilterPause`.
    FilterPause,
    /// `FilterDetach`.
    FilterDetach,
    /// `FilterSendNetBufferLists`.
    FilterSendNetBufferLists,
    /// `FilterSendNetBufferListsComplete`.
    FilterSendNetBufferListsComplete,
    /// `FilterCancelSendNetBufferLists`.
    FilterCancelSendNetBufferLists,
    /// `FilterReceiveNetBufferLists`.
    FilterReceiveNetBufferLists,
    /// `FilterReturnNetBufferLists`.
    FilterReturnNetBufferLists,
    /// `FilterOidRequest`, `FilterDirectOidRequest`.
    FilterOidRequest,
    /// `FilterOidRequestComplete`, `FilterDirectOidRequestComplete`.
    FilterOidRequestComplete,
    /// `FilterCancelOidRequest`, `FilterCancelDirectOidRequest`.
    FilterCancelOidRequest,
    /// `FilterSynchronousOidRequest`.
    FilterSynchronousOidRequest,
    /// `FilterSynchronousOidRequestComplete`.
    FilterSynchronousOidRequestComplete,
    /// `FilterStatus`.
    FilterStatus,
    /// `FilterNetPnPEvent`.
    FilterNetPnPEvent,
    /// `FilterDevicePnPEventNotify`.
    FilterDevicePnPEventNotify,
    /// The routine of a work item.
    WorkItem,
    /// The function of a timer.
    Timer,
    /// The routine of a DPC.
    Dpc,
    /// The routine of a system thread.
    Thread,
    /// `DispatchCreate` of the control device.
    DispatchCreate,
    /// `DispatchCleanup`.
    DispatchCleanup,
    /// `DispatchClose`.
    DispatchClose,
    /// `DispatchDeviceControl`.
    DispatchDeviceControl,
    /// `DispatchXxx` of another request.
    DispatchOther,
    /// `Cancel`: the cancel routine of a longer request.
    Cancel,
    /// `EtwEnableCallback` of the events.
    EtwEnableCallback,
}

/// Where a call is.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'a> {
    /// It begins; for a module, if there are parameters. `FilterPause` is told to begin when packets do not come any more.
    Begins(Option<&'a AttachParameters>),
    /// It ends, with this status if it gives one. The module may be gone. A call ends in the thread in which it began, after
    /// those that began there meanwhile.
    Ends(Option<Status>),
}

/// What a call gives to the system.
pub(crate) trait Outcome {
    /// The status, if it is one.
    fn status(&self) -> Option<Status>;
}

impl Outcome for () {
    fn status(&self) -> Option<Status> {
        None
    }
}

/// `NDIS_STATUS`, `NTSTATUS`.
impl Outcome for i32 {
    fn status(&self) -> Option<Status> {
        Some(Status::from_raw(*self))
    }
}

impl Outcome for NextRun {
    fn status(&self) -> Option<Status> {
        None
    }
}

/// Runs `f`, which is all that a call does, and tells the driver of both ends.
#[inline(always)]
pub(crate) fn around<M: FilterModule, R: Outcome>(
    call: Call,
    parameters: Option<&AttachParameters>,
    f: impl FnOnce() -> R,
) -> R {
    M::called(call, Stage::Begins(parameters));
    ending::<M, R>(call, f)
}

/// Runs `f`, and tells the driver that the call ends.
#[inline(always)]
pub(crate) fn ending<M: FilterModule, R: Outcome>(call: Call, f: impl FnOnce() -> R) -> R {
    let result = f();
    M::called(call, Stage::Ends(result.status()));
    result
}
