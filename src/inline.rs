//! Mode `inline`: packets are held until they are judged, and leave in order.
//!
//! ```text
//!   send, receive ──▶ hold ──▶ queue of the direction ──▶ worker: verdict ──▶ forward, or drop
//!                      │ beyond HoldLimit                 timer: after MaxHoldMs, as OnOverload says
//!                      └─▶ OnOverload: drop, or held for its turn only
//! ```
//!
//! What the adapter takes back (low resources, split headers) cannot be held: a copy takes its place.

use inspect::{Direction, Verdict};
use ndis::filter::{Attached, BothWays, HoldPath, OriginatePath, Running};
use ndis::irql::{AtMostDispatch, Caller, Passive};
use ndis::nbl::{
    self, HoldLimit, LowResources, Nbl, NblBatch, Nbls, Overload, OwnPackets, Released, Rx, Turn,
    Tx, Unreadable,
};
use ndis::time;
use ndis::timer::Timer;
use ndis::work::{NextRun, WorkItem};
use wpp::wpp;

use crate::count::{Seen, Wire};
use crate::datapath::{ETHERNET_HEADER_LENGTH, ListFacts, Snapshot};
use crate::message::{Directions, Worker};
use crate::module::Tap;
use crate::tell::{self, Miss, Work};

/// Lists that are judged, or let go, between two looks at the clock.
const LISTS_PER_TURN: u32 = 16;
/// Turns of overdue lists that one expiry of the timer lets go, which bounds its time at `DISPATCH_LEVEL`.
const TURNS_PER_EXPIRY: u32 = 16;
/// Bytes of a frame that are looked at, at most: they hold all headers that the verdict needs.
const LOOK: usize = 512;

/// What judges one direction.
pub(crate) struct Judge {
    pub(crate) worker: WorkItem<Tap>,
    /// Lets go what the worker has not got round to.
    pub(crate) timer: Timer<Tap>,
}

/// One of NDIS's two directions, as `inspect` calls it.
pub(crate) trait Way: nbl::Direction + Sized {
    const DIRECTION: Direction;

    /// Puts copies in the place of what cannot be held, as far as there are any.
    fn make_holdable<'c>(
        this: &Running<'_, Tap>,
        packets: NblBatch<'c, Self>,
        irql: &mut impl Caller,
    ) -> NblBatch<'c, Self>;
}

impl Way for Tx {
    const DIRECTION: Direction = Direction::Send;

    fn make_holdable<'c>(
        _this: &Running<'_, Tap>,
        packets: NblBatch<'c, Self>,
        _irql: &mut impl Caller,
    ) -> NblBatch<'c, Self> {
        packets
    }
}

impl Way for Rx {
    const DIRECTION: Direction = Direction::Receive;

    fn make_holdable<'c>(
        this: &Running<'_, Tap>,
        packets: NblBatch<'c, Self>,
        irql: &mut impl Caller,
    ) -> NblBatch<'c, Self> {
        if !packets.iter().any(|list| list.is_header_split()) {
            return packets;
        }
        let (packets, originals) = this.replace(packets, |list| list.is_header_split(), irql);
        originals.return_(irql);
        packets
    }
}

/// How many packets, and how many of them were not seen before as sends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Group {
    pub(crate) all: u64,
    pub(crate) fresh: u64,
}

impl Group {
    pub(crate) fn of<D: Way>(lists: Nbls<'_, D>) -> Self {
        let mut group = Self::default();
        for list in lists {
            group.add(&list);
        }
        group
    }

    fn add<D: Way>(&mut self, list: &Nbl<'_, D>) {
        let packets = list.packets().count() as u64;
        self.all = self.all.saturating_add(packets);
        if !is_seen_before(list) {
            self.fresh = self.fresh.saturating_add(packets);
        }
    }
}

/// Whether the module has seen the list as a send.
fn is_seen_before<D: Way>(list: &Nbl<'_, D>) -> bool {
    D::DIRECTION == Direction::Receive && list.is_loopback()
}

/// Holds packets for the judge.
pub(crate) fn hold<D: Way>(
    this: &Running<'_, Tap>,
    packets: NblBatch<'_, D>,
    overload: Overload,
    irql: &mut impl Caller,
) {
    this.count_arrival(packets.iter());
    let packets = D::make_holdable(this, packets, irql);
    hold_counted(this, packets, overload, irql);
}

