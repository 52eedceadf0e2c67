//! Who has a request, and who ends it: the part without raw calls.
//!
//! ```text
//!            enter            lay_down             take_first            leave
//!   NDIS ───────────▶ in hand ────────▶ waiting ─────────────▶ in hand ────────▶ ended, or below
//!                     │ cancel: marked    │ cancel: taken out    │ cancel: marked
//! ```
//!
//! A request is in hand while a callback or a taker has it. A cancellation that comes then finds nothing to end, here or
//! below, so it is remembered: a request that was marked does not wait any more, but is aborted, and what was sent down
//! meanwhile is cancelled there.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::irql::Caller;
use crate::mem::{OutOfMemory, PoolBox, Tag};
use crate::rundown::{Rundown, Signal};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::or_mutant;

/// How many requests of one interface can wait in a module: as far as anybody has to look under a lock.
pub const MAX_PENDED: u32 = 64;

/// Room for requests that wait.
///
/// # Invariants
///
/// The number is that of the places that are there; it is at most [`MAX_PENDED`].
pub(crate) struct Room(AtomicU32);

impl Room {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Makes a place for the request of this identifier, known to who takes it as `request`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], or as many wait as can.
    pub(crate) fn try_place<W>(
        &self,
        tag: Tag,
        id: usize,
        request: W,
    ) -> Result<PoolBox<Place<W>>, OutOfMemory> {
        let one_more = |places: u32| places.checked_add(1).filter(|&more| more <= MAX_PENDED);
        // It orders nothing: places are handed on under the lock.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| OutOfMemory)?;
        let place = Place {
            id,
            request,
            following: None,
        };
        let made = PoolBox::try_new(tag, place);
        if made.is_err() {
            self.give_back();
        }
        made
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place for a request that waits.
pub(crate) struct Place<W> {
    id: usize,
    request: W,
    following: Option<PoolBox<Self>>,
}

/// A request in hand.
///
/// # Invariants
///
/// From [`Desk::enter`] or [`Desk::take_first`] to [`Desk::leave`] or [`Desk::lay_down`] it stays in its place, and `entry`
/// is touched under the lock of the desk only, on whose list it is, once.
pub(crate) struct Hand {
    entry: UnsafeCell<Entry>,
}

struct Entry {
    id: usize,
    is_cancelled: bool,
    before: Option<NonNull<Hand>>,
    after: Option<NonNull<Hand>>,
}

impl Hand {
    /// Nothing is in it yet.
    pub(crate) const fn empty() -> Self {
        Self {
            entry: UnsafeCell::new(Entry {
                id: 0,
                is_cancelled: false,
                before: None,
                after: None,
            }),
        }
    }
}

/// Requests of one interface that a module has, behind a lock.
///
/// # Invariants
///
/// `hands` are the first of a list that leads both ways.
pub(crate) struct Desk<W> {
    hands: Option<NonNull<Hand>>,
    /// Those that wait, in the order in which they have come.
    first: Option<PoolBox<Place<W>>>,
}

// SAFETY: what is in hand is touched under the lock only, whoever has entered it; the rest is owned.
unsafe impl<W: Send> Send for Desk<W> {}

impl<W> Desk<W> {
    pub(crate) const fn new() -> Self {
        Self {
            hands: None,
            first: None,
        }
    }

    /// What is said of a request in hand.
    ///
    /// # Safety
    ///
    /// It is on the list, whose lock is held, or the caller has it alone; and no other result of this is in use.
    unsafe fn entry<'a>(hand: NonNull<Hand>) -> &'a mut Entry {
        // SAFETY: by its invariant it is there.
        let hand = unsafe { hand.as_ref() };
        // SAFETY: this function's contract.
        unsafe { &mut *hand.entry.get() }
    }

    /// Takes a request in hand.
    ///
    /// # Safety
    ///
    /// The hand is on no list, and stays in its place until it has left.
    unsafe fn enter(&mut self, hand: &Hand, id: usize) {
        let hand = NonNull::from(hand);
        if let Some(after) = self.hands {
            // SAFETY: it is on the list; `self` is borrowed, so the lock is held.
            unsafe { Self::entry(after) }.before = Some(hand);
        }
        // SAFETY: the caller has it.
        *unsafe { Self::entry(hand) } = Entry {
            id,
            is_cancelled: false,
            before: None,
            after: self.hands,
        };
        // INVARIANT: it leads to what was the first before, and that leads back.
        self.hands = Some(hand);
    }

    /// Lets go of a request in hand, and says whether it was cancelled meanwhile.
    ///
    /// # Safety
    ///
    /// The hand is on the list.
    unsafe fn leave(&mut self, hand: &Hand) -> bool {
        // SAFETY: it is on the list; `self` is borrowed, so the lock is held.
        let entry = unsafe { Self::entry(NonNull::from(hand)) };
        let Entry {
            is_cancelled,
            before,
            after,
            ..
        } = *entry;
        if let Some(after) = after {
            // SAFETY: likewise; it is another one.
            unsafe { Self::entry(after) }.before = before;
        }
        match before {
            // SAFETY: likewise.
            Some(before) => unsafe { Self::entry(before) }.after = after,
            None => self.hands = after,
        }
        is_cancelled
    }

    /// Lets a request that was in hand wait. If it was cancelled meanwhile, the place comes back.
    ///
    /// # Safety
    ///
    /// The hand is on the list.
    unsafe fn lay_down(
        &mut self,
        hand: &Hand,
        place: PoolBox<Place<W>>,
    ) -> Option<PoolBox<Place<W>>> {
        // SAFETY: this function's contract.
        let is_cancelled = unsafe { self.leave(hand) };
        if or_mutant!(is_cancelled, "desk-early", false) {
            return Some(place);
        }
        let mut end = &mut self.first;
        while let Some(before) = end {
            end = &mut before.following;
        }
        *end = Some(place);
        None
    }

    /// Takes the request in hand that has waited longest.
    ///
    /// # Safety
    ///
    /// As for `enter`.
    unsafe fn take_first(&mut self, hand: &Hand) -> Option<PoolBox<Place<W>>> {
        let mut place = self.first.take()?;
        self.first = place.following.take();
        // SAFETY: this function's contract.
        unsafe { self.enter(hand, place.id) };
        Some(place)
    }

    /// Marks what is in hand, and takes out what waits: all with this identifier.
    fn cancel(&mut self, id: usize) -> Option<PoolBox<Place<W>>> {
        let mut at = self.hands;
        while let Some(hand) = at {
            // SAFETY: it is on the list; `self` is borrowed, so the lock is held.
            let entry = unsafe { Self::entry(hand) };
            entry.is_cancelled |= entry.id == id;
            at = entry.after;
        }
        let mut cancelled = None;
        let mut at = &mut self.first;
        while let Some(mut place) = at.take() {
            if place.id == id {
                *at = place.following.take();
                place.following = cancelled.take();
                cancelled = Some(place);
            } else {
                at = &mut at.insert(place).following;
            }
        }
        cancelled
    }
}

/// A desk with its lock.
pub(crate) trait Locked<W> {
    /// Runs `f` with the lock held.
    fn with<C: Caller, R>(&self, irql: &mut C, f: impl FnOnce(&mut Desk<W>) -> R) -> R;

    fn room(&self) -> &Room;
}

/// What a callback, or a taker, has decided about the request in its hand.
pub(crate) enum Next<S, W> {
    /// It ends here.
    End(S),
    /// It goes down.
    Forward,
    /// It waits in the module.
    Wait(PoolBox<Place<W>>),
}

/// What lies behind the desk, for one request in hand.
pub(crate) trait Behind<C> {
    /// What requests end with.
    type Status;

    /// That of a request that was cancelled.
    const ABORTED: Self::Status;

    /// Sends the request down. `None` if it is answered later, or was.
    fn forward(&self, irql: &mut C) -> Option<Self::Status>;

    /// Cancels what was sent down, if it is there yet.
    fn cancel(&self, irql: &mut C);

    /// The request waits, and may be gone.
    fn waits(&self, irql: &mut C);
}

/// A request has come: has `decide` decide about it. `None` if it is not ended, or others do.
///
/// `gate` is the rundown of the module: who ends the request elsewhere may end the module with it, before this has returned.
pub(crate) fn arrive<W, C: Caller, S: Signal, B: Behind<C>>(
    gate: &Rundown<S>,
    desk: &impl Locked<W>,
    id: usize,
    behind: &B,
    irql: &mut C,
    decide: impl FnOnce(&mut C) -> Next<B::Status, W>,
) -> Option<B::Status> {
    if !gate.acquire() {
        return Some(B::ABORTED);
    }
    let hand = Hand::empty();
    // SAFETY: it is new, and `deal` takes it off the list before it returns.
    desk.with(irql, |desk| unsafe { desk.enter(&hand, id) });
    // SAFETY: entered above.
    let ended = match unsafe { deal(desk, &hand, behind, irql, decide) } {
        Dealt::Ended(status) => Some(status),
        Dealt::Waits => {
            // Who takes one and leaves it to wait again knows that, and would be called by its own call.
            behind.waits(irql);
            None
        }
        Dealt::Below => None,
    };
    gate.release();
    ended
}

/// Takes the request in hand that has waited longest; who calls this hands it to [`deal`].
///
/// # Safety
///
/// The hand is on no list. If there is a request, the hand stays in its place until `deal` has returned.
pub(crate) unsafe fn take<W, C: Caller>(
    desk: &impl Locked<W>,
    hand: &Hand,
    irql: &mut C,
) -> Option<W> {
    // SAFETY: this function's contract.
    let place = desk.with(irql, |desk| unsafe { desk.take_first(hand) })?;
    Some(free(desk, place).0)
}

/// What has become of a request in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dealt<S> {
    /// It has ended.
    Ended(S),
    /// It waits in the module, and may be gone.
    Waits,
    /// It is below, and may be gone.
    Below,
}

