//! Address space for the pool: given out once, in ascending order, with a guard page after each
//! piece.

use std::io;

use crate::rt::{
    layout::PAGE,
    mapping::{Access, Mapping},
};

/// Pages that are made untouchable in one go.
const CHUNK_BYTES: u64 = 4 << 20;
/// `madvise` advices of Linux 6.13: a page table mark instead of a mapping of its own, so that the
/// number of live blocks is not limited by `vm.max_map_count`, in half the time of `mprotect`.
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

/// A part of the pool's address space.
///
/// # Invariants
/// With guards: `[space.address(), opened)` is readable and writable memory (but for what
/// [`Region::protect`] has closed) of which every page is guarded that is not part of a piece in use.
/// Without: pages of pieces in use are readable and writable, no others. Nothing at or above `next`
/// was ever given out. What is in `unsealed` is not in use and can still be touched: ranges that begin
/// and end with pieces that were given back.
pub(super) struct Region {
    space: Mapping,
    end: u64,
    next: u64,
    opened: u64,
    has_guards: bool,
    unsealed: Vec<(u64, u64)>,
}

impl Region {
    /// Takes the addresses from `start` to `end`.
    pub(super) fn new(start: u64, end: u64) -> io::Result<Self> {
        let mut region = Self::with_guards(start, end)?;
        if region.extend(start + CHUNK_BYTES).is_err() {
            region.use_protection()?;
        }
        Ok(region)
    }

    fn with_guards(start: u64, end: u64) -> io::Result<Self> {
        let space = Mapping::private(start, (end - start) as usize, Access::None)?;
        // A first guard page lies in front of the first piece.
        Ok(Self {
            space,
            end,
            next: start + PAGE,
            opened: start,
            has_guards: true,
            unsealed: Vec::new(),
        })
    }

    fn offset(&self, address: u64) -> u64 {
        address - self.space.address()
    }

    /// Does without guards in page tables: Linux before 6.13 has none.
    fn use_protection(&mut self) -> io::Result<()> {
        self.has_guards = false;
        let touched = self.offset(self.opened) + CHUNK_BYTES;
        self.space.protect(0, touched as usize, Access::None)
    }

    /// Address of `bytes` (whole pages) of zeroed memory that ends at a guard page, at a multiple
    /// of `align` if that is more than a page.
    pub(super) fn take(&mut self, bytes: usize, align: u64) -> Option<u64> {
        let first = self.next.checked_next_multiple_of(align.max(PAGE))?;
        let end = first.checked_add(bytes as u64)?;
        let next = end.checked_add(PAGE).filter(|next| *next <= self.end)?;
        let offset = self.offset(first);
        if self.has_guards {
            self.extend(next).ok()?;
            self.space.advise(offset, bytes, MADV_GUARD_REMOVE).ok()?;
        } else {
            self.space.protect(offset, bytes, Access::ReadWrite).ok()?;
        }
        self.next = next;
        Some(first)
    }

    /// Takes a piece back. It can be touched until [`Region::seal`]: pieces that lie side by side, as those of
    /// one packet do, are then made untouchable in one go, with the guards between them.
    pub(super) fn give_back(&mut self, first: u64, bytes: usize) {
        let end = first + bytes as u64;
        match self.unsealed.last_mut() {
            Some((_, last_end)) if first == *last_end + PAGE => *last_end = end,
            Some((last_first, _)) if end + PAGE == *last_first => *last_first = first,
            _ => self.unsealed.push((first, end)),
        }
    }

    /// Makes what was given back untouchable for ever, and lets go of its memory.
    pub(super) fn seal(&mut self) {
        let start = self.space.address();
        for (first, end) in self.unsealed.drain(..) {
            let (offset, bytes) = (first - start, (end - first) as usize);
            let done = if self.has_guards {
                self.space.advise(offset, bytes, MADV_GUARD_INSTALL)
            } else {
                let _ = self.space.advise(offset, bytes, libc::MADV_DONTNEED);
                self.space.protect(offset, bytes, Access::None)
            };
            done.expect("Linux can make a page of ours untouchable");
        }
    }

    /// Changes what may be done with pieces that were taken one after the other: address and bytes of
    /// each, without the guards between them.
    pub(super) fn protect(&self, pieces: &[(u64, usize)], access: Access) {
        let (Some((first, _)), Some((last, bytes))) = (pieces.first(), pieces.last()) else {
            return;
        };
        let done = if self.has_guards {
            // A guard is a mark in the page table, which is left alone.
            let all = (last - first) as usize + bytes;
            self.space.protect(self.offset(*first), all, access)
        } else {
            pieces.iter().try_for_each(|(first, bytes)| {
                self.space.protect(self.offset(*first), *bytes, access)
            })
        };
        done.expect("Linux can protect pages of ours");
    }

    /// Makes all pieces in use untouchable for a time, or touchable again, if guards make it possible to
    /// do that with all at once.
    pub(super) fn protect_all(&self, access: Access) -> bool {
        if self.has_guards {
            let bytes = self.offset(self.opened) as usize;
            self.space
                .protect(0, bytes, access)
                .expect("Linux can protect pages of ours");
        }
        self.has_guards
    }

    /// Adds guarded memory up to `end`.
    fn extend(&mut self, end: u64) -> io::Result<()> {
        while self.opened < end {
            let offset = self.offset(self.opened);
            self.space
                .protect(offset, CHUNK_BYTES as usize, Access::ReadWrite)?;
            self.space
                .advise(offset, CHUNK_BYTES as usize, MADV_GUARD_INSTALL)?;
            self.opened += CHUNK_BYTES;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::layout::{PAGED_POOL, POOL};
    use crate::rt::{machine, mem, signal::Handlers};

    #[test]
    fn pieces_are_guarded_and_gone_either_way() {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        for has_guards in [true, false] {
            let mut region = Region::with_guards(POOL, PAGED_POOL).expect("address space");
            if !has_guards {
                region.use_protection().expect("protection");
            }
            let first = region.take(2 * PAGE as usize, 16).expect("room");
            let second = region.take(PAGE as usize, 4 * PAGE).expect("room");
            assert!(second.is_multiple_of(4 * PAGE) && second > first + 2 * PAGE);
            assert_eq!(mem::write(first, 1_u64), Ok(()));
            assert_eq!(mem::read::<u64>(first + PAGE), Ok(0));
            assert!(
                mem::read::<u8>(first - 1).is_err() && mem::read::<u8>(first + 2 * PAGE).is_err()
            );
            region.give_back(first, 2 * PAGE as usize);
            region.seal();
            assert!(mem::read::<u8>(first).is_err() && mem::write(second, 2_u64).is_ok());
            // Neighbours are sealed together, whichever goes first.
            let pieces = [(); 4].map(|()| region.take(PAGE as usize, 16).expect("room"));
            for at in [1, 2, 0] {
                region.give_back(pieces[at], PAGE as usize);
            }
            assert_eq!(region.unsealed.len(), 1);
            region.seal();
            assert!(
                pieces[..3]
                    .iter()
                    .all(|piece| mem::read::<u8>(*piece).is_err())
            );
            assert_eq!(mem::write(pieces[3], 3_u64), Ok(()));
        }
    }
}
