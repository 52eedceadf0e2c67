//! The device as this crate keeps it, around what the driver has for it.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use ndis_sys::{
    NDIS_DEVICE_OBJECT_ATTRIBUTES, NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NDIS_HANDLE,
    NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
    NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1, NdisDeregisterDeviceEx, NdisRegisterDeviceEx,
};
use wdk_sys::{
    DEVICE_OBJECT, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_MAXIMUM_FUNCTION, PDRIVER_DISPATCH,
};

use super::item::Routine;
use super::longer::{self, Pending};
use super::{ControlDevice, IoWorkItem, NdisWorkItem};
use crate::driver::{self, Driver};
use crate::event::Event;
use crate::filter::{Call, around};
use crate::irql::{Caller, Passive};
use crate::mem::{OutOfMemory, PoolArc, Tag};
use crate::rundown::Rundown;
use crate::work::{Family, Item, List, NextRun, Owner, WorkCounters, WorkItemCounts};
use crate::{Status, thunk};

/// Tag of what this crate allocates for the device.
pub(super) const TAG: Tag = Tag::new(*b"NdDv");

/// Entries of a dispatch table.
const MAJOR_FUNCTIONS: usize = IRP_MJ_MAXIMUM_FUNCTION as usize + 1;

/// The device: gate, work items, requests that wait, and the driver's `M::Device` in its final place.
///
/// # Invariants
///
/// 1. `made` is initialised while `gate` is open, and reached with a reference of it only.
/// 2. `items` changes only before `gate` is opened, and after it was closed for good.
/// 3. `handle` and `object` are those of the registered device from before `open` to the end of `Registration::undo`.
pub(crate) struct DeviceCore<M: ControlDevice> {
    pub(super) gate: Rundown<Event>,
    quiet: Event,
    counters: WorkCounters,
    pub(super) pending: Pending,
    /// The first looks after longer requests.
    items: UnsafeCell<List<Item<Self>>>,
    handle: AtomicPtr<c_void>,
    object: AtomicPtr<DEVICE_OBJECT>,
    made: UnsafeCell<MaybeUninit<M::Device>>,
}

// SAFETY: what can be reached from several processors is synchronised: `M::Device` is `Send` and `Sync`, the cells by the
// invariants 1 and 2, the rest by itself.
unsafe impl<M: ControlDevice> Send for DeviceCore<M> {}
// SAFETY: as above.
unsafe impl<M: ControlDevice> Sync for DeviceCore<M> {}

impl<M: ControlDevice> Owner for DeviceCore<M> {
    type Routine = Routine<M>;

    fn gate(&self) -> &Rundown<Event> {
        &self.gate
    }

    fn quiet(&self) -> &Event {
        &self.quiet
    }

    fn counters(&self) -> &WorkCounters {
        &self.counters
    }

    unsafe fn run(&self, routine: Routine<M>, irql: &mut Passive) -> NextRun {
        // SAFETY: this function's contract: a reference of the gate is held.
        let device = unsafe { Device::new(self) };
        around::<M, _>(Call::WorkItem, None, || routine(&device, irql))
    }
}

impl<M: ControlDevice> DeviceCore<M> {
    fn new(irql: &mut Passive) -> Result<Self, OutOfMemory> {
        Ok(Self {
            gate: Rundown::closed(Event::try_new(TAG, irql)?),
            quiet: Event::try_new(TAG, irql)?,
            counters: WorkCounters::new(),
            pending: Pending::try_new()?,
            items: UnsafeCell::new(List::new(TAG)),
            handle: AtomicPtr::new(core::ptr::null_mut()),
            object: AtomicPtr::new(core::ptr::null_mut()),
            made: UnsafeCell::new(MaybeUninit::uninit()),
        })
    }

    fn handle(&self) -> NDIS_HANDLE {
        self.handle.load(Ordering::Acquire)
    }

