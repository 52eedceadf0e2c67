//! Packets that a module makes itself.
//!
//! They are allocated in restart and freed in pause, so the datapath never allocates. Which NBLs are the module's own is
//! told by the pool that they are from. There is a pool for each direction, so that a send of the module's own that NDIS
//! loops back, and that somebody returns, is not mistaken for a receive of the module's own.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use ndis_sys::{
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_DEFAULT, NDIS_PROTOCOL_ID_DEFAULT,
    NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2, NET_BUFFER_LIST_POOL_PARAMETERS,
    NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2,
    NdisAllocateMdl, NdisAllocateNetBufferAndNetBufferList, NdisAllocateNetBufferListPool,
    NdisFreeMdl, NdisFreeNetBufferList, NdisFreeNetBufferListPool, NdisGetPoolFromNetBufferList,
};

use super::raw::{self, Chain, NblPointer};
use super::{Direction, Nbl, oob};
use crate::event::Event;
use crate::fifo::List;
use crate::irql::{Caller, Passive};
use crate::lock::SpinLock;
use crate::mem::{OutOfMemory, PoolVec, Tag};
use crate::rundown::Rundown;
use crate::version;

/// Tag of the pools and of the data.
pub(super) const TAG: [u8; 4] = *b"NdNb";

/// The minor version that the second revision of a pool's parameters comes with.
pub(super) const SECOND_REVISION: u8 = 87;

/// How many packets of its own a module can have on the way in one direction, how long each can be, and how many clones of
/// the packets of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPackets {
    /// How many, 0 for none. If memory is short there are fewer.
    pub packets: u32,
    /// Bytes of the longest frame. Each packet takes as many, and about 600 more.
    pub bytes: u32,
    /// How many clones, 0 for none. They are allocated when they are made, so if memory is short there are fewer.
    pub clones: u32,
}

/// The packets of a module's own that go one way.
///
/// # Invariants
///
/// 1. `pool` is null or a pool of NDIS. It, `memory`, `bytes` and `module` change in restart and pause only, while `out`
///    is closed.
/// 2. `free` is a chain of NBLs from `pool` that nobody else has. Each has one `NET_BUFFER` over one MDL, which describes
///    `bytes` bytes of `memory`, and no two share a byte.
/// 3. For each NBL of `pool` that is not in `free`, a reference of `out` is held.
pub(crate) struct OwnPool {
    module: AtomicPtr<c_void>,
    pool: AtomicPtr<c_void>,
    bytes: AtomicU32,
    memory: UnsafeCell<Option<PoolVec<u8>>>,
    free: SpinLock<Free>,
    out: Rundown<Event>,
}

struct Free(Chain);

// SAFETY: an NBL may be used on any processor by who owns it.
unsafe impl Send for Free {}

impl OwnPool {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub(crate) fn try_new(irql: &mut Passive) -> Result<Self, OutOfMemory> {
        Ok(Self {
            module: AtomicPtr::new(core::ptr::null_mut()),
            pool: AtomicPtr::new(core::ptr::null_mut()),
            bytes: AtomicU32::new(0),
            memory: UnsafeCell::new(None),
            free: SpinLock::new(Free(Chain::EMPTY)),
            out: Rundown::closed(Event::try_new(Tag::new(TAG), irql)?),
        })
    }

