//! Address space for the pool: given out once, in ascending order, with a guard page after each
//! piece.

use std::io;

use crate::rt::{
    layout::{HIGH, PAGE, POOL},
    mapping::{Access, Mapping},
};

/// Pages that are made untouchable in one go.
const CHUNK_BYTES: u64 = 4 << 20;
/// `madvise` advices of Linux 6.13: a page table mark instead of a mapping of its own, so that the
/// number of live blocks is not limited by `vm.max_map_count`, in half the time of `mprotect`.
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

/// The pool's address space.
///
/// # Invariants
/// With guards: `[POOL, opened)` is readable and writable memory of which every page is guarded that
/// is not part of a piece in use. Without: pages of pieces in use are readable and writable, no
/// others. Nothing at or above `next` was ever given out.
pub(super) struct Region {
    space: Mapping,
    next: u64,
    opened: u64,
    has_guards: bool,
}

impl Region {
    pub(super) fn new() -> io::Result<Self> {
        let space = Mapping::private(POOL, (HIGH - POOL) as usize, Access::None)?;
        // A first guard page lies in front of the first piece.
        let mut region = Self {
            space,
            next: POOL + PAGE,
            opened: POOL,
            has_guards: true,
        };
        region.has_guards = region.open(POOL + CHUNK_BYTES).is_ok();
        if !region.has_guards {
            region
                .space
                .protect(0, CHUNK_BYTES as usize, Access::None)?;
        }
        Ok(region)
    }

    /// Address of `bytes` (whole pages) of zeroed memory that ends at a guard page, at a multiple
    /// of `align` if that is more than a page.
    pub(super) fn take(&mut self, bytes: usize, align: u64) -> Option<u64> {
        let first = self.next.checked_next_multiple_of(align.max(PAGE))?;
        let end = first.checked_add(bytes as u64)?;
        let next = end.checked_add(PAGE).filter(|next| *next <= HIGH)?;
        if self.has_guards {
            self.open(next).ok()?;
            self.space
                .advise(first - POOL, bytes, MADV_GUARD_REMOVE)
                .ok()?;
        } else {
            self.space
                .protect(first - POOL, bytes, Access::ReadWrite)
                .ok()?;
        }
        self.next = next;
        Some(first)
    }

    /// Makes a piece untouchable for ever, and lets go of its memory.
    pub(super) fn give_back(&mut self, first: u64, bytes: usize) {
        let offset = first - POOL;
        let done = if self.has_guards {
            self.space.advise(offset, bytes, MADV_GUARD_INSTALL)
        } else {
            let _ = self.space.advise(offset, bytes, libc::MADV_DONTNEED);
            self.space.protect(offset, bytes, Access::None)
        };
        done.expect("Linux can make a page of ours untouchable");
    }

    /// Opens guarded memory up to `end`.
    fn open(&mut self, end: u64) -> io::Result<()> {
        while self.opened < end {
            let offset = self.opened - POOL;
            self.space
                .protect(offset, CHUNK_BYTES as usize, Access::ReadWrite)?;
            self.space
                .advise(offset, CHUNK_BYTES as usize, MADV_GUARD_INSTALL)?;
            self.opened += CHUNK_BYTES;
        }
        Ok(())
    }
}
