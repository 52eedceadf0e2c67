//! The functions of the system that work items are made of: those of NDIS, and those of WDM.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::NonNull;

use ndis_sys::{NDIS_HANDLE, NdisAllocateIoWorkItem, NdisFreeIoWorkItem, NdisQueueIoWorkItem};
use wdk_sys::_WORK_QUEUE_TYPE::DelayedWorkQueue;
use wdk_sys::{
    DEVICE_OBJECT, IO_WORKITEM_ROUTINE_EX, PIO_WORKITEM, UNICODE_STRING, WORK_QUEUE_TYPE, ntddk,
};

use super::item::Owner;
use crate::Status;
use crate::irql::Passive;
use crate::mem::{PoolVec, Tag};
use crate::{text, thunk};

/// Tag of storage for `IO_WORKITEM`s.
const TAG: Tag = Tag::new(*b"NdIw");

/// `IoTryQueueWorkItem`, which import libraries of some kits lack.
type TryQueue =
    unsafe extern "C" fn(PIO_WORKITEM, IO_WORKITEM_ROUTINE_EX, WORK_QUEUE_TYPE, *mut c_void) -> u8;

/// A work item of the system's.
///
/// # Invariants
///
/// It is allocated, or initialised, until `free` was called.
pub(crate) enum Family {
    /// `NdisAllocateIoWorkItem`, `NdisQueueIoWorkItem`, `NdisFreeIoWorkItem`.
    Ndis(NDIS_HANDLE),
    /// `IoAllocateWorkItem`, `IoQueueWorkItem`, `IoFreeWorkItem`.
    Io(Wdm),
    /// `IoAllocateWorkItem`, `IoQueueWorkItemEx`, `IoFreeWorkItem`.
    IoEx(Wdm),
    /// `IoInitializeWorkItem`, `IoQueueWorkItemEx`, `IoUninitializeWorkItem`. The storage stays where it is: NT links it
    /// into its queue.
    IoInPlace {
        wdm: Wdm,
        _storage: PoolVec<UnsafeCell<u128>>,
    },
}

/// A WDM work item.
#[derive(Clone, Copy)]
pub(crate) struct Wdm {
    item: PIO_WORKITEM,
    /// If this system has it.
    try_queue: Option<TryQueue>,
}

impl Family {
    /// Allocates a work item of NDIS.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`].
    ///
    /// # Safety
    ///
    /// `handle` is that of the filter driver, or of a device that `NdisRegisterDeviceEx` has made, and stays until `free`.
    pub(crate) unsafe fn allocate_ndis(
        handle: NDIS_HANDLE,
        _irql: &mut Passive,
    ) -> Result<Self, Status> {
        // SAFETY: this function's contract.
        let item = unsafe { NdisAllocateIoWorkItem(handle) };
        if item.is_null() {
            return Err(Status::RESOURCES);
        }
        // INVARIANT: just allocated.
        Ok(Self::Ndis(item))
    }

    /// Allocates a WDM work item for `IoQueueWorkItem`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`].
    ///
    /// # Safety
    ///
    /// `device` is a device object of this driver that stays until `free`.
    pub(crate) unsafe fn allocate_io(
        device: NonNull<DEVICE_OBJECT>,
        irql: &mut Passive,
    ) -> Result<Self, Status> {
        // INVARIANT: just allocated.
        // SAFETY: this function's contract.
        unsafe { Wdm::allocate(device, irql) }.map(Self::Io)
    }

    /// Allocates a WDM work item for `IoQueueWorkItemEx`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`].
    ///
    /// # Safety
    ///
    /// As for [`allocate_io`](Self::allocate_io).
    pub(crate) unsafe fn allocate_io_ex(
        device: NonNull<DEVICE_OBJECT>,
        irql: &mut Passive,
    ) -> Result<Self, Status> {
        // INVARIANT: just allocated.
        // SAFETY: this function's contract.
        unsafe { Wdm::allocate(device, irql) }.map(Self::IoEx)
    }