    /// Makes packets, as many as memory allows, and gives their number.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/nblapi/nf-nblapi-ndisallocatenetbufferlistpool>
    ///
    /// # Safety
    ///
    /// Called in restart, with the handle of the module, after `empty` if it was called before. The handlers that packets
    /// come back through are registered.
    pub(crate) unsafe fn fill(
        &self,
        module: NDIS_HANDLE,
        size: OwnPackets,
        irql: &mut Passive,
    ) -> u32 {
        let OwnPackets { packets, bytes, .. } = size;
        let length = (packets as usize).saturating_mul(bytes as usize);
        if length == 0 {
            return 0;
        }
        let Ok(mut memory) = PoolVec::try_from_fn(Tag::new(TAG), length, |_| 0_u8) else {
            return 0;
        };
        // SAFETY: this function's contract.
        let Some(pool) = (unsafe { allocate_pool(module, true) }) else {
            return 0;
        };
        let mut chain = Chain::EMPTY;
        let mut made: u32 = 0;
        for room in memory.chunks_exact_mut(bytes.max(1) as usize) {
            // SAFETY: this function's contract; the room is a part of `memory`, which stays until `empty`.
            let Some(packet) = (unsafe { allocate_packet(module, pool, room) }) else {
                break;
            };
            // SAFETY: just allocated.
            unsafe { raw::set_next(packet, chain) };
            chain = Chain {
                first: Some(packet),
            };
            made = made.saturating_add(1);
        }
        // SAFETY: by invariant 1 and this function's contract nobody else looks at it.
        unsafe { *self.memory.get() = Some(memory) };
        self.module.store(module, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.pool.store(pool.as_ptr(), Ordering::Release);
        // INVARIANT: all of the pool's NBLs are here.
        self.free.with(irql, |free, _| free.0 = chain);
        self.out.open();
        made
    }

    /// Waits until all packets are back, and frees them.
    ///
    /// # Safety
    ///
    /// Called in pause, when nobody takes packets any more.
    pub(crate) unsafe fn empty(&self, irql: &mut Passive) {
        self.out.close(irql);
        // INVARIANT: with `out` closed all of them are in `free`.
        let chain = self.free.with(irql, |free, _| {
            core::mem::replace(&mut free.0, Chain::EMPTY)
        });
        let mut at = chain.first;
        while let Some(packet) = at {
            // SAFETY: by invariant 2 the NBL is the pool's.
            at = unsafe { raw::next(packet) };
            // SAFETY: likewise, and nobody has it.
            unsafe { free_packet(packet) };
        }
        let pool = self.pool.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if !pool.is_null() {
            // SAFETY: by invariant 1 it is a pool; all NBLs of it were freed above.
            unsafe { NdisFreeNetBufferListPool(pool) };
        }
        // SAFETY: by invariant 1 nobody else looks at it; no MDL describes it any more.
        drop(unsafe { (*self.memory.get()).take() });
    }

    /// A packet that carries `length` bytes, which `fill` writes; `None` when none is free, it is too short, or `fill`
    /// fails. It is the caller's, to be handed to NDIS with the module's handle, or to `take_back`.
    pub(crate) fn take(
        &self,
        length: u32,
        fill: impl FnOnce(&mut [u8]) -> bool,
        irql: &mut impl Caller,
    ) -> Option<NblPointer> {
        if length == 0 || !self.out.acquire() {
            return None;
        }
        // By invariant 1 it stays as long as the reference is held.
        let is_too_long = length > self.bytes.load(Ordering::Relaxed);
        // INVARIANT: the reference is the packet's.
        let packet = self.free.with(irql, |free, _| {
            let first = free.0.first.filter(|_| !is_too_long)?;
            // SAFETY: by invariant 2 the NBL is the pool's.
            free.0.first = unsafe { raw::next(first) };
            Some(first)
        });
        let Some(packet) = packet else {
            self.out.release();
            return None;
        };
        // SAFETY: just taken: nobody else has it. By invariant 2 it has room for `length`, which is at most `bytes`.
        let room = unsafe { raw::make_whole(packet, length, self.module.load(Ordering::Relaxed)) };
        if let Some(mut room) = room {
            // SAFETY: by invariant 2 it is `length` bytes of the pool's memory that belong to this packet alone.
            if fill(unsafe { room.as_mut() }) {
                return Some(packet);
            }
        }
        // SAFETY: taken above.
        unsafe { self.give_back(packet, irql) };
        None
    }

    /// Copies of the packets of a list, each in a list of its own, with what stands beside them: of all, or none.
    pub(super) fn copy<D: Direction>(
        &self,
        list: &Nbl<'_, D>,
        irql: &mut impl Caller,
    ) -> Option<List<NblPointer>> {
        let mut copies = List::EMPTY;
        for packet in list.packets() {
            let fill = |room: &mut [u8]| packet.copy_to(0, room) == Ok(room.len());
            let Some(copy) = self.take(packet.len(), fill, irql) else {
                let chain = Chain {
                    first: copies.first,
                };
                // SAFETY: they were taken above, and nobody else has them.
                unsafe { self.give_all_back(chain, irql) };
                return None;
            };
            // SAFETY: the copy is ours, the other may be read and goes this way.
            unsafe { oob::copy::<D>(list.pointer(), copy) };
            // SAFETY: the copy is ours, and linked to none.
            unsafe { copies.append(copy) };
        }
        copies.first.map(|_| copies)
    }

    /// # Safety
    ///
    /// The packets were taken, and nobody else has them.
    unsafe fn give_all_back(&self, chain: Chain, irql: &mut impl Caller) {
        let mut at = chain.first;
        while let Some(packet) = at {
            // SAFETY: this function's contract.
            at = unsafe { raw::next(packet) };
            // SAFETY: this function's contract.
            unsafe { self.give_back(packet, irql) };
        }
    }

    /// Takes back the packets of this pool that are in a chain, and gives the others, in order.
    ///
    /// # Safety
    ///
    /// The caller owns the chain. What of it is from this pool was handed out by it.
    pub(super) unsafe fn take_back(&self, chain: Chain, irql: &mut impl Caller) -> Chain {
        if !self.out.is_occupied() {
            // None is out, so none is among them.
            return chain;
        }
        let pool = self.pool.load(Ordering::Acquire);
        let mut others = List::EMPTY;
        let mut at = chain.first;
        while let Some(nbl) = at {
            // SAFETY: this function's contract.
            at = unsafe { raw::next(nbl) };
            // SAFETY: this function's contract.
            if unsafe { NdisGetPoolFromNetBufferList(nbl.as_ptr()) } == pool {
                // SAFETY: this function's contract.
                unsafe { self.give_back(nbl, irql) };
            } else {
                // SAFETY: the caller owns it.
                unsafe { raw::set_next(nbl, Chain::EMPTY) };
                // SAFETY: likewise, and it is linked to none.
                unsafe { others.append(nbl) };
            }
        }
        Chain {
            first: others.first,
        }
    }

    /// # Safety
    ///
    /// The packet was taken, and nobody else has it.
    unsafe fn give_back(&self, packet: NblPointer, irql: &mut impl Caller) {
        self.free.with(irql, |free, _| {
            // SAFETY: this function's contract.
            unsafe { raw::set_next(packet, free.0) };
            free.0 = Chain {
                first: Some(packet),
            };
        });
        // The last touch: pause may free it from here on.
        self.out.release();
    }
}

/// A pool of lists, each with a `NET_BUFFER`, or each without.
///
/// # Safety
///
/// `module` is the handle of a module.
pub(super) unsafe fn allocate_pool(
    module: NDIS_HANDLE,
    has_buffers: bool,
) -> Option<NonNull<c_void>> {
    let (revision, size) = if version::registered_minor() >= SECOND_REVISION {
        (
            NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2,
            NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2,
        )
    } else {
        (
            NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
            NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        )
    };
    let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEFAULT,
            Revision: revision,
            Size: size,
        },
        ProtocolId: NDIS_PROTOCOL_ID_DEFAULT as u8,
        fAllocateNetBuffer: has_buffers.into(),
        ContextSize: 0,
        PoolTag: u32::from_le_bytes(TAG),
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: this function's contract; the parameters are valid for the length of the call.
    NonNull::new(unsafe { NdisAllocateNetBufferListPool(module, &raw const parameters) })
}

