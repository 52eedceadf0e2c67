//! Pool memory for the driver: every allocator that it can call ends here.

use lab_rules::Kind as Event;
use lab_rules::event::{PoolEvent, PoolFreeError};

use crate::ndis::module::parameters;
use crate::nt::mm::pages;
use crate::rt::pool::{self, FreeError, Kind, Owner, Request};
use crate::rt::sched;
use crate::watch::emit;

/// Alignment of pool blocks on x64, in bytes.
const ALIGN: usize = 16;
const PAGE: usize = 4096;

/// Allocates for the driver; 0 when there is nothing to have.
pub(crate) fn allocate(tag: u32, size: u64, kind: Kind, zeroed: bool) -> u64 {
    let align = if size >= PAGE as u64 { PAGE } else { ALIGN };
    allocate_aligned(tag, size, align, kind, zeroed)
}

/// The same, of nonpaged pool, at the beginning of a page.
pub(crate) fn allocate_pages(tag: u32, size: u64, zeroed: bool) -> u64 {
    allocate_aligned(tag, size, PAGE, Kind::NonPaged, zeroed)
}

fn allocate_aligned(tag: u32, size: u64, align: usize, kind: Kind, zeroed: bool) -> u64 {
    if size == 0 || tag == 0 {
        emit(Event::Pool(PoolEvent::BadRequest { size, tag }));
        return 0;
    }
    let Ok(bytes) = usize::try_from(size) else {
        return 0;
    };
    let request = Request {
        tag,
        size: bytes,
        align,
        kind,
        zeroed,
        owner: Owner::Driver,
    };
    let Ok(block) = pool::allocate(request) else {
        return 0;
    };
    sched::note_bytes(bytes.next_multiple_of(PAGE));
    emit(Event::Pool(PoolEvent::Allocated {
        block,
        size,
        tag,
        paged: kind == Kind::Paged,
    }));
    block
}

/// Frees what the driver allocated. `tag` is `None` where the function does not compare it.
pub(crate) fn free(address: u64, tag: Option<u32>) {
    if parameters::free_given(address) {
        return;
    }
    let is_others = |block: pool::Block| {
        block.owner == Owner::Lab
            || tag.is_none() && block.freed.is_none() && pages::is_own_tag(block.tag)
    };
    if pool::find(address).is_some_and(is_others) {
        emit(Event::Pool(PoolEvent::BadFree {
            address,
            error: PoolFreeError::Kind,
        }));
        return;
    }
    let block_size = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let bad = |error| emit(Event::Pool(PoolEvent::BadFree { address, error }));
    match pool::free(address, tag) {
        Ok(block) => {
            let size = block_size(block.size);
            emit(Event::Pool(PoolEvent::Freed {
                block: block.address,
                size,
                tag: block.tag,
            }));
        }
        Err(FreeError::Damaged { block, offset }) => {
            let size = block_size(block.size);
            emit(Event::Pool(PoolEvent::Damaged {
                block: block.address,
                size,
                tag: block.tag,
                offset,
            }));
        }
        Err(FreeError::Twice(block)) => bad(PoolFreeError::Twice {
            size: block_size(block.size),
            tag: block.tag,
        }),
        Err(FreeError::WrongTag(block)) => {
            bad(PoolFreeError::Tag {
                allocated: block.tag,
                freed: tag.unwrap_or_default(),
            });
        }
        Err(FreeError::Unknown | FreeError::Inside(_)) => bad(PoolFreeError::Unknown),
    }
}
