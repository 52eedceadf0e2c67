//! State that each image of a stack has for itself: its own NT and NDIS, its own monitors.
//!
//! Images share the machine ([`rt`](crate::rt)): processors, threads, time, pool, addresses. All else is kept once for
//! each image, and what runs is always on behalf of one of them ([`sched::image`]): so a finding is that of the image
//! whose ledger has it, and one driver's handles, packets and locks are unknown to another's ledger.

use std::cell::{Cell, RefCell};
use std::thread::LocalKey;

use crate::rt::sched;

/// Images of a run, at most.
pub(crate) const MOST: usize = 4;

/// A cell for each image; every access is to that of the image on whose behalf the thread runs.
pub(crate) struct PerImage<C: 'static>(&'static LocalKey<[C; MOST]>);

impl<C: 'static> PerImage<C> {
    /// Over the cells of this thread.
    pub(crate) const fn new(all: &'static LocalKey<[C; MOST]>) -> Self {
        Self(all)
    }

    fn with<R>(&self, body: impl FnOnce(&C) -> R) -> R {
        self.0.with(|all| body(&all[usize::from(sched::image())]))
    }
}

impl<T: 'static> PerImage<RefCell<T>> {
    /// As that of [`LocalKey`].
    pub(crate) fn with_borrow<R>(&self, body: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| body(&cell.borrow()))
    }

    /// As that of [`LocalKey`].
    pub(crate) fn with_borrow_mut<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| body(&mut cell.borrow_mut()))
    }

    /// As that of [`LocalKey`].
    pub(crate) fn set(&self, value: T) {
        self.with(|cell| drop(cell.replace(value)));
    }

    /// As that of [`LocalKey`].
    pub(crate) fn take(&self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }
}

impl<T: Copy + 'static> PerImage<Cell<T>> {
    /// As that of [`LocalKey`].
    pub(crate) fn get(&self) -> T {
        self.with(Cell::get)
    }

    /// As that of [`LocalKey`].
    pub(crate) fn set(&self, value: T) {
        self.with(|cell| cell.set(value));
    }
}

/// Declares cells that each image has for itself, as `thread_local!` declares those that all share.
macro_rules! per_image {
    ($($(#[$attribute:meta])* static $name:ident: $cell:ty = $first:expr;)*) => {$(
        $(#[$attribute])*
        static $name: $crate::per_image::PerImage<$cell> = {
            thread_local! {
                static ALL: [$cell; $crate::per_image::MOST] = [$first, $first, $first, $first];
            }
            $crate::per_image::PerImage::new(&ALL)
        };
    )*};
}
pub(crate) use per_image;
