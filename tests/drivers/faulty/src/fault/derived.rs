//! Lists and buffers of the driver's own making: pools, contexts, clones, fragments, moves of the data.

use core::hint::black_box;
use core::ptr::null_mut;

use super::memory_null::Empty;
use super::pool::{TAG, allocate, free};
use crate::abi::{
    IoAllocateMdl, IoFreeMdl, MDL, MmBuildMdlForNonPagedPool, NDIS_HANDLE, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1, NDIS_STATUS_SUCCESS, NET_BUFFER,
    NET_BUFFER_LIST, NET_BUFFER_LIST_POOL_PARAMETERS, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    NET_BUFFER_POOL_PARAMETERS, NET_BUFFER_POOL_PARAMETERS_REVISION_1,
    NdisAdvanceNetBufferDataStart, NdisAllocateCloneNetBufferList,
    NdisAllocateFragmentNetBufferList, NdisAllocateNetBuffer,
    NdisAllocateNetBufferAndNetBufferList, NdisAllocateNetBufferList,
    NdisAllocateNetBufferListContext, NdisAllocateNetBufferListPool, NdisAllocateNetBufferPool,
    NdisCopyReceiveNetBufferListInfo, NdisCopySendNetBufferListInfo, NdisFSendNetBufferLists,
    NdisFreeCloneNetBufferList, NdisFreeFragmentNetBufferList, NdisFreeNetBuffer,
    NdisFreeNetBufferList, NdisFreeNetBufferListContext, NdisFreeNetBufferListPool,
    NdisFreeNetBufferPool, NdisGeneratePartialCancelId, NdisGetDataBuffer,
    NdisRetreatNetBufferDataStart, NetBufferListCancelId,
};
use crate::driver;
use crate::module::Module;
use crate::packet::{self, Lists};
use crate::play::{Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("packet-pool-protocol", pool_protocol),
    Play::in_attach("packet-pool-kind", pool_kind),
    Play::in_attach("packet-null", use_refused),
    Play::in_attach("packet-context-odd", context_odd),
    Play::in_attach("packet-context-kept", context_kept),
    Play::in_attach("packet-context-foreign", context_foreign),
    Play::in_attach("packet-context-underrun", context_underrun),
    Play::in_attach("packet-context-null", context_refused),
    Play::in_attach("packet-clone-freed-plain", clone_freed_plain),
    Play::in_attach("packet-clone-flags", clone_flags),
    Play::in_attach("packet-parent-freed", parent_freed),
    Play::in_attach("packet-buffer-of-list", buffer_of_list),
    Play::in_attach("packet-buffer-left", buffer_left),
    Play::in_attach("packet-retreat-refused", retreat_refused),
    Play::in_attach("packet-retreat-kept", retreat_kept),
    Play::in_attach("packet-data-alignment", data_alignment),
    Play::in_attach("packet-data-storage", data_storage),
    Play::in_attach("packet-data-null", data_null),
    Play::in_attach("packet-whole", use_whole),
    Play {
        name: "packet-parent-sent",
        send: Some(send_parent),
        ..packet::ORIGINATOR
    },
    Play {
        name: "packet-copied-otherwise",
        send: Some(copy_as_received),
        ..packet::ORIGINATOR
    },
    Play {
        name: "packet-copied-right",
        send: Some(copy_as_sent),
        ..packet::ORIGINATOR
    },
    Play {
        name: "packet-cancel-id-own",
        send: Some(send_with_own_id),
        ..packet::ORIGINATOR
    },
    Play {
        name: "packet-cancel-id-given",
        send: Some(send_with_given_id),
        ..packet::ORIGINATOR
    },
];

const SIZE: u32 = 256;
/// Unused bytes in front of the data.
const FRONT: u32 = 64;

fn list_pool_parameters() -> NET_BUFFER_LIST_POOL_PARAMETERS {
    NET_BUFFER_LIST_POOL_PARAMETERS {
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
    }
}

fn list_pool(parameters: &NET_BUFFER_LIST_POOL_PARAMETERS) -> NDIS_HANDLE {
    // SAFETY: the driver's handle; the parameters are valid for the call.
    unsafe { NdisAllocateNetBufferListPool(driver::handle(), parameters) }
}

fn buffer_pool() -> NDIS_HANDLE {
    let mut parameters = NET_BUFFER_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_DEFAULT,
            Revision: NET_BUFFER_POOL_PARAMETERS_REVISION_1,
            Size: NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1,
        },
        PoolTag: TAG,
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: the driver's handle; the parameters are valid for the call.
    unsafe { NdisAllocateNetBufferPool(driver::handle(), &raw mut parameters) }
}