    /// Wishes for a look at the longer requests, if there are any.
    pub(super) fn wake(&self, irql: &mut impl Caller) {
        if self.pending.is_empty(irql) || !self.gate.acquire() {
            return;
        }
        // SAFETY: by invariant 2 nobody changes it while a reference of the gate is held.
        if let Some(item) = unsafe { &*self.items.get() }.iter().next() {
            // With a reference held it is not refused.
            let _ = item.queue(irql);
        }
        self.gate.release();
    }

    /// Frees the work items.
    ///
    /// # Safety
    ///
    /// The gate is closed for good, or was never opened.
    unsafe fn free_items(&self, _irql: &mut Passive) {
        // SAFETY: by invariant 2 nobody else looks at it any more.
        unsafe { &mut *self.items.get() }.drain(|item| {
            // SAFETY: it was in the list; with the gate closed it is neither queued nor does it run.
            unsafe { item.free() };
        });
    }
}

impl<M: ControlDevice> fmt::Debug for DeviceCore<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCore").finish_non_exhaustive()
    }
}

/// The device, as its work items and whoever asks for it see it. It derefs to the driver's [`ControlDevice::Device`].
///
/// It is lent: what keeps the device there stays in the thunk, so keeping or leaking a view changes nothing.
///
/// # Invariants
///
/// For `'a`, a reference of the gate is held, so [`ControlDevice::Device`] is there.
pub struct Device<'a, M: ControlDevice> {
    pub(super) core: &'a DeviceCore<M>,
}

impl<'a, M: ControlDevice> Device<'a, M> {
    /// # Safety
    ///
    /// The invariant holds.
    unsafe fn new(core: &'a DeviceCore<M>) -> Self {
        // INVARIANT: the caller's promise.
        Self { core }
    }

    /// What the device's work items did so far, together.
    #[must_use]
    pub fn work_items(&self) -> WorkItemCounts {
        self.core.counters.counts()
    }
}

impl<M: ControlDevice> Deref for Device<'_, M> {
    type Target = M::Device;

    fn deref(&self) -> &M::Device {
        // SAFETY: by the invariant a reference of the gate is held, so nobody writes to it.
        let made = unsafe { &*self.core.made.get() };
        // SAFETY: likewise: it is initialised.
        unsafe { made.assume_init_ref() }
    }
}

impl<M: ControlDevice> fmt::Debug for Device<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").finish_non_exhaustive()
    }
}

/// A device that is being made, lent to [`ControlDevice::open`].
///
/// What is allocated here is freed when the device goes, or when [`ControlDevice::open`] fails. A device can have
/// [`MAX_WORK_ITEMS`](crate::work::MAX_WORK_ITEMS), less one that is this crate's.
pub struct Opening<'a, M: ControlDevice> {
    core: &'a PoolArc<DeviceCore<M>>,
    /// The thunk lends it to one activation.
    _lent: PhantomData<*mut ()>,
}

