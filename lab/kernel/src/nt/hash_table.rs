//! Dynamic hash tables: chains of the driver's own entries, which grow and shrink by one chain at a time (linear
//! hashing). An enumeration is an entry of its own that moves through the chains.

use super::imports;
use super::list::{before, clear, corrupt, link, next_of, unlink};
use crate::memory;
use crate::rt::Call;
use crate::rt::mem::{self, Field};
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlCreateHashTable => create,
    RtlCreateHashTableEx => create_sized,
    RtlDeleteHashTable => delete,
    RtlInsertEntryHashTable => insert,
    RtlRemoveEntryHashTable => remove,
    RtlLookupEntryHashTable => look_up,
    RtlGetNextEntryHashTable => next_like,
    RtlInitEnumerationHashTable => begin,
    RtlEnumerateEntryHashTable => enumerate,
    RtlEndEnumerationHashTable => end,
    RtlInitWeakEnumerationHashTable => begin,
    RtlWeaklyEnumerateEntryHashTable => enumerate,
    RtlEndWeakEnumerationHashTable => end,
    RtlExpandHashTable => expand,
    RtlContractHashTable => contract,
}

/// `RTL_DYNAMIC_HASH_TABLE`.
const FLAGS: Field<u32> = Field::at(0);
const SHIFT: Field<u32> = Field::at(4);
const SIZE: Field<u32> = Field::at(8);
const PIVOT: Field<u32> = Field::at(12);
const MASK: Field<u32> = Field::at(16);
const ENTRIES: Field<u32> = Field::at(20);
const USED: Field<u32> = Field::at(24);
const ENUMERATORS: Field<u32> = Field::at(28);
const DIRECTORY: Field<u64> = Field::at(32);
const TABLE_BYTES: u64 = 40;
/// `RTL_DYNAMIC_HASH_TABLE_ENTRY`, after its place in a chain; `RTL_HASH_RESERVED_SIGNATURE` is an enumerator's.
const SIGNATURE: Field<u64> = Field::at(16);
const RESERVED: u64 = 0;
/// `RTL_DYNAMIC_HASH_TABLE_CONTEXT`.
const CHAIN: Field<u64> = Field::at(0);
const BEFORE: Field<u64> = Field::at(8);
const LIKE: Field<u64> = Field::at(16);
/// `RTL_DYNAMIC_HASH_TABLE_ENUMERATOR`, after its entry.
const ITS_CHAIN: Field<u64> = Field::at(24);
const ITS_BUCKET: Field<u32> = Field::at(32);
/// `RTL_HASH_ALLOCATED_HEADER`.
const ALLOCATED: u32 = 1;
/// Chains of a block, bytes of each, blocks of a table, and chains of a table at first.
const PER_BLOCK: u32 = 128;
const CHAIN_BYTES: u64 = 16;
const BLOCKS: u32 = 512;
const LEAST: u32 = PER_BLOCK;
/// Tag of what belongs to a table.
const TAG: u32 = u32::from_le_bytes(*b"HTab");

fn signature(entry: u64) -> u64 {
    SIGNATURE.read(entry).or_fault()
}

fn allocate(bytes: u64) -> u64 {
    memory::allocate(TAG, bytes, Kind::NonPaged, true)
}

#[derive(Clone, Copy)]
struct Table(u64);

impl Table {
    fn of(call: &Call<'_>) -> Self {
        Self(call.arg(0))
    }

    fn size(self) -> u32 {
        SIZE.read(self.0).or_fault()
    }

    /// The entries of a chain, of which there are no more than in all.
    fn entries(self, chain: u64) -> impl Iterator<Item = u64> {
        let mut left = self.most();
        let mut at = chain;
        std::iter::from_fn(move || {
            at = next_of(at);
            if at == chain {
                return None;
            }
            left = left.checked_sub(1).unwrap_or_else(|| corrupt());
            Some(at)
        })
    }

    /// Entries and enumerators at most.
    fn most(self) -> u32 {
        let all = [ENTRIES, ENUMERATORS].map(|count| count.read(self.0).or_fault());
        // One that is being put in or taken out is not counted.
        all[0].saturating_add(all[1]).saturating_add(1)
    }

    /// Whether a chain has entries of the driver's.
    fn is_used(self, chain: u64) -> bool {
        self.entries(chain)
            .any(|entry| signature(entry) != RESERVED)
    }

    /// Where the pointer to the block of a chain is.
    fn slot(self, bucket: u32) -> u64 {
        let directory = DIRECTORY.read(self.0).or_fault();
        directory + 8 * u64::from(bucket / PER_BLOCK)
    }

    fn chain(self, bucket: u32) -> u64 {
        let block = mem::read::<u64>(self.slot(bucket)).or_fault();
        block + CHAIN_BYTES * u64::from(bucket % PER_BLOCK)
    }

