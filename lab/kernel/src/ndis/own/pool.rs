//! Pools of NET_BUFFER_LISTs and of NET_BUFFERs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::NblEvent;

use crate::abi::constant::{
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2,
    NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_2, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2, NET_BUFFER_POOL_PARAMETERS_REVISION_1,
    NET_BUFFER_POOL_PARAMETERS_REVISION_2,
};
use crate::abi::ndis::{
    NDIS_OBJECT_HEADER, NET_BUFFER_LIST_POOL_PARAMETERS as L, NET_BUFFER_POOL_PARAMETERS as B,
};
use crate::ndis::handle::{self, Handle};
use crate::ndis::register::read_header;
use crate::ndis::version;
use crate::nt::imports;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::watch::{OrFault, emit};

imports! {
    "ndis.sys":
    NdisAllocateNetBufferListPool => allocate_list_pool,
    NdisFreeNetBufferListPool => free_pool,
    NdisAllocateNetBufferPool => allocate_buffer_pool,
    NdisFreeNetBufferPool => free_pool,
}

/// What a pool gives.
#[derive(Clone, Copy)]
pub(super) struct Pool {
    /// Lists, or NET_BUFFERs alone.
    pub(super) has_lists: bool,
    /// Whether each list has a NET_BUFFER with it.
    pub(super) has_buffer: bool,
    /// Bytes of context with each list.
    pub(super) context_size: u16,
    /// Bytes of data with each NET_BUFFER.
    pub(super) data_size: u32,
}

per_image! {
    static POOLS: RefCell<BTreeMap<u64, Pool>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    POOLS.take();
}

/// Whether there is one.
pub(super) fn is_any() -> bool {
    POOLS.with_borrow(|pools| !pools.is_empty())
}

/// What the pool with this handle gives.
pub(super) fn look_up(handle: u64) -> Option<Pool> {
    POOLS.with_borrow(|pools| pools.get(&handle).copied())
}

/// The revision and size that parameters should have: of the newer kind where they say so, and the
/// system knows it.
fn shape(at: u64, old: (u8, u16), new: (u8, u16)) -> (u8, u8, u16) {
    let is_new =
        version::minor() >= 87 && NDIS_OBJECT_HEADER::Revision.read(at).or_fault() == new.0;
    let (revision, size) = if is_new { new } else { old };
    (NDIS_OBJECT_TYPE_DEFAULT, revision, size)
}

fn allocate_list_pool(call: &Call<'_>) -> u64 {
    let owner = call.arg(0);
    // The header marks it as optional.
    if owner != 0 && !handle::is_driver_or_module("NdisAllocateNetBufferListPool", owner) {
        return 0;
    }
    let at = call.arg(1);
    let expected = shape(
        at,
        (
            NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
            NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        ),
        (
            NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2,
            NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_2,
        ),
    );
    read_header("NET_BUFFER_LIST_POOL_PARAMETERS", at, expected).or_fault();
    let pool = Pool {
        has_lists: true,
        has_buffer: L::fAllocateNetBuffer.read(at).or_fault() != 0,
        context_size: L::ContextSize.read(at).or_fault(),
        data_size: L::DataSize.read(at).or_fault(),
    };
    open(
        pool,
        L::ProtocolId.read(at).or_fault(),
        L::PoolTag.read(at).or_fault(),
    )
}

fn allocate_buffer_pool(call: &Call<'_>) -> u64 {
    // The handle may be left out.
    let owner = call.arg(0);
    if owner != 0 && !handle::is_driver_or_module("NdisAllocateNetBufferPool", owner) {
        return 0;
    }
    let at = call.arg(1);
    let expected = shape(
        at,
        (
            NET_BUFFER_POOL_PARAMETERS_REVISION_1,
            NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1,
        ),
        (
            NET_BUFFER_POOL_PARAMETERS_REVISION_2,
            NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_2,
        ),
    );
    read_header("NET_BUFFER_POOL_PARAMETERS", at, expected).or_fault();
    let pool = Pool {
        has_lists: false,
        has_buffer: true,
        context_size: 0,
        data_size: B::DataSize.read(at).or_fault(),
    };
    open(pool, 0, B::PoolTag.read(at).or_fault())
}

fn open(pool: Pool, protocol_id: u8, tag: u32) -> u64 {
    let handle = handle::open(Handle::Pool);
    POOLS.with_borrow_mut(|pools| pools.insert(handle, pool));
    emit(Kind::Nbl(NblEvent::PoolAllocated {
        pool: handle,
        protocol_id,
        allocates_buffer: pool.has_buffer,
        context_size: pool.context_size.into(),
        tag,
        data_size: pool.data_size,
    }));
    handle
}

fn free_pool(call: &Call<'_>) -> u64 {
    let pool = call.arg(0);
    emit(Kind::Nbl(NblEvent::PoolFreed { pool }));
    POOLS.with_borrow_mut(|pools| pools.remove(&pool));
    handle::close(pool);
    0
}
