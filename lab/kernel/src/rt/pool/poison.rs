//! What fresh memory looks like: a pattern that is another one for each block, so that where it turns up tells
//! which block's bytes were never written.
//!
//! The pattern repeats every eight bytes, counted from the block's start. The first of them has its three
//! highest bits set, the others only two; the five bits that each has left hold the block's serial number and
//! a check of it, under a key of the run. So a look at one byte rules out most of what is no poison; eight bytes
//! tell a block, wherever they were copied to; and as an address the pattern is one that no processor takes.

use super::{Block, with};
use crate::rt::mem::{self, BadAddress};

/// Bytes after which the pattern repeats: the fewest that tell a block.
pub(super) const WORD: usize = 8;
/// Bytes that are enough in the place where they were poisoned: a member of a structure, or what a compiler
/// leaves between two.
const MEMBER: usize = 4;

/// Bits of each byte that say what it is.
const MARK: u8 = 0xC0;
/// The bit that only the first byte has.
const FIRST: u8 = 0x20;
/// Bits that each byte carries.
const CARRIED: usize = 5;
const CARRIED_MASK: u64 = (1 << CARRIED) - 1;
const CODE_MASK: u64 = (1 << (CARRIED * WORD)) - 1;

/// Bits of the serial number in the code; the others check it.
const SERIAL_BITS: u32 = 24;
const SERIAL_MASK: u64 = (1 << SERIAL_BITS) - 1;

/// Poison in memory that is read for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poison {
    /// The block that was allocated with it.
    pub(crate) block: Block,
    /// The first of its bytes, counted from where reading began.
    pub(crate) at: usize,
    /// How many they are.
    pub(crate) length: usize,
}

/// The first poison in some memory, of any block.
pub(crate) fn anywhere(address: u64, length: usize) -> Result<Option<Poison>, BadAddress> {
    let bytes = mem::read_bytes(address, length)?;
    let found = with(|pool| {
        let key = pool.key;
        find(&bytes, key, |serial| {
            pool.block_of(|block| block.is_poisoned && block.serial & SERIAL_MASK == serial)
        })
    });
    Ok(found.flatten())
}

/// The same in memory that should have been filled where it lies: there fewer bytes are enough.
pub(crate) fn in_place(address: u64, length: usize) -> Result<Option<Poison>, BadAddress> {
    let bytes = mem::read_bytes(address, length)?;
    let block = super::find(address).filter(|block| block.is_poisoned);
    let left = block.and_then(|block| {
        let key = with(|pool| pool.key)?;
        let start = usize::try_from(address - block.address).ok()?;
        let fresh = word(block.serial, key)
            .into_iter()
            .cycle()
            .skip(start % WORD);
        let is_fresh: Vec<bool> = bytes
            .iter()
            .zip(fresh)
            .map(|(is, was)| *is == was)
            .collect();
        let aligned = (0..length).filter(|at| (start + at).is_multiple_of(MEMBER));
        let whole = |at: &usize| is_fresh[*at..].starts_with(&[true; MEMBER]);
        let at = aligned.into_iter().find(whole)?;
        let length = is_fresh[at..]
            .iter()
            .take_while(|is_fresh| **is_fresh)
            .count();
        Some(Poison { block, at, length })
    });
    match left {
        Some(left) => Ok(Some(left)),
        None => anywhere(address, length),
    }
}

/// The pattern of the block with this serial number.
pub(super) fn word(serial: u64, key: u64) -> [u8; WORD] {
    let code = code(serial & SERIAL_MASK, key);
    std::array::from_fn(|at| {
        let carried = (code >> (CARRIED * at) & CARRIED_MASK) as u8;
        MARK | carried | if at == 0 { FIRST } else { 0 }
    })
}

