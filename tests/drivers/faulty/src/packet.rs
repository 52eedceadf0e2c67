//! Packets of the driver's own: a pool of lists, frames from it, and their way back.

use core::ffi::c_void;
use core::ptr::{null_mut, without_provenance_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{
    ExAllocatePool2, ExFreePoolWithTag, MDL, NDIS_HANDLE, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1, NDIS_STATUS,
    NDIS_STATUS_SUCCESS, NET_BUFFER, NET_BUFFER_LIST, NET_BUFFER_LIST_POOL_PARAMETERS,
    NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1, NdisAllocateMdl,
    NdisAllocateNetBufferAndNetBufferList, NdisAllocateNetBufferListPool,
    NdisCopyFromNetBufferToNetBuffer, NdisFCancelSendNetBufferLists, NdisFreeMdl,
    NdisFreeNetBufferList, NdisFreeNetBufferListPool, NdisGetDataBuffer,
    NdisGetPoolFromNetBufferList, POOL_FLAG_NON_PAGED,
};
use crate::module::Module;
use crate::play::{NOTHING, Play};
use crate::{datapath, driver};

/// A chain of lists.
pub(crate) type Lists = *mut NET_BUFFER_LIST;

/// Pool tag of everything here, `Fltp`.
pub(crate) const TAG: u32 = u32::from_le_bytes(*b"Fltp");

/// Bytes of an ordinary frame.
pub(crate) const FRAME: u32 = 60;

/// Destination, source, and an EtherType for experiments.
const HEADER: [u8; 14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xB5];

/// What a play builds on that originates packets: there is a pool while the module is attached, what
/// comes back is freed, and a pause waits for it.
pub(crate) const ORIGINATOR: Play = Play {
    attach: Some(open),
    pause: Some(wait),
    detach: Some(close),
    send_complete: Some(reclaim),
    returned: Some(reclaim),
    ..NOTHING
};

/// A pool of lists with a NET_BUFFER each.
pub(crate) fn new_pool() -> NDIS_HANDLE {
    let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEFAULT,
            Revision: NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
            Size: NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        },
        ProtocolId: 0,
        fAllocateNetBuffer: 1,
        ContextSize: 0,
        PoolTag: TAG,
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: the driver's handle lives until unload; the parameters are valid for the call.
    unsafe { NdisAllocateNetBufferListPool(driver::handle(), &raw const parameters) } // caught: unload-pool-left by detach-frees-everything
}

/// The pool of the module's packets.
pub(crate) fn pool(module: &Module) -> NDIS_HANDLE {
    module.pool.load(Ordering::Acquire)
}

/// Makes the pool.
pub(crate) fn open(module: &'static Module) {
    module.pool.store(new_pool(), Ordering::Release);
}

/// Waits until every packet is back.
pub(crate) fn wait(module: &'static Module) -> NDIS_STATUS {
    Module::drain(&module.out);
    NDIS_STATUS_SUCCESS
}

/// Frees the pool, when every packet is back.
pub(crate) fn close(module: &'static Module) -> bool {
    Module::drain(&module.out);
    let pool = module.pool.swap(null_mut(), Ordering::AcqRel);
    // SAFETY: made in attach; every list from it is freed.
    unsafe { NdisFreeNetBufferListPool(pool) };
    true
}

/// The lists of a chain that are the module's own, and the others, each chain in its order.
pub(crate) fn part(module: &Module, mut lists: Lists) -> (Lists, Lists) {
    let (mut own, mut others) = (Chain::new(), Chain::new());
    while !lists.is_null() {
        let next = next(lists);
        // SAFETY: a list that the driver has.
        let is_own = unsafe { NdisGetPoolFromNetBufferList(lists) } == pool(module);
        if is_own { &mut own } else { &mut others }.push(lists);
        lists = next;
    }
    (own.first, others.first)
}

/// Frees what is the module's own of a chain; gives the rest.
pub(crate) fn reclaim(module: &'static Module, lists: Lists, _: u32) -> Lists {
    let (mut own, others) = part(module, lists);
    while !own.is_null() {
        let next = next(own);
        free(own);
        uncount(module, 1);
        own = next;
    }
    others
}

/// Lists that a module holds: each chain's last is linked to the chain that came before it.
pub(crate) struct Held(AtomicPtr<NET_BUFFER_LIST>);

impl Held {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// The newest.
    pub(crate) fn first(&self) -> Lists {
        self.0.load(Ordering::Acquire)
    }

