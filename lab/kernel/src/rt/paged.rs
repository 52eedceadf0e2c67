//! Memory that may only be touched below DISPATCH_LEVEL: paged pool, and sections of the image whose
//! names begin with `PAGE`.
//!
//! Where there is such memory, all of it is closed as soon as the running processor is at
//! DISPATCH_LEVEL, by a raise or by a switch to a thread that is there. Nothing opens it again but the
//! first touch below that level, so a raise that is followed by no touch costs nothing more. Where there
//! is none, a raise costs one look at a cell.
//!
//! What is locked in memory ([`lock`]) stays touchable at any level.

use std::cell::{Cell, RefCell};

use super::{
    layout::PAGE,
    machine, pool,
    sched::{self, DISPATCH_LEVEL},
};

/// Whether there is memory to page, and how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Open,
    Closed,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Absent) };
    /// What is locked in memory: first page, bytes, and the address that unlocks it.
    static LOCKED: RefCell<Vec<(u64, usize, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Begins a run without memory to page.
pub(super) fn reset() {
    STATE.set(State::Absent);
    LOCKED.take();
}

/// There is memory to page from now on, and it can be touched.
pub(super) fn begin() {
    if STATE.get() == State::Absent {
        STATE.set(State::Open);
    }
    open();
}

/// The running processor is at DISPATCH_LEVEL: nothing may be touched.
pub(super) fn close() {
    if STATE.get() == State::Open {
        protect(false);
        STATE.set(State::Closed);
    }
}

/// Lets everything be touched.
pub(super) fn open() {
    if STATE.get() == State::Closed {
        protect(true);
        STATE.set(State::Open);
    }
}

/// Something at `address` could not be touched. Whether that was because it was closed and need not be:
/// then it can be touched now.
pub(super) fn open_for(address: u64) -> bool {
    let opens = STATE.get() == State::Closed && sched::irql() < DISPATCH_LEVEL && holds(address);
    if opens {
        open();
    }
    opens
}

/// Whether `address` is in memory that is closed now.
pub(crate) fn is_closed(address: u64) -> bool {
    STATE.get() == State::Closed && holds(address)
}

/// Whether `address` is in memory that can be paged.
fn holds(address: u64) -> bool {
    pool::is_paged(address)
        || machine::with_image_at(address, |image| image.is_paged(address)).unwrap_or(false)
}

fn protect(is_open: bool) {
    let locked = LOCKED.with_borrow(|locked| {
        let ranges = locked.iter().map(|(first, bytes, _)| (*first, *bytes));
        ranges.collect::<Vec<_>>()
    });
    let (in_pool, in_image): (Vec<_>, Vec<_>) = locked
        .into_iter()
        .partition(|(first, _)| pool::is_paged(*first));
    pool::protect_paged(is_open, &in_pool);
    machine::with_images(|images| {
        for image in &images.0 {
            image.protect_paged(is_open, &in_image);
        }
    });
}

/// Keeps `bytes` at `address` in memory until [`unlock`] with the same address.
pub(crate) fn lock(address: u64, bytes: usize) {
    if bytes == 0 || !holds(address) {
        return;
    }
    let first = address / PAGE * PAGE;
    let end = (address + bytes as u64).next_multiple_of(PAGE);
    let entry = (first, (end - first) as usize, address);
    LOCKED.with_borrow_mut(|locked| locked.push(entry));
    // Closing anew leaves it out.
    open();
    if sched::irql() >= DISPATCH_LEVEL {
        close();
    }
}

/// Undoes one [`lock`].
pub(crate) fn unlock(address: u64) {
    LOCKED.with_borrow_mut(|locked| {
        if let Some(at) = locked.iter().position(|(.., key)| *key == address) {
            locked.swap_remove(at);
        }
    });
}

/// Where the section with `address` begins, if it is one that can be paged, and its bytes.
pub(crate) fn section(address: u64) -> Option<(u64, usize)> {
    machine::with_image_at(address, |image| image.paged_section(address)).flatten()
}
