//! Clones: lists of a module's own over the memory of others.
//!
//! A clone is passed on in the place of its parent, or beside a clone that is. The parent stays with the module until all of
//! its clones are back; then it goes where it would have gone by itself: a send is completed, a receive returned. What
//! becomes of a parent is therefore decided by its clones alone, and none is ever lost without the other.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use ndis_sys::{
    NDIS_HANDLE, NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT, NDIS_NBL_FLAGS_HD_SPLIT,
    NDIS_NBL_FLAGS_RECV_READ_ONLY, NDIS_NBL_FLAGS_SEND_READ_ONLY, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_2, NET_BUFFER_POOL_PARAMETERS,
    NET_BUFFER_POOL_PARAMETERS_REVISION_1, NET_BUFFER_POOL_PARAMETERS_REVISION_2,
    NdisAllocateCloneNetBufferList, NdisAllocateNetBufferPool, NdisFreeCloneNetBufferList,
    NdisFreeNetBufferListPool, NdisFreeNetBufferPool, NdisGetPoolFromNetBufferList,
};

use super::own::{SECOND_REVISION, TAG, allocate_pool};
use super::raw::{self, Chain, NblPointer};
use super::{Direction, oob};
use crate::event::Event;
use crate::fifo::List;
use crate::irql::Passive;
use crate::mem::{OutOfMemory, Tag};
use crate::rundown::Rundown;
use crate::{generation, version};

/// Each clone has MDLs of its own, so that it can be mapped while its sibling is.
const FLAGS: u32 = 0;

/// What flags say about the memory of an NBL, which a clone shares.
const MEMORY_FLAGS: u32 = NDIS_NBL_FLAGS_SEND_READ_ONLY | NDIS_NBL_FLAGS_RECV_READ_ONLY;

/// Which clone of a list it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It goes on in the list's place.
    Parents,
    /// It goes on beside that.
    Beside,
}

/// The clones of a module that go one way.
///
/// # Invariants
///
/// 1. `lists` and `buffers` are both null, or pools of NDIS. They, and `module`, change in restart and pause only, while
///    `out` is closed.
/// 2. For each NBL of `lists` a reference of `out` is held. It is a clone, made with [`FLAGS`], of its
///    `ParentNetBufferList`, which came this way through the module, without low resources, or is of its own; which is the
///    module's, linked to none, and which nobody touches but for what is said here.
/// 3. `ChildRefCount` of a parent is the number of its clones that are there.
/// 4. `left` is how many more clones there may be.
pub(crate) struct ClonePool {
    module: AtomicPtr<c_void>,
    lists: AtomicPtr<c_void>,
    buffers: AtomicPtr<c_void>,
    left: AtomicU32,
    out: Rundown<Event>,
}

/// References of clones that are gone, until what they stood for has been dealt with.
#[must_use = "pause waits for them"]
pub(super) struct Gone<'p> {
    pool: &'p ClonePool,
    count: u32,
}

impl Gone<'_> {
    /// Their parents are the module's no more.
    pub(super) fn release(self) {
        for _ in 0..self.count {
            // The last touch: pause may free the pool from here on.
            self.pool.out.release();
        }
    }
}

impl ClonePool {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub(crate) fn try_new(irql: &mut Passive) -> Result<Self, OutOfMemory> {
        Ok(Self {
            module: AtomicPtr::new(core::ptr::null_mut()),
            lists: AtomicPtr::new(core::ptr::null_mut()),
            buffers: AtomicPtr::new(core::ptr::null_mut()),
            left: AtomicU32::new(0),
            out: Rundown::closed(Event::try_new(Tag::new(TAG), irql)?),
        })
    }

