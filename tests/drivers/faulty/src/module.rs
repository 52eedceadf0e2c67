//! A filter module: attach, restart, pause, detach, and its work item.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use crate::abi::{
    ExAllocatePool2, ExFreePoolWithTag, NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_ATTRIBUTES,
    NDIS_FILTER_ATTRIBUTES_REVISION_1, NDIS_FILTER_PAUSE_PARAMETERS,
    NDIS_FILTER_RESTART_PARAMETERS, NDIS_HANDLE, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES, NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1, NDIS_STATUS,
    NDIS_STATUS_PENDING, NDIS_STATUS_RESOURCES, NDIS_STATUS_SUCCESS, NdisAllocateIoWorkItem,
    NdisFSetAttributes, NdisFreeIoWorkItem, NdisMSleep, NdisQueueIoWorkItem, POOL_FLAG_NON_PAGED,
};
use crate::driver;
use crate::packet::Held;
use crate::play::Play;

/// Pool tag of module contexts, `Flty`.
const TAG: u32 = u32::from_le_bytes(*b"Flty");

/// How long to sleep between two looks at a count, in microseconds.
const POLL_US: u32 = 1000;

/// The context of a module.
pub(crate) struct Module {
    pub(crate) handle: NDIS_HANDLE,
    pub(crate) play: &'static Play,
    pub(crate) work_item: NDIS_HANDLE,
    /// Packets may pass.
    open: AtomicBool,
    /// Datapath handlers inside the module.
    inside: AtomicU32,
    /// The work item waits to run.
    queued: AtomicBool,
    /// Runs of work items that were asked for and have not ended.
    pub(crate) busy: AtomicU32,
    /// How far a play has come, in whatever it counts.
    pub(crate) progress: AtomicU32,
    /// What a play keeps from one callback to the next.
    pub(crate) kept: AtomicPtr<c_void>,
    /// The pool of the packets that are the module's own.
    pub(crate) pool: AtomicPtr<c_void>,
    /// Packets from it that are out.
    pub(crate) out: AtomicU32,
    /// Sends that a play holds.
    pub(crate) sends: Held,
    /// Receives that a play holds.
    pub(crate) receives: Held,
}

impl Module {
    /// The module of a callback.
    pub(crate) fn of(context: NDIS_HANDLE) -> &'static Self {
        // SAFETY: NDIS passes what attach gave it, which lives until detach returns.
        unsafe { &*context.cast::<Self>() }
    }

    /// Whether packets may pass.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// What to give as a context for this module.
    pub(crate) fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Keeps a pointer.
    pub(crate) fn keep(&self, what: *mut c_void) {
        self.kept.store(what, Ordering::Release);
    }

    /// Takes what is kept, so that nobody else does; NULL where nothing is.
    pub(crate) fn take(&self) -> *mut c_void {
        self.kept.swap(ptr::null_mut(), Ordering::AcqRel)
    }

    /// Something begins that pause and detach wait for.
    pub(crate) fn begin(&self) {
        self.busy.fetch_add(1, Ordering::AcqRel);
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.busy.fetch_sub(1, Ordering::AcqRel);
    }

    /// Waits until what has begun has ended. Called at PASSIVE_LEVEL.
    pub(crate) fn drain_work(&self) {
        Self::drain(&self.busy);
    }

    /// Lets a datapath handler in; `false` if the module is paused.
    pub(crate) fn enter(&self) -> bool {
        self.inside.fetch_add(1, Ordering::AcqRel);
        let open = self.open.load(Ordering::Acquire);
        if !open {
            self.leave();
        }
        open
    }

    /// Ends what a successful `enter` began.
    pub(crate) fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::AcqRel);
    }

    /// Lets no datapath handler in any more, and waits for none.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Asks for a run of the work item, unless one waits already.
    pub(crate) fn defer(&self) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        self.busy.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the item waits for no run; the context lives until `busy` is zero.
        unsafe { NdisQueueIoWorkItem(self.work_item, Some(work), self.context()) };
    }

    /// Sleeps until `count` is zero. Called at PASSIVE_LEVEL.
    pub(crate) fn drain(count: &AtomicU32) {
        while count.load(Ordering::Acquire) != 0 {
            // SAFETY: PASSIVE_LEVEL.
            unsafe { NdisMSleep(POLL_US) };
        }
    }
}

