//! Special pool: every block ends at a guard page, and its address is never used again.
//!
//! A block is put as far to the right as its alignment allows, before a page that nothing can touch; in some lives
//! the driver's blocks begin where such a page ends. What is left of its pages in front of it and behind it holds a pattern that [`free`] checks. A
//! freed block's pages become as untouchable as the guard, for the rest of the run. The ledger keeps
//! who allocated and who freed every block, so a fault in the pool can name both.
//!
//! Paged pool is a region of its own, so that all of it can be closed while the running processor is at
//! DISPATCH_LEVEL ([`super::paged`]).
//!
//! The driver's live blocks together are limited, so that a driver that asks without end is told no
//! as on a real machine, before the lab's own host is out of memory.

mod block;
pub(crate) mod poison;
mod reach;
mod region;
mod store;

use std::{
    cell::{Cell, RefCell},
    io,
};

pub(crate) use self::block::{Block, Exhausted, FreeError, Kind, Owner, Reach, Request};
pub(crate) use self::reach::restrict;
use self::region::{Page, Region};
use super::{
    fault::Place,
    layout::{HIGH, PAGE, PAGED_POOL, POOL},
    mapping::Access,
    paged,
    trace::{self, StackId},
};

/// Byte in front of a block and behind it.
const SLACK: u8 = 0x5A;
/// What the rest of a block's pages looks like.
const INTACT: [u8; PAGE as usize] = [SLACK; PAGE as usize];

/// The most that the driver's live blocks may take together, each in whole pages.
const DRIVER_BYTES_MOST: usize = 1 << 30;

/// One region with its blocks.
///
/// # Invariants
/// `blocks` are in ascending order of `address`, and of the pages they take.
struct Area {
    region: Region,
    blocks: Vec<Block>,
}

/// The pool of the machine.
///
/// # Invariants
/// `driver_bytes` are the bytes of the pages that the driver's live blocks take.
pub(super) struct Pool {
    /// Makes this run's poison its own.
    key: u64,
    nonpaged: Area,
    paged: Area,
    /// Where the driver's blocks lie in their pages.
    side: Side,
    /// Blocks that were ever allocated.
    serial: u64,
    driver_bytes: usize,
}

thread_local! {
    static THE_POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
    /// Whether the page tables do not yet say what the driver may touch.
    static IS_CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// The end of a block that lies at a guard page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The last byte, as closely as the alignment allows: an overrun is a fault.
    End,
    /// The first byte: an underrun is.
    Start,
}

/// Makes an empty pool. `key` makes what its fresh memory looks like that of this run; the driver's blocks lie so, those
/// of the lab end at a guard page.
pub(super) fn open(key: u64, side: Side) -> io::Result<()> {
    let area = |start, end| {
        io::Result::Ok(Area {
            region: Region::new(start, end)?,
            blocks: Vec::new(),
        })
    };
    let pool = Pool {
        key,
        nonpaged: area(POOL, PAGED_POOL)?,
        paged: area(PAGED_POOL, HIGH)?,
        side,
        serial: 0,
        driver_bytes: 0,
    };
    THE_POOL.replace(Some(pool));
    IS_CHANGED.set(false);
    Ok(())
}

/// Gives the pool's address space back.
pub(super) fn close() {
    THE_POOL.take();
}

/// Makes the page tables say what the driver may touch. Whoever lets the driver run calls it before.
pub(super) fn settle() {
    if IS_CHANGED.replace(false) {
        with(|pool| {
            pool.nonpaged.region.settle();
            pool.paged.region.settle();
        });
    }
}

/// Reads nonpaged pool as the driver may, if it is that; an error tells the first address that cannot be read.
pub(super) fn read(address: u64, target: &mut [u8]) -> Option<Result<(), u64>> {
    with_nonpaged(address, |region| {
        region.check(address, target.len(), Page::Read)?;
        region.read(address, target);
        Ok(())
    })
}