/// A list with one NET_BUFFER over one block, and the pools that it takes.
struct Kit {
    lists: NDIS_HANDLE,
    buffers: NDIS_HANDLE,
    block: *mut u8,
    mdl: *mut MDL,
    list: *mut NET_BUFFER_LIST,
}

fn describe(block: *mut u8) -> *mut MDL {
    // SAFETY: only describes; nothing is touched.
    let mdl = unsafe { IoAllocateMdl(block.cast(), SIZE, 0, 0, null_mut()) };
    if !mdl.is_null() {
        // SAFETY: the MDL describes a block of nonpaged pool.
        unsafe { MmBuildMdlForNonPagedPool(mdl) };
    }
    mdl
}

impl Kit {
    fn make() -> Self {
        let (lists, buffers) = (list_pool(&list_pool_parameters()), buffer_pool());
        let block = allocate(SIZE as usize);
        let mdl = describe(block);
        let length = u64::from(SIZE - FRONT);
        // SAFETY: a pool that makes both; the data lies in the MDL.
        let list =
            unsafe { NdisAllocateNetBufferAndNetBufferList(lists, 0, 0, mdl, FRONT, length) };
        Self {
            lists,
            buffers,
            block,
            mdl,
            list,
        }
    }

    fn buffer(&self) -> *mut NET_BUFFER {
        // SAFETY: a live list.
        unsafe { (*self.list).FirstNetBuffer }
    }

    fn clone_list(&self) -> *mut NET_BUFFER_LIST {
        // SAFETY: a live list, and pools of the right kinds.
        unsafe { NdisAllocateCloneNetBufferList(self.list, self.lists, self.buffers, 0) }
    }

    fn end(self) {
        // SAFETY: allocated in `make`, with nothing derived from it.
        unsafe { NdisFreeNetBufferList(self.list) };
        self.end_pools();
    }

    /// Ends all but the list.
    fn end_pools(self) {
        // SAFETY: neither locked nor mapped.
        unsafe { IoFreeMdl(self.mdl) };
        free(self.block);
        // SAFETY: all of its buffers are freed.
        unsafe { NdisFreeNetBufferPool(self.buffers) };
        // SAFETY: all of its lists are freed.
        unsafe { NdisFreeNetBufferListPool(self.lists) };
    }
}

/// Makes a pool for a protocol.
#[inline(never)]
fn pool_protocol(_: &'static Module) {
    let mut given = list_pool_parameters();
    given.ProtocolId = 6;
    let handle = driver::handle();
    // SAFETY: none: this is the fault.
    let pool = unsafe { NdisAllocateNetBufferListPool(handle, &raw const given) }; // caught: packet-pool-protocol by pool-parameters
    black_box(pool);
}

/// Takes a list with a buffer from a pool of lists alone.
#[inline(never)]
fn pool_kind(_: &'static Module) {
    let mut given = list_pool_parameters();
    given.fAllocateNetBuffer = 0;
    let pool = list_pool(&given);
    // SAFETY: none: this is the fault.
    let list = unsafe { NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, null_mut(), 0, 0) }; // caught: packet-pool-kind by pool-alloc-kind
    black_box(list);
}

/// Takes a list that could not be had.
fn use_refused(_: &'static Module) {
    let pool = list_pool(&list_pool_parameters());
    let empty = Empty::take();
    // SAFETY: a pool that makes both.
    let list = unsafe { NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, null_mut(), 0, 0) };
    // SAFETY: none: this is the fault.
    let first = unsafe { (*list).FirstNetBuffer }; // caught: packet-null by pool-alloc-null
    black_box(first);
    empty.end();
}

/// Asks for context of an odd size.
#[inline(never)]
fn context_odd(_: &'static Module) {
    let kit = Kit::make();
    // SAFETY: none: this is the fault.
    let status = unsafe { NdisAllocateNetBufferListContext(kit.list, 12, 0, TAG) }; // caught: packet-context-odd by nbl-context-size-multiple
    black_box(status);
}

/// Frees a list with context that was added.
#[inline(never)]
fn context_kept(_: &'static Module) {
    let kit = Kit::make();
    // SAFETY: a live list.
    unsafe { NdisAllocateNetBufferListContext(kit.list, 16, 0, TAG) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBufferList(kit.list) }; // caught: packet-context-kept by nbl-context-balanced
    stay();
}