/// # Safety
///
/// `module` is the handle of a module, `pool` a pool that it has allocated. The room is nonpaged, and stays longer than the
/// packet.
unsafe fn allocate_packet(
    module: NDIS_HANDLE,
    pool: NonNull<c_void>,
    room: &mut [u8],
) -> Option<NblPointer> {
    let length = u32::try_from(room.len()).ok()?;
    // SAFETY: this function's contract.
    let mdl = unsafe { NdisAllocateMdl(module, room.as_mut_ptr().cast(), length) };
    let mdl = NonNull::new(mdl)?;
    // SAFETY: the pool makes NBLs with a NET_BUFFER; the MDL is nobody else's.
    let nbl = unsafe {
        NdisAllocateNetBufferAndNetBufferList(
            pool.as_ptr(),
            0,
            0,
            mdl.as_ptr(),
            0,
            u64::from(length),
        )
    };
    let nbl = NonNull::new(nbl);
    if nbl.is_none() {
        // SAFETY: allocated above, and in no packet.
        unsafe { NdisFreeMdl(mdl.as_ptr()) };
    }
    nbl
}

/// # Safety
///
/// `allocate_packet` has made the packet, and nobody has it.
unsafe fn free_packet(packet: NblPointer) {
    // SAFETY: this function's contract.
    let mdl = unsafe { raw::mdl_chain(packet) };
    // SAFETY: this function's contract.
    unsafe { NdisFreeNetBufferList(packet.as_ptr()) };
    if let Some(mdl) = mdl {
        // SAFETY: `allocate_packet` has made it; the packet that had it is gone.
        unsafe { NdisFreeMdl(mdl.as_ptr()) };
    }
}
