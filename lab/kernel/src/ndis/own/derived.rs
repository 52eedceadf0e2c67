//! NET_BUFFER_LISTs over the data of others: clones, fragments, reassembled ones.

use super::{buffer, enter, enter_child, leave, link_buffers, list, pool};
use crate::abi::constant::NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS;
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::abi::nt::MDL;
use crate::driver;
use crate::ndis::data_space::{self, Piece};
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::mem::BadAddress;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAllocateCloneNetBufferList => clone,
    NdisFreeCloneNetBufferList => free,
    NdisAllocateFragmentNetBufferList => fragment,
    NdisFreeFragmentNetBufferList => free,
    NdisAllocateReassembledNetBufferList => reassemble,
    NdisFreeReassembledNetBufferList => free,
}

/// Whether a handle is that of a pool of such structures, or left out.
fn is_pool(handle: u64, has_lists: bool) -> bool {
    !driver::is_short()
        && (handle == 0 || pool::look_up(handle).is_some_and(|pool| pool.has_lists == has_lists))
}

/// A NET_BUFFER over pieces of other MDLs' memory, with `room` more bytes of data in front of them
/// and `backfill` unused ones before that.
fn over(
    pool: u64,
    pieces: &[Piece],
    room: u32,
    backfill: u32,
    blocks: &mut Vec<u64>,
) -> Result<u64, BadAddress> {
    let mut chain = 0;
    let mut length = u64::from(room);
    for piece in pieces.iter().rev() {
        let mdl = buffer::describe(piece.address, piece.length, piece.flags, blocks)?;
        MDL::Next.write(mdl, chain)?;
        chain = mdl;
        length += u64::from(piece.length);
    }
    let mut offset = 0;
    if room > 0 {
        let mdl = buffer::data(room.saturating_add(backfill), blocks)?;
        MDL::Next.write(mdl, chain)?;
        (chain, offset) = (mdl, backfill);
    }
    buffer::over(pool, chain, offset, length, blocks)
}

fn clone(call: &Call<'_>) -> u64 {
    let (original, list_pool, buffer_pool) = (call.arg(0), call.arg(1), call.arg(2));
    let shares_mdls = call.arg_u32(3) & NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS != 0;
    if !is_pool(list_pool, true) || !is_pool(buffer_pool, false) {
        return 0;
    }
    let mut blocks = Vec::new();
    let mut fill = || {
        let nbl = list::bare(list_pool, &mut blocks)?;
        let mut buffers = Vec::new();
        for nb in data_space::buffers(original)? {
            // Only the used data space is cloned.
            buffers.push(if shares_mdls {
                let length = NET_BUFFER::stDataLength.read(nb)?;
                let chain = NET_BUFFER::CurrentMdl.read(nb)?;
                let offset = NET_BUFFER::CurrentMdlOffset.read(nb)?;
                buffer::over(buffer_pool, chain, offset, length, &mut blocks)?
            } else {
                let pieces = data_space::pieces(nb)?;
                over(buffer_pool, &pieces, 0, 0, &mut blocks)?
            });
        }
        link_buffers(nbl, &buffers)?;
        NET_BUFFER_LIST::NblFlags.write(nbl, NET_BUFFER_LIST::NblFlags.read(original)?)
    };
    fill().or_fault();
    enter_child(list_pool, blocks, original)
}

fn fragment(call: &Call<'_>) -> u64 {
    let (original, list_pool, buffer_pool) = (call.arg(0), call.arg(1), call.arg(2));
    let (start, most) = (call.arg_u32(3), call.arg_u32(4));
    let (room, backfill) = (call.arg_u32(5), call.arg_u32(6));
    if !is_pool(list_pool, true) || !is_pool(buffer_pool, false) || most == 0 {
        return 0;
    }
    let mut blocks = Vec::new();
    let mut fill = || {
        let nbl = list::bare(list_pool, &mut blocks)?;
        let mut buffers = Vec::new();
        for nb in data_space::buffers(original)? {
            let mut rest = data_space::skip(data_space::pieces(nb)?, start);
            while !rest.is_empty() {
                let first = data_space::take(&mut rest, most);
                buffers.push(over(buffer_pool, &first, room, backfill, &mut blocks)?);
            }
        }
        link_buffers(nbl, &buffers)
    };
    fill().or_fault();
    enter(list_pool, blocks)
}

fn reassemble(call: &Call<'_>) -> u64 {
    let (fragments, handle, start) = (call.arg(0), call.arg(1), call.arg_u32(2));
    let (room, backfill) = (call.arg_u32(3), call.arg_u32(4));
    let usable = |pool: pool::Pool| pool.has_lists && pool.has_buffer && pool.data_size == 0;
    if handle != 0 && !pool::look_up(handle).is_some_and(usable) {
        return 0;
    }
    let mut blocks = Vec::new();
    let mut fill = || {
        let nbl = list::bare(handle, &mut blocks)?;
        let mut all = Vec::new();
        for nb in data_space::buffers(fragments)? {
            all.extend(data_space::skip(data_space::pieces(nb)?, start));
        }
        let nb = over(handle, &all, room, backfill, &mut blocks)?;
        link_buffers(nbl, &[nb])
    };
    fill().or_fault();
    enter(handle, blocks)
}

fn free(call: &Call<'_>) -> u64 {
    leave(call.arg(0));
    0
}