/// Frees context that came with the list.
#[inline(never)]
fn context_foreign(_: &'static Module) {
    let pool = list_pool(&list_pool_parameters());
    // SAFETY: a pool of lists.
    let list = unsafe { NdisAllocateNetBufferList(pool, 16, 0) };
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBufferListContext(list, 16) }; // caught: packet-context-foreign by nbl-context-prealloc-not-freed
    stay();
}

/// Writes in front of context that NDIS has made, which shows when it is freed.
#[inline(never)]
fn context_underrun(_: &'static Module) {
    let kit = Kit::make();
    // SAFETY: a live list.
    let status = unsafe { NdisAllocateNetBufferListContext(kit.list, 16, 0, TAG) };
    if status != NDIS_STATUS_SUCCESS {
        return;
    }
    // SAFETY: a live list.
    let context = unsafe { (*kit.list).Context };
    let before = context.cast::<u8>().wrapping_sub(1);
    // SAFETY: none: this is the fault.
    unsafe { *before = 0 };
    // SAFETY: added above.
    unsafe { NdisFreeNetBufferListContext(kit.list, 16) }; // caught: packet-context-underrun by mem-overrun
    stay();
}

/// Uses context that could not be had.
fn context_refused(_: &'static Module) {
    let kit = Kit::make();
    let empty = Empty::take();
    // SAFETY: a live list.
    unsafe { NdisAllocateNetBufferListContext(kit.list, 16, 0, TAG) };
    // SAFETY: a live list.
    let context = unsafe { (*kit.list).Context };
    // SAFETY: none: this is the fault.
    let offset = unsafe { (*context).Offset }; // caught: packet-context-null by nbl-context-alloc-can-fail
    black_box(offset);
    empty.end();
}

/// Frees a clone as if it was none.
#[inline(never)]
fn clone_freed_plain(_: &'static Module) {
    let kit = Kit::make();
    let clone = kit.clone_list();
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBufferList(clone) }; // caught: packet-clone-freed-plain by derived-free-api-match
    stay();
}

/// Frees a clone as if it shared MDLs.
#[inline(never)]
fn clone_flags(_: &'static Module) {
    let kit = Kit::make();
    let clone = kit.clone_list();
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeCloneNetBufferList(clone, 2) }; // caught: packet-clone-flags by clone-free-flags-match
    stay();
}

/// Frees a list before its clone.
#[inline(never)]
fn parent_freed(_: &'static Module) {
    let kit = Kit::make();
    let clone = kit.clone_list();
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBufferList(kit.list) }; // caught: packet-parent-freed by nbl-children-freed-first
    black_box(clone);
}

/// Frees a buffer that came with its list.
#[inline(never)]
fn buffer_of_list(_: &'static Module) {
    let kit = Kit::make();
    // SAFETY: none: this is the fault.
    unsafe { NdisFreeNetBuffer(kit.buffer()) }; // caught: packet-buffer-of-list by nbl-free-preallocated-once
    stay();
}

/// Forgets a buffer.
#[inline(never)]
fn buffer_left(_: &'static Module) {
    let pool = buffer_pool();
    // SAFETY: a pool of buffers; that this one is never freed is the fault.
    let buffer = unsafe { NdisAllocateNetBuffer(pool, null_mut(), 0, 0) }; // caught: packet-buffer-left by sdv-alloc-netbuffer
    black_box(buffer);
}

/// Has no memory for anybody.
unsafe extern "system" fn refuse(_: *mut u32) -> *mut MDL {
    null_mut()
}

/// A block that is given out as an MDL.
unsafe extern "system" fn make_mdl(size: *mut u32) -> *mut MDL {
    // SAFETY: NDIS passes a live size.
    let bytes = unsafe { *size };
    let block = allocate(bytes as usize);
    // SAFETY: only describes; nothing is touched.
    let mdl = unsafe { IoAllocateMdl(block.cast(), bytes, 0, 0, null_mut()) };
    if !mdl.is_null() {
        // SAFETY: the MDL describes a block of nonpaged pool.
        unsafe { MmBuildMdlForNonPagedPool(mdl) };
    }
    mdl
}

/// Takes back what `make_mdl` gave.
unsafe extern "system" fn free_mdl(mdl: *mut MDL) {
    // SAFETY: a live MDL.
    let block = unsafe { (*mdl).MappedSystemVa };
    // SAFETY: neither locked nor mapped.
    unsafe { IoFreeMdl(mdl) };
    free(block.cast());
}