    /// Allows clones, if memory allows.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblapi/nf-nblapi-ndisallocatenetbufferpool>
    ///
    /// # Safety
    ///
    /// Called in restart, with the handle of the module, after `empty` if it was called before. The handlers that clones come
    /// back through are registered.
    pub(crate) unsafe fn fill(&self, module: NDIS_HANDLE, most: u32) {
        if most == 0 {
            return;
        }
        // SAFETY: this function's contract.
        let Some(lists) = (unsafe { allocate_pool(module, false) }) else {
            return;
        };
        // SAFETY: this function's contract.
        let Some(buffers) = (unsafe { allocate_buffer_pool(module) }) else {
            // SAFETY: allocated above; nothing is from it.
            unsafe { NdisFreeNetBufferListPool(lists.as_ptr()) };
            return;
        };
        self.module.store(module, Ordering::Relaxed);
        self.left.store(most, Ordering::Relaxed);
        self.buffers.store(buffers.as_ptr(), Ordering::Relaxed);
        // INVARIANT: nothing is from them.
        self.lists.store(lists.as_ptr(), Ordering::Release);
        self.out.open();
    }

    /// Waits until all clones are back and their parents gone, and frees the pools.
    ///
    /// # Safety
    ///
    /// Called in pause, when nobody makes clones any more.
    pub(crate) unsafe fn empty(&self, irql: &mut Passive) {
        self.out.close(irql);
        let lists = self.lists.swap(core::ptr::null_mut(), Ordering::AcqRel);
        let buffers = self.buffers.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if lists.is_null() {
            return;
        }
        // SAFETY: by the invariants they are pools, of which nothing is there with `out` closed.
        unsafe { NdisFreeNetBufferListPool(lists) };
        // SAFETY: likewise.
        unsafe { NdisFreeNetBufferPool(buffers) };
    }

    /// Clones a list, which is the module's until the result says so: with `Some` it is in the clone's hands. `None` when
    /// memory is short, as many clones as may be are there, or the list cannot have any: with header-data split others may
    /// take parts of it back at any time; and one that counts children when it comes is another's to count.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblapi/nf-nblapi-ndisallocateclonenetbufferlist>,
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/relationships-between-net-buffer-list-generations>
    ///
    /// # Safety
    ///
    /// `parent` is as invariant 2 wants it. The module is running. `Place::Parents` comes first, and once.
    pub(super) unsafe fn clone<D: Direction>(
        &self,
        parent: NblPointer,
        place: Place,
    ) -> Option<NblPointer> {
        // SAFETY: this function's contract.
        let flags = unsafe { raw::flags(parent) };
        // SAFETY: this function's contract.
        let children = unsafe { raw::children(parent) };
        let is_second = place == Place::Beside;
        if flags & NDIS_NBL_FLAGS_HD_SPLIT != 0
            || (!is_second && children.load(Ordering::Relaxed) != 0)
            || !self.out.acquire()
        {
            return None;
        }
        // SAFETY: by invariant 1 and the reference the pools are there. The parent stays until the clone is gone.
        let clone = unsafe { self.allocate(parent) };
        let Some(clone) = clone else {
            self.out.release();
            return None;
        };
        // INVARIANT: one more of it is there.
        generation::add(children);
        if D::IS_SEND && !is_second {
            // SAFETY: the module has the parent.
            unsafe {
                raw::set_status(
                    Chain {
                        first: Some(parent),
                    },
                    crate::Status::SUCCESS,
                )
            };
        }
        // Only one of them can say when the packet left.
        let wants_timestamp = if is_second {
            0
        } else {
            NDIS_NBL_FLAGS_CAPTURE_TIMESTAMP_ON_TRANSMIT
        };
        // SAFETY: just made, from a pool of the module's.
        unsafe { raw::set_flags(clone, flags & (MEMORY_FLAGS | wants_timestamp)) };
        // SAFETY: likewise; the parent may be read.
        unsafe { oob::copy::<D>(parent, clone) };
        // SAFETY: likewise.
        unsafe { raw::make_child(clone, parent, self.module.load(Ordering::Relaxed)) };
        Some(clone)
    }

