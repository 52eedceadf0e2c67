//! Attach, restart, pause, detach: what the thunks of the same name do.

use core::ptr::NonNull;

use ndis_sys::{
    NDIS_FILTER_ATTRIBUTES, NDIS_FILTER_ATTRIBUTES_REVISION_1, NDIS_HANDLE, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES, NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
    NdisFSetAttributes,
};

use crate::Status;
use crate::driver::Installed;
use crate::event::Event;
use crate::filter::{
    AttachParameters, Attached, Attaching, BothWays, Call, HoldPath, Medium, ModuleCore,
    ModuleState, Moment, Stage, Stopwatch, TAG,
};
use crate::irql::Passive;
use crate::mem::PoolArc;
use crate::nbl::{Callback, OwnPackets, Rx, Tx};
use crate::order::{self, Stop};
use crate::rundown::Rundown;
use crate::work::State;

/// Attaches a module. What can fail comes first; `NdisFSetAttributes` is the last of it.
///
/// # Safety
///
/// NDIS has given both with `FilterAttach`.
pub(crate) unsafe fn attach<M: Installed>(
    handle: NDIS_HANDLE,
    parameters: Result<AttachParameters, Status>,
    irql: &mut Passive,
) -> Result<(), Status> {
    let watch = Stopwatch::start::<M>();
    let result = match parameters {
        // SAFETY: this function's contract.
        Ok(parameters) => unsafe { make::<M>(handle, parameters, watch, irql) },
        Err(status) => Err(status),
    };
    if let Err(why) = result {
        M::witness(Moment::NotAttached {
            parameters: parameters.as_ref().ok(),
            why,
            took_ns: watch.took_ns(),
        });
    }
    result
}

/// # Safety
///
/// That of [`attach`].
unsafe fn make<M: Installed>(
    handle: NDIS_HANDLE,
    parameters: AttachParameters,
    watch: Stopwatch,
    irql: &mut Passive,
) -> Result<(), Status> {
    // SAFETY: this function's contract.
    let core = unsafe { ModuleCore::<M>::new(handle, parameters, irql) }?;
    let core = PoolArc::try_new(TAG, core)?;
    let module = match M::attach(&mut Attaching::new(&core), irql) {
        Ok(module) => module,
        Err(status) => {
            // SAFETY: the attach fails; `attached` was never opened.
            unsafe { core.free_owned(irql) };
            return Err(status);
        }
    };
    // SAFETY: this is attach, and the first time.
    unsafe { core.publish(module) };
    let context = core.clone().into_raw();
    let mut attributes = NDIS_FILTER_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
            Revision: NDIS_FILTER_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
        },
        Flags: 0,
    };
    // SAFETY: NDIS has given the handle; the context is an owner of the module, until detach takes it back.
    let status =
        unsafe { NdisFSetAttributes(handle, context.as_ptr().cast(), &raw mut attributes) };
    if let Err(status) = Status::from_raw(status).ok() {
        // SAFETY: NDIS has not taken it.
        drop(unsafe { PoolArc::from_raw(context) });
        // SAFETY: the attach fails; `attached` was never opened.
        unsafe { core.free_owned(irql) };
        // SAFETY: published above; no callback was made, no reference given, and it is in no list.
        unsafe { core.retire() };
        return Err(status);
    }
    // SAFETY: published above; the context owns the module until detach, which takes it out of the list.
    unsafe { M::driver().list(&core, irql) };
    core.set_state(ModuleState::Paused);
    // INVARIANT: the attach has succeeded.
    core.attached.open();
    // SAFETY: this is attach, and `attached` is open.
    unsafe { core.begin_threads(irql) };
    M::witness(Moment::Attached {
        // SAFETY: published above; detach does not begin before attach has returned.
        module: &unsafe { Attached::new(&core) },
        took_ns: watch.took_ns(),
    });
    Ok(())
}