/// Has `decide` decide about a request in hand, and does that.
///
/// # Safety
///
/// The hand is on the list. The module stays until this returns.
pub(crate) unsafe fn deal<W, C: Caller, B: Behind<C>>(
    desk: &impl Locked<W>,
    hand: &Hand,
    behind: &B,
    irql: &mut C,
    decide: impl FnOnce(&mut C) -> Next<B::Status, W>,
) -> Dealt<B::Status> {
    match decide(irql) {
        Next::End(status) => {
            // SAFETY: this function's contract.
            desk.with(irql, |desk| unsafe { desk.leave(hand) });
            Dealt::Ended(status)
        }
        Next::Forward => {
            let status = behind.forward(irql);
            // SAFETY: this function's contract.
            let is_cancelled = desk.with(irql, |desk| unsafe { desk.leave(hand) });
            // Who has cancelled it may have looked below before it was there.
            if status.is_none() && or_mutant!(is_cancelled, "desk-sent", false) {
                behind.cancel(irql);
            }
            status.map_or(Dealt::Below, Dealt::Ended)
        }
        Next::Wait(place) => {
            // SAFETY: this function's contract.
            let refused = desk.with(irql, |desk| unsafe { desk.lay_down(hand, place) });
            let Some(place) = refused else {
                return Dealt::Waits;
            };
            free(desk, place);
            Dealt::Ended(B::ABORTED)
        }
    }
}

/// Cancels the requests with an identifier: `abort` ends each that waits. `false` if none did.
pub(crate) fn cancel<W, C: Caller>(
    desk: &impl Locked<W>,
    id: usize,
    irql: &mut C,
    mut abort: impl FnMut(W, &mut C),
) -> bool {
    let mut left = desk.with(irql, |desk| desk.cancel(id));
    let has_any = left.is_some();
    while let Some(place) = left {
        let (request, following) = free(desk, place);
        abort(request, irql);
        left = following;
    }
    has_any
}

/// Frees a place that was taken out, and gives what was in it.
fn free<W>(desk: &impl Locked<W>, place: PoolBox<Place<W>>) -> (W, Option<PoolBox<Place<W>>>) {
    let Place {
        request, following, ..
    } = place.into_inner();
    desk.room().give_back();
    (request, following)
}

#[cfg(all(test, not(loom)))]
mod tests;
