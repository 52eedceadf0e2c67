//! The functions that NDIS and the I/O manager call.
//!
//! Each turns what C hands over into values whose types say what may be done with them, and calls the driver's code.
//! The one token of the activation is made here.
//!
//! # Safety
//!
//! Of every function: it is called by the system as its documentation says, with what this crate has registered it for.

mod oid;

use core::ffi::c_void;
use core::ptr::NonNull;

use ndis_sys::{
    NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_PAUSE_PARAMETERS, NDIS_FILTER_RESTART_PARAMETERS,
    NDIS_HANDLE, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL, NDIS_RECEIVE_FLAGS_RESOURCES,
    NDIS_RETURN_FLAGS_DISPATCH_LEVEL, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
    NDIS_SEND_FLAGS_DISPATCH_LEVEL, NDIS_STATUS, NDIS_STATUS_INDICATION, NET_BUFFER_LIST,
    NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION, NdisFCancelSendNetBufferLists,
    NdisFReturnNetBufferLists, NdisFSendNetBufferListsComplete, NdisSetOptionalHandlers,
};
use wdk_sys::{
    DEVICE_OBJECT, DRIVER_OBJECT, EVENT_FILTER_DESCRIPTOR, GUID, IRP, KDPC, NTSTATUS, PIO_WORKITEM,
    STATUS_SUCCESS, ntddk,
};

use crate::device::{self, ControlDevice};
use crate::dpc::Deferred;
use crate::driver::{self, Installed};
use crate::filter::{
    AttachParameters, Attached, BypassPath, Call, DevicePnpEvent, FilterModule, HoldPath,
    ModuleCore, Moment, NetPnpEvent, PnpPath, ReceivePath, Running, SendPath, StatusIndication,
    StatusPath, around, ending, restart_medium,
};
use crate::irql::{AtMostDispatch, Passive};
use crate::nbl::{Callback, Chain, LowResources, Nbls, Rx, Tx};
use crate::thread::Threading;
use crate::timer::Timing;
use crate::work::{Item, Owner};
use crate::{Status, lifecycle, trace};

pub(crate) use oid::{
    cancel_request, request, request_complete, synchronous_request, synchronous_request_complete,
};

/// `FilterSetOptions`.
pub(crate) unsafe extern "system" fn set_options<M: FilterModule>(
    driver: NDIS_HANDLE,
    _context: NDIS_HANDLE,
) -> NDIS_STATUS {
    around::<M, _>(Call::FilterSetOptions, None, || {
        driver::publish_filter_driver_handle(driver);
        Status::SUCCESS.into_raw()
    })
}

/// `FilterAttach`.
pub(crate) unsafe extern "system" fn attach<M: Installed>(
    handle: NDIS_HANDLE,
    _driver_context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls FilterAttach at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: NDIS has lent the parameters.
    let parameters = unsafe { AttachParameters::read(parameters) };
    around::<M, _>(Call::FilterAttach, parameters.as_ref().ok(), || {
        // SAFETY: NDIS has given the handle.
        failure_or_success(unsafe { lifecycle::attach::<M>(handle, parameters, &mut irql) })
    })
}

/// `FilterSetModuleOptions`: whether packets come here or go past.
pub(crate) unsafe extern "system" fn set_module_options<M: BypassPath + Installed>(
    context: NDIS_HANDLE,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls FilterSetModuleOptions at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: the module is attached as long as this runs.
    let attached = unsafe { Attached::new(core) };
    core.around(Call::FilterSetModuleOptions, || {
        let is_bypassed = M::is_bypassed(&attached, &mut irql);
        let mut characteristics = M::HANDLERS.partial_characteristics(is_bypassed);
        // SAFETY: this is FilterSetModuleOptions, at PASSIVE_LEVEL, where the handlers of this module may change; NDIS
        // copies the characteristics.
        let status =
            unsafe { NdisSetOptionalHandlers(core.handle(), (&raw mut characteristics).cast()) };
        let result = Status::from_raw(status).ok();
        if result.is_ok() {
            core.set_bypassed(is_bypassed);
        }
        M::bypass_settled(&attached, result, &mut irql);
        // With the handlers that it had the module can go on.
        Status::SUCCESS.into_raw()
    })
}