/// Restarts a module, with the medium that NDIS names for it now.
///
/// # Safety
///
/// Called in `FilterRestart`.
pub(crate) unsafe fn restart<M: Installed>(
    core: &ModuleCore<M>,
    medium: Result<Medium, Status>,
    irql: &mut Passive,
) -> Result<(), Status> {
    let watch = Stopwatch::start::<M>();
    core.set_state(ModuleState::Restarting);
    // SAFETY: NDIS calls FilterRestart between attach and detach.
    let attached = unsafe { Attached::new(core) };
    // What the module was made for at attach does not fit another medium.
    let medium = medium.and_then(|medium| {
        if medium == core.parameters().medium {
            Ok(())
        } else {
            Err(Status::UNSUPPORTED_MEDIA)
        }
    });
    let result = match medium.and_then(|()| M::restart(&attached, irql)) {
        Ok(()) => {
            if let Some(own_packets) = M::HANDLERS.own_packets
                && !core.is_bypassed()
            {
                let wanted = own_packets(&attached, irql);
                // SAFETY: this is restart, and pause empties; the handlers for the way back are there.
                unsafe { make_own_packets(&attached, wanted, irql) };
            }
            core.set_state(ModuleState::Running);
            // INVARIANT: the restart has succeeded.
            core.datapath.open();
            Ok(())
        }
        Err(status) => {
            core.set_state(ModuleState::Paused);
            Err(status)
        }
    };
    M::witness(Moment::Restarted {
        module: &attached,
        result,
        took_ns: watch.took_ns(),
    });
    result
}

/// Makes the module's own packets, and tells it if there is no memory for all of them.
///
/// # Safety
///
/// Called in `FilterRestart`, for a module with the handlers through which they come back.
unsafe fn make_own_packets<M: Installed>(
    attached: &Attached<'_, M>,
    wanted: BothWays<OwnPackets>,
    irql: &mut Passive,
) {
    let (core, BothWays { send, receive }) = (attached.core(), wanted);
    let made = BothWays {
        // SAFETY: this function's contract, and pause empties.
        send: unsafe { core.side::<Tx>().own.fill(core.handle(), send, irql) },
        // SAFETY: likewise.
        receive: unsafe { core.side::<Rx>().own.fill(core.handle(), receive, irql) },
    };
    // SAFETY: likewise.
    unsafe { core.side::<Tx>().clones.fill(core.handle(), send.clones) };
    // SAFETY: likewise.
    unsafe { core.side::<Rx>().clones.fill(core.handle(), receive.clones) };
    let wanted = BothWays {
        send: send.packets,
        receive: receive.packets,
    };
    if made != wanted {
        M::witness(Moment::OwnPacketsShort {
            module: attached,
            made,
            wanted,
        });
    }
}

/// # Safety
///
/// Called in `FilterPause`.
pub(crate) unsafe fn pause<M: Installed>(core: &ModuleCore<M>, reason: u32, irql: &mut Passive) {
    let mut watch = None;
    core.set_state(ModuleState::Pausing);
    // INVARIANT: this is pause.
    order::pause(&Stopping(core), irql, || {
        watch = Some(Stopwatch::start::<M>());
        M::called(Call::FilterPause, Stage::Begins(Some(core.parameters())));
    });
    core.set_state(ModuleState::Paused);
    M::witness(Moment::Paused {
        // SAFETY: NDIS calls FilterPause between attach and detach.
        module: &unsafe { Attached::new(core) },
        reason,
        took_ns: watch.map_or(0, Stopwatch::took_ns),
    });
}

/// Gives up what is held: sends are completed with `NDIS_STATUS_PAUSED`, receives returned.
///
/// # Safety
///
/// Called in `FilterPause`, when nobody can hold or release any more.
pub(crate) unsafe fn drain<M: HoldPath>(core: &ModuleCore<M>, irql: &mut Passive) {
    // SAFETY: NDIS calls FilterPause between attach and detach.
    let attached = unsafe { Attached::new(core) };
    let chain = core.held::<Tx>().take_all(irql);
    // SAFETY: the module is attached as long as this runs.
    let callback = unsafe { Callback::<Tx>::new(core.handle(), core.side::<Tx>(), false) };
    // SAFETY: the sends were held, so they are the module's, and no one else has them. (Nobody asks how many they are.)
    let sends = unsafe { callback.batch(chain, 0, 0, 0) };
    M::sends_drained(&attached, sends.iter());
    sends.complete(Status::PAUSED, irql);

    let chain = core.held::<Rx>().take_all(irql);
    // SAFETY: as above.
    let callback = unsafe { Callback::<Rx>::new(core.handle(), core.side::<Rx>(), false) };
    // SAFETY: as above; they came without low resources, or they would not have been held.
    let receives = unsafe { callback.batch(chain, 0, 0, 0) };
    M::receives_drained(&attached, receives.iter());
    receives.return_(irql);
}

