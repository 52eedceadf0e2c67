//! NET_BUFFERs from pools.

use lab_rules::event::Lent;

use super::{BUFFERS, Own, pool};
use crate::abi::constant::MDL_SOURCE_IS_NONPAGED_POOL;
use crate::abi::ndis::NET_BUFFER;
use crate::driver;
use crate::ndis::data_space;
use crate::nt::{imports, mdl};
use crate::rt::Call;
use crate::rt::mem::BadAddress;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAllocateNetBuffer => allocate,
    NdisAllocateNetBufferMdlAndData => allocate_with_data,
    NdisFreeNetBuffer => free,
    NdisGetPoolFromNetBuffer => pool_of,
}

/// A NET_BUFFER over a chain of MDLs, in a new block.
pub(super) fn over(
    pool: u64,
    chain: u64,
    offset: u32,
    length: u64,
    blocks: &mut Vec<u64>,
) -> Result<u64, BadAddress> {
    let nb = driver::lend(Lent::Packet, NET_BUFFER::SIZE);
    blocks.push(nb);
    NET_BUFFER::NdisPoolHandle.write(nb, pool)?;
    NET_BUFFER::MdlChain.write(nb, chain)?;
    NET_BUFFER::DataOffset.write(nb, offset)?;
    NET_BUFFER::stDataLength.write(nb, length)?;
    data_space::adjust(nb)?;
    Ok(nb)
}

/// A NET_BUFFER with memory of its own, none of it used.
pub(super) fn with_data(pool: u64, size: u32, blocks: &mut Vec<u64>) -> Result<u64, BadAddress> {
    let mdl = match size {
        0 => 0,
        size => data(size, blocks)?,
    };
    over(pool, mdl, 0, 0, blocks)
}

/// Fresh memory with its MDL, in new blocks.
pub(super) fn data(size: u32, blocks: &mut Vec<u64>) -> Result<u64, BadAddress> {
    let bytes = driver::rubbish(Lent::Packet, usize::try_from(size).unwrap_or(usize::MAX));
    blocks.push(bytes);
    describe(bytes, size, MDL_SOURCE_IS_NONPAGED_POOL, blocks)
}

/// An MDL over memory that is there, in a new block.
pub(super) fn describe(
    address: u64,
    length: u32,
    flags: u32,
    blocks: &mut Vec<u64>,
) -> Result<u64, BadAddress> {
    let mdl = driver::lend(Lent::Packet, mdl::size(address, length.into()));
    blocks.push(mdl);
    mdl::initialize(mdl, address, length, flags)?;
    Ok(mdl)
}

/// A NET_BUFFER of the filter's is there: the last of these blocks.
fn enter(pool: u64, blocks: Vec<u64>) -> u64 {
    let nb = blocks.last().copied().unwrap_or(0);
    BUFFERS.with_borrow_mut(|buffers| {
        let own = Own {
            pool,
            blocks,
            ..Own::default()
        };
        buffers.insert(nb, own)
    });
    nb
}

fn allocate(call: &Call<'_>) -> u64 {
    let (handle, chain, offset, length) = (call.arg(0), call.arg(1), call.arg_u32(2), call.arg(3));
    let usable = |pool: &pool::Pool| !pool.has_lists && pool.data_size == 0 && !driver::is_short();
    if !pool::look_up(handle).as_ref().is_some_and(usable) {
        return 0;
    }
    let mut blocks = Vec::new();
    over(handle, chain, offset, length, &mut blocks).or_fault();
    enter(handle, blocks)
}

fn allocate_with_data(call: &Call<'_>) -> u64 {
    let handle = call.arg(0);
    let usable = |pool: &pool::Pool| !pool.has_lists && pool.data_size != 0;
    let Some(pool) = pool::look_up(handle).filter(usable) else {
        return 0;
    };
    let mut blocks = Vec::new();
    with_data(handle, pool.data_size, &mut blocks).or_fault();
    enter(handle, blocks)
}

/// What is none of these has broken a rule by now.
fn free(call: &Call<'_>) -> u64 {
    let own = BUFFERS.with_borrow_mut(|buffers| buffers.remove(&call.arg(0)));
    let own = own.unwrap_or_default();
    own.blocks.into_iter().for_each(driver::release);
    0
}

fn pool_of(call: &Call<'_>) -> u64 {
    NET_BUFFER::NdisPoolHandle.read(call.arg(0)).or_fault()
}
