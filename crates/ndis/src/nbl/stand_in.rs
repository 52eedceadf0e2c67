//! Lists of a module's own in the place of others, or beside them.

use super::clone::Place;
use super::raw::{self, Chain, NblPointer};
use super::{Direction, Nbl, NblBatch};
use crate::fifo::List;
use crate::irql::Caller;

impl<'c, D: Direction> NblBatch<'c, D> {
    /// Puts copies in the place of the lists that `choose` wants, as far as packets of the module's own are free and long
    /// enough, and gives the lists that have been replaced second.
    pub(crate) fn replace(
        self,
        mut choose: impl FnMut(&Nbl<'_, D>) -> bool,
        irql: &mut impl Caller,
    ) -> (Self, Self) {
        let own = &self.callback.side.own;
        self.divide(|nbl, list| {
            let copies = if choose(list) && !list.is_answered() {
                own.copy(list, irql)
            } else {
                None
            };
            match copies {
                Some(copies) => (copies.first, Some(nbl)),
                None => (Some(nbl), None),
            }
        })
    }

    /// Copies the lists that `choose` wants, as far as packets of the module's own are free and long enough.
    pub(crate) fn duplicate(
        &self,
        mut choose: impl FnMut(&Nbl<'_, D>) -> bool,
        irql: &mut impl Caller,
    ) -> Self {
        let mut copies = List::EMPTY;
        for list in self.iter() {
            if choose(&list)
                && let Some(more) = self.callback.side.own.copy(&list, irql)
            {
                // SAFETY: the copies are the module's own, which nobody else has.
                unsafe { append_all(&mut copies, more.first) };
            }
        }
        let chain = Chain {
            first: copies.first,
        };
        // SAFETY: the copies are the module's own packets of this direction, which nobody else has.
        unsafe {
            self.callback
                .batch(chain, copies.count, self.port, self.flags)
        }
    }

    /// Puts clones in the place of the lists that `choose` wants, as far as there can be more.
    pub(crate) fn clone_in_place(self, choose: impl FnMut(&Nbl<'_, D>) -> bool) -> Self {
        let (batch, _none) = self.clone_lists(choose, false);
        batch
    }

    /// Likewise, and gives a second clone of each second.
    pub(crate) fn mirror(self, choose: impl FnMut(&Nbl<'_, D>) -> bool) -> (Self, Self) {
        self.clone_lists(choose, true)
    }

    fn clone_lists(
        self,
        mut choose: impl FnMut(&Nbl<'_, D>) -> bool,
        is_mirrored: bool,
    ) -> (Self, Self) {
        let clones = &self.callback.side.clones;
        self.divide(|nbl, list| {
            if !choose(list) {
                return (Some(nbl), None);
            }
            // SAFETY: the batch owns the list, which came this way without low resources, or is the module's own, and is
            // linked to none. A batch exists only while the module runs. With a clone it is in no batch any more.
            let Some(first) = (unsafe { clones.clone::<D>(nbl, Place::Parents) }) else {
                return (Some(nbl), None);
            };
            let second = if is_mirrored {
                // SAFETY: likewise, and the first one is made.
                unsafe { clones.clone::<D>(nbl, Place::Beside) }
            } else {
                None
            };
            (Some(first), second)
        })
    }
}

/// # Safety
///
/// The caller owns the lists that begin with `first`, and `to`.
pub(super) unsafe fn append_all(to: &mut List<NblPointer>, first: Option<NblPointer>) {
    let mut at = first;
    while let Some(nbl) = at {
        // SAFETY: this function's contract.
        at = unsafe { raw::next(nbl) };
        // SAFETY: this function's contract.
        unsafe { raw::set_next(nbl, Chain::EMPTY) };
        // SAFETY: this function's contract; it is linked to none.
        unsafe { to.append(nbl) };
    }
}