/// # Safety
///
/// Called in `FilterDetach`; `context` is what `attach` has given to NDIS.
pub(crate) unsafe fn detach<M: Installed>(context: NonNull<ModuleCore<M>>, irql: &mut Passive) {
    let watch = Stopwatch::start::<M>();
    // SAFETY: `attach` has made the pointer, and NDIS gives it back once.
    let core = unsafe { PoolArc::from_raw(context) };
    core.set_state(ModuleState::Detached);
    core.around(Call::FilterDetach, || {
        // INVARIANT: this is detach.
        order::detach(&Stopping(&core), irql);
        M::witness(Moment::Detached {
            parameters: core.parameters(),
            took_ns: watch.took_ns(),
        });
    });
}

/// A module that is being stopped.
///
/// # Invariants
///
/// It is made in `FilterPause` or `FilterDetach` and lent to the function of [`order`] of that name, once, which alone
/// calls the methods of [`Stop`].
struct Stopping<'a, M: Installed>(&'a ModuleCore<M>);

impl<M: Installed> Stop for Stopping<'_, M> {
    type Signal = Event;

    fn attached(&self) -> &Rundown<Event> {
        &self.0.attached
    }

    fn datapath(&self) -> &Rundown<Event> {
        &self.0.datapath
    }

    fn quiet(&self) -> &Event {
        &self.0.quiet
    }

    fn work(&self) -> impl Iterator<Item = &State> {
        // SAFETY: by the invariant: `order` calls it in pause.
        unsafe { self.0.work_states() }
    }

    fn cancel_timers(&self, irql: &mut Passive) {
        // SAFETY: by the invariant: `order` calls it in pause, and in detach before `free`.
        unsafe { self.0.cancel_timers(irql) };
    }

    fn flush_dpcs(&self, irql: &mut Passive) {
        // SAFETY: by the invariant: `order` calls it in pause.
        unsafe { self.0.flush_dpcs(irql) };
    }

    fn drain(&self, irql: &mut Passive) {
        if let Some(drain) = M::HANDLERS.drain {
            // SAFETY: by the invariant: `order` calls it in pause, after `datapath` was closed.
            unsafe { drain(self.0, irql) };
        }
    }

    fn recall(&self, irql: &mut Passive) {
        // Clones first: a parent may be a packet of the module's own.
        // SAFETY: by the invariant: `order` calls it in pause, after `datapath` was closed.
        unsafe { self.0.side::<Tx>().clones.empty(irql) };
        // SAFETY: likewise.
        unsafe { self.0.side::<Rx>().clones.empty(irql) };
        // SAFETY: by the invariant: `order` calls it in pause, after `datapath` was closed.
        unsafe { self.0.side::<Tx>().own.empty(irql) };
        // SAFETY: likewise.
        unsafe { self.0.side::<Rx>().own.empty(irql) };
    }

    fn on_pause(&self, irql: &mut Passive) {
        // SAFETY: NDIS calls FilterPause between attach and detach.
        M::pause(&unsafe { Attached::new(self.0) }, irql);
    }

    fn on_detaching(&self, irql: &mut Passive) {
        // SAFETY: by the invariant this is detach, and `M` is there until `free`.
        M::detaching(&unsafe { Attached::new(self.0) }, irql);
        self.0.cancel_own_oids(irql);
        // SAFETY: by the invariant this is detach, before `free`.
        unsafe { self.0.stop_threads(irql) };
    }

    fn on_detach(&self, irql: &mut Passive) {
        // SAFETY: by the invariant this is detach, and `M` is there until `free`.
        M::detach(&unsafe { Attached::new(self.0) }, irql);
    }

    fn free(&self, irql: &mut Passive) {
        // SAFETY: by the invariant: `order` calls it once, in detach, after `attached` was closed.
        unsafe { self.0.free_owned(irql) };
        // SAFETY: `attach` has put it there; `M` is there until `retire`.
        unsafe { M::driver().unlist(self.0, irql) };
        // SAFETY: published in attach; `attached` is closed, NDIS makes no callbacks any more, and it is in no list.
        unsafe { self.0.retire() };
    }
}
