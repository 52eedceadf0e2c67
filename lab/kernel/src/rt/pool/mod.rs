//! Special pool: every block ends at a guard page, and its address is never used again.
//!
//! A block is put as far to the right as its alignment allows, before a page that nothing can touch.
//! What is left of its pages in front of it and behind it holds a pattern that [`free`] checks. A
//! freed block's pages become as untouchable as the guard, for the rest of the run. The ledger keeps
//! who allocated and who freed every block, so a fault in the pool can name both.
//!
//! The driver's live blocks together are limited, so that a driver that asks without end is told no
//! as on a real machine, before the lab's own host is out of memory.

mod block;
mod reach;
mod region;

use std::{
    cell::{Cell, RefCell},
    io,
};

pub(crate) use self::block::{Block, Exhausted, FreeError, Kind, Owner, Reach, Request};
pub(crate) use self::reach::restrict;
use self::region::Region;
use super::{
    fault::Place,
    layout::PAGE,
    mem,
    trace::{self, StackId},
};

/// Byte that fresh memory is filled with, unless the API zeroes it.
pub(crate) const POISON: u8 = 0xC7;
/// Byte in front of a block and behind it.
const SLACK: u8 = 0x5A;
/// What the rest of a block's pages looks like.
const INTACT: [u8; PAGE as usize] = [SLACK; PAGE as usize];

/// The most that the driver's live blocks may take together, each in whole pages.
const DRIVER_BYTES_MOST: usize = 1 << 30;

/// The pool of the machine.
///
/// # Invariants
/// `driver_bytes` are the bytes of the pages that the driver's live blocks take.
/// `blocks` are in ascending order of `address`, and of the pages they take.
pub(super) struct Pool {
    region: Region,
    blocks: Vec<Block>,
    driver_bytes: usize,
}

thread_local! {
    static THE_POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
    /// Whether freed blocks can still be touched.
    static IS_UNSEALED: Cell<bool> = const { Cell::new(false) };
}

/// Makes an empty pool.
pub(super) fn open() -> io::Result<()> {
    let pool = Pool {
        region: Region::new()?,
        blocks: Vec::new(),
        driver_bytes: 0,
    };
    THE_POOL.replace(Some(pool));
    IS_UNSEALED.set(false);
    Ok(())
}

/// Gives the pool's address space back.
pub(super) fn close() {
    THE_POOL.take();
}

/// Makes freed blocks untouchable. Whoever touches memory as the driver may, or lets the driver run, calls it before.
pub(super) fn seal() {
    // The pool's own accesses are to live blocks.
    if IS_UNSEALED.get() {
        THE_POOL.with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut() {
                IS_UNSEALED.set(false);
                if let Some(pool) = pool.as_mut() {
                    pool.region.seal();
                }
            }
        });
    }
}

fn with<R>(body: impl FnOnce(&mut Pool) -> R) -> Option<R> {
    THE_POOL.with_borrow_mut(|pool| pool.as_mut().map(body))
}

/// Allocates a block that ends at a guard page (as closely as its alignment allows).
///
/// # Errors
/// [`Exhausted`], which is the lab's limit, not the driver's fault: of its address space, and for
/// the driver of [`DRIVER_BYTES_MOST`].
pub(crate) fn allocate(request: Request) -> Result<u64, Exhausted> {
    let stack = trace::capture();
    with(|pool| pool.allocate(request, stack)).ok_or(Exhausted)?
}

/// Frees a block: from now on, touching it is a fault that names it.
///
/// # Errors
/// [`FreeError`]; nothing is freed then, but for [`FreeError::Damaged`].
pub(crate) fn free(address: u64, tag: Option<u32>) -> Result<Block, FreeError> {
    let stack = trace::capture();
    with(|pool| pool.free(address, tag, stack)).ok_or(FreeError::Unknown)?
}

/// The block that holds or once held `address`, live or freed.
pub(crate) fn find(address: u64) -> Option<Block> {
    with(|pool| pool.near(address).filter(|block| block.contains(address))).flatten()
}

/// What an address in the pool is.
pub(super) fn place(address: u64) -> Place {
    with(|pool| pool.place(address)).unwrap_or(Place::Unmapped)
}

impl Pool {
    fn allocate(&mut self, request: Request, stack: StackId) -> Result<u64, Exhausted> {
        let size = request.size.max(1);
        let align = request.align.max(1) as u64;
        let room = size
            .checked_next_multiple_of(PAGE as usize)
            .ok_or(Exhausted)?;
        let driver_bytes = match request.owner {
            Owner::Lab => self.driver_bytes,
            Owner::Driver => self
                .driver_bytes
                .checked_add(room)
                .filter(|bytes| *bytes <= DRIVER_BYTES_MOST)
                .ok_or(Exhausted)?,
        };
        let first = self.region.take(room, align).ok_or(Exhausted)?;
        let address = (first + (room - size) as u64) / align * align;
        let block = Block {
            address,
            size,
            tag: request.tag,
            kind: request.kind,
            owner: request.owner,
            serial: self.blocks.len() as u64 + 1,
            allocated: stack,
            freed: None,
            reach: Reach::Whole,
        };
        // INVARIANT: the region gives ascending addresses.
        self.blocks.push(block);
        // INVARIANT: `room` is what `Block::pages` gives back in `free`.
        self.driver_bytes = driver_bytes;
        let fill = |from: u64, to: u64, byte| mem::fill(from, (to - from) as usize, byte);
        let filled = fill(first, address, SLACK)
            .and_then(|()| fill(block.end(), first + room as u64, SLACK))
            // Fresh pages are zero.
            .and_then(|()| if request.zeroed { Ok(()) } else { fill(address, block.end(), POISON) });
        filled.map_err(|_| Exhausted)?;
        Ok(address)
    }

