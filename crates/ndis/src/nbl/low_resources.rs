//! NBLs that a callback is lent.

use core::fmt;

use ndis_sys::NDIS_RECEIVE_FLAGS_RESOURCES;

use super::batch::{Callback, Parts, indicate};
use super::raw::Chain;
use super::stand_in::append_all;
use super::{Nbl, NblBatch, Nbls, Rx};
use crate::fifo::List;
use crate::irql::Caller;

/// Received packets that NDIS takes back when the callback returns (`NDIS_RECEIVE_FLAGS_RESOURCES`).
///
/// They can be looked at and passed on; to drop them is to do nothing. They cannot be held, returned or taken apart, and
/// the chain stays as it is.
///
/// # Invariants
///
/// `parts.chain` is what NDIS has lent to the activation, whole and in order, with the flags of the call; `handle` is
/// that of the module.
pub struct LowResources<'c> {
    parts: Parts<'c>,
    callback: &'c Callback<'c, Rx>,
}

impl<'c> LowResources<'c> {
    /// # Safety
    ///
    /// NDIS has lent the chain of `count` NBLs to the activation of `callback`, with `port` and `flags`, of which
    /// `NDIS_RECEIVE_FLAGS_RESOURCES` is one.
    pub(crate) const unsafe fn new(
        callback: &'c Callback<'c, Rx>,
        chain: Chain,
        count: u32,
        port: u32,
        flags: u32,
    ) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            parts: Parts {
                handle: callback.handle,
                side: callback.side,
                chain,
                count,
                port,
                flags,
            },
            callback,
        }
    }

    /// Copies the lists, as far as packets of the module's own are free and long enough; `missed` is shown the others.
    pub(crate) fn copy(
        &self,
        mut missed: impl FnMut(&Nbl<'_, Rx>),
        irql: &mut impl Caller,
    ) -> NblBatch<'c, Rx> {
        let mut copies = List::EMPTY;
        for list in self.iter() {
            match self.callback.side.own.copy(&list, irql) {
                // SAFETY: the copies are ours, which nobody else has.
                Some(more) => unsafe { append_all(&mut copies, more.first) },
                None => missed(&list),
            }
        }
        let chain = Chain {
            first: copies.first,
        };
        // The copies are the module's for as long as it wants.
        let flags = self.parts.flags & !NDIS_RECEIVE_FLAGS_RESOURCES;
        // SAFETY: the copies are the module's own packets, which nobody else has.
        unsafe {
            self.callback
                .batch(chain, copies.count, self.parts.port, flags)
        }
    }

    /// The lists, to look at.
    pub fn iter(&self) -> Nbls<'_, Rx> {
        // SAFETY: they are lent to the activation, and `self` is borrowed as long as they are looked at.
        unsafe { Nbls::new(self.parts.chain) }
    }

    /// Passes the packets on, up the stack; they are back, and NDIS's to take, when this returns.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfindicatereceivenetbufferlists>
    pub fn forward(self, irql: &mut impl Caller) {
        if self.parts.chain.first.is_some() {
            // SAFETY: the chain is whole, and `NDIS_RECEIVE_FLAGS_RESOURCES` is among the flags, so it comes back with
            // the call. The module is running: its datapath rundown is held by the thunk.
            unsafe { indicate(&self.parts, irql) };
        }
    }
}

impl fmt::Debug for LowResources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LowResources").finish_non_exhaustive()
    }
}
