//! NBLs that a callback owns.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use ndis_sys::{
    NDIS_HANDLE, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL, NDIS_RETURN_FLAGS_DISPATCH_LEVEL,
    NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL, NDIS_SEND_FLAGS_DISPATCH_LEVEL,
    NdisFIndicateReceiveNetBufferLists, NdisFReturnNetBufferLists, NdisFSendNetBufferLists,
    NdisFSendNetBufferListsComplete,
};

use super::raw::{self, Chain, NblPointer, set_status};
use super::stand_in::append_all;
use super::{Direction, Hold, Nbl, Nbls, Rx, Side, Tx};
use crate::fifo::{HoldLimit, List, Stamp};
use crate::irql::Caller;
use crate::{Status, time};

/// One activation of a datapath callback: where its batches go that nobody has dealt with.
///
/// # Invariants
///
/// 1. `handle` is that of the module, valid while the callback runs.
/// 2. `unsettled` is a chain that the activation owns: what was in dropped batches.
/// 3. `batches` is the number of batches of the activation that were neither used nor dropped.
pub(crate) struct Callback<'m, D> {
    pub(super) handle: NDIS_HANDLE,
    pub(super) side: &'m Side,
    /// Whether its batches may be held.
    may_hold: bool,
    unsettled: Cell<Chain>,
    batches: Cell<usize>,
    _way: PhantomData<D>,
}

impl<'m, D: Direction> Callback<'m, D> {
    /// # Safety
    ///
    /// `handle` is that of a module, and valid as long as the value is. `side` is what that module has of `D`.
    pub(crate) const unsafe fn new(handle: NDIS_HANDLE, side: &'m Side, may_hold: bool) -> Self {
        Self {
            handle,
            side,
            may_hold,
            unsettled: Cell::new(Chain::EMPTY),
            batches: Cell::new(0),
            _way: PhantomData,
        }
    }

    /// The batch that NDIS has handed over to this activation.
    ///
    /// # Safety
    ///
    /// NDIS has given the chain of `count` NBLs to the module, for this direction, without low resources, and nobody
    /// else was given it. `port` and `flags` are those of the call.
    pub(crate) unsafe fn batch(
        &self,
        chain: Chain,
        count: u32,
        port: u32,
        flags: u32,
    ) -> NblBatch<'_, D> {
        self.open();
        // INVARIANT: the caller's promise.
        NblBatch {
            chain,
            count,
            port,
            flags,
            callback: self,
        }
    }

    /// Refuses what is in dropped batches, and says how many batches were leaked.
    pub(crate) fn settle(self, irql: &mut impl Caller) -> usize {
        // SAFETY: invariant 2; the chain is given up with `self`, and its NBLs came in this direction.
        unsafe { refuse::<D>(self.handle, self.side, self.unsettled.get(), irql) };
        self.batches.get()
    }

    pub(super) fn open(&self) {
        self.batches.set(self.batches.get().wrapping_add(1));
    }

    fn close(&self) {
        self.batches.set(self.batches.get().wrapping_sub(1));
    }
}

/// Packets that a datapath callback owns, in the order in which NDIS gave them.
///
/// It is used up by [`forward`](Self::forward), [`refuse`](Self::refuse), by [`complete`](NblBatch::complete) when it is to
/// be sent, by [`return_`](NblBatch::return_) when it was received. [`partition`](Self::partition) is the normal way to treat
/// packets differently. A batch that is dropped is refused when the callback ends. One that is leaked is a stuck
/// packet, and reported; no memory is touched for it any more.
///
/// ```compile_fail,E0382
/// # use ndis::{irql::AtMostDispatch, nbl::{NblBatch, Tx}};
/// fn send(batch: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
///     batch.forward(irql);
///     batch.complete(ndis::Status::SUCCESS, irql);
/// }
/// ```
///
/// # Invariants
///
/// `chain` holds `count` NBLs (nothing counts on it when `D` is [`Tx`]) that the activation of `callback` owns, and this
/// batch alone has. They came without low resources, with `port` and `flags`, which hold for each of them.
#[must_use = "a batch that is dropped is refused"]
pub struct NblBatch<'c, D: Direction> {
    pub(super) chain: Chain,
    pub(super) count: u32,
    pub(super) port: u32,
    pub(super) flags: u32,
    pub(super) callback: &'c Callback<'c, D>,
}