    fn free(&mut self, address: u64, tag: Option<u32>, stack: StackId) -> Result<Block, FreeError> {
        let index = self.index_near(address).ok_or(FreeError::Unknown)?;
        let block = self.blocks[index];
        if !block.contains(address) {
            return Err(FreeError::Unknown);
        }
        if block.address != address {
            return Err(FreeError::Inside(block));
        }
        if block.freed.is_some() {
            return Err(FreeError::Twice(block));
        }
        if tag.is_some_and(|tag| tag != block.tag) {
            return Err(FreeError::WrongTag(block));
        }
        self.restrict(&[address], Reach::Whole);
        let damage = self.damage(&block);
        let (first, bytes) = block.pages();
        self.region.give_back(first, bytes);
        IS_UNSEALED.set(true);
        if block.owner == Owner::Driver {
            self.driver_bytes -= bytes;
        }
        self.blocks[index].freed = Some(stack);
        match damage {
            None => Ok(self.blocks[index]),
            Some(offset) => Err(FreeError::Damaged {
                block: self.blocks[index],
                offset,
            }),
        }
    }

    /// Offset of the byte nearest to the block, outside of it, that was overwritten.
    fn damage(&self, block: &Block) -> Option<i64> {
        let (first, bytes) = block.pages();
        let before = (block.address - first) as usize;
        let behind = (first + bytes as u64 - block.end()) as usize;
        // What is left of the pages is less than a page, but for large alignments.
        let is_whole = |at: u64, bytes: usize| {
            let mut page = [0; PAGE as usize];
            page.get_mut(..bytes)
                .is_some_and(|page| mem::read_into(at, page).is_ok() && *page == INTACT[..bytes])
        };
        if is_whole(first, before) && is_whole(block.end(), behind) {
            return None;
        }
        let overwritten = |byte: &u8| *byte != SLACK;
        let behind = mem::read_bytes(block.end(), behind).unwrap_or_default();
        let before = mem::read_bytes(first, before).unwrap_or_default();
        let distance = behind.iter().position(overwritten);
        distance
            .map(|distance| (block.size + distance) as i64)
            .or(before
                .iter()
                .rev()
                .position(overwritten)
                .map(|d| -1 - d as i64))
    }

    /// The last block that begins at `address` or before it.
    fn index_near(&self, address: u64) -> Option<usize> {
        self.blocks
            .partition_point(|block| block.address <= address)
            .checked_sub(1)
    }

    fn near(&self, address: u64) -> Option<Block> {
        self.index_near(address).map(|index| self.blocks[index])
    }

    fn place(&self, address: u64) -> Place {
        let before = self.near(address);
        let after = self
            .blocks
            .get(
                self.blocks
                    .partition_point(|block| block.address <= address),
            )
            .copied();
        if let Some(block) = before {
            let (first, bytes) = block.pages();
            let guard_end = first + bytes as u64 + PAGE;
            if block.contains(address) && block.freed.is_none() {
                return Place::Block(block);
            }
            if address < guard_end && block.freed.is_some() {
                return Place::FreedBlock(block);
            }
            if address < guard_end {
                return Place::BeyondBlock {
                    block,
                    distance: address - block.end(),
                };
            }
        }
        match after {
            Some(block) if address >= block.pages().0 && block.freed.is_some() => {
                Place::FreedBlock(block)
            }
            Some(block) if address + PAGE >= block.pages().0 => Place::BeforeBlock {
                block,
                distance: block.address - address,
            },
            _ => Place::Pool,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{machine, signal::Handlers};

    #[test]
    fn the_drivers_live_blocks_are_limited_and_the_labs_are_not() {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        open().expect("address space");
        let ask = |size, owner| {
            allocate(Request {
                tag: u32::from_le_bytes(*b"Test"),
                size,
                align: PAGE as usize,
                kind: Kind::NonPaged,
                zeroed: true,
                owner,
            })
        };
        const QUARTER: usize = DRIVER_BYTES_MOST / 4;
        assert_eq!(ask(64 << 30, Owner::Driver), Err(Exhausted));
        let blocks = [(); 4].map(|()| ask(QUARTER, Owner::Driver).expect("room"));
        assert_eq!(ask(1, Owner::Driver), Err(Exhausted));
        assert!(ask(1, Owner::Lab).is_ok());
        free(blocks[2], None).expect("it is live");
        // One byte takes a page, and so the quarter is not free any more.
        assert!(ask(1, Owner::Driver).is_ok());
        assert_eq!(ask(QUARTER, Owner::Driver), Err(Exhausted));
        assert!(ask(QUARTER - PAGE as usize, Owner::Driver).is_ok());
        close();
    }
}