    /// Which chain an entry with this signature is in.
    fn bucket(self, signature: u64) -> u32 {
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let shift = SHIFT.read(self.0).or_fault();
        let shifted = signature.checked_shr(shift).unwrap_or(0);
        let hash = (shifted.wrapping_mul(FACTOR) >> 32) as u32;
        let mask = MASK.read(self.0).or_fault();
        if hash & mask < PIVOT.read(self.0).or_fault() {
            hash & (mask << 1 | 1)
        } else {
            hash & mask
        }
    }

    fn add(self, counter: Field<u32>, change: i32) {
        let value = counter.read(self.0).or_fault();
        let value = value.wrapping_add_signed(change);
        counter.write(self.0, value).or_fault();
    }

    /// An empty chain where there was none; false where there is no memory.
    fn make_chain(self, bucket: u32) -> bool {
        let slot = self.slot(bucket);
        if mem::read::<u64>(slot).or_fault() == 0 {
            let block = allocate(CHAIN_BYTES * u64::from(PER_BLOCK));
            if block == 0 {
                return false;
            }
            mem::write(slot, block).or_fault();
        }
        clear(self.chain(bucket));
        true
    }

    fn free(self) {
        let directory = DIRECTORY.read(self.0).or_fault();
        for slot in (directory..).step_by(8).take(BLOCKS as usize) {
            let block = mem::read::<u64>(slot).or_fault();
            if block != 0 {
                memory::free(block, Some(TAG));
            }
        }
        memory::free(directory, Some(TAG));
    }

    /// Fills a context for a signature: the chain, and the entry before the first one like it, or before the end.
    fn seek(self, wanted: u64) -> (u64, u64) {
        let chain = self.chain(self.bucket(wanted));
        let mut place = chain;
        for entry in self.entries(chain) {
            if signature(entry) == wanted {
                return (chain, place);
            }
            place = entry;
        }
        (chain, place)
    }
}

/// No entry has the signature of enumerators.
fn usable(signature: u64) -> u64 {
    if signature == RESERVED { 1 } else { signature }
}

fn write_context(context: u64, chain: u64, before: u64, signature: u64) {
    if context != 0 {
        CHAIN.write(context, chain).or_fault();
        BEFORE.write(context, before).or_fault();
        LIKE.write(context, signature).or_fault();
    }
}

fn create(call: &Call<'_>) -> u64 {
    make(call.arg(0), LEAST, call.arg_u32(1))
}

fn create_sized(call: &Call<'_>) -> u64 {
    make(call.arg(0), call.arg_u32(1), call.arg_u32(2))
}

/// A table whose header is where the pointer at an address points, or anew.
fn make(pointer: u64, size: u32, shift: u32) -> u64 {
    let size = size.max(LEAST).checked_next_power_of_two();
    let Some(size) = size.filter(|size| *size <= PER_BLOCK * BLOCKS) else {
        return 0;
    };
    let given = mem::read::<u64>(pointer).or_fault();
    let header = if given == 0 {
        allocate(TABLE_BYTES)
    } else {
        given
    };
    let directory = if header == 0 {
        0
    } else {
        allocate(8 * u64::from(BLOCKS))
    };
    let free_header = || {
        if given == 0 && header != 0 {
            memory::free(header, Some(TAG));
        }
    };
    if directory == 0 {
        free_header();
        return 0;
    }
    let table = Table(header);
    mem::fill(header, TABLE_BYTES as usize, 0).or_fault();
    FLAGS
        .write(header, if given == 0 { ALLOCATED } else { 0 })
        .or_fault();
    SHIFT.write(header, shift).or_fault();
    SIZE.write(header, size).or_fault();
    MASK.write(header, size - 1).or_fault();
    DIRECTORY.write(header, directory).or_fault();
    if !(0..size).all(|bucket| table.make_chain(bucket)) {
        table.free();
        free_header();
        return 0;
    }
    mem::write(pointer, header).or_fault();
    1
}

fn delete(call: &Call<'_>) -> u64 {
    let table = Table::of(call);
    table.free();
    if FLAGS.read(table.0).or_fault() & ALLOCATED != 0 {
        memory::free(table.0, Some(TAG));
    }
    0
}

fn insert(call: &Call<'_>) -> u64 {
    let (table, entry, context) = (Table::of(call), call.arg(1), call.arg(3));
    let wanted = usable(call.arg(2));
    let (chain, place) = table.seek(wanted);
    table.add(USED, i32::from(!table.is_used(chain)));
    SIGNATURE.write(entry, wanted).or_fault();
    link(place, entry);
    table.add(ENTRIES, 1);
    write_context(context, chain, place, wanted);
    1
}

fn remove(call: &Call<'_>) -> u64 {
    let (table, entry, context) = (Table::of(call), call.arg(1), call.arg(2));
    let wanted = signature(entry);
    let chain = table.chain(table.bucket(wanted));
    let place = before(entry);
    unlink(entry);
    table.add(ENTRIES, -1);
    table.add(USED, -i32::from(!table.is_used(chain)));
    write_context(context, chain, place, wanted);
    1
}