    /// Initialises a WDM work item in storage of ours.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`].
    ///
    /// # Safety
    ///
    /// As for [`allocate_io`](Self::allocate_io).
    pub(crate) unsafe fn initialize_io(
        device: NonNull<DEVICE_OBJECT>,
        irql: &mut Passive,
    ) -> Result<Self, Status> {
        // SAFETY: it asks for the size of a structure.
        let size = unsafe { ntddk::IoSizeofWorkItem() } as usize;
        let words = size.div_ceil(size_of::<u128>());
        let storage = PoolVec::try_from_fn(TAG, words, |_| UnsafeCell::new(0_u128))?;
        let item: PIO_WORKITEM = storage
            .first()
            .map_or(core::ptr::null_mut(), |word| word.get().cast());
        // SAFETY: the storage is nonpaged, large enough, aligned, and nobody uses it; the device is this function's contract.
        unsafe { ntddk::IoInitializeWorkItem(device.as_ptr().cast(), item) };
        // INVARIANT: just initialised.
        Ok(Self::IoInPlace {
            wdm: Wdm::new(item, irql),
            _storage: storage,
        })
    }

    /// Gives the item to the system, to run `Item::run` with `context`.
    ///
    /// Of the WDM queues it is the delayed one, as their pages ask of drivers; NDIS has its own.
    ///
    /// # Safety
    ///
    /// The item is allocated and in no queue; what `context` points to stays until `Item::run` is called.
    pub(crate) unsafe fn enqueue<O: Owner>(&self, context: *mut c_void) {
        match self {
            // SAFETY: this function's contract.
            Self::Ndis(handle) => unsafe {
                NdisQueueIoWorkItem(*handle, Some(thunk::run_work_item::<O>), context);
            },
            // SAFETY: likewise.
            Self::Io(wdm) => unsafe {
                let routine = thunk::run_io_work_item::<O>;
                ntddk::IoQueueWorkItem(wdm.item, Some(routine), DelayedWorkQueue, context);
            },
            // SAFETY: likewise.
            Self::IoEx(wdm) | Self::IoInPlace { wdm, .. } => unsafe {
                let routine = thunk::run_io_work_item_ex::<O>;
                ntddk::IoQueueWorkItemEx(wdm.item, Some(routine), DelayedWorkQueue, context);
            },
        }
    }

    /// As [`enqueue`](Self::enqueue) if a thread of the system is idle, and says whether one was.
    ///
    /// # Safety
    ///
    /// As for `enqueue`.
    pub(crate) unsafe fn offer<O: Owner>(&self, context: *mut c_void) -> bool {
        let (Self::Io(wdm) | Self::IoEx(wdm) | Self::IoInPlace { wdm, .. }) = self else {
            return false;
        };
        let Some(try_queue) = wdm.try_queue else {
            return false;
        };
        let routine: IO_WORKITEM_ROUTINE_EX = Some(thunk::run_io_work_item_ex::<O>);
        // SAFETY: this function's contract; the system has said that it is the function.
        unsafe { try_queue(wdm.item, routine, DelayedWorkQueue, context) != 0 }
    }

    /// Frees what was allocated, or takes back what was initialised.
    ///
    /// # Safety
    ///
    /// Called once; the item is not queued, and nobody queues it any more.
    pub(crate) unsafe fn free(&self) {
        match self {
            // SAFETY: this function's contract; allocated by the invariant.
            Self::Ndis(handle) => unsafe { NdisFreeIoWorkItem(*handle) },
            // SAFETY: likewise.
            Self::Io(wdm) | Self::IoEx(wdm) => unsafe { ntddk::IoFreeWorkItem(wdm.item) },
            // SAFETY: likewise; the storage is there as long as `self` is.
            Self::IoInPlace { wdm, .. } => unsafe { ntddk::IoUninitializeWorkItem(wdm.item) },
        }
    }
}

impl Wdm {
    /// # Safety
    ///
    /// That of `Family::allocate_io`.
    unsafe fn allocate(device: NonNull<DEVICE_OBJECT>, irql: &mut Passive) -> Result<Self, Status> {
        // SAFETY: this function's contract.
        let item = unsafe { ntddk::IoAllocateWorkItem(device.as_ptr()) };
        if item.is_null() {
            return Err(Status::RESOURCES);
        }
        Ok(Self::new(item, irql))
    }

    fn new(item: PIO_WORKITEM, _irql: &mut Passive) -> Self {
        let mut name: UNICODE_STRING = text!("IoTryQueueWorkItem").as_unicode_string();
        // SAFETY: the name is valid for the length of the call; the token says PASSIVE_LEVEL.
        let address = unsafe { ntddk::MmGetSystemRoutineAddress(&raw mut name) };
        // SAFETY: the address is null, which is `None`, or that of the function of this name, whose signature this is.
        let try_queue = unsafe { core::mem::transmute::<*mut c_void, Option<TryQueue>>(address) };
        Self { item, try_queue }
    }
}