impl<'c, D: Direction> NblBatch<'c, D> {
    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.chain.first.is_none()
    }

    /// The lists, to look at.
    pub fn iter(&self) -> Nbls<'_, D> {
        // SAFETY: the batch owns the chain and is borrowed as long as the lists are looked at.
        unsafe { Nbls::new(self.chain) }
    }

    /// Splits the batch: lists for which `choose` says `true` come first in the result, the others second. The order
    /// within each is kept.
    pub fn partition(self, mut choose: impl FnMut(&Nbl<'_, D>) -> bool) -> (Self, Self) {
        self.divide(|nbl, list| {
            if choose(list) {
                (Some(nbl), None)
            } else {
                (None, Some(nbl))
            }
        })
    }

    /// Goes through the lists: what `take` gives first of each, which may be several, comes first in the result, what it
    /// gives second, second.
    pub(super) fn divide(
        self,
        mut take: impl FnMut(NblPointer, &Nbl<'_, D>) -> (Option<NblPointer>, Option<NblPointer>),
    ) -> (Self, Self) {
        let this = ManuallyDrop::new(self);
        let (mut first, mut second) = (List::EMPTY, List::EMPTY);
        let mut at = this.chain.first;
        while let Some(nbl) = at {
            // SAFETY: the batch owns the chain.
            at = unsafe { raw::next(nbl) };
            // SAFETY: likewise. The list is linked to nothing while it is looked at, so it is a chain of one.
            unsafe { raw::set_next(nbl, Chain::EMPTY) };
            let alone = Chain { first: Some(nbl) };
            // SAFETY: the batch owns the list, and nobody changes it while it is looked at.
            let taken = unsafe { Nbls::<D>::new(alone) }
                .next()
                .map(|list| take(nbl, &list));
            let (one, other) = taken.unwrap_or((Some(nbl), None));
            // SAFETY: it is the module's, and in no chain any more.
            unsafe { append_all(&mut first, one) };
            // SAFETY: likewise.
            unsafe { append_all(&mut second, other) };
        }
        // INVARIANT: what has been made of the lists of `self`, each in one of two batches; one more batch than before.
        this.callback.open();
        let side = |list: List<NblPointer>| Self {
            chain: Chain { first: list.first },
            count: list.count,
            port: this.port,
            flags: this.flags,
            callback: this.callback,
        };
        (side(first), side(second))
    }

    /// Appends the batch to what the module holds, as far as `limit` allows.
    pub(crate) fn hold(self, limit: HoldLimit, irql: &mut impl Caller) -> Hold<'c, D> {
        if !self.callback.may_hold {
            // What was held has its turn once.
            return Hold {
                refused: self,
                held: 0,
                is_first: false,
            };
        }
        let this = ManuallyDrop::new(self);
        let stamp = Stamp::new(this.port, this.flags, time::now_ns());
        // SAFETY: the batch owns the NBLs, which came in this direction without low resources, and is given up.
        let kept = unsafe {
            this.callback
                .side
                .held
                .append(this.chain, stamp, limit, irql)
        };
        Hold {
            // INVARIANT: what is left of `self`, which it replaces: as many batches as before.
            refused: Self {
                chain: Chain {
                    first: kept.refused.first,
                },
                count: kept.refused.count,
                port: this.port,
                flags: this.flags,
                callback: this.callback,
            },
            held: kept.held,
            is_first: kept.is_first,
        }
    }

    /// Takes the batch apart: from here on its NBLs are the caller's to give to NDIS.
    fn into_parts(self) -> Parts<'c> {
        let this = ManuallyDrop::new(self);
        this.callback.close();
        Parts {
            handle: this.callback.handle,
            side: this.callback.side,
            chain: this.chain,
            count: this.count,
            port: this.port,
            flags: this.flags,
        }
    }
}

impl<D: Direction> NblBatch<'_, D> {
    /// Passes the packets on: down the stack (`Tx`) or up (`Rx`).
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfsendnetbufferlists>,
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfindicatereceivenetbufferlists>
    pub fn forward(self, irql: &mut impl Caller) {
        let parts = self.into_parts();
        if parts.chain.first.is_none() {
            return;
        }
        if D::IS_SEND {
            let flags = dispatch_flag(parts.flags, NDIS_SEND_FLAGS_DISPATCH_LEVEL, irql);
            // SAFETY: the NBLs were owned and are given up. The module is running: a reference of its datapath rundown is
            // held by who made the batch. `FilterSendNetBufferListsComplete` is there whenever
            // `FilterSendNetBufferLists` is.
            unsafe {
                NdisFSendNetBufferLists(parts.handle, parts.chain.as_ptr(), parts.port, flags);
            }
        } else {
            // SAFETY: the NBLs were owned, came without low resources, and are given up. The module is running, as above.
            // `FilterReturnNetBufferLists` is there whenever `FilterReceiveNetBufferLists` is.
            unsafe { indicate(&parts, irql) };
        }
    }

    /// Ends the packets' way here: sends are completed with `NDIS_STATUS_FAILURE`, receives returned.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    pub fn refuse(self, irql: &mut impl Caller) {
        let parts = self.into_parts();
        // SAFETY: the NBLs were owned, came in this direction, and are given up.
        unsafe { refuse::<D>(parts.handle, parts.side, parts.chain, irql) };
    }
}

impl NblBatch<'_, Tx> {
    /// Completes the sends with `status`, without passing them on. `NDIS_STATUS_PENDING` is none, and becomes
    /// [`Status::FAILURE`].
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfsendnetbufferlistscomplete>
    pub fn complete(self, status: Status, irql: &mut impl Caller) {
        let parts = self.into_parts();
        if parts.chain.first.is_some() {
            // SAFETY: the NBLs were owned, came as sends through this module, and are given up.
            unsafe {
                complete(
                    parts.handle,
                    parts.side,
                    parts.chain,
                    status.into_final(),
                    irql,
                )
            };
        }
    }
}

