//! What a module has of one kind, work items first of all: the part without raw calls.

use crate::mem::{OutOfMemory, PoolArc, PoolVec, Tag};

/// How many work items a module can have: they are a limited resource of the system, and one or two are enough for most. It
/// can have as many timers, DPCs and threads.
pub const MAX_WORK_ITEMS: usize = 64;

/// The module has [`MAX_WORK_ITEMS`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Owners of up to [`MAX_WORK_ITEMS`] items.
///
/// Items do not own each other, so dropping one drops no other, in whatever order: the kernel's stack is small.
///
/// # Invariants
///
/// The places that hold an item come before those that do not.
pub(crate) struct List<T> {
    /// Made for the first item.
    places: Option<PoolVec<Option<PoolArc<T>>>>,
    tag: Tag,
}

impl<T> List<T> {
    /// An empty list, which takes no memory yet.
    pub(crate) const fn new(tag: Tag) -> Self {
        Self { places: None, tag }
    }

    /// Adds what `make` gives, and gives another owner of it.
    ///
    /// # Errors
    ///
    /// [`Full`] or [`OutOfMemory`], and `make` was not called; or the error of `make`. The list holds what it held.
    pub(crate) fn add<E: From<Full> + From<OutOfMemory>>(
        &mut self,
        make: impl FnOnce() -> Result<PoolArc<T>, E>,
    ) -> Result<PoolArc<T>, E> {
        let places = match &mut self.places {
            Some(places) => places,
            none => none.insert(PoolVec::try_from_fn(self.tag, MAX_WORK_ITEMS, |_| None)?),
        };
        // INVARIANT: it is the first place without an item.
        let vacant = places.iter_mut().find(|place| place.is_none());
        Ok(vacant.ok_or(Full)?.insert(make()?).clone())
    }

    /// The items, in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let places = self.places.as_deref().unwrap_or_default();
        places.iter().map_while(|place| place.as_deref())
    }

    /// Gives up all items, and shows each before.
    pub(crate) fn drain(&mut self, mut show: impl FnMut(&T)) {
        let places = self.places.as_deref_mut().unwrap_or_default();
        for item in places.iter_mut().filter_map(Option::take) {
            show(&item);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use std::rc::Rc;
    use std::vec::Vec;

    use super::*;

    const TAG: Tag = Tag::new(*b"Test");

    /// What the drops of all items together say.
    #[derive(Default)]
    struct Drops {
        under_way: Cell<usize>,
        deepest: Cell<usize>,
        count: Cell<usize>,
    }

    struct Item {
        number: usize,
        drops: Rc<Drops>,
        /// Dropped between the two halves of what `Drop` counts, like what an item owns.
        _end: End,
    }

    struct End(Rc<Drops>);

    impl Drop for Item {
        fn drop(&mut self) {
            let depth = self.drops.under_way.get() + 1;
            self.drops.under_way.set(depth);
            self.drops.deepest.set(self.drops.deepest.get().max(depth));
        }
    }

    impl Drop for End {
        fn drop(&mut self) {
            self.0.under_way.set(self.0.under_way.get() - 1);
            self.0.count.set(self.0.count.get() + 1);
        }
    }

    fn item(number: usize, drops: &Rc<Drops>) -> Result<PoolArc<Item>, Refused> {
        let item = Item {
            number,
            drops: Rc::clone(drops),
            _end: End(Rc::clone(drops)),
        };
        PoolArc::try_new(TAG, item).map_err(|_| Refused::Make)
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Refused {
        Full,
        Make,
    }

    impl From<Full> for Refused {
        fn from(_: Full) -> Self {
            Self::Full
        }
    }

    impl From<OutOfMemory> for Refused {
        fn from(_: OutOfMemory) -> Self {
            Self::Make
        }
    }

    fn full(drops: &Rc<Drops>) -> (List<Item>, Vec<PoolArc<Item>>) {
        let mut list = List::new(TAG);
        let handles = (0..MAX_WORK_ITEMS)
            .map(|number| list.add(|| item(number, drops)).expect("room"))
            .collect();
        (list, handles)
    }

    #[test]
    fn one_more_than_fits_is_refused_and_never_made() {
        let (mut list, _handles) = full(&Rc::default());
        let refused = list.add(|| -> Result<_, Refused> { panic!("made for a full list") });
        assert_eq!(refused.err(), Some(Refused::Full));
        let numbers: Vec<_> = list.iter().map(|item| item.number).collect();
        assert_eq!(numbers, (0..MAX_WORK_ITEMS).collect::<Vec<_>>());
    }

    #[test]
    fn failure_to_make_leaves_the_list_as_it_was() {
        let drops = Rc::default();
        let mut list = List::new(TAG);
        list.add(|| item(0, &drops)).expect("room");
        let refused = list.add(|| Err::<PoolArc<Item>, _>(Refused::Make));
        assert_eq!(refused.err(), Some(Refused::Make));
        assert_eq!(list.iter().count(), 1);
    }

    /// A module drops its handles in any order, before or after the list is drained, or never drains it.
    #[test]
    fn no_item_is_dropped_while_another_is() {
        for drained in [true, false] {
            for handles_first in [true, false] {
                for backwards in [true, false] {
                    let drops = Rc::<Drops>::default();
                    let (mut list, mut handles) = full(&drops);
                    if backwards {
                        handles.reverse();
                    }
                    let mut shown = 0;
                    if handles_first {
                        handles.clear();
                    }
                    if drained {
                        list.drain(|_| shown += 1);
                        assert_eq!(list.iter().count(), 0);
                    }
                    assert_eq!(shown, if drained { MAX_WORK_ITEMS } else { 0 });
                    drop(list);
                    drop(handles);
                    assert_eq!(drops.count.get(), MAX_WORK_ITEMS);
                    assert_eq!(drops.deepest.get(), 1);
                }
            }
        }
    }
}
