//! Lists of a module's own in the place of others, or beside them.

use core::mem::ManuallyDrop;

use super::raw::{self, Chain, NblPointer};
use super::{Nbl, NblBatch, Nbls, Rx};
use crate::fifo::List;
use crate::irql::Caller;

impl<'c> NblBatch<'c, Rx> {
    /// Puts copies in the place of the lists that `choose` wants, as far as packets of the module's own are free and long
    /// enough, and gives the lists that have been replaced second.
    pub(crate) fn replace(
        self,
        mut choose: impl FnMut(&Nbl<'_, Rx>) -> bool,
        irql: &mut impl Caller,
    ) -> (Self, Self) {
        let this = ManuallyDrop::new(self);
        let mut kept = List::EMPTY;
        let mut replaced = List::EMPTY;
        let mut at = this.chain.first;
        while let Some(nbl) = at {
            // SAFETY: the batch owns the chain.
            at = unsafe { raw::next(nbl) };
            // SAFETY: likewise. The list is linked to nothing while it is looked at, so it is a chain of one.
            unsafe { raw::set_next(nbl, Chain::EMPTY) };
            let alone = Chain { first: Some(nbl) };
            // SAFETY: the batch owns the list, and nobody changes it while it is looked at.
            let copy = unsafe { Nbls::<Rx>::new(alone) }
                .find(&mut choose)
                .and_then(|list| this.callback.side.own.copy(&list, irql));
            if let Some(copy) = copy {
                // SAFETY: the list is owned, and in no chain any more.
                unsafe { replaced.append(nbl) };
                // SAFETY: the copy is the module's own, and linked to none.
                unsafe { kept.append(copy) };
            } else {
                // SAFETY: the list is owned, and in no chain any more.
                unsafe { kept.append(nbl) };
            }
        }
        // INVARIANT: the lists of `self` and the copies, each in one of two batches; one more batch than before.
        this.callback.open();
        let side = |list: List<NblPointer>| Self {
            chain: Chain { first: list.first },
            count: list.count,
            port: this.port,
            flags: this.flags,
            callback: this.callback,
        };
        (side(kept), side(replaced))
    }
}
