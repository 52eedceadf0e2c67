//! Structures out of the filter's reach while they are not its own, so that touching one is a fault
//! where it happens.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::NblEvent;

use super::{RECORDS, Record};
use crate::abi::ndis::NET_BUFFER;
use crate::abi::nt::MDL;
use crate::ndis::{data_space, own};
use crate::nt::mdl;
use crate::per_image::per_image;
use crate::rt::mem::BadAddress;
use crate::rt::pool::{self, Owner, Reach};
use crate::watch::emit;

/// More MDLs than any NET_BUFFER has.
const LIMIT: usize = 4096;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
}

per_image! {
    /// What each structure that is away is made of.
    static AWAY: RefCell<BTreeMap<u64, Vec<u64>>> = const { RefCell::new(BTreeMap::new()) };
    /// Blocks of the driver's own in structures that are away: in how many.
    static SHARED: RefCell<BTreeMap<u64, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// A run begins, in which structures are out of reach or are not.
pub(crate) fn configure(is_on: bool) {
    IS_ON.set(is_on);
    AWAY.take();
    SHARED.take();
}

/// The filter is given structures: what they declare read-only is, and what the miniport has taken
/// back is gone.
pub(super) fn lend(nbls: &[u64]) {
    if IS_ON.get() {
        let read_only = |record: &Record| record.read_only.clone();
        pool::restrict(&of_records(nbls, read_only), Reach::Read);
        let gone = |record: &Record| {
            let header = record.header.filter(|_| record.is_header_gone);
            header.into_iter().chain(record.unused).collect()
        };
        pool::restrict(&of_records(nbls, gone), Reach::None);
    }
}

fn of_records(nbls: &[u64], blocks: impl Fn(&Record) -> Vec<u64>) -> Vec<u64> {
    RECORDS.with_borrow(|records| {
        let records = nbls.iter().filter_map(|nbl| records.get(nbl));
        records.flat_map(blocks).collect()
    })
}

/// Tells of memory before frames that nobody may use.
pub(super) fn tell_unused(nbls: &[u64]) {
    if !IS_ON.get() {
        return;
    }
    for nbl in nbls {
        let unused = RECORDS.with_borrow(|records| records.get(nbl)?.unused);
        if let Some(block) = unused {
            emit(Kind::Nbl(NblEvent::Unused { nbl: *nbl, block }));
        }
    }
}

/// The miniport has taken headers back: the structure of each, and the block.
pub(super) fn take_headers(headers: &[(u64, u64)]) {
    if !IS_ON.get() {
        return;
    }
    for (nbl, header) in headers {
        emit(Kind::Nbl(NblEvent::HeaderGone {
            nbl: *nbl,
            block: *header,
        }));
        pool::restrict(&[*header], Reach::None);
    }
}

/// The filter has passed structures on.
pub(crate) fn withdraw(nbls: &[u64]) {
    if !IS_ON.get() {
        return;
    }
    for nbl in nbls {
        // A list that leads nowhere is an event of its own.
        let blocks = blocks(*nbl).unwrap_or_default();
        if blocks.is_empty() {
            continue;
        }
        emit(Kind::Nbl(NblEvent::Away {
            nbl: *nbl,
            blocks: blocks.clone(),
        }));
        SHARED.with_borrow_mut(|shared| {
            for block in blocks.iter().filter(|block| is_drivers(**block)) {
                *shared.entry(*block).or_default() += 1;
            }
        });
        pool::restrict(&blocks, Reach::None);
        AWAY.with_borrow_mut(|away| away.insert(*nbl, blocks));
    }
}

/// Structures are with the filter again.
pub(crate) fn hand_back(nbls: &[u64]) {
    take_back(nbls);
    lend(nbls);
}

/// Structures are in the lab's reach again.
pub(super) fn take_back(nbls: &[u64]) {
    if !IS_ON.get() {
        return;
    }
    for nbl in nbls {
        let blocks = AWAY.with_borrow_mut(|away| away.remove(nbl));
        let blocks = blocks.unwrap_or_default().into_iter();
        let free: Vec<u64> = SHARED
            .with_borrow_mut(|shared| blocks.filter(|block| release(shared, *block)).collect());
        pool::restrict(&free, Reach::Whole);
    }
    let restricted = |record: &Record| {
        let gone = record.header.into_iter().chain(record.unused);
        record.read_only.iter().copied().chain(gone).collect()
    };
    pool::restrict(&of_records(nbls, restricted), Reach::Whole);
}

/// What the running image has passed on is within reach again, for the next filter; gives what it is made of.
pub(super) fn reopen(nbl: u64) -> Result<Vec<u64>, BadAddress> {
    let away = AWAY.with_borrow(|away| away.get(&nbl).cloned());
    if let Some(blocks) = &away {
        pool::restrict(blocks, Reach::Whole);
    }
    away.map_or_else(|| blocks(nbl), Ok)
}

/// Whether a block is in no structure any more that is away.
fn release(shared: &mut BTreeMap<u64, u32>, block: u64) -> bool {
    let Some(count) = shared.get_mut(&block) else {
        return true;
    };
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        shared.remove(&block);
    }
    is_last
}

fn is_drivers(address: u64) -> bool {
    pool::find(address).is_some_and(|block| block.owner == Owner::Driver)
}

/// Everything that a structure is made of.
fn blocks(nbl: u64) -> Result<Vec<u64>, BadAddress> {
    let foreign =
        RECORDS.with_borrow(|records| records.get(&nbl).map(|record| record.blocks.clone()));
    if let Some(blocks) = foreign {
        return Ok(blocks);
    }
    if !own::is_own(nbl) {
        return Ok(Vec::new());
    }
    let mut blocks = own::blocks(nbl);
    for nb in data_space::buffers(nbl)? {
        blocks.extend(own::blocks_of_buffer(nb));
        let mut mdl = NET_BUFFER::MdlChain.read(nb)?;
        for _ in 0..LIMIT {
            if mdl == 0 {
                break;
            }
            let bytes = MDL::ByteCount.read(mdl)?;
            // Memory with something else beside the packet stays.
            blocks.extend(drivers_whole(mdl, None));
            blocks.extend(drivers_whole(mdl::address(mdl)?, Some(bytes)));
            mdl = MDL::Next.read(mdl)?;
        }
    }
    blocks.sort_unstable();
    blocks.dedup();
    Ok(blocks)
}

/// A block of the driver's that begins here, and ends after so many bytes.
fn drivers_whole(address: u64, bytes: Option<u32>) -> Option<u64> {
    let block = pool::find(address)?;
    let is_whole = block.address == address
        && block.owner == Owner::Driver
        && bytes.is_none_or(|bytes| usize::try_from(bytes) == Ok(block.size));
    is_whole.then_some(address)
}