/// Writes nonpaged pool as the driver may, if it is that; an error tells the first address that cannot be written, up
/// to which all is.
pub(super) fn write(address: u64, bytes: &[u8]) -> Option<Result<(), u64>> {
    with_nonpaged(address, |region| {
        let checked = region.check(address, bytes.len(), Page::Whole);
        let writable = checked.map_or_else(|bad| (bad - address) as usize, |()| bytes.len());
        region.write(address, &bytes[..writable]);
        checked
    })
}

fn with_nonpaged<R>(address: u64, body: impl FnOnce(&Region) -> R) -> Option<R> {
    if !(POOL..PAGED_POOL).contains(&address) {
        return None;
    }
    THE_POOL.with_borrow(|pool| Some(body(&pool.as_ref()?.nonpaged.region)))
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
    if request.kind == Kind::Paged {
        paged::begin();
    }
    with(|pool| pool.allocate(request, stack)).ok_or(Exhausted)?
}

/// Frees a block: from now on, touching it is a fault that names it.
///
/// # Errors
/// [`FreeError`]; nothing is freed then, but for [`FreeError::Damaged`].
pub(crate) fn free(address: u64, tag: Option<u32>) -> Result<Block, FreeError> {
    let stack = trace::capture();
    if is_paged(address) {
        paged::open();
        paged::unlock(address);
    }
    with(|pool| pool.free(address, tag, stack)).ok_or(FreeError::Unknown)?
}

/// The block that holds or once held `address`, live or freed.
pub(crate) fn find(address: u64) -> Option<Block> {
    with(|pool| {
        let near = pool.area(address).near(address);
        near.filter(|block| block.contains(address))
    })
    .flatten()
}

/// Whether the driver cannot have another page.
pub(crate) fn is_exhausted() -> bool {
    with(|pool| pool.driver_bytes + PAGE as usize > DRIVER_BYTES_MOST).unwrap_or(true)
}

/// Whether an address lies in paged pool.
pub(super) fn is_paged(address: u64) -> bool {
    (PAGED_POOL..HIGH).contains(&address)
}

/// Makes all of paged pool untouchable, or touchable again; `resident` pages stay as they are.
pub(super) fn protect_paged(is_open: bool, resident: &[(u64, usize)]) {
    settle();
    with(|pool| {
        let Area { region, blocks } = &pool.paged;
        let access = if is_open {
            Access::ReadWrite
        } else {
            Access::None
        };
        if !region.protect_all(access) {
            for block in blocks.iter().filter(|block| block.freed.is_none()) {
                let (first, bytes) = block.pages();
                region.protect(first, bytes, access);
            }
        }
        if !is_open {
            for (first, bytes) in resident {
                region.protect(*first, *bytes, Access::ReadWrite);
            }
        }
    });
}

/// What an address in the pool is.
pub(super) fn place(address: u64) -> Place {
    with(|pool| pool.area(address).place(address)).unwrap_or(Place::Unmapped)
}