/// `FilterRestart`.
pub(crate) unsafe extern "system" fn restart<M: Installed>(
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls FilterRestart at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS has lent the parameters.
    let medium = unsafe { restart_medium(parameters) };
    core.around(Call::FilterRestart, || {
        // SAFETY: this is FilterRestart.
        failure_or_success(unsafe { lifecycle::restart(core, medium, &mut irql) })
    })
}

/// `FilterPause`. It cannot fail, and is complete when it returns.
pub(crate) unsafe extern "system" fn pause<M: Installed>(
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    // Nothing comes before the gate: what a callback originates until then comes after the pause began.
    // SAFETY: NDIS calls FilterPause at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume_unseen() };
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS has lent the parameters to this activation; null would be none.
    let reason = unsafe { parameters.as_ref() }.map_or(0, |parameters| parameters.PauseReason);
    // `pause` says when the call has begun.
    ending::<M, _>(Call::FilterPause, || {
        // SAFETY: this is FilterPause.
        unsafe { lifecycle::pause(core, reason, &mut irql) };
        irql.look();
        Status::SUCCESS.into_raw()
    })
}

/// `FilterDetach`.
pub(crate) unsafe extern "system" fn detach<M: Installed>(context: NDIS_HANDLE) {
    // SAFETY: NDIS calls FilterDetach at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    if let Some(context) = NonNull::new(context.cast::<ModuleCore<M>>()) {
        // SAFETY: this is FilterDetach, and the context is the one that attach gave.
        unsafe { lifecycle::detach(context, &mut irql) };
    }
}

/// `FilterSendNetBufferLists`.
pub(crate) unsafe extern "system" fn send<M: SendPath>(
    context: NDIS_HANDLE,
    chain: *mut NET_BUFFER_LIST,
    port: u32,
    flags: u32,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::from_context(context) };
    let at_dispatch = flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL != 0;
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL, and says so if it knows that it is DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(at_dispatch) };
    core.around(Call::FilterSendNetBufferLists, || {
        let chain = Chain::new(chain);
        // SAFETY: the module is attached as long as this runs.
        let callback = unsafe { Callback::<Tx>::new(core.handle(), core.side::<Tx>(), true) };
        // SAFETY: NDIS has given the chain to this activation, for it to send. (Nobody asks how many NBLs it has.)
        let batch = unsafe { callback.batch(chain, 0, port, flags) };
        if core.datapath.acquire() {
            // SAFETY: a reference of `datapath` is held.
            M::send(&unsafe { Running::new(core) }, batch, &mut irql);
            core.report_leaked(callback.settle(&mut irql));
            core.datapath.release();
        } else {
            // SAFETY: the module is attached as long as this runs.
            M::send_refused(&unsafe { Attached::new(core) }, batch.iter());
            batch.complete(Status::PAUSED, &mut irql);
        }
    });
}

