//! NET_BUFFER_LISTs that the filter makes itself, from its pools.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Lent, NblEvent, NblPath};

use super::adapter;
use super::handle::{self, Handle};
use super::register::read_header;
use crate::abi::constant::{
    MDL_SOURCE_IS_NONPAGED_POOL, NDIS_OBJECT_TYPE_DEFAULT,
    NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST, NET_BUFFER_LIST_POOL_PARAMETERS as P};
use crate::abi::nt::MDL;
use crate::driver;
use crate::memory;
use crate::nt::{imports, mdl};
use crate::rt::Call;
use crate::rt::mem::BadAddress;
use crate::rt::pool;
use crate::watch::{OrFault, emit};

imports! {
    "ndis.sys":
    NdisAllocateNetBufferListPool => allocate_pool,
    NdisFreeNetBufferListPool => free_pool,
    NdisAllocateNetBufferAndNetBufferList => allocate_with_buffer,
    NdisFreeNetBufferList => free,
    NdisGetPoolFromNetBufferList => pool_of,
    NdisAllocateMdl => allocate_mdl,
    NdisFreeMdl => free_mdl,
}

/// Tag of MDLs that NDIS allocates for the driver.
const MDL_TAG: u32 = u32::from_le_bytes(*b"NDmd");

/// A structure of the filter's.
#[derive(Clone, Copy)]
struct Own {
    pool: u64,
    net_buffer: u64,
}

thread_local! {
    static OWN: RefCell<BTreeMap<u64, Own>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    OWN.take();
}

/// Whether a structure is one of the filter's.
pub(super) fn is_own(nbl: u64) -> bool {
    OWN.with_borrow(|own| own.contains_key(&nbl))
}

/// Counts packets that the filter originates.
pub(super) fn note_out(nbls: &[u64], adapter: u32, path: NblPath) {
    let count = nbls.iter().filter(|nbl| is_own(**nbl)).count();
    let count = u64::try_from(count).unwrap_or(0);
    adapter::with_mut(adapter, |adapter| {
        adapter.counts[adapter::side(path)].originated += count
    });
}

fn allocate_pool(call: &Call<'_>) -> u64 {
    if !handle::is_driver_or_module("NdisAllocateNetBufferListPool", call.arg(0)) {
        return 0;
    }
    let at = call.arg(1);
    let expected = (
        NDIS_OBJECT_TYPE_DEFAULT,
        NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
    );
    read_header("NET_BUFFER_LIST_POOL_PARAMETERS", at, expected).or_fault();
    let data_size = P::DataSize.read(at).or_fault();
    // A pool with data of its own is more than `NdisAllocateNetBufferAndNetBufferList` can use.
    let pool = if data_size == 0 {
        handle::open(Handle::Pool)
    } else {
        0
    };
    emit(Kind::Nbl(NblEvent::PoolAllocated {
        pool,
        protocol_id: P::ProtocolId.read(at).or_fault(),
        allocates_buffer: P::fAllocateNetBuffer.read(at).or_fault() != 0,
        context_size: P::ContextSize.read(at).or_fault().into(),
        tag: P::PoolTag.read(at).or_fault(),
        data_size,
    }));
    pool
}

fn free_pool(call: &Call<'_>) -> u64 {
    emit(Kind::Nbl(NblEvent::PoolFreed { pool: call.arg(0) }));
    handle::close(call.arg(0));
    0
}

fn allocate_with_buffer(call: &Call<'_>) -> u64 {
    let (pool, mdl_chain, data_offset, data_length) =
        (call.arg(0), call.arg(3), call.arg_u32(4), call.arg(5));
    if handle::look_up(pool) != Some(Handle::Pool) {
        return 0;
    }
    let nbl = driver::lend(Lent::Packet, NET_BUFFER_LIST::SIZE);
    let net_buffer = driver::lend(Lent::Packet, NET_BUFFER::SIZE);
    fill(nbl, net_buffer, pool, mdl_chain, data_offset, data_length).or_fault();
    OWN.with_borrow_mut(|own| own.insert(nbl, Own { pool, net_buffer }));
    emit(Kind::Nbl(NblEvent::Allocated { nbl, pool }));
    nbl
}

fn fill(
    nbl: u64,
    nb: u64,
    pool: u64,
    chain: u64,
    offset: u32,
    length: u64,
) -> Result<(), BadAddress> {
    NET_BUFFER_LIST::FirstNetBuffer.write(nbl, nb)?;
    NET_BUFFER_LIST::NdisPoolHandle.write(nbl, pool)?;
    NET_BUFFER::MdlChain.write(nb, chain)?;
    NET_BUFFER::DataOffset.write(nb, offset)?;
    NET_BUFFER::stDataLength.write(nb, length)?;
    // The first MDL with used data in it.
    let (mut current, mut rest) = (chain, offset);
    while current != 0 {
        let bytes = MDL::ByteCount.read(current)?;
        if rest < bytes {
            break;
        }
        rest -= bytes;
        current = MDL::Next.read(current)?;
    }
    NET_BUFFER::CurrentMdl.write(nb, current)?;
    NET_BUFFER::CurrentMdlOffset.write(nb, rest)
}

fn free(call: &Call<'_>) -> u64 {
    let nbl = call.arg(0);
    let own = OWN.with_borrow_mut(|own| own.remove(&nbl));
    emit(Kind::Nbl(NblEvent::Freed {
        nbl,
        known: own.is_some(),
    }));
    if let Some(own) = own {
        driver::release(own.net_buffer);
        driver::release(nbl);
    }
    0
}

fn pool_of(call: &Call<'_>) -> u64 {
    let nbl = call.arg(0);
    let own = OWN.with_borrow(|own| own.get(&nbl).map(|own| own.pool));
    own.unwrap_or_else(|| NET_BUFFER_LIST::NdisPoolHandle.read(nbl).or_fault())
}

fn allocate_mdl(call: &Call<'_>) -> u64 {
    if !handle::is_driver_or_module("NdisAllocateMdl", call.arg(0)) {
        return 0;
    }
    let (address, length) = (call.arg(1), call.arg_u32(2));
    let size = u64::try_from(mdl::size(address, length.into())).unwrap_or(0);
    let block = memory::allocate(MDL_TAG, size, pool::Kind::NonPaged, true);
    if block != 0 {
        mdl::initialize(block, address, length, MDL_SOURCE_IS_NONPAGED_POOL).or_fault();
    }
    block
}

fn free_mdl(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(MDL_TAG));
    0
}
