//! Address space for the pool: given out once, in ascending order, with a guard page after each
//! piece.
//!
//! The memory is mapped twice. What the driver may touch is written down for each page, and the page
//! tables follow when the driver is about to run ([`Region::settle`]): so pieces that come and go
//! together cost one call to Linux, and those that the driver never sees cost none. The lab itself
//! looks into the table and touches the second mapping, in which no page is ever closed and which is
//! kept, with its memory, for the next run.

use std::{io, ops::Range, rc::Rc};

use super::store::{Store, store};
use crate::rt::{
    layout::PAGE,
    mapping::{Access, Mapping},
};

/// Bytes that are made untouchable in one go.
const CHUNK_BYTES: u64 = 4 << 20;
/// Bytes of memory that are kept for the next run, and bytes that were given back and may lie around in a run.
const KEPT_BYTES: u64 = 64 << 20;
const GARBAGE_BYTES: u64 = 128 << 20;
/// `madvise` advices of Linux 6.13, for shared memory of 6.15: a page table mark instead of a mapping of its
/// own, so that the number of live blocks is not limited by `vm.max_map_count`, in half the time of `mprotect`.
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

/// What the driver may do with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Page {
    /// Nothing.
    Closed,
    /// Read it.
    Read,
    /// Read and write it.
    Whole,
}

/// Changes of page tables that guards make, by offset and length.
#[derive(Default)]
struct Turns {
    closed: Vec<(u64, usize)>,
    opened: Vec<(u64, usize)>,
    read_only: Vec<(u64, usize)>,
}