/// `FilterCancelSendNetBufferLists`: what is held is completed, the rest is for those below.
pub(crate) unsafe extern "system" fn cancel_send<M: HoldPath>(
    context: NDIS_HANDLE,
    cancel_id: *mut c_void,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::from_context(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    core.around(Call::FilterCancelSendNetBufferLists, || {
        // Without the rundown pause would not wait for what is taken out here; with it closed, pause completes all of them.
        if core.datapath.acquire() {
            let chain = core.held::<Tx>().take_cancelled(cancel_id, &mut irql);
            // SAFETY: the module is attached as long as this runs.
            let callback = unsafe { Callback::<Tx>::new(core.handle(), core.side::<Tx>(), false) };
            // SAFETY: the sends were held, so they are the module's, and no one else has them. (Nobody asks how many.)
            let sends = unsafe { callback.batch(chain, 0, 0, 0) };
            // SAFETY: the module is attached as long as this runs.
            M::sends_cancelled(&unsafe { Attached::new(core) }, sends.iter());
            sends.complete(Status::SEND_ABORTED, &mut irql);
            core.datapath.release();
        }
        // SAFETY: the module is attached as long as this runs; NDIS has given the identifier.
        unsafe { NdisFCancelSendNetBufferLists(core.handle(), cancel_id) };
    });
}

/// `FilterSendNetBufferListsComplete`: the module's own go back to it, all others up.
pub(crate) unsafe extern "system" fn send_complete<M: FilterModule>(
    context: NDIS_HANDLE,
    chain: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::from_context(context) };
    let at_dispatch = flags & NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL != 0;
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL, and says so if it knows that it is DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(at_dispatch) };
    let hand_over = |chain: Chain| {
        // SAFETY: as below, and its own are not among them. The IRQL is as it was, so the flags are true.
        unsafe { NdisFSendNetBufferListsComplete(core.handle(), chain.as_ptr(), flags) };
    };
    let side = core.side::<Tx>();
    core.around(Call::FilterSendNetBufferListsComplete, || {
        // SAFETY: NDIS has given the chain back: its NBLs came as sends through this module, or are its own.
        unsafe { side.settle::<Tx, _>(Chain::new(chain), &mut irql, hand_over) };
    });
}

/// `FilterReceiveNetBufferLists`.
pub(crate) unsafe extern "system" fn receive<M: ReceivePath>(
    context: NDIS_HANDLE,
    chain: *mut NET_BUFFER_LIST,
    port: u32,
    count: u32,
    flags: u32,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::from_context(context) };
    let at_dispatch = flags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL != 0;
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL, and says so if it knows that it is DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(at_dispatch) };
    core.around(Call::FilterReceiveNetBufferLists, || {
        let chain = Chain::new(chain);
        if !core.datapath.acquire() {
            // SAFETY: NDIS has given or lent the chain to this activation.
            let packets = unsafe { Nbls::new(chain) };
            // SAFETY: the module is attached as long as this runs.
            M::receive_refused(&unsafe { Attached::new(core) }, packets);
            if flags & NDIS_RECEIVE_FLAGS_RESOURCES == 0 {
                // SAFETY: the module is attached as long as this runs.
                let callback =
                    unsafe { Callback::<Rx>::new(core.handle(), core.side::<Rx>(), true) };
                // SAFETY: NDIS has given the chain of `count` to this activation, without low resources.
                unsafe { callback.batch(chain, count, port, flags) }.return_(&mut irql);
            }
            return;
        }
        // SAFETY: a reference of `datapath` is held until the end.
        let running = unsafe { Running::new(core) };
        // SAFETY: the module is attached as long as this runs.
        let callback = unsafe { Callback::<Rx>::new(core.handle(), core.side::<Rx>(), true) };
        if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 {
            // SAFETY: NDIS has lent the chain to this activation, whose module is attached and running.
            let packets = unsafe { LowResources::new(&callback, chain, count, port, flags) };
            M::receive_low_resources(&running, packets, &mut irql);
        } else {
            // SAFETY: NDIS has given the chain of `count` to this activation, without low resources.
            let batch = unsafe { callback.batch(chain, count, port, flags) };
            M::receive(&running, batch, &mut irql);
        }
        core.report_leaked(callback.settle(&mut irql));
        core.datapath.release();
    });
}

/// `FilterReturnNetBufferLists`: the module's own go back to it, all others down.
pub(crate) unsafe extern "system" fn return_<M: FilterModule>(
    context: NDIS_HANDLE,
    chain: *mut NET_BUFFER_LIST,
    flags: u32,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::from_context(context) };
    let at_dispatch = flags & NDIS_RETURN_FLAGS_DISPATCH_LEVEL != 0;
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL, and says so if it knows that it is DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(at_dispatch) };
    let hand_over = |chain: Chain| {
        // SAFETY: as below, and its own are not among them. The IRQL is as it was, so the flags are true.
        unsafe { NdisFReturnNetBufferLists(core.handle(), chain.as_ptr(), flags) };
    };
    let side = core.side::<Rx>();
    core.around(Call::FilterReturnNetBufferLists, || {
        // SAFETY: NDIS has given the chain back: its NBLs came as receives through this module, or are its own.
        unsafe { side.settle::<Rx, _>(Chain::new(chain), &mut irql, hand_over) };
    });
}