extern "system" fn work(context: *mut c_void, _item: NDIS_HANDLE) {
    let module = Module::of(context);
    module.queued.store(false, Ordering::Release);
    if let Some(work) = module.play.work {
        work(module);
    }
    module.busy.fetch_sub(1, Ordering::AcqRel);
}

pub(crate) extern "system" fn attach(
    handle: NDIS_HANDLE,
    _driver_context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_ATTACH_PARAMETERS,
) -> NDIS_STATUS {
    let play = driver::play();
    let early = play
        .early_attach
        .map_or(NDIS_STATUS_SUCCESS, |early| early(handle, parameters));
    if early != NDIS_STATUS_SUCCESS {
        return early;
    }
    // SAFETY: callable at PASSIVE_LEVEL; size and tag are not zero.
    let memory = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<Module>() as u64, TAG) };
    if memory.is_null() {
        return NDIS_STATUS_RESOURCES;
    }
    // SAFETY: the driver's handle lives until unload.
    let work_item = unsafe { NdisAllocateIoWorkItem(driver::handle()) };
    let module = memory.cast::<Module>();
    let value = Module {
        handle,
        play,
        work_item,
        open: AtomicBool::new(false),
        inside: AtomicU32::new(0),
        queued: AtomicBool::new(false),
        busy: AtomicU32::new(0),
        progress: AtomicU32::new(0),
        kept: AtomicPtr::new(ptr::null_mut()),
        pool: AtomicPtr::new(ptr::null_mut()),
        out: AtomicU32::new(0),
        sends: Held::new(),
        receives: Held::new(),
    };
    // SAFETY: fresh memory of the right size, aligned to 16.
    unsafe { ptr::write(module, value) };
    let status = if work_item.is_null() {
        NDIS_STATUS_RESOURCES
    } else {
        set_attributes(play, handle, memory)
    };
    if status != NDIS_STATUS_SUCCESS {
        release(memory, work_item);
        return status;
    }
    if let Some(attach) = play.attach {
        attach(Module::of(memory));
    }
    NDIS_STATUS_SUCCESS
}

fn set_attributes(play: &Play, handle: NDIS_HANDLE, context: *mut c_void) -> NDIS_STATUS {
    let mut attributes = NDIS_FILTER_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
            Revision: NDIS_FILTER_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
        },
        Flags: 0,
    };
    if let Some(change) = play.attributes {
        change(&mut attributes);
    }
    // SAFETY: the handle that this attach received; the attributes are valid for the call.
    unsafe { NdisFSetAttributes(handle, context, &raw mut attributes) }
}

pub(crate) extern "system" fn restart(
    context: NDIS_HANDLE,
    parameters: *mut NDIS_FILTER_RESTART_PARAMETERS,
) -> NDIS_STATUS {
    let module = Module::of(context);
    module.open.store(true, Ordering::Release);
    let status = module
        .play
        .restart
        .map_or(NDIS_STATUS_SUCCESS, |restart| restart(module, parameters));
    if status != NDIS_STATUS_SUCCESS && status != NDIS_STATUS_PENDING {
        module.open.store(false, Ordering::Release);
    }
    status
}

pub(crate) extern "system" fn pause(
    context: NDIS_HANDLE,
    _parameters: *mut NDIS_FILTER_PAUSE_PARAMETERS,
) -> NDIS_STATUS {
    let module = Module::of(context);
    module.open.store(false, Ordering::Release);
    Module::drain(&module.inside);
    let status = module
        .play
        .pause
        .map_or(NDIS_STATUS_SUCCESS, |pause| pause(module));
    if status != NDIS_STATUS_PENDING {
        Module::drain(&module.busy);
    }
    status
}

pub(crate) extern "system" fn detach(context: NDIS_HANDLE) {
    let module = Module::of(context);
    if module.play.detach.is_none_or(|detach| detach(module)) {
        Module::drain(&module.busy);
        release(context, module.work_item);
    }
}

fn release(memory: *mut c_void, work_item: NDIS_HANDLE) {
    if !work_item.is_null() {
        // SAFETY: allocated in attach; no run waits.
        unsafe { NdisFreeIoWorkItem(work_item) };
    }
    // SAFETY: allocated in attach; nothing uses it any more.
    unsafe { ExFreePoolWithTag(memory, TAG) };
}
