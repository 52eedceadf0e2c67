//! The memory that a region of the pool is made of, which outlives the run.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    ops::Range,
    rc::Rc,
};

use super::SLACK;
use crate::rt::{
    layout::PAGE,
    mapping::{Access, Mapping, MemoryFile},
};

/// Memory of a region, and where the lab touches it.
///
/// # Invariants
/// Byte `b` of page `p` holds [`SLACK`] unless it lies in `dirt[p]`, or `p` is not in `dirt`.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) file: MemoryFile,
    bytes: Cell<u64>,
    pub(super) alias: Mapping,
    dirt: RefCell<Vec<Range<u16>>>,
}

/// A page of which nothing is known.
const ALL_DIRT: Range<u16> = 0..PAGE as u16;

impl Store {
    /// Makes the file so long, if it is shorter.
    pub(super) fn extend(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.bytes.get() {
            self.file.resize(bytes)?;
            self.bytes.set(bytes);
        }
        Ok(())
    }

    /// Makes the file so long, if it is longer.
    pub(super) fn truncate(&self, bytes: u64) {
        // What cannot be given back stays until the process ends.
        if bytes < self.bytes.get() && self.file.resize(bytes).is_ok() {
            self.bytes.set(bytes);
            // INVARIANT: what is not known any more is not in it.
            self.dirt.borrow_mut().truncate((bytes / PAGE) as usize);
        }
    }

    /// Gives memory back; it reads as zero from now on.
    pub(super) fn punch(&self, pages: Range<usize>) {
        let mut dirt = self.dirt.borrow_mut();
        let known = pages.start.min(dirt.len())..pages.end.min(dirt.len());
        // INVARIANT: nothing is known any more.
        dirt[known].fill(ALL_DIRT);
        let (offset, bytes) = (pages.start as u64 * PAGE, pages.len() as u64 * PAGE);
        // What cannot be given back stays.
        let _ = self.file.punch(offset, bytes);
    }

    /// Fills what a block leaves of its pages with [`SLACK`], where it is not there already. From now on others write
    /// into these pages.
    pub(super) fn surround(&self, pages: Range<usize>, block: &Range<u64>) {
        let mut dirt = self.dirt.borrow_mut();
        if dirt.len() < pages.end {
            // INVARIANT: nothing is known of these.
            dirt.resize(pages.end, ALL_DIRT);
        }
        for page in pages {
            // INVARIANT: nothing is known any more.
            let known = std::mem::replace(&mut dirt[page], ALL_DIRT);
            let used = part_of(block, page);
            let slack = |from: u16, to: u16| {
                if from < to {
                    let offset = page as u64 * PAGE + u64::from(from);
                    self.alias.fill(offset, (to - from).into(), SLACK);
                }
            };
            slack(known.start, known.end.min(used.start));
            slack(known.start.max(used.end), known.end);
        }
    }

    /// Takes note that what a block leaves of its pages was seen to be [`SLACK`]. Nobody writes into these pages any more.
    pub(super) fn note_intact(&self, pages: Range<usize>, block: &Range<u64>) {
        let mut dirt = self.dirt.borrow_mut();
        for page in pages {
            // INVARIANT: the caller has looked.
            dirt[page] = part_of(block, page);
        }
    }
}

/// The bytes of a page that lie in a block, whose ends are offsets in the store; an empty range lies where the page does
/// not matter.
fn part_of(block: &Range<u64>, page: usize) -> Range<u16> {
    let start = page as u64 * PAGE;
    let within = |offset: u64| offset.saturating_sub(start).min(PAGE) as u16;
    within(block.start)..within(block.end)
}

thread_local! {
    /// The memory of earlier runs, by the address of its region.
    static STORES: RefCell<BTreeMap<u64, Rc<Store>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The memory for a region; what it holds is left from before.
pub(super) fn store(start: u64, end: u64) -> io::Result<Rc<Store>> {
    STORES.with_borrow_mut(|stores| {
        if let Some(store) = stores.get(&start) {
            return Ok(Rc::clone(store));
        }
        let file = MemoryFile::new(0)?;
        let alias = file.map(0, (end - start) as usize, Access::ReadWrite)?;
        let bytes = Cell::new(0);
        let dirt = RefCell::default();
        let store = Rc::new(Store {
            file,
            bytes,
            alias,
            dirt,
        });
        stores.insert(start, Rc::clone(&store));
        Ok(store)
    })
}