/// More than is unused in front of the data.
const DELTA: u32 = FRONT + 64;

/// Advances what could not be retreated.
#[inline(never)]
fn retreat_refused(_: &'static Module) {
    let kit = Kit::make();
    let buffer = kit.buffer();
    // SAFETY: a live buffer.
    unsafe { NdisRetreatNetBufferDataStart(buffer, DELTA, 0, Some(refuse)) };
    // SAFETY: none: this is the fault.
    unsafe { NdisAdvanceNetBufferDataStart(buffer, DELTA, 1, Some(free_mdl)) }; // caught: packet-retreat-refused by nb-retreat-status
    stay();
}

/// Lets NDIS free what a handler of the driver's allocated.
#[inline(never)]
fn retreat_kept(_: &'static Module) {
    let kit = Kit::make();
    let buffer = kit.buffer();
    // SAFETY: a live buffer.
    unsafe { NdisRetreatNetBufferDataStart(buffer, DELTA, 0, Some(make_mdl)) };
    // SAFETY: none: this is the fault.
    unsafe { NdisAdvanceNetBufferDataStart(buffer, DELTA, 1, None) }; // caught: packet-retreat-kept by nb-advance-free-handler
    stay();
}

/// Asks for data at a multiple of nothing.
#[inline(never)]
fn data_alignment(_: &'static Module) {
    let kit = Kit::make();
    // SAFETY: none: this is the fault.
    let data = unsafe { NdisGetDataBuffer(kit.buffer(), 14, null_mut(), 0, 0) }; // warned: packet-data-alignment by getdatabuffer-args
    black_box(data);
    kit.end();
}

/// Asks for more data than its storage holds.
#[inline(never)]
fn data_storage(_: &'static Module) {
    let kit = Kit::make();
    let storage = allocate(16);
    // SAFETY: none: this is the fault.
    let data = unsafe { NdisGetDataBuffer(kit.buffer(), 64, storage.cast(), 1, 0) }; // caught: packet-data-storage by getdatabuffer-storage-size
    black_box(data);
}

/// A kit whose data lies in two blocks, half in each.
fn divide(kit: &Kit) -> (*mut u8, *mut MDL) {
    let block = allocate(SIZE as usize);
    let mdl = describe(block);
    // SAFETY: a live MDL.
    unsafe { (*kit.mdl).Next = mdl };
    // SAFETY: a live buffer, whose data now goes on in the second MDL.
    unsafe { (*kit.buffer()).DataLength = 2 * SIZE - FRONT };
    (block, mdl)
}

/// Takes data that is not in one piece, without storage for it.
fn data_null(_: &'static Module) {
    let kit = Kit::make();
    let (block, mdl) = divide(&kit);
    // SAFETY: a live buffer with as many bytes.
    let data = unsafe { NdisGetDataBuffer(kit.buffer(), SIZE, null_mut(), 1, 0) };
    // SAFETY: none: this is the fault.
    let byte = unsafe { *data.cast::<u8>() }; // caught: packet-data-null by getdatabuffer-null
    black_box(byte);
    // SAFETY: neither locked nor mapped.
    unsafe { IoFreeMdl(mdl) };
    free(block);
    kit.end();
}