    /// Adds a chain.
    pub(crate) fn push(&self, chain: Lists) {
        let Some(last) = datapath::chain(chain).last() else {
            return;
        };
        let mut head = self.first();
        loop {
            set_next(last, head);
            match self
                .0
                .compare_exchange(head, chain, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all, so that nobody else does.
    pub(crate) fn take(&self) -> Lists {
        self.0.swap(null_mut(), Ordering::AcqRel)
    }
}

/// A chain that grows at its end.
pub(crate) struct Chain {
    /// Its first list.
    pub(crate) first: Lists,
    last: Lists,
}

impl Chain {
    pub(crate) const fn new() -> Self {
        Self {
            first: null_mut(),
            last: null_mut(),
        }
    }

    /// Adds one list.
    pub(crate) fn push(&mut self, list: Lists) {
        set_next(list, null_mut());
        if self.last.is_null() {
            self.first = list;
        } else {
            set_next(self.last, list);
        }
        self.last = list;
    }
}

/// The list after this one.
pub(crate) fn next(list: Lists) -> Lists {
    // SAFETY: a list that the driver has.
    unsafe { (*list).Next }
}

/// Links a list to another.
pub(crate) fn set_next(list: Lists, next: Lists) {
    // SAFETY: a list that the driver has.
    unsafe { (*list).Next = next };
}

/// Writes the status of every list of a chain.
pub(crate) fn set_status(mut lists: Lists, status: NDIS_STATUS) {
    while !lists.is_null() {
        // SAFETY: a list that the driver has.
        unsafe { (*lists).Status = status };
        lists = next(lists);
    }
}

/// The first NET_BUFFER of a list.
pub(crate) fn buffer(list: Lists) -> *mut NET_BUFFER {
    // SAFETY: a list that the driver has.
    unsafe { (*list).FirstNetBuffer }
}

/// Where the first bytes of a NET_BUFFER lie, if they lie together.
pub(crate) fn start(buffer: *mut NET_BUFFER, bytes: u32) -> *mut u8 {
    // SAFETY: a NET_BUFFER of a list that the driver has.
    unsafe { NdisGetDataBuffer(buffer, bytes, null_mut(), 1, 0) }.cast()
}

/// Memory with an MDL for it, `bytes` long, with the beginning of a frame in it; null where there is none.
pub(crate) fn mdl(bytes: u32) -> *mut MDL {
    // SAFETY: callable up to DISPATCH_LEVEL for nonpaged pool.
    let data = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes.into(), TAG) };
    if data.is_null() {
        return null_mut();
    }
    for (at, byte) in HEADER.iter().enumerate().take(bytes as usize) {
        // SAFETY: the block has that many bytes.
        unsafe { data.cast::<u8>().wrapping_add(at).write(*byte) };
    }
    // SAFETY: the range is the block's.
    let mdl = unsafe { NdisAllocateMdl(driver::handle(), data, bytes) };
    if mdl.is_null() {
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(data, TAG) };
    }
    mdl
}

/// A list of the module's over a chain of MDLs with so many bytes of data.
pub(crate) fn over(module: &Module, chain: *mut MDL, bytes: u32) -> Lists {
    // SAFETY: the pool is open; the chain has the bytes.
    let list = unsafe {
        NdisAllocateNetBufferAndNetBufferList(pool(module), 0, 0, chain, 0, u64::from(bytes))
    };
    if !list.is_null() {
        // SAFETY: the driver's own list.
        unsafe { (*list).SourceHandle = module.handle };
    }
    list
}

/// An ordinary packet of the module's, which counts as out.
pub(crate) fn make(module: &Module) -> Lists {
    let list = over(module, mdl(FRAME), FRAME);
    count(module, 1);
    list
}

/// A packet of the module's with the first frame of a list; null where there is no memory for it.
pub(crate) fn copy(module: &Module, list: Lists) -> Lists {
    // SAFETY: the driver has the list.
    let bytes = unsafe { (*buffer(list)).DataLength };
    let memory = mdl(bytes);
    if memory.is_null() {
        return null_mut();
    }
    let copy = over(module, memory, bytes);
    if copy.is_null() {
        free_mdl(memory);
        return copy;
    }
    let mut copied = 0;
    // SAFETY: both NET_BUFFERs are the driver's at the moment.
    unsafe {
        NdisCopyFromNetBufferToNetBuffer(buffer(copy), 0, bytes, buffer(list), 0, &raw mut copied)
    };
    copy
}

/// Passes a cancellation on, and has nothing to cancel itself.
pub(crate) fn forward_cancel(module: &'static Module, id: *mut c_void) {
    // SAFETY: the id that this callback was given.
    unsafe { NdisFCancelSendNetBufferLists(module.handle, id) };
}

/// More packets are out, which come back through [`reclaim`].
pub(crate) fn count(module: &Module, packets: u32) {
    module.out.fetch_add(packets, Ordering::AcqRel);
}

/// So many are back.
pub(crate) fn uncount(module: &Module, packets: u32) {
    module.out.fetch_sub(packets, Ordering::AcqRel);
}

/// Frees a list of the driver's with its memory.
pub(crate) fn free(list: Lists) {
    let buffer = buffer(list);
    // SAFETY: the NET_BUFFER came with the list.
    let mut chain = unsafe { (*buffer).MdlChain };
    while !chain.is_null() {
        // SAFETY: an MDL of `mdl`.
        let next = unsafe { (*chain).Next };
        free_mdl(chain);
        chain = next;
    }
    // SAFETY: the driver's own list, back from wherever it was.
    unsafe { NdisFreeNetBufferList(list) };
}

/// Frees an MDL with its memory.
pub(crate) fn free_mdl(mdl: *mut MDL) {
    // SAFETY: an MDL of `mdl`, which describes nonpaged pool.
    let data = unsafe { (*mdl).MappedSystemVa };
    // SAFETY: as above.
    unsafe { NdisFreeMdl(mdl) };
    // SAFETY: allocated with it.
    unsafe { ExFreePoolWithTag(data, TAG) };
}

/// Links an MDL behind another.
pub(crate) fn join(first: *mut MDL, second: *mut MDL) -> *mut MDL {
    // SAFETY: both are the driver's own.
    unsafe { (*first).Next = second };
    first
}

/// Sets an out-of-band slot.
pub(crate) fn set_slot(list: Lists, slot: usize, value: usize) {
    // SAFETY: a list that the driver has.
    let slots = unsafe { &raw mut (*list).NetBufferListInfo };
    // SAFETY: there are 27 slots.
    unsafe {
        slots
            .cast::<*mut c_void>()
            .wrapping_add(slot)
            .write(without_provenance_mut(value))
    };
}