/// A part of the pool's address space.
///
/// # Invariants
/// 1. `pages[i]` is what the driver may do with page `i`, and `actual[i]` what the page tables let it do. They are of
///    one length; pages behind are closed. Where they differ, the page is in a range of `changed`.
/// 2. With guards: `[space.address(), opened)` is readable and writable memory (but for what is read-only, or
///    what [`Region::protect_all`] has closed) of which every page is guarded that is closed. Without:
///    pages have the protection that they are to have.
/// 3. The file of `store` has at least the bytes of `[space.address(), opened)`, and nobody else uses it.
/// 4. Nothing at or above `next` was ever given out.
pub(super) struct Region {
    space: Mapping,
    store: Rc<Store>,
    end: u64,
    next: u64,
    opened: u64,
    has_guards: bool,
    pages: Vec<Page>,
    actual: Vec<Page>,
    changed: Vec<Range<usize>>,
    /// Bytes that were given back and whose memory still lies in the file.
    garbage: u64,
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
        let store = store(start, end)?;
        let space = store
            .file
            .map(start, (end - start) as usize, Access::None)?;
        // INVARIANT: 1. there are no pages yet; 3. nothing is opened, and a region before this one is gone, as its
        // addresses were free. A first guard page lies in front of the first piece.
        Ok(Self {
            space,
            store,
            end,
            next: start + PAGE,
            opened: start,
            has_guards: true,
            pages: vec![Page::Closed],
            actual: vec![Page::Closed],
            changed: Vec::new(),
            garbage: 0,
        })
    }

    fn offset(&self, address: u64) -> u64 {
        address - self.space.address()
    }

    fn page(&self, address: u64) -> usize {
        (self.offset(address) / PAGE) as usize
    }

    /// Does without guards in page tables: older Linux has none.
    fn use_protection(&mut self) -> io::Result<()> {
        self.has_guards = false;
        let touched = self.offset(self.opened) + CHUNK_BYTES;
        self.space.protect(0, touched as usize, Access::None)?;
        self.extend(self.space.address() + touched)
    }

    /// Address of `bytes` (whole pages) of memory that ends at a guard page, at a multiple of `align` if
    /// that is more than a page. What it holds is left from before.
    pub(super) fn take(&mut self, bytes: usize, align: u64) -> Option<u64> {
        let first = self.next.checked_next_multiple_of(align.max(PAGE))?;
        let end = first.checked_add(bytes as u64)?;
        let next = end.checked_add(PAGE).filter(|next| *next <= self.end)?;
        self.extend(next).ok()?;
        self.next = next;
        // INVARIANT: 1. pages behind the last one are closed.
        let pages = self.page(next);
        self.pages.resize(pages, Page::Closed);
        self.actual.resize(pages, Page::Closed);
        self.set(first, bytes, Page::Whole);
        Some(first)
    }

    /// Fills what a block leaves of a piece that was just taken with [`super::SLACK`].
    pub(super) fn surround(&self, piece: Range<u64>, block: Range<u64>) {
        let (pages, block) = self.in_store(piece, block);
        self.store.surround(pages, &block);
    }

    /// Takes note that what a block left of its piece is [`super::SLACK`] as ever; the piece is given back next.
    pub(super) fn note_intact(&self, piece: Range<u64>, block: Range<u64>) {
        let (pages, block) = self.in_store(piece, block);
        self.store.note_intact(pages, &block);
    }

    /// A piece and its block as the store knows them.
    fn in_store(&self, piece: Range<u64>, block: Range<u64>) -> (Range<usize>, Range<u64>) {
        let block = self.offset(block.start)..self.offset(block.end);
        (self.page(piece.start)..self.page(piece.end), block)
    }

    /// Takes a piece back: it is closed for ever.
    pub(super) fn give_back(&mut self, first: u64, bytes: usize) {
        self.set(first, bytes, Page::Closed);
        self.garbage += bytes as u64;
        if self.garbage > GARBAGE_BYTES {
            self.garbage = 0;
            self.drop_closed();
        }
    }

    /// Changes what the driver may do with a piece in use.
    pub(super) fn set(&mut self, first: u64, bytes: usize, page: Page) {
        let from = self.page(first);
        let range = from..from + bytes / PAGE as usize;
        self.pages[range.clone()].fill(page);
        // INVARIANT: 1. neighbours, with the guard between them, are one range.
        match self.changed.last_mut() {
            Some(last) if last.start <= range.end + 1 && range.start <= last.end + 1 => {
                *last = last.start.min(range.start)..last.end.max(range.end);
            }
            _ => self.changed.push(range),
        }
    }

    /// Gives the memory of all closed pages back to Linux.
    fn drop_closed(&self) {
        let mut from = 0;
        for run in self.pages.chunk_by(|one, next| one == next) {
            let pages = from..from + run.len();
            from = pages.end;
            if run[0] == Page::Closed {
                self.store.punch(pages);
            }
        }
    }

    /// Whether the driver may do so much with all of these bytes; else the first address with which it may not.
    pub(super) fn check(&self, address: u64, bytes: usize, least: Page) -> Result<(), u64> {
        if bytes == 0 {
            return Ok(());
        }
        let last = self.page(address + (bytes as u64 - 1));
        for page in self.page(address)..=last {
            if self.pages.get(page).is_none_or(|page| *page < least) {
                return Err(address.max(self.space.address() + page as u64 * PAGE));
            }
        }
        Ok(())
    }

    /// Reads what lies in pieces that were taken.
    pub(super) fn read(&self, address: u64, target: &mut [u8]) {
        self.store.alias.read(self.offset(address), target);
    }

    /// Whether these bytes lie in pieces that were taken.
    pub(super) fn holds(&self, address: u64, bytes: &[u8]) -> bool {
        self.store.alias.holds(self.offset(address), bytes)
    }

    /// Writes into pieces that were taken.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) {
        self.store.alias.write(self.offset(address), bytes);
    }

    /// Sets bytes in a piece that was taken.
    pub(super) fn fill(&self, address: u64, bytes: usize, byte: u8) {
        self.store.alias.fill(self.offset(address), bytes, byte);
    }

    /// Fills a piece that was taken with a pattern, over and over.
    pub(super) fn fill_with(&self, address: u64, bytes: usize, pattern: [u8; 8]) {
        const CHUNK: usize = 512;
        let mut chunk = [0; CHUNK];
        chunk.as_chunks_mut().0.fill(pattern);
        for done in (0..bytes).step_by(CHUNK) {
            let part = &chunk[..CHUNK.min(bytes - done)];
            self.write(address + done as u64, part);
        }
    }

    /// Makes the page tables say what the driver may do. It must not run before.
    pub(super) fn settle(&mut self) {
        let mut turns = Turns::default();
        for range in std::mem::take(&mut self.changed) {
            let mut at = range.start;
            while at < range.end {
                let (is, wanted) = (self.actual[at], self.pages[at]);
                let first = at;
                at += 1;
                if is == wanted {
                    continue;
                }
                // Whatever is to be closed is closed together, with the guards between.
                let same = |at: usize| {
                    self.pages[at] == wanted && (wanted == Page::Closed || self.actual[at] == is)
                };
                while at < range.end && same(at) {
                    at += 1;
                }
                self.plan(first..at, wanted, &mut turns)
                    .expect("Linux can protect pages of ours");
                self.actual[first..at].fill(wanted);
            }
        }
        self.turn(&turns).expect("Linux can protect pages of ours");
    }

    /// Plans what the page tables are to say of a range, of which they say the same all over unless it is to be closed.
    /// What is done by protection alone is done at once.
    fn plan(&self, range: Range<usize>, wanted: Page, turns: &mut Turns) -> io::Result<()> {
        let run = (range.start as u64 * PAGE, range.len() * PAGE as usize);
        let (offset, bytes) = run;
        if !self.has_guards {
            return self.space.protect(offset, bytes, access(wanted));
        }
        let is = &self.actual[range];
        let reopens = is.contains(&Page::Read) && wanted != Page::Read;
        if reopens {
            self.space.protect(offset, bytes, Access::ReadWrite)?;
        }
        match wanted {
            Page::Closed => turns.closed.push(run),
            Page::Whole | Page::Read => {
                if is[0] == Page::Closed {
                    turns.opened.push(run);
                }
                if wanted == Page::Read {
                    turns.read_only.push(run);
                }
            }
        }
        Ok(())
    }

    /// Does what was planned.
    fn turn(&self, turns: &Turns) -> io::Result<()> {
        self.space.advise_each(&turns.closed, MADV_GUARD_INSTALL)?;
        self.space.advise_each(&turns.opened, MADV_GUARD_REMOVE)?;
        for (offset, bytes) in &turns.read_only {
            self.space.protect(*offset, *bytes, Access::Read)?;
        }
        Ok(())
    }

    /// Changes what the page tables say of a piece, whatever the driver may do.
    pub(super) fn protect(&self, first: u64, bytes: usize, access: Access) {
        self.space
            .protect(self.offset(first), bytes, access)
            .expect("Linux can protect pages of ours");
    }

    /// Makes all pieces in use untouchable for a time, or touchable again, if guards make it possible to
    /// do that with all at once. None of them may be read-only.
    pub(super) fn protect_all(&self, access: Access) -> bool {
        if self.has_guards {
            let bytes = self.offset(self.opened) as usize;
            // A guard is a mark in the page table, which is left alone.
            self.protect(self.space.address(), bytes, access);
        }
        self.has_guards
    }

    /// Adds memory up to `end`, all of it closed.
    fn extend(&mut self, end: u64) -> io::Result<()> {
        while self.opened < end {
            let offset = self.offset(self.opened);
            let bytes = CHUNK_BYTES as usize;
            self.store.extend(offset + CHUNK_BYTES)?;
            if self.has_guards {
                self.space.protect(offset, bytes, Access::ReadWrite)?;
                self.space.advise(offset, bytes, MADV_GUARD_INSTALL)?;
            }
            self.opened += CHUNK_BYTES;
        }
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.store.truncate(KEPT_BYTES);
    }
}

