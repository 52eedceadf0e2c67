//! NET_BUFFER_LISTs from pools.

use lab_rules::event::Lent;

use super::{LISTS, buffer, context, enter, leave, link_buffers, pool};
use crate::abi::ndis::NET_BUFFER_LIST;
use crate::driver;
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::mem::BadAddress;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAllocateNetBufferList => allocate,
    NdisAllocateNetBufferAndNetBufferList => allocate_with_buffer,
    NdisFreeNetBufferList => free,
    NdisGetPoolFromNetBufferList => pool_of,
}

/// A list without anything, in a new block.
pub(super) fn bare(pool: u64, blocks: &mut Vec<u64>) -> Result<u64, BadAddress> {
    let nbl = driver::lend(Lent::Packet, NET_BUFFER_LIST::SIZE);
    blocks.push(nbl);
    NET_BUFFER_LIST::NdisPoolHandle.write(nbl, pool)?;
    Ok(nbl)
}

fn allocate(call: &Call<'_>) -> u64 {
    let (handle, size, backfill) = (call.arg(0), call.arg_u16(1), call.arg_u16(2));
    let usable = |pool: &pool::Pool| pool.has_lists && !driver::is_short();
    let Some(pool) = pool::look_up(handle).filter(usable) else {
        return 0;
    };
    let mut blocks = Vec::new();
    let mut fill = || {
        let nbl = bare(handle, &mut blocks)?;
        if pool.has_buffer {
            let nb = buffer::with_data(handle, pool.data_size, &mut blocks)?;
            link_buffers(nbl, &[nb])?;
        }
        let size = size.saturating_add(pool.context_size);
        context::preallocate(nbl, size, backfill, &mut blocks)
    };
    fill().or_fault();
    enter(handle, blocks)
}

pub(crate) fn allocate_with_buffer(call: &Call<'_>) -> u64 {
    let (handle, size, backfill) = (call.arg(0), call.arg_u16(1), call.arg_u16(2));
    let (chain, offset, length) = (call.arg(3), call.arg_u32(4), call.arg(5));
    let usable = |pool: &pool::Pool| {
        pool.has_lists && pool.has_buffer && pool.data_size == 0 && !driver::is_short()
    };
    let Some(pool) = pool::look_up(handle).filter(usable) else {
        return 0;
    };
    let mut blocks = Vec::new();
    let mut fill = || {
        let nbl = bare(handle, &mut blocks)?;
        let nb = buffer::over(handle, chain, offset, length, &mut blocks)?;
        link_buffers(nbl, &[nb])?;
        let size = size.saturating_add(pool.context_size);
        context::preallocate(nbl, size, backfill, &mut blocks)
    };
    fill().or_fault();
    enter(handle, blocks)
}

pub(crate) fn free(call: &Call<'_>) -> u64 {
    leave(call.arg(0));
    0
}

fn pool_of(call: &Call<'_>) -> u64 {
    let nbl = call.arg(0);
    let own = LISTS.with_borrow(|lists| lists.get(&nbl).map(|own| own.pool));
    own.unwrap_or_else(|| NET_BUFFER_LIST::NdisPoolHandle.read(nbl).or_fault())
}