/// `FilterStatus`.
pub(crate) unsafe extern "system" fn status<M: StatusPath>(
    context: NDIS_HANDLE,
    indication: *mut NDIS_STATUS_INDICATION,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at or below DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    // SAFETY: the module is attached as long as this runs.
    let attached = unsafe { Attached::new(core) };
    // SAFETY: NDIS has lent the indication to this activation.
    let indication = unsafe { StatusIndication::new(core.handle(), indication) };
    core.around(Call::FilterStatus, || {
        M::status(&attached, indication, &mut irql);
    });
}

/// `FilterNetPnPEvent`.
pub(crate) unsafe extern "system" fn net_pnp_event<M: PnpPath>(
    context: NDIS_HANDLE,
    event: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the module is attached as long as this runs.
    let attached = unsafe { Attached::new(core) };
    // SAFETY: NDIS has lent the event to this activation.
    let event = unsafe { NetPnpEvent::new(core.handle(), event) };
    let may_be_refused = event.may_be_refused();
    core.around(Call::FilterNetPnPEvent, || {
        if event.code() == NetPnpEvent::FILTER_PRE_DETACH {
            M::pre_detach(&attached, &mut irql);
        }
        let result = M::net_pnp_event(&attached, event, &mut irql);
        failure_or_success(if may_be_refused { result } else { Ok(()) })
    })
}

/// `FilterDevicePnPEventNotify`.
pub(crate) unsafe extern "system" fn device_pnp_event<M: PnpPath>(
    context: NDIS_HANDLE,
    event: *mut NET_DEVICE_PNP_EVENT,
) {
    // SAFETY: NDIS calls it between attach and detach.
    let core = unsafe { ModuleCore::<M>::called_back(context) };
    // SAFETY: NDIS calls it at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the module is attached as long as this runs.
    let attached = unsafe { Attached::new(core) };
    // SAFETY: NDIS has lent the event to this activation.
    let event = unsafe { DevicePnpEvent::new(core.handle(), event) };
    core.around(Call::FilterDevicePnPEventNotify, || {
        M::device_pnp_event(&attached, event, &mut irql);
    });
}

/// The routine of every NDIS work item (`NDIS_IO_WORKITEM_ROUTINE`).
pub(crate) unsafe extern "system" fn run_work_item<O: Owner>(
    context: *mut c_void,
    _handle: NDIS_HANDLE,
) {
    // SAFETY: NDIS runs work items at PASSIVE_LEVEL, with the context of the queueing that led here.
    unsafe { run_item::<O>(context) };
}

/// The routine of every WDM work item that `IoQueueWorkItem` queues (`IO_WORKITEM_ROUTINE`).
pub(crate) unsafe extern "C" fn run_io_work_item<O: Owner>(
    _device: *mut DEVICE_OBJECT,
    context: *mut c_void,
) {
    // SAFETY: NT runs work items at PASSIVE_LEVEL, with the context of the queueing that led here.
    unsafe { run_item::<O>(context) };
}

/// The routine of every WDM work item that is queued otherwise (`IO_WORKITEM_ROUTINE_EX`).
pub(crate) unsafe extern "C" fn run_io_work_item_ex<O: Owner>(
    _object: *mut c_void,
    context: *mut c_void,
    _item: PIO_WORKITEM,
) {
    // SAFETY: NT runs work items at PASSIVE_LEVEL, with the context of the queueing that led here.
    unsafe { run_item::<O>(context) };
}

/// Runs a work item of either family.
///
/// # Safety
///
/// The system calls the routine that calls this, at `PASSIVE_LEVEL`; `context` is that of the queueing.
unsafe fn run_item<O: Owner>(context: *mut c_void) {
    // SAFETY: this function's contract.
    let mut irql = unsafe { Passive::assume() };
    if let Some(item) = NonNull::new(context.cast::<Item<O>>()) {
        // SAFETY: this function's contract.
        unsafe { Item::run(item, &mut irql) };
    }
}

