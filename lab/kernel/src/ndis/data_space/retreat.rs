//! More used data in front, and less of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::Lent;

use super::{adjust, buffers};
use crate::abi::constant::{MDL_SOURCE_IS_NONPAGED_POOL, NDIS_STATUS_RESOURCES};
use crate::abi::ndis::NET_BUFFER as B;
use crate::abi::nt::MDL;
use crate::driver;
use crate::nt::{SUCCESS, imports, mdl, status};
use crate::per_image::per_image;
use crate::rt::mem::{self, BadAddress};
use crate::rt::{self, Call};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisRetreatNetBufferDataStart => retreat_one,
    NdisRetreatNetBufferListDataStart => retreat_all,
    NdisAdvanceNetBufferDataStart => advance_one,
    NdisAdvanceNetBufferListDataStart => advance_all,
}

per_image! {
    /// MDLs that a retreat has put in front, and the memory that NDIS made for each; none where the
    /// driver's own handler made both.
    static FRONTS: RefCell<BTreeMap<u64, Option<u64>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    FRONTS.take();
}

/// Adds used data in front; `false` when there is no memory for it.
fn retreat(nb: u64, delta: u32, backfill: u32, handler: u64) -> Result<bool, BadAddress> {
    let offset = B::DataOffset.read(nb)?;
    let length = B::DataLength.read(nb)?;
    let rest = if let Some(rest) = offset.checked_sub(delta) {
        rest
    } else {
        // What is unused lies right before the data and is used up first.
        let Some(unused) = put_in_front(nb, delta - offset, backfill, handler)? else {
            return Ok(false);
        };
        unused
    };
    B::DataOffset.write(nb, rest)?;
    B::DataLength.write(nb, length.wrapping_add(delta))?;
    adjust(nb)?;
    Ok(true)
}

/// Puts memory for `bytes` in front of the chain; gives how many before them are unused.
fn put_in_front(
    nb: u64,
    bytes: u32,
    backfill: u32,
    handler: u64,
) -> Result<Option<u32>, BadAddress> {
    let size = bytes.saturating_add(backfill);
    let front = if handler == 0 {
        let memory = driver::rubbish(Lent::Packet, usize::try_from(size).unwrap_or(usize::MAX));
        let front = driver::lend(Lent::Packet, mdl::size(memory, size.into()));
        mdl::initialize(front, memory, size, MDL_SOURCE_IS_NONPAGED_POOL)?;
        FRONTS.with_borrow_mut(|fronts| fronts.insert(front, Some(memory)));
        front
    } else {
        let wish = driver::object(size_of::<u32>());
        mem::write(wish, size)?;
        let front = rt::call_driver(handler, &[wish]);
        driver::release(wish);
        if front == 0 {
            return Ok(None);
        }
        FRONTS.with_borrow_mut(|fronts| fronts.insert(front, None));
        front
    };
    MDL::Next.write(front, B::MdlChain.read(nb)?)?;
    B::MdlChain.write(nb, front)?;
    Ok(Some(MDL::ByteCount.read(front)?.saturating_sub(bytes)))
}

/// Gives up used data in front, and with `frees` the memory that retreats have put there.
fn advance(nb: u64, delta: u32, frees: bool, handler: u64) -> Result<(), BadAddress> {
    let mut offset = B::DataOffset.read(nb)?.wrapping_add(delta);
    let length = B::DataLength.read(nb)?;
    if frees {
        while let Some(rest) = take_front(nb, offset, handler)? {
            offset = rest;
        }
    }
    B::DataOffset.write(nb, offset)?;
    B::DataLength.write(nb, length.wrapping_sub(delta))?;
    adjust(nb)
}

/// Takes away the first MDL if a retreat has put it there and no byte of it is used; gives the
/// offset of the data in the others.
fn take_front(nb: u64, offset: u32, handler: u64) -> Result<Option<u32>, BadAddress> {
    let first = B::MdlChain.read(nb)?;
    let Some(memory) = FRONTS.with_borrow(|fronts| fronts.get(&first).copied()) else {
        return Ok(None);
    };
    let Some(rest) = offset.checked_sub(MDL::ByteCount.read(first)?) else {
        return Ok(None);
    };
    B::MdlChain.write(nb, MDL::Next.read(first)?)?;
    FRONTS.with_borrow_mut(|fronts| fronts.remove(&first));
    match memory {
        Some(memory) => {
            driver::release(memory);
            driver::release(first);
        }
        None if handler != 0 => {
            MDL::Next.write(first, 0)?;
            rt::call_driver(handler, &[first]);
        }
        None => {}
    }
    Ok(Some(rest))
}

fn retreat_one(call: &Call<'_>) -> u64 {
    let (nb, delta, backfill) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    if retreat(nb, delta, backfill, call.arg(3)).or_fault() {
        SUCCESS
    } else {
        status(NDIS_STATUS_RESOURCES)
    }
}

/// All or none.
fn retreat_all(call: &Call<'_>) -> u64 {
    let (nbl, delta, backfill) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    let mut done = Vec::new();
    for nb in buffers(nbl).or_fault() {
        if !retreat(nb, delta, backfill, call.arg(3)).or_fault() {
            for nb in done {
                advance(nb, delta, true, call.arg(4)).or_fault();
            }
            return status(NDIS_STATUS_RESOURCES);
        }
        done.push(nb);
    }
    SUCCESS
}

fn advance_one(call: &Call<'_>) -> u64 {
    let frees = call.arg_u8(2) != 0;
    advance(call.arg(0), call.arg_u32(1), frees, call.arg(3)).or_fault();
    0
}

fn advance_all(call: &Call<'_>) -> u64 {
    let frees = call.arg_u8(2) != 0;
    for nb in buffers(call.arg(0)).or_fault() {
        advance(nb, call.arg_u32(1), frees, call.arg(3)).or_fault();
    }
    0
}
