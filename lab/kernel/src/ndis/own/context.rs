//! Context areas of NET_BUFFER_LISTs, of the filter's and of others'.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lab_rules::event::Lent;

use crate::abi::constant::NDIS_STATUS_RESOURCES;
use crate::abi::ndis::{NET_BUFFER_LIST, NET_BUFFER_LIST_CONTEXT as C};
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::BadAddress;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisAllocateNetBufferListContext => allocate,
    NdisFreeNetBufferListContext => free,
}

per_image! {
    /// Areas that were made for want of room in those that the list had.
    static ADDED: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    ADDED.take();
}

/// A list begins with context, if it is to have any.
pub(super) fn preallocate(
    nbl: u64,
    size: u16,
    backfill: u16,
    blocks: &mut Vec<u64>,
) -> Result<(), BadAddress> {
    if size != 0 || backfill != 0 {
        blocks.push(area(nbl, size, backfill)?);
    }
    Ok(())
}

/// Puts a new area in front of those of a list, used from the end of its backfill on.
fn area(nbl: u64, size: u16, backfill: u16) -> Result<u64, BadAddress> {
    let bytes = size.saturating_add(backfill);
    let area = driver::lend(Lent::Packet, C::SIZE + usize::from(bytes));
    C::Next.write(area, NET_BUFFER_LIST::Context.read(nbl)?)?;
    C::Size.write(area, bytes)?;
    C::Offset.write(area, backfill)?;
    NET_BUFFER_LIST::Context.write(nbl, area)?;
    Ok(area)
}

fn allocate(call: &Call<'_>) -> u64 {
    let (nbl, size, backfill) = (call.arg(0), call.arg_u16(1), call.arg_u16(2));
    let first = NET_BUFFER_LIST::Context.read(nbl).or_fault();
    if first != 0 {
        let room = C::Offset.read(first).or_fault();
        if let Some(rest) = room.checked_sub(size) {
            C::Offset.write(first, rest).or_fault();
            return SUCCESS;
        }
    }
    if driver::is_short() {
        return status(NDIS_STATUS_RESOURCES);
    }
    let area = area(nbl, size, backfill).or_fault();
    ADDED.with_borrow_mut(|added| added.insert(area));
    SUCCESS
}

fn free(call: &Call<'_>) -> u64 {
    let (nbl, size) = (call.arg(0), call.arg_u16(1));
    let first = NET_BUFFER_LIST::Context.read(nbl).or_fault();
    if first == 0 {
        return 0;
    }
    let bytes = C::Size.read(first).or_fault();
    let offset = C::Offset.read(first).or_fault().saturating_add(size);
    if offset >= bytes && ADDED.with_borrow_mut(|added| added.remove(&first)) {
        let next = C::Next.read(first).or_fault();
        NET_BUFFER_LIST::Context.write(nbl, next).or_fault();
        driver::release(first);
    } else {
        C::Offset.write(first, offset.min(bytes)).or_fault();
    }
    0
}