impl NblBatch<'_, Rx> {
    /// Returns the packets to where they came from, without passing them on.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfreturnnetbufferlists>
    pub fn return_(self, irql: &mut impl Caller) {
        let parts = self.into_parts();
        if parts.chain.first.is_some() {
            // SAFETY: the NBLs were owned, came as receives without low resources, and are given up.
            unsafe { return_to_ndis(parts.handle, parts.side, parts.chain, irql) };
        }
    }
}

impl<D: Direction> Drop for NblBatch<'_, D> {
    fn drop(&mut self) {
        // There is no token here, and a lock may be held, so NDIS cannot be called: the thunk does it later.
        self.callback.close();
        let mut at = self.chain.first;
        let mut last = None;
        while let Some(nbl) = at {
            last = Some(nbl);
            // SAFETY: the batch owns the chain.
            at = unsafe { raw::next(nbl) };
        }
        if let Some(last) = last {
            // SAFETY: the batch owns the list, and the activation owns what was dropped before.
            unsafe { raw::set_next(last, self.callback.unsettled.get()) };
            // INVARIANT: the activation owns both.
            self.callback.unsettled.set(self.chain);
        }
    }
}

impl<D: Direction> fmt::Debug for NblBatch<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NblBatch").finish_non_exhaustive()
    }
}

/// What a call into NDIS needs.
pub(super) struct Parts<'m> {
    pub(super) handle: NDIS_HANDLE,
    pub(super) side: &'m Side,
    pub(super) chain: Chain,
    pub(super) count: u32,
    pub(super) port: u32,
    pub(super) flags: u32,
}

/// `flags` with the bit that says whether the IRQL is known to be `DISPATCH_LEVEL` as `irql` knows it.
fn dispatch_flag(flags: u32, bit: u32, irql: &impl Caller) -> u32 {
    if irql.is_at_dispatch() {
        flags | bit
    } else {
        flags & !bit
    }
}

/// # Safety
///
/// The module of `parts.handle` is running, and may indicate the chain, which is not empty.
pub(super) unsafe fn indicate(parts: &Parts<'_>, irql: &mut impl Caller) {
    let flags = dispatch_flag(parts.flags, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL, irql);
    // SAFETY: this function's contract.
    unsafe {
        NdisFIndicateReceiveNetBufferLists(
            parts.handle,
            parts.chain.as_ptr(),
            parts.port,
            parts.count,
            flags,
        );
    }
}

/// Completes sends with `NDIS_STATUS_FAILURE`, or returns receives.
///
/// # Safety
///
/// The caller owns the chain, which came in direction `D` through the module of `handle` and `side`, without low resources,
/// or is of its own packets of that direction, and is given up.
unsafe fn refuse<D: Direction>(
    handle: NDIS_HANDLE,
    side: &Side,
    chain: Chain,
    irql: &mut impl Caller,
) {
    if chain.first.is_none() {
        return;
    }
    if D::IS_SEND {
        // SAFETY: this function's contract.
        unsafe { complete(handle, side, chain, Status::FAILURE, irql) };
    } else {
        // SAFETY: this function's contract.
        unsafe { return_to_ndis(handle, side, chain, irql) };
    }
}

/// Completes sends.
///
/// # Safety
///
/// The caller owns the chain, which came as sends through the module of `handle` and `side`, or is of its own sends, and
/// is given up.
pub(crate) unsafe fn complete(
    handle: NDIS_HANDLE,
    side: &Side,
    chain: Chain,
    status: Status,
    irql: &mut impl Caller,
) {
    let flags = dispatch_flag(0, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL, irql);
    // SAFETY: this function's contract.
    unsafe { set_status(chain, status) };
    let hand_over = |chain: Chain| {
        // SAFETY: this function's contract; the chain is what ends its way here.
        unsafe { NdisFSendNetBufferListsComplete(handle, chain.as_ptr(), flags) };
    };
    // SAFETY: this function's contract.
    unsafe { side.settle::<Tx, _>(chain, irql, hand_over) };
}

/// Returns receives.
///
/// # Safety
///
/// The caller owns the chain, which came as receives without low resources through the module of `handle` and `side`, or
/// is of its own receives, and is given up.
pub(crate) unsafe fn return_to_ndis(
    handle: NDIS_HANDLE,
    side: &Side,
    chain: Chain,
    irql: &mut impl Caller,
) {
    let flags = dispatch_flag(0, NDIS_RETURN_FLAGS_DISPATCH_LEVEL, irql);
    let hand_over = |chain: Chain| {
        // SAFETY: this function's contract; the chain is what ends its way here.
        unsafe { NdisFReturnNetBufferLists(handle, chain.as_ptr(), flags) };
    };
    // SAFETY: this function's contract.
    unsafe { side.settle::<Rx, _>(chain, irql, hand_over) };
}