fn access(page: Page) -> Access {
    match page {
        Page::Closed => Access::None,
        Page::Read => Access::Read,
        Page::Whole => Access::ReadWrite,
    }
}

#[cfg(test)]
mod tests {
    use super::super::SLACK;
    use super::*;
    use crate::rt::layout::{PAGED_POOL, POOL};
    use crate::rt::{machine, mem, signal::Handlers};

    /// Without a pool of the machine's, `mem` goes by the page tables.
    fn for_both(test: impl Fn(&mut Region)) {
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        for has_guards in [true, false] {
            let mut region = Region::with_guards(POOL, PAGED_POOL).expect("address space");
            if !has_guards {
                region.use_protection().expect("protection");
            }
            test(&mut region);
        }
    }

    const ONE: usize = PAGE as usize;

    #[test]
    fn pieces_are_guarded_and_gone_either_way() {
        for_both(|region| {
            let first = region.take(2 * ONE, 16).expect("room");
            let second = region.take(ONE, 4 * PAGE).expect("room");
            assert!(second.is_multiple_of(4 * PAGE) && second > first + 2 * PAGE);
            region.fill(first, 2 * ONE, 0);
            region.settle();
            assert_eq!(mem::write(first, 1_u64), Ok(()));
            assert_eq!(mem::read::<u64>(first + PAGE), Ok(0));
            assert!(
                mem::read::<u8>(first - 1).is_err() && mem::read::<u8>(first + 2 * PAGE).is_err()
            );
            region.give_back(first, 2 * ONE);
            region.settle();
            assert!(mem::read::<u8>(first).is_err() && mem::write(second, 2_u64).is_ok());
            // Neighbours are closed together, whichever goes first.
            let pieces = [(); 4].map(|()| region.take(ONE, 16).expect("room"));
            region.settle();
            for at in [1, 2, 0] {
                region.give_back(pieces[at], ONE);
            }
            assert_eq!(region.changed.len(), 1);
            region.settle();
            assert!(
                pieces[..3]
                    .iter()
                    .all(|piece| mem::read::<u8>(*piece).is_err())
            );
            assert_eq!(mem::write(pieces[3], 3_u64), Ok(()));
        });
    }