fn look_up(call: &Call<'_>) -> u64 {
    let (table, context) = (Table::of(call), call.arg(2));
    let wanted = usable(call.arg(1));
    let (chain, place) = table.seek(wanted);
    write_context(context, chain, place, wanted);
    let entry = next_of(place);
    if entry != chain && signature(entry) == wanted {
        entry
    } else {
        0
    }
}

/// The next entry with the signature of the last; enumerators between them are passed over.
fn next_like(call: &Call<'_>) -> u64 {
    let context = call.arg(1);
    let chain = CHAIN.read(context).or_fault();
    let wanted = LIKE.read(context).or_fault();
    let mut place = next_of(BEFORE.read(context).or_fault());
    let mut left = Table::of(call).most();
    while place != chain {
        left = left.checked_sub(1).unwrap_or_else(|| corrupt());
        let entry = next_of(place);
        if entry == chain || ![wanted, RESERVED].contains(&signature(entry)) {
            break;
        }
        BEFORE.write(context, place).or_fault();
        if signature(entry) == wanted {
            return entry;
        }
        place = entry;
    }
    0
}

fn begin(call: &Call<'_>) -> u64 {
    let (table, enumerator) = (Table::of(call), call.arg(1));
    SIGNATURE.write(enumerator, RESERVED).or_fault();
    settle(table, enumerator, 0);
    table.add(ENUMERATORS, 1);
    1
}

/// Puts an enumerator before the entries of a chain.
fn settle(table: Table, enumerator: u64, bucket: u32) {
    let chain = table.chain(bucket);
    ITS_CHAIN.write(enumerator, chain).or_fault();
    ITS_BUCKET.write(enumerator, bucket).or_fault();
    link(chain, enumerator);
}

fn enumerate(call: &Call<'_>) -> u64 {
    let (table, enumerator) = (Table::of(call), call.arg(1));
    loop {
        let chain = ITS_CHAIN.read(enumerator).or_fault();
        let behind = table
            .entries(chain)
            .skip_while(|entry| *entry != enumerator);
        let found = behind.skip(1).find(|entry| signature(*entry) != RESERVED);
        unlink(enumerator);
        if let Some(entry) = found {
            link(entry, enumerator);
            return entry;
        }
        let bucket = ITS_BUCKET.read(enumerator).or_fault() + 1;
        if bucket == table.size() {
            // It stays behind all.
            link(before(chain), enumerator);
            return 0;
        }
        settle(table, enumerator, bucket);
    }
}

fn end(call: &Call<'_>) -> u64 {
    let (table, enumerator) = (Table::of(call), call.arg(1));
    unlink(enumerator);
    table.add(ENUMERATORS, -1);
    0
}

/// Moves the entries of a chain to where they belong now.
fn redistribute(table: Table, chain: u64) {
    let entries: Vec<u64> = table.entries(chain).collect();
    for entry in entries {
        let belongs = table.chain(table.bucket(signature(entry)));
        if belongs != chain {
            unlink(entry);
            link(before(belongs), entry);
        }
    }
}

/// Counts the chains with entries anew after some have moved between these two.
fn recount(table: Table, used: i32, chains: &[u64]) {
    let now: i32 = chains
        .iter()
        .map(|chain| i32::from(table.is_used(*chain)))
        .sum();
    table.add(USED, now - used);
}

/// One chain more, unless entries are being enumerated or there is no room.
fn expand(call: &Call<'_>) -> u64 {
    let table = Table::of(call);
    let (size, pivot) = (table.size(), PIVOT.read(table.0).or_fault());
    let is_busy = ENUMERATORS.read(table.0).or_fault() != 0;
    if is_busy || size == PER_BLOCK * BLOCKS || !table.make_chain(size) {
        return 0;
    }
    let (old, new) = (table.chain(pivot), table.chain(size));
    let used = i32::from(table.is_used(old));
    SIZE.write(table.0, size + 1).or_fault();
    let mask = MASK.read(table.0).or_fault();
    if pivot == mask {
        PIVOT.write(table.0, 0).or_fault();
        MASK.write(table.0, mask << 1 | 1).or_fault();
    } else {
        PIVOT.write(table.0, pivot + 1).or_fault();
    }
    redistribute(table, old);
    recount(table, used, &[old, new]);
    1
}

/// One chain less, but not less than at first.
fn contract(call: &Call<'_>) -> u64 {
    let table = Table::of(call);
    let (size, pivot) = (table.size(), PIVOT.read(table.0).or_fault());
    if ENUMERATORS.read(table.0).or_fault() != 0 || size <= LEAST {
        return 0;
    }
    let mask = MASK.read(table.0).or_fault();
    if pivot == 0 {
        MASK.write(table.0, mask / 2).or_fault();
        PIVOT.write(table.0, mask / 2).or_fault();
    } else {
        PIVOT.write(table.0, pivot - 1).or_fault();
    }
    let (last, other) = (
        table.chain(size - 1),
        table.chain(PIVOT.read(table.0).or_fault()),
    );
    let used = i32::from(table.is_used(last)) + i32::from(table.is_used(other));
    SIZE.write(table.0, size - 1).or_fault();
    redistribute(table, last);
    recount(table, used, &[other]);
    1
}