/// Holds packets that have been counted.
fn hold_counted<D: Way>(
    this: &Running<'_, Tap>,
    packets: NblBatch<'_, D>,
    overload: Overload,
    irql: &mut impl Caller,
) {
    let limit = HoldLimit {
        packets: this.settings.hold_limit(),
        overload,
    };
    let hold = this.hold(packets, limit, irql);
    if !hold.refused.is_empty() {
        let (split, beyond) = hold.refused.partition(|list| list.is_header_split());
        this.miss(D::DIRECTION, Miss::Overload, Group::of(beyond.iter()), true);
        beyond.refuse(irql);
        if hold.held > 0 {
            // What is held of the batch has gone before it, or after: nobody can tell.
            this.miss(
                D::DIRECTION,
                Miss::Unholdable,
                Group::of(split.iter()),
                true,
            );
            split.refuse(irql);
        } else if !split.is_empty() {
            let group = Group::of(split.iter());
            pass_at_once::<D, _>(this, group, irql, |irql| split.forward(irql));
        }
    }
    if hold.held > 0 {
        // Both are refused only when the module is detaching, and then no packet comes.
        let _ = this.wish_for(Work::Judge(D::DIRECTION), irql);
        if hold.is_first {
            let _ = this
                .judge(D::DIRECTION)
                .timer
                .set(this.settings.max_hold_ns(), irql);
        }
    }
}

/// Deals with packets that NDIS takes back: copies of them wait for their verdict.
pub(crate) fn pass_lent(
    this: &Running<'_, Tap>,
    packets: LowResources<'_>,
    overload: Overload,
    irql: &mut AtMostDispatch,
) {
    this.count_arrival(packets.iter());
    let mut missed = Group::default();
    let copies = this.copy(&packets, |list| missed.add(list), irql);
    if missed.all > 0 {
        // Without a copy of each they pass as they are, or those without are dropped.
        let whole = Group::of(packets.iter());
        let released = this.while_idle::<Rx, _, _>(irql, |irql| packets.forward(irql));
        if let Some(released) = released {
            this.miss(Direction::Receive, Miss::Unholdable, whole, false);
            copies.return_(irql);
            return see_to_the_rest::<Rx, _>(this, released, irql);
        }
        this.miss(Direction::Receive, Miss::Unholdable, missed, true);
    }
    hold_counted(this, copies, overload, irql);
}

/// Runs `forward` if nothing is held that it would overtake. If something is, the packets are dropped with it.
fn pass_at_once<D: Way, C: Caller>(
    this: &Running<'_, Tap>,
    group: Group,
    irql: &mut C,
    forward: impl FnOnce(&mut C),
) {
    let released = this.while_idle::<D, _, _>(irql, forward);
    this.miss(D::DIRECTION, Miss::Unholdable, group, released.is_none());
    if let Some(released) = released {
        see_to_the_rest::<D, _>(this, released, irql);
    }
}

/// What came while something passed at once waits for its judge, who may have been refused the right.
fn see_to_the_rest<D: Way, R>(
    this: &Running<'_, Tap>,
    released: Released<R>,
    irql: &mut impl Caller,
) {
    if released.oldest_ns.is_some() {
        let _ = this.wish_for(Work::Judge(D::DIRECTION), irql);
    }
}

/// The worker: judges what is held until nothing is, or the time is spent.
pub(crate) fn judge<D: Way>(this: &Attached<'_, Tap>, irql: &mut Passive) -> NextRun {
    let work = Work::Judge(D::DIRECTION);
    let started_ns = time::now_ns();
    this.tell_started(work);
    let mut taken: u64 = 0;
    let released = this.while_running(irql, |running, irql| {
        running.release::<D, _, _>(irql, |release, irql| {
            while let Some(turn) = release.next(LISTS_PER_TURN, irql) {
                taken = taken.saturating_add(this.take_turn(turn, irql));
                if time::now_ns().saturating_sub(started_ns) >= this.settings.worker_budget_ns() {
                    break;
                }
            }
        })
    });
    this.counters.max_batch.raise_to(taken);
    let next = match released.flatten() {
        Some(released) if released.oldest_ns.is_some() => NextRun::Again,
        // Who has the right now wishes for a run if something is left; pause gives up what is held when not running.
        Some(_) | None => NextRun::WhenQueued,
    };
    this.tell_stopped(work, taken, started_ns, next);
    tell::once_in_a_while(this);
    wpp!(
        Verbose,
        Worker,
        "{FUNC}: adapter {if_index:u32}, {direction:Directions}, {packets:u64} packets",
        this.if_index,
        D::DIRECTION,
        taken
    );
    next
}

/// The timer: lets go what has been held for too long.
pub(crate) fn expire<D: Way>(this: &Attached<'_, Tap>, irql: &mut AtMostDispatch) {
    let max_hold_ns = this.settings.max_hold_ns();
    let released = this.while_running(irql, |running, irql| {
        running.release::<D, _, _>(irql, |release, irql| {
            for _ in 0..TURNS_PER_EXPIRY {
                let Some(turn) = release.next_older(max_hold_ns, LISTS_PER_TURN, irql) else {
                    break;
                };
                let _ = this.take_turn(turn, irql);
            }
        })
    });
    let Some(released) = released else {
        return;
    };
    let next_ns = match released {
        // The worker has the right, and looks at the age of what it takes.
        None => max_hold_ns,
        Some(released) => {
            let Some(oldest_ns) = released.oldest_ns else {
                return;
            };
            let _ = this.wish_for(Work::Judge(D::DIRECTION), irql);
            max_hold_ns.saturating_sub(oldest_ns)
        }
    };
    let _ = this.judge(D::DIRECTION).timer.set(next_ns, irql);
}