/// The serial number with its check.
fn code(serial: u64, key: u64) -> u64 {
    let check = (serial ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (serial ^ check << SERIAL_BITS ^ key) & CODE_MASK
}

/// The first poison in a row of bytes, if `block` gives a block with its serial number.
fn find(bytes: &[u8], key: u64, block: impl Fn(u64) -> Option<Block>) -> Option<Poison> {
    let mut marked = 0;
    for (last, byte) in bytes.iter().enumerate() {
        marked = if byte & MARK == MARK { marked + 1 } else { 0 };
        if marked < WORD {
            continue;
        }
        let at = last + 1 - WORD;
        if let Some(block) = serial(&bytes[at..=last], key).and_then(&block) {
            let behind = bytes[at + WORD..].iter().zip(&bytes[at..]);
            let length = WORD + behind.take_while(|(byte, before)| byte == before).count();
            return Some(Poison { block, at, length });
        }
    }
    None
}

/// The serial number that eight bytes tell, wherever in the pattern they begin.
fn serial(bytes: &[u8], key: u64) -> Option<u64> {
    let mut firsts = (0..WORD).filter(|at| bytes[*at] & FIRST != 0);
    let (first, None) = (firsts.next()?, firsts.next()) else {
        return None;
    };
    let told = (0..WORD).fold(0, |told, at| {
        let carried = u64::from(bytes[(first + at) % WORD]) & CARRIED_MASK;
        told | carried << (CARRIED * at)
    });
    let serial = (told ^ key) & SERIAL_MASK;
    (code(serial, key) == told).then_some(serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::pool::{self, Kind, Owner, Request};
    use crate::rt::{machine, signal::Handlers};

    fn allocate(size: usize, zeroed: bool) -> u64 {
        pool::allocate(Request {
            tag: 1,
            size,
            align: 16,
            kind: Kind::NonPaged,
            zeroed,
            owner: Owner::Driver,
        })
        .expect("room")
    }

    #[test]
    fn what_was_never_written_tells_its_block() {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        pool::open(7, pool::Side::End).expect("address space");
        let (fresh, other, zeroed) = (
            allocate(100, false),
            allocate(40, false),
            allocate(64, true),
        );
        let found = |address, length| anywhere(address, length).expect("readable");
        let told = |at, length, block| {
            let block = pool::find(block).expect("a block");
            Some(Poison { block, at, length })
        };
        // In its own place, and wherever it is copied to.
        assert_eq!(found(fresh + 3, 90), told(0, 90, fresh));
        assert_eq!(found(zeroed, 64), None);
        mem::copy(zeroed + 5, other + 2, 8).expect("room");
        assert_eq!(found(zeroed, 64), told(5, 8, other));
        // Of a block that is gone, too.
        pool::free(other, None).expect("it is live");
        assert_eq!(found(zeroed, 64), told(5, 8, other));
        mem::write(zeroed + 9, 0_u8).expect("room");
        assert_eq!(found(zeroed, 64), None);
        // Four bytes are enough where they lie, and only there.
        mem::fill(fresh, 100, 0).expect("room");
        let fresh = allocate(100, false);
        mem::fill(fresh, 20, 1).expect("room");
        mem::fill(fresh + 24, 76, 1).expect("room");
        assert_eq!(found(fresh, 100), None);
        assert_eq!(in_place(fresh, 100), Ok(told(20, 4, fresh)));
        assert_eq!(in_place(fresh + 4, 20), Ok(told(16, 4, fresh)));
        assert_eq!(in_place(fresh + 22, 70), Ok(None));
        assert_eq!(in_place(zeroed, 64), Ok(None));
        pool::close();
    }

    #[test]
    fn another_runs_poison_is_none() {
        const KEY: u64 = 0x0123_4567_89AB_CDEF;
        let block = |serial| (serial == 5).then(|| panic!("a block of serial number {serial}"));
        for key in [KEY, u64::MAX] {
            let of_run = |key: u64| word(5, key).repeat(4);
            assert_eq!(find(&of_run(key ^ 0xABCD_EF01), key, block), None);
            assert_eq!(serial(&of_run(key)[3..11], key), Some(5));
            // As an address it is none.
            let address = u64::from_le_bytes(word(5, key));
            assert!((0x0000_8000_0000_0000..0xFFFF_8000_0000_0000).contains(&address));
        }
        // Bytes that have the marks, and no right check.
        assert_eq!(
            serial(&[0xE0, 0xC0, 0xC0, 0xC0, 0xC0, 0xC0, 0xC0, 0xC0], KEY),
            None
        );
        assert_eq!(serial(&[0xFF; 8], KEY), None);
    }
}