    /// # Safety
    ///
    /// A reference of `out` is held; the parent is there and does not change for as long as the clone is.
    unsafe fn allocate(&self, parent: NblPointer) -> Option<NblPointer> {
        let take_one = |left: u32| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one)
            .ok()?;
        let lists = self.lists.load(Ordering::Acquire);
        let buffers = self.buffers.load(Ordering::Relaxed);
        // SAFETY: this function's contract; by invariant 1 they are pools.
        let clone =
            unsafe { NdisAllocateCloneNetBufferList(parent.as_ptr(), lists, buffers, FLAGS) };
        let clone = NonNull::new(clone);
        if clone.is_none() {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
        clone
    }

    /// Frees the clones that are in a chain and gives, in order, the other lists, and the parents that have no clone any
    /// more in the place of the last one.
    ///
    /// # Safety
    ///
    /// The caller owns the chain, which goes in direction `D`. What of it is a clone was made here.
    pub(super) unsafe fn take_back<D: Direction>(&self, chain: Chain) -> (Chain, Gone<'_>) {
        let mut gone = Gone {
            pool: self,
            count: 0,
        };
        if !self.out.is_occupied() {
            // None is out, so none is among them.
            return (chain, gone);
        }
        let lists = self.lists.load(Ordering::Acquire);
        let mut others = List::EMPTY;
        let mut at = chain.first;
        while let Some(nbl) = at {
            // SAFETY: this function's contract.
            at = unsafe { raw::next(nbl) };
            let mut left = Some(nbl);
            // A parent may be a clone.
            while let Some(clone) = left {
                // SAFETY: this function's contract, or the parent is the module's again.
                if unsafe { NdisGetPoolFromNetBufferList(clone.as_ptr()) } != lists {
                    break;
                }
                // SAFETY: it is from the pool, so by invariant 2 a clone; the caller owns it.
                left = unsafe { self.free::<D>(clone) };
                gone.count = gone.count.wrapping_add(1);
            }
            if let Some(nbl) = left {
                // SAFETY: the caller owns it, or it is a parent that nobody else has.
                unsafe { raw::set_next(nbl, Chain::EMPTY) };
                // SAFETY: likewise, and it is linked to none.
                unsafe { others.append(nbl) };
            }
        }
        let chain = Chain {
            first: others.first,
        };
        (chain, gone)
    }

    /// Frees a clone and gives its parent, if it was the last one. The reference of `out` stays.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblapi/nf-nblapi-ndisfreeclonenetbufferlist>
    ///
    /// # Safety
    ///
    /// It is a clone of this pool, and nobody else has it.
    unsafe fn free<D: Direction>(&self, clone: NblPointer) -> Option<NblPointer> {
        // SAFETY: this function's contract.
        let parent = unsafe { raw::parent(clone) }?;
        if D::IS_SEND {
            // SAFETY: by invariant 2 the parent is there, and the module's.
            unsafe { oob::copy_answer(clone, parent) };
            // SAFETY: likewise.
            unsafe { raw::merge_status(clone, parent) };
        }
        // SAFETY: by invariant 2 it was made so, and with these flags.
        unsafe { NdisFreeCloneNetBufferList(clone.as_ptr(), FLAGS) };
        self.left.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        let children = unsafe { raw::children(parent) };
        // INVARIANT: one less of it is there.
        generation::is_last(children).then_some(parent)
    }
}

/// # Safety
///
/// `module` is the handle of a module.
unsafe fn allocate_buffer_pool(module: NDIS_HANDLE) -> Option<NonNull<c_void>> {
    let (revision, size) = if version::registered_minor() >= SECOND_REVISION {
        (
            NET_BUFFER_POOL_PARAMETERS_REVISION_2,
            NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_2,
        )
    } else {
        (
            NET_BUFFER_POOL_PARAMETERS_REVISION_1,
            NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1,
        )
    };
    let parameters = NET_BUFFER_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEFAULT,
            Revision: revision,
            Size: size,
        },
        PoolTag: u32::from_le_bytes(TAG),
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: this function's contract; the parameters are valid for the length of the call.
    NonNull::new(unsafe { NdisAllocateNetBufferPool(module, &raw const parameters) })
}