/// Makes and ends everything in the right way.
// legal: packet-whole near derived-free-api-match, clone-free-flags-match, nbl-children-freed-first
// legal: packet-whole near nbl-context-balanced, nbl-context-prealloc-not-freed, nbl-context-size-multiple
// legal: packet-whole near nbl-free-preallocated-once, sdv-alloc-netbuffer, pool-parameters, pool-alloc-kind
// legal: packet-whole near nb-retreat-status, nb-advance-free-handler, getdatabuffer-args
// legal: packet-whole near getdatabuffer-storage-size, getdatabuffer-null, pool-freed-after-nbls, pool-alloc-null
// legal: packet-whole near nbl-context-alloc-can-fail
fn use_whole(_: &'static Module) {
    let kit = Kit::make();
    if kit.list.is_null() {
        return;
    }
    // SAFETY: a live list.
    let status = unsafe { NdisAllocateNetBufferListContext(kit.list, 16, 0, TAG) };
    if status == NDIS_STATUS_SUCCESS {
        // SAFETY: added above.
        unsafe { NdisFreeNetBufferListContext(kit.list, 16) };
    }
    let clone = kit.clone_list();
    if !clone.is_null() {
        // SAFETY: made with the same flags.
        unsafe { NdisFreeCloneNetBufferList(clone, 0) };
    }
    // SAFETY: a live list, and pools of the right kinds.
    let fragment = unsafe {
        NdisAllocateFragmentNetBufferList(kit.list, kit.lists, kit.buffers, 0, 64, 0, 0, 0)
    };
    if !fragment.is_null() {
        // SAFETY: made with the same delta and flags.
        unsafe { NdisFreeFragmentNetBufferList(fragment, 0, 0) };
    }
    // SAFETY: a pool of buffers.
    let buffer = unsafe { NdisAllocateNetBuffer(kit.buffers, kit.mdl, 0, 64) };
    if !buffer.is_null() {
        // SAFETY: allocated above.
        unsafe { NdisFreeNetBuffer(buffer) };
    }
    for delta in [FRONT, DELTA] {
        let buffer = kit.buffer();
        // SAFETY: a live buffer.
        let status = unsafe { NdisRetreatNetBufferDataStart(buffer, delta, 0, Some(make_mdl)) };
        if status == NDIS_STATUS_SUCCESS {
            // SAFETY: retreated above.
            unsafe { NdisAdvanceNetBufferDataStart(buffer, delta, 1, Some(free_mdl)) };
        }
    }
    let storage = allocate(64);
    if !storage.is_null() {
        // SAFETY: a live buffer with as many bytes, and storage for them.
        black_box(unsafe { NdisGetDataBuffer(kit.buffer(), 64, storage.cast(), 1, 0) });
        free(storage);
    }
    kit.end();
}

fn clone_of(module: &Module, list: Lists) -> Lists {
    // SAFETY: the driver has the list; the pools may be left out.
    unsafe { NdisAllocateCloneNetBufferList(list, packet::pool(module), null_mut(), 0) }
}

/// Sends a list on whose clone it still has.
fn send_parent(module: &'static Module, lists: Lists, port: u32, flags: u32) -> Lists {
    black_box(clone_of(module, lists));
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, lists, port, flags) }; // caught: packet-parent-sent by nbl-parent-retained
    null_mut()
}

/// Copies the information of a list that is sent as if it was received.
fn copy_as_received(module: &'static Module, lists: Lists, _: u32, _: u32) -> Lists {
    let clone = clone_of(module, lists);
    // SAFETY: none: this is the fault.
    unsafe { NdisCopyReceiveNetBufferListInfo(clone, lists) }; // caught: packet-copied-otherwise by clone-copy-right-direction
    lists
}

/// Copies the information of a list that is sent, and frees the copy before it sends on.
// legal: packet-copied-right near clone-copy-right-direction, nbl-parent-retained
fn copy_as_sent(module: &'static Module, lists: Lists, _: u32, _: u32) -> Lists {
    let clone = clone_of(module, lists);
    if !clone.is_null() {
        // SAFETY: both lists are the driver's at the moment.
        unsafe { NdisCopySendNetBufferListInfo(clone, lists) };
        // SAFETY: made above with the same flags.
        unsafe { NdisFreeCloneNetBufferList(clone, 0) };
    }
    lists
}

/// A packet of the driver's own whose cancel id has this byte on top.
fn packet_with(module: &Module, byte: u8) -> Lists {
    let own = packet::make(module);
    packet::set_slot(
        own,
        NetBufferListCancelId as usize,
        usize::from(byte) << 56 | 1,
    );
    own
}

/// Sends a packet with a cancel id that may be another driver's.
fn send_with_own_id(module: &'static Module, lists: Lists, _: u32, flags: u32) -> Lists {
    // SAFETY: callable at any level.
    let byte = unsafe { NdisGeneratePartialCancelId() };
    let own = packet_with(module, byte ^ 0x55);
    // SAFETY: none: this is the fault.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) }; // warned: packet-cancel-id-own by cancel-id-high-byte
    lists
}

/// Sends a packet with a cancel id that NDIS keeps apart from others.
// legal: packet-cancel-id-given near cancel-id-high-byte
fn send_with_given_id(module: &'static Module, lists: Lists, _: u32, flags: u32) -> Lists {
    // SAFETY: callable at any level.
    let byte = unsafe { NdisGeneratePartialCancelId() };
    let own = packet_with(module, byte);
    // SAFETY: the module runs; the packet is its own.
    unsafe { NdisFSendNetBufferLists(module.handle, own, 0, flags) };
    lists
}