impl Tap {
    pub(crate) const fn judge(&self, direction: Direction) -> &Judge {
        match direction {
            Direction::Send => &self.send_judge,
            Direction::Receive => &self.receive_judge,
        }
    }

    /// Counts packets that are to be held.
    fn count_arrival<D: Way>(&self, lists: Nbls<'_, D>) {
        let mut seen = Seen::default();
        for list in lists {
            let facts = ListFacts::of(&list);
            let is_seen_before = is_seen_before(&list);
            for packet in list.packets() {
                seen.add_packet(Wire::of(packet.len(), facts.tag), facts.segmentation);
                seen.loopback = seen.loopback.saturating_add(u64::from(is_seen_before));
            }
        }
        self.counters.direction(D::DIRECTION).add_seen(&seen);
    }

    /// Lets packets go whose turn it is: judged, or as `OnOverload` says if it is too late for that. Gives their number.
    fn take_turn<D: Way>(&self, turn: Turn<'_, D>, irql: &mut impl Caller) -> u64 {
        let counters = self.counters.direction(D::DIRECTION);
        counters.longest_hold_ns.raise_to(turn.held_ns);
        let group = Group::of(turn.packets.iter());
        if turn.is_unjudged {
            self.miss(D::DIRECTION, Miss::Overload, group, false);
            turn.packets.forward(irql);
        } else if turn.held_ns >= self.settings.max_hold_ns() {
            let drops = self.settings.overload() == Overload::Refuse;
            self.miss(D::DIRECTION, Miss::Late, group, drops);
            if drops {
                turn.packets.refuse(irql);
            } else {
                turn.packets.forward(irql);
            }
        } else {
            let (blocked, passed) = turn
                .packets
                .partition(|list| self.verdict(list, irql) == Verdict::Block);
            passed.forward(irql);
            counters.blocked.add(Group::of(blocked.iter()).all);
            blocked.refuse(irql);
        }
        group.all
    }

    /// Inspects the packets of a list. What cannot be read, or was judged as a send, passes.
    fn verdict<D: Way>(&self, list: &Nbl<'_, D>, irql: &mut impl Caller) -> Verdict {
        if is_seen_before(list) {
            return Verdict::Pass;
        }
        let facts = ListFacts::of(list);
        let counters = self.counters.direction(D::DIRECTION);
        let mut verdict = Verdict::Pass;
        for packet in list.packets() {
            let mut room = [0; LOOK];
            let look = room.len().min(self.snapshot_length as usize);
            let read = if packet.len() < ETHERNET_HEADER_LENGTH {
                Err(Unreadable::TooShort)
            } else {
                packet.copy_to(0, room.get_mut(..look).unwrap_or_default())
            };
            let filled = match read {
                Ok(filled) => filled,
                Err(why) => {
                    counters.add_unreadable(why);
                    self.tell_unreadable(D::DIRECTION, why, 1);
                    continue;
                }
            };
            let snapshot = Snapshot {
                direction: D::DIRECTION,
                seen_ns: time::now_ns(),
                length: packet.len(),
                tag: facts.tag,
                segmentation: facts.segmentation,
            };
            let facts = self.inspect(&snapshot, room.get(..filled).unwrap_or_default(), irql);
            let judged = self.settings.verdict(&facts, irql);
            self.tell_verdict(D::DIRECTION, &facts, judged);
            if judged == Verdict::Block {
                verdict = Verdict::Block;
            }
        }
        verdict
    }
}

/// Copies that can be on the way, and the longest frame that one has room for: 128 KiB for an adapter.
const COPIES: OwnPackets = OwnPackets {
    packets: 64,
    bytes: 2048,
    clones: 0,
};

/// Received packets that cannot be held are copied.
impl OriginatePath for Tap {
    fn own_packets(_this: &Attached<'_, Self>, _irql: &mut Passive) -> BothWays<OwnPackets> {
        BothWays {
            send: OwnPackets::default(),
            // In mode `tap` too: the mode can change while packets pass.
            receive: COPIES,
        }
    }
}

impl HoldPath for Tap {
    fn sends_drained(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        this.miss(Direction::Send, Miss::Paused, Group::of(packets), true);
    }

    fn receives_drained(this: &Attached<'_, Self>, packets: Nbls<'_, Rx>) {
        this.miss(Direction::Receive, Miss::Paused, Group::of(packets), true);
    }

    fn sends_cancelled(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        this.miss(Direction::Send, Miss::Cancelled, Group::of(packets), true);
    }
}
