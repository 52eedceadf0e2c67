//! A queue of packets that are their own links, and how they wait: the part without raw calls.

use crate::sync::or_mutant;

/// A list of packets (a `NET_BUFFER_LIST`) as the queue sees it.
///
/// The contract of every method: the caller owns the node.
pub(crate) trait Node: Copy {
    /// The node that it is linked to.
    unsafe fn next(self) -> Option<Self>;
    /// Links it to another node, or to none.
    unsafe fn set_next(self, next: Option<Self>);
    /// The word that its owner may use, which [`set_stamp`](Self::set_stamp) has written.
    unsafe fn stamp(self) -> Stamp;
    /// Writes that word.
    unsafe fn set_stamp(self, stamp: Stamp);
    /// The packets of the list.
    unsafe fn packets(self) -> u32;
}

/// Nodes that are linked to one another, in order.
///
/// # Invariants
///
/// `count` nodes are linked from `first` to `last`, which is linked to none; both are `None` if there are none. Who has
/// the list owns them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<N> {
    pub(crate) first: Option<N>,
    last: Option<N>,
    pub(crate) count: u32,
}

impl<N: Node> List<N> {
    pub(crate) const EMPTY: Self = Self {
        first: None,
        last: None,
        count: 0,
    };

    /// Puts a node at the end.
    ///
    /// # Safety
    ///
    /// The caller owns the node, which is linked to none, and the list.
    pub(crate) unsafe fn append(&mut self, node: N) {
        match self.last {
            // SAFETY: this function's contract.
            Some(last) => unsafe { last.set_next(Some(node)) },
            None => self.first = Some(node),
        }
        self.last = Some(node);
        self.count = self.count.wrapping_add(1);
    }

    /// Takes the first node out.
    ///
    /// # Safety
    ///
    /// The caller owns the list.
    unsafe fn pop(&mut self) -> Option<N> {
        let first = self.first?;
        // SAFETY: this function's contract.
        self.first = unsafe { first.next() };
        if self.first.is_none() {
            self.last = None;
        }
        // SAFETY: this function's contract.
        unsafe { first.set_next(None) };
        self.count = self.count.wrapping_sub(1);
        Some(first)
    }
}

/// How a list of packets came, when, and how it waits: all in the one word that a list has for its owner.
///
/// ```text
///   63       62         61..48                        47..16   15..0
///   begins   unjudged   when, in units of 2^19 ns     port     flags
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    const BEGINS: u64 = 1 << 63;
    const UNJUDGED: u64 = 1 << 62;
    const TIME_SHIFT: u32 = 48;
    const TIME_MASK: u64 = 0x3FFF;
    /// Nanoseconds of a unit of time, as a shift: about half a millisecond. They wrap after 8.6 seconds.
    const UNIT_SHIFT: u32 = 19;

    /// For what came now, on `port`, with `flags`, of which the lower 16 bits are kept: NDIS has no others.
    pub(crate) const fn new(port: u32, flags: u32, now_ns: u64) -> Self {
        let time = (now_ns >> Self::UNIT_SHIFT) & Self::TIME_MASK;
        Self(time << Self::TIME_SHIFT | (port as u64) << 16 | (flags & 0xFFFF) as u64)
    }

    pub(crate) const fn port(self) -> u32 {
        (self.0 >> 16) as u32
    }

    pub(crate) const fn flags(self) -> u32 {
        (self.0 & 0xFFFF) as u32
    }

    /// Whether it waits for its turn only, and not for judgement.
    pub(crate) const fn is_unjudged(self) -> bool {
        self.0 & Self::UNJUDGED != 0
    }

    const fn unjudged(self) -> Self {
        Self(self.0 | Self::UNJUDGED)
    }

    /// Whether it is the first list of a batch.
    const fn begins(self) -> bool {
        self.0 & Self::BEGINS != 0
    }

    const fn beginning(self) -> Self {
        Self(self.0 | Self::BEGINS)
    }

    const fn following(self) -> Self {
        Self(self.0 & !Self::BEGINS)
    }

    /// Nanoseconds since it came: never less than there were, and at most two units more. Right up to 8.5 seconds.
    pub(crate) const fn held_ns(self, now_ns: u64) -> u64 {
        let units = (now_ns >> Self::UNIT_SHIFT).wrapping_sub(self.0 >> Self::TIME_SHIFT);
        ((units & Self::TIME_MASK).saturating_add(1)) << Self::UNIT_SHIFT
    }

    /// Whether a list with the stamp `next` behind this one came in the same batch, and waits for the same.
    const fn is_joined_by(self, next: Self) -> bool {
        !next.begins() && self.following().0 == next.0
    }
}

/// How much may wait for judgement, and what becomes of more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLimit {
    /// The most packets that wait for judgement.
    pub packets: u32,
    /// What becomes of those beyond.
    pub overload: Overload,
}

impl HoldLimit {
    /// Everything waits for its turn, and nothing for judgement.
    pub const UNJUDGED: Self = Self {
        packets: 0,
        overload: Overload::Unjudged,
    };
}

/// What becomes of packets that cannot wait for judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// They are not held.
    Refuse,
    /// They are held without judgement: it costs no memory, and they leave in their turn.
    Unjudged,
}

/// Lists that came in one batch, and wait for the same.
#[derive(Debug)]
pub(crate) struct Run<N> {
    pub(crate) list: List<N>,
    pub(crate) stamp: Stamp,
}

/// What became of a batch that was to be held.
#[derive(Debug)]
pub(crate) struct Kept<N> {
    /// What was not held, in order.
    pub(crate) refused: List<N>,
    /// Lists that are held.
    pub(crate) held: u32,
    /// Whether the queue was empty and is not any more.
    pub(crate) is_first: bool,
}