    #[test]
    fn the_table_and_the_page_tables_say_the_same() {
        for_both(|region| {
            let pieces = [1, 3, 2, 1].map(|pages| {
                let bytes = pages * ONE;
                (region.take(bytes, 16).expect("room"), bytes)
            });
            let kinds = [Page::Closed, Page::Read, Page::Whole];
            // Every change of a page there is, beside neighbours of every kind.
            for step in 0..27_usize {
                let digits = [step % 3, step / 3 % 3, step / 9 % 3, (step + step / 3) % 3];
                for ((first, bytes), digit) in pieces.into_iter().zip(digits) {
                    region.set(first, bytes, kinds[digit]);
                }
                region.settle();
                let end = region.next;
                for address in (POOL..end).step_by(ONE) {
                    let reads = mem::read::<u64>(address).is_ok();
                    let writes = mem::write(address, step as u64).is_ok();
                    assert_eq!(region.check(address, 8, Page::Read).is_ok(), reads);
                    assert_eq!(region.check(address, 8, Page::Whole).is_ok(), writes);
                    let mut seen = [0; 8];
                    region.read(address, &mut seen);
                    assert!(!writes || seen == step.to_le_bytes());
                }
            }
        });
    }

    #[test]
    fn a_check_tells_the_first_address_that_is_closed() {
        for_both(|region| {
            let first = region.take(2 * ONE, 16).expect("room");
            assert_eq!(region.check(first + 8, 2 * ONE - 8, Page::Whole), Ok(()));
            let guard = first + 2 * PAGE;
            assert_eq!(region.check(first, 3 * ONE, Page::Read), Err(guard));
            assert_eq!(region.check(first - 3, 8, Page::Read), Err(first - 3));
            assert_eq!(region.check(guard + 5, 1, Page::Read), Err(guard + 5));
            assert_eq!(region.check(PAGED_POOL - 1, 0, Page::Read), Ok(()));
        });
    }

    /// What surrounds a block is what it should be, whatever lay in its pages in an earlier life.
    #[test]
    fn a_block_is_surrounded_anew_by_what_is_not_known_to_be_there() {
        const BYTES: usize = 3 * ONE;
        let ends = [
            0,
            1,
            40,
            PAGE - 1,
            PAGE,
            PAGE + 7,
            2 * PAGE,
            3 * PAGE - 1,
            3 * PAGE,
        ];
        let blocks = ends.iter().enumerate().flat_map(|(index, start)| {
            let later = ends[index..].iter();
            later.map(move |end| *start..*end)
        });
        let mut blocks: Vec<Range<u64>> = blocks.collect();
        // Each comes after one that lay elsewhere.
        blocks.sort_by_key(|block| (block.end * 7 + block.start * 13) % 31);
        let _only = machine::only();
        let _handlers = Handlers::install().expect("signals");
        for (number, block) in blocks.into_iter().enumerate() {
            let mut region = Region::with_guards(POOL, PAGED_POOL).expect("address space");
            let first = region.take(BYTES, 16).expect("room");
            let piece = first..first + BYTES as u64;
            let within = first + block.start..first + block.end;
            region.surround(piece.clone(), within.clone());
            region.fill(within.start, (block.end - block.start) as usize, 7);
            let mut seen = vec![0; BYTES];
            region.read(first, &mut seen);
            for (offset, byte) in (0..).zip(seen) {
                let expected = if block.contains(&offset) { 7 } else { SLACK };
                assert_eq!(byte, expected, "{block:?}: {offset}");
            }
            // Some are overwritten around the block, and some are not seen again in their life.
            if number % 3 == 0 {
                region.fill(first, BYTES, 9);
            }
            if number % 3 == 1 {
                region.note_intact(piece, within);
            }
            region.give_back(first, BYTES);
            if number % 5 == 0 {
                region.drop_closed();
            }
        }
    }

    #[test]
    fn what_was_given_back_does_not_lie_around_for_ever() {
        for_both(|region| {
            let live = region.take(ONE, 16).expect("room");
            region.write(live, b"live");
            let mut gone = 0;
            for _ in 0..3 {
                let bytes = GARBAGE_BYTES as usize / 2;
                gone = region.take(bytes, 16).expect("room");
                region.fill(gone, ONE, 7);
                region.give_back(gone, bytes);
            }
            let mut seen = [1; 4];
            region.read(gone, &mut seen);
            assert_eq!(seen, [0; 4]);
            region.read(live, &mut seen);
            assert_eq!(&seen, b"live");
        });
    }
}