/// The function of every timer (`NDIS_TIMER_FUNCTION`).
pub(crate) unsafe extern "system" fn run_timer<M: FilterModule>(
    _system: *mut c_void,
    context: *mut c_void,
    _system_2: *mut c_void,
    _system_3: *mut c_void,
) {
    // SAFETY: NDIS calls timer functions at DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(true) };
    if let Some(timing) = NonNull::new(context.cast::<Timing<M>>()) {
        // SAFETY: the context of the setting that led here.
        unsafe { Timing::run(timing, &mut irql) };
    }
}

/// The routine of every DPC (`KDEFERRED_ROUTINE`).
pub(crate) unsafe extern "C" fn run_dpc<M: FilterModule>(
    _dpc: *mut KDPC,
    context: *mut c_void,
    _system: *mut c_void,
    _system_2: *mut c_void,
) {
    // SAFETY: NT runs DPCs at DISPATCH_LEVEL.
    let mut irql = unsafe { AtMostDispatch::assume(true) };
    if let Some(deferred) = NonNull::new(context.cast::<Deferred<M>>()) {
        // SAFETY: the context of the DPC whose queueing led here.
        unsafe { Deferred::run(deferred, &mut irql) };
    }
}

/// The routine of every system thread (`KSTART_ROUTINE`).
pub(crate) unsafe extern "C" fn run_thread<M: FilterModule>(context: *mut c_void) {
    // SAFETY: system threads begin at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    if let Some(threading) = NonNull::new(context.cast::<Threading<M>>()) {
        // SAFETY: the context of this thread.
        unsafe { Threading::run(threading, &mut irql) };
    }
    // SAFETY: a system thread, at PASSIVE_LEVEL, which has nothing left to do: this does not return.
    let _ = unsafe { ntddk::PsTerminateSystemThread(STATUS_SUCCESS) };
}

/// `DRIVER_DISPATCH` of the control device.
pub(crate) unsafe extern "C" fn dispatch<M: ControlDevice>(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the I/O manager calls dispatch routines of a device like this at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the I/O manager has given the IRP to this activation.
    let call = unsafe { device::call_of(irp) };
    around::<M, _>(call, None, || {
        // SAFETY: likewise.
        unsafe { device::dispatch::<M>(irp, &mut irql) }.into_raw()
    })
}

/// `ETWENABLECALLBACK` of every provider.
pub(crate) unsafe extern "C" fn enable_events<M: FilterModule>(
    _source: *const GUID,
    code: u32,
    level: u8,
    any: u64,
    all: u64,
    _filter: *mut EVENT_FILTER_DESCRIPTOR,
    context: *mut c_void,
) {
    // SAFETY: the system calls it at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the context of the registration.
    let provider = unsafe { trace::from_context(context) };
    around::<M, ()>(Call::EtwEnableCallback, None, || {
        provider.control(code, level, any, all, &mut irql);
    });
}

/// `DRIVER_CANCEL` of longer requests.
pub(crate) unsafe extern "C" fn cancel<M: ControlDevice>(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) {
    around::<M, ()>(Call::Cancel, None, || {
        // SAFETY: the I/O manager calls it for the IRP, with the cancel spin lock held.
        unsafe { device::cancel::<M>(irp) };
    });
}

/// `DRIVER_UNLOAD`.
pub(crate) unsafe extern "C" fn unload<M: Installed>(_driver: *mut DRIVER_OBJECT) {
    // SAFETY: the I/O manager calls DriverUnload at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    around::<M, ()>(Call::DriverUnload, None, || {
        if let Some(device) = M::HANDLERS.device {
            (device.undo)(M::driver(), &mut irql);
        }
        driver::deregister(&mut irql);
        M::witness(Moment::Unloaded);
    });
    driver::end_trace::<M>(&mut irql);
}

/// What NDIS is told: success, or an error. Nothing is ever pending.
fn failure_or_success(result: Result<(), Status>) -> NDIS_STATUS {
    match result {
        Ok(()) => Status::SUCCESS.into_raw(),
        Err(status) => status.into_failure().into_raw(),
    }
}