/// The queue of one direction, and the right to release what is in it.
///
/// Who appends needs no right; who takes out has it. So what was appended first is released first, whoever releases it.
///
/// # Invariants
///
/// 1. The queue owns the nodes of `list`, and each has its stamp.
/// 2. `waiting` is the number of packets in it that wait for judgement.
/// 3. `right` is set while somebody has the right, who may have nodes in hand.
#[derive(Debug)]
pub(crate) struct Fifo<N> {
    list: List<N>,
    waiting: u32,
    right: bool,
}

impl<N: Node> Fifo<N> {
    pub(crate) const fn new() -> Self {
        Self {
            list: List::EMPTY,
            waiting: 0,
            right: false,
        }
    }

    /// Whether something is in the queue, or was and may not have been released yet.
    pub(crate) const fn is_busy(&self) -> bool {
        self.right || self.list.first.is_some()
    }

    /// Packets that wait for judgement.
    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// The stamp of what has waited for longest.
    pub(crate) fn oldest(&self) -> Option<Stamp> {
        // SAFETY: invariant 1.
        self.list.first.map(|node| unsafe { node.stamp() })
    }

    /// Appends a batch, as far as `limit` and `can_wait` allow.
    ///
    /// # Safety
    ///
    /// The caller owns the nodes from `first` on, and gives them up but for those that are refused.
    pub(crate) unsafe fn append(
        &mut self,
        first: Option<N>,
        stamp: Stamp,
        limit: HoldLimit,
        can_wait: impl Fn(N) -> bool,
    ) -> Kept<N> {
        let (was_empty, before) = (self.list.first.is_none(), self.list.count);
        let mut refused = List::EMPTY;
        let mut stamp = stamp.beginning();
        let mut at = first;
        while let Some(node) = at {
            // SAFETY: this function's contract.
            at = unsafe { node.next() };
            // SAFETY: likewise.
            unsafe { node.set_next(None) };
            // SAFETY: likewise.
            let waiting = self.waiting.saturating_add(unsafe { node.packets() });
            let how = if !can_wait(node) {
                None
            } else if waiting <= limit.packets {
                self.waiting = waiting;
                Some(stamp)
            } else {
                (limit.overload == Overload::Unjudged).then_some(stamp.unjudged())
            };
            if let Some(how) = how {
                // SAFETY: likewise.
                unsafe { node.set_stamp(how) };
                // INVARIANT: owned, with its stamp, and counted if it waits for judgement.
                // SAFETY: likewise; it is linked to none.
                unsafe { self.list.append(node) };
                stamp = stamp.following();
            } else {
                // SAFETY: likewise.
                unsafe { refused.append(node) };
            }
        }
        Kept {
            refused,
            held: self.list.count.wrapping_sub(before),
            is_first: was_empty && self.list.first.is_some(),
        }
    }

    /// Takes the right to release; `false` if somebody has it.
    pub(crate) fn take_right(&mut self) -> bool {
        let is_taken = core::mem::replace(&mut self.right, true);
        or_mutant!(!is_taken, "fifo-right", true)
    }

    /// Takes the right to release, if the queue is empty and nobody has something of it in hand.
    pub(crate) fn take_idle_right(&mut self) -> bool {
        !self.is_busy() && self.take_right()
    }

    /// Gives the right back; who had it has nothing in hand any more.
    pub(crate) const fn give_right_back(&mut self) {
        self.right = false;
    }

    /// Takes the oldest run out, of at most `most` lists, but at least one. The caller has the right, or nobody can have
    /// it any more.
    pub(crate) fn take(&mut self, most: u32) -> Option<Run<N>> {
        let stamp = self.oldest()?;
        let mut list = List::EMPTY;
        while list.count < most.max(1) {
            let joins = self
                .oldest()
                .is_some_and(|next| list.count == 0 || stamp.is_joined_by(next));
            if !joins {
                break;
            }
            // SAFETY: invariant 1.
            let Some(node) = (unsafe { self.list.pop() }) else {
                break;
            };
            if !stamp.is_unjudged() {
                // SAFETY: the node was the queue's.
                self.waiting = self.waiting.saturating_sub(unsafe { node.packets() });
            }
            // SAFETY: the node was the queue's, and is linked to none.
            unsafe { list.append(node) };
        }
        Some(Run { list, stamp })
    }

    /// Takes out what `choose` wants, wherever it is. The order of what stays is kept, and so are its batches.
    pub(crate) fn remove(&mut self, choose: impl Fn(N) -> bool) -> List<N> {
        let mut removed = List::EMPTY;
        let mut kept = List::EMPTY;
        let mut has_lost_beginning = false;
        // SAFETY: invariant 1.
        while let Some(node) = unsafe { self.list.pop() } {
            // SAFETY: the node was the queue's.
            let stamp = unsafe { node.stamp() };
            if choose(node) {
                has_lost_beginning |= stamp.begins();
                if !stamp.is_unjudged() {
                    // SAFETY: likewise.
                    self.waiting = self.waiting.saturating_sub(unsafe { node.packets() });
                }
                // SAFETY: likewise, and linked to none.
                unsafe { removed.append(node) };
                continue;
            }
            if core::mem::take(&mut has_lost_beginning) {
                // SAFETY: the node was the queue's.
                unsafe { node.set_stamp(stamp.beginning()) };
            }
            // SAFETY: likewise, and linked to none.
            unsafe { kept.append(node) };
        }
        // INVARIANT: what was there and not removed.
        self.list = kept;
        removed
    }
}

#[cfg(test)]
mod tests;