impl Pool {
    /// The area that an address lies in.
    fn area(&mut self, address: u64) -> &mut Area {
        if is_paged(address) {
            &mut self.paged
        } else {
            &mut self.nonpaged
        }
    }

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
        let area = if request.kind == Kind::Paged {
            &mut self.paged
        } else {
            &mut self.nonpaged
        };
        let first = area.region.take(room, align).ok_or(Exhausted)?;
        let address = match (request.owner, self.side) {
            (Owner::Driver, Side::Start) => first,
            _ => (first + (room - size) as u64) / align * align,
        };
        let block = Block {
            address,
            size,
            tag: request.tag,
            kind: request.kind,
            owner: request.owner,
            serial: self.serial + 1,
            allocated: stack,
            freed: None,
            reach: Reach::Whole,
            is_poisoned: !request.zeroed,
        };
        // INVARIANT: the region gives ascending addresses.
        area.blocks.push(block);
        self.serial += 1;
        // INVARIANT: `room` is what `Block::pages` gives back in `free`.
        self.driver_bytes = driver_bytes;
        let region = &area.region;
        region.surround(first..first + room as u64, address..block.end());
        if request.zeroed {
            region.fill(address, size, 0);
        } else {
            region.fill_with(address, size, poison::word(block.serial, self.key));
        }
        IS_CHANGED.set(true);
        Ok(address)
    }

    fn free(&mut self, address: u64, tag: Option<u32>, stack: StackId) -> Result<Block, FreeError> {
        let area = self.area(address);
        let index = area.index_near(address).ok_or(FreeError::Unknown)?;
        let block = area.blocks[index];
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
        let damage = damage(&area.region, &block);
        let (first, bytes) = block.pages();
        if damage.is_none() {
            let piece = first..first + bytes as u64;
            area.region.note_intact(piece, address..block.end());
        }
        area.region.give_back(first, bytes);
        IS_CHANGED.set(true);
        area.blocks[index].freed = Some(stack);
        area.blocks[index].reach = Reach::Whole;
        let block = area.blocks[index];
        if block.owner == Owner::Driver {
            self.driver_bytes -= bytes;
        }
        match damage {
            None => Ok(block),
            Some(offset) => Err(FreeError::Damaged { block, offset }),
        }
    }
}

impl Pool {
    /// The first block, live or freed, of which this is so.
    fn block_of(&self, is_it: impl Fn(&Block) -> bool) -> Option<Block> {
        let mut all = self.nonpaged.blocks.iter().chain(&self.paged.blocks);
        all.find(|block| is_it(block)).copied()
    }
}

impl Area {
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
        if let Some(block) = before.filter(|block| block.contains(address)) {
            return match block.freed {
                None => Place::Block(block),
                Some(_) => Place::FreedBlock(block),
            };
        }
        let after = self.blocks.get(
            self.blocks
                .partition_point(|block| block.address <= address),
        );
        // The page between two blocks guards both; the nearer one is meant.
        let behind = before
            .filter(|block| {
                let (first, bytes) = block.pages();
                address < first + bytes as u64 + PAGE
            })
            .map(|block| (address - block.end(), block));
        let ahead = after
            .filter(|block| address + PAGE >= block.pages().0)
            .map(|block| (block.address - address, *block));
        match (behind, ahead) {
            (Some((distance, block)), ahead) if ahead.is_none_or(|(other, _)| distance < other) => {
                match block.freed {
                    None => Place::BeyondBlock { block, distance },
                    Some(_) => Place::FreedBlock(block),
                }
            }
            (_, Some((distance, block))) => match block.freed {
                None => Place::BeforeBlock { block, distance },
                Some(_) => Place::FreedBlock(block),
            },
            _ => Place::Pool,
        }
    }
}

/// Offset of the byte nearest to the block, outside of it, that was overwritten.
fn damage(region: &Region, block: &Block) -> Option<i64> {
    let (first, bytes) = block.pages();
    let before = (block.address - first) as usize;
    let behind = (first + bytes as u64 - block.end()) as usize;
    // What is left of the pages is less than a page, but for large alignments.
    let is_whole = |at, bytes| {
        INTACT
            .get(..bytes)
            .is_some_and(|intact| region.holds(at, intact))
    };
    if is_whole(first, before) && is_whole(block.end(), behind) {
        return None;
    }
    let overwritten = |byte: &u8| *byte != SLACK;
    let read = |at, bytes| {
        let mut content = vec![0; bytes];
        region.read(at, &mut content);
        content
    };
    let distance = read(block.end(), behind).iter().position(overwritten);
    distance
        .map(|distance| (block.size + distance) as i64)
        .or(read(first, before)
            .iter()
            .rev()
            .position(overwritten)
            .map(|d| -1 - d as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{machine, signal::Handlers};

    #[test]
    fn the_drivers_live_blocks_are_limited_and_the_labs_are_not() {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        open(0, Side::End).expect("address space");
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