impl<M: ControlDevice> Opening<'_, M> {
    /// Allocates a work item with the device's NDIS handle: `NdisAllocateIoWorkItem`, `NdisQueueIoWorkItem`.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`]: no memory, or the device has as many as it can have.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisallocateioworkitem>
    pub fn ndis_work_item(
        &mut self,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<NdisWorkItem<M>, Status> {
        let handle = self.core.handle();
        // SAFETY: the device is registered, and its items are freed before it is deregistered.
        let allocate = |irql: &mut Passive| unsafe { Family::allocate_ndis(handle, irql) };
        self.add(routine, irql, allocate).map(NdisWorkItem)
    }

    /// Allocates a work item for the device object: `IoAllocateWorkItem`, `IoQueueWorkItem`.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// As for [`ndis_work_item`](Self::ndis_work_item).
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-ioallocateworkitem>
    pub fn io_work_item(
        &mut self,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<IoWorkItem<M>, Status> {
        let object = self.object()?;
        // SAFETY: the device object stays until the device is deregistered, and its items are freed before.
        let allocate = |irql: &mut Passive| unsafe { Family::allocate_io(object, irql) };
        self.add(routine, irql, allocate).map(IoWorkItem)
    }

    /// Allocates a work item for the device object: `IoAllocateWorkItem`, `IoQueueWorkItemEx`.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// As for [`ndis_work_item`](Self::ndis_work_item).
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-ioqueueworkitemex>
    pub fn io_work_item_ex(
        &mut self,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<IoWorkItem<M>, Status> {
        let object = self.object()?;
        // SAFETY: as for `io_work_item`.
        let allocate = |irql: &mut Passive| unsafe { Family::allocate_io_ex(object, irql) };
        self.add(routine, irql, allocate).map(IoWorkItem)
    }

    /// Makes a work item in pinned storage of this crate's: `IoInitializeWorkItem`, `IoQueueWorkItemEx`.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// As for [`ndis_work_item`](Self::ndis_work_item).
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-ioinitializeworkitem>
    pub fn io_work_item_in_place(
        &mut self,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<IoWorkItem<M>, Status> {
        let object = self.object()?;
        // SAFETY: as for `io_work_item`.
        let allocate = |irql: &mut Passive| unsafe { Family::initialize_io(object, irql) };
        self.add(routine, irql, allocate).map(IoWorkItem)
    }

    fn object(&self) -> Result<NonNull<DEVICE_OBJECT>, Status> {
        NonNull::new(self.core.object.load(Ordering::Acquire)).ok_or(Status::FAILURE)
    }

    fn add(
        &mut self,
        routine: Routine<M>,
        irql: &mut Passive,
        allocate: impl FnOnce(&mut Passive) -> Result<Family, Status>,
    ) -> Result<PoolArc<Item<DeviceCore<M>>>, Status> {
        // SAFETY: by invariant 2 nobody else looks at it before the gate is opened, and `Item` does not.
        let items = unsafe { &mut *self.core.items.get() };
        items.add(|| Item::try_new(self.core, allocate(irql)?, routine))
    }
}

impl<M: ControlDevice> fmt::Debug for Opening<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

impl<M: ControlDevice> Driver<M> {
    /// Runs `f` with the device; `None` while it is being made, and when it is going. The device stays until `f` has
    /// returned.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    pub fn with_device<R, C: Caller>(
        &self,
        irql: &mut C,
        f: impl FnOnce(&Device<'_, M>, &mut C) -> R,
    ) -> Option<R> {
        let core = self.device(irql)?;
        if !core.gate.acquire() {
            return None;
        }
        // SAFETY: a reference of the gate is held until `f` has returned.
        let result = f(&unsafe { Device::new(&core) }, irql);
        core.gate.release();
        Some(result)
    }

    /// Has the longer requests that wait looked after again ([`ControlDevice::advance`]): there is news.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    pub fn advance_requests(&self, irql: &mut impl Caller) {
        if let Some(core) = self.device(irql) {
            core.wake(irql);
        }
    }
}

/// How a device is made, and undone, by drivers that may have none.
pub(crate) struct Registration<M: crate::filter::FilterModule> {
    /// Makes the device. The filter driver is registered.
    pub(crate) make: fn(&Driver<M>, &mut Passive) -> Result<(), Status>,
    /// Removes it. Unload runs only when nobody has it open.
    pub(crate) undo: fn(&Driver<M>, &mut Passive),
}

/// How the device of `M` is made, and undone.
pub(crate) const fn registration<M: ControlDevice>() -> Registration<M> {
    Registration {
        make: register::<M>,
        undo: deregister::<M>,
    }
}

fn register<M: ControlDevice>(driver: &Driver<M>, irql: &mut Passive) -> Result<(), Status> {
    let core = PoolArc::try_new(TAG, DeviceCore::<M>::new(irql)?)?;
    // Requests may come as soon as NDIS knows the device.
    driver.set_device(core.clone(), irql);
    let result = register_with_ndis(&core, irql).and_then(|()| {
        let result = open(&core, irql);
        if result.is_err() {
            // SAFETY: the gate was never opened.
            unsafe { core.free_items(irql) };
            // SAFETY: registered above, and deregistered once. The token says PASSIVE_LEVEL.
            unsafe { NdisDeregisterDeviceEx(core.handle()) };
        }
        result
    });
    if result.is_err() {
        drop(driver.take_device(irql));
    }
    result
}

/// Makes what the device has, and opens the gate.
fn open<M: ControlDevice>(core: &PoolArc<DeviceCore<M>>, irql: &mut Passive) -> Result<(), Status> {
    let mut opening = Opening {
        core,
        _lent: PhantomData,
    };
    opening.io_work_item(longer::advance_all::<M>, irql)?;
    let made = M::open(&mut opening, irql)?;
    // SAFETY: by invariant 1 nobody reaches the place before the gate is opened.
    unsafe { core.made.get().write(MaybeUninit::new(made)) };
    // INVARIANT: everything is in its place.
    core.gate.open();
    Ok(())
}

fn register_with_ndis<M: ControlDevice>(
    core: &DeviceCore<M>,
    _irql: &mut Passive,
) -> Result<(), Status> {
    let mut major_functions: [PDRIVER_DISPATCH; MAJOR_FUNCTIONS] = [None; MAJOR_FUNCTIONS];
    for function in [
        IRP_MJ_CREATE,
        IRP_MJ_CLEANUP,
        IRP_MJ_CLOSE,
        IRP_MJ_DEVICE_CONTROL,
    ] {
        if let Some(entry) = major_functions.get_mut(function as usize) {
            *entry = Some(thunk::dispatch::<M>);
        }
    }
    let mut name = M::NAME.as_unicode_string();
    let mut link = M::LINK.as_unicode_string();
    let security = M::SECURITY.as_unicode_string();
    let mut attributes = NDIS_DEVICE_OBJECT_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEVICE_OBJECT_ATTRIBUTES,
            Revision: NDIS_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
            Size: NDIS_SIZEOF_DEVICE_OBJECT_ATTRIBUTES_REVISION_1,
        },
        DeviceName: &raw mut name,
        SymbolicName: &raw mut link,
        MajorFunctions: major_functions.as_mut_ptr(),
        ExtensionSize: 0,
        DefaultSDDLString: &raw const security,
        DeviceClassGuid: core::ptr::null(),
    };
    let mut object = core::ptr::null_mut();
    let mut handle = core::ptr::null_mut();
    // SAFETY: the handle is that of the registered filter driver; all pointers are valid for the length of the call, and
    // NDIS copies what it keeps; the dispatch routine finds what it needs, or refuses. The token says PASSIVE_LEVEL.
    let status = unsafe {
        NdisRegisterDeviceEx(
            driver::filter_driver_handle(),
            &raw mut attributes,
            &raw mut object,
            &raw mut handle,
        )
    };
    Status::from_raw(status).ok()?;
    // INVARIANT: just registered.
    core.handle.store(handle, Ordering::Release);
    core.object.store(object, Ordering::Release);
    Ok(())
}

/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisderegisterdeviceex>
fn deregister<M: ControlDevice>(driver: &Driver<M>, irql: &mut Passive) {
    let Some(core) = driver.take_device(irql) else {
        return;
    };
    core.gate.close(irql);
    // SAFETY: the gate is closed for good.
    unsafe { core.free_items(irql) };
    // SAFETY: it is registered; taking it means that it is deregistered once. The token says PASSIVE_LEVEL.
    unsafe { NdisDeregisterDeviceEx(core.handle()) };
    // SAFETY: the gate was open, so it is initialised; it is closed, so nobody reaches it any more.
    let made = unsafe { &mut *core.made.get() };
    // SAFETY: likewise.
    unsafe { made.assume_init_drop() };
}
