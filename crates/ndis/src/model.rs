//! Models for loom: every interleaving of a few threads, and every value that weak memory lets them see.
//!
//! `cargo xtask models` runs them. Memory that code under test hands from one thread to another stands as a
//! `loom::cell::UnsafeCell`, which finds accesses that nothing orders.

extern crate std;

mod desk;
mod generation;

use core::ops::ControlFlow;
use std::boxed::Box;
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::fifo::{Fifo, HoldLimit, Node, Overload, Stamp};
use crate::irql::Passive;
use crate::mem::Tag;
use crate::ring::{NotWritten, SnapshotRing};
use crate::rundown::{Rundown, Signal};
use crate::work::{self, After, Queued, State, Tried, Wish};

const TAG: Tag = Tag::new(*b"Test");

/// Whether the mutant of this name is tried: `cargo xtask models --mutants` names it.
pub(crate) fn is_mutant(name: &str) -> bool {
    static TRIED: std::sync::OnceLock<Option<std::string::String>> = std::sync::OnceLock::new();
    let tried = TRIED.get_or_init(|| std::env::var("NDIS_MUTANT").ok());
    tried.as_deref() == Some(name)
}

/// A token for a host thread, which has no IRQL at all.
fn passive() -> Passive {
    // SAFETY: nothing in these models depends on the IRQL.
    unsafe { Passive::assume() }
}

/// What one processor writes and another reads, with nothing but the code under test to order them.
struct Handed(UnsafeCell<u32>);

// SAFETY: loom finds accesses that are not ordered.
unsafe impl Sync for Handed {}
// SAFETY: as above.
unsafe impl Send for Handed {}

impl Handed {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn set(&self, value: u32) {
        // SAFETY: loom finds accesses that are not ordered.
        self.0.with_mut(|place| unsafe { *place = value });
    }

    fn value(&self) -> u32 {
        // SAFETY: loom finds accesses that are not ordered.
        self.0.with(|place| unsafe { *place })
    }
}

struct Item {
    state: State,
    is_queued: AtomicBool,
    is_running: AtomicBool,
    written: AtomicU32,
    /// What the last run saw of `written`; runs follow one another.
    seen: Handed,
}

impl Item {
    fn run(&self) {
        loop {
            self.is_queued.store(false, Ordering::Relaxed);
            self.state.start();
            let running = self.is_running.swap(true, Ordering::Relaxed);
            assert!(!running, "two runs");
            self.seen.set(self.written.load(Ordering::Relaxed));
            self.is_running.store(false, Ordering::Relaxed);
            if self.state.finish(false) != (After::Requeue { wake: false }) {
                return;
            }
            let queued = self.is_queued.swap(true, Ordering::Relaxed);
            assert!(!queued, "queued twice");
        }
    }
}

/// As `WorkItem::queue`: the run is a thread of the system's.
fn wish(item: &Arc<Item>) -> Option<thread::JoinHandle<()>> {
    item.written.fetch_add(1, Ordering::Relaxed);
    (item.state.wish() == Wish::Queue).then(|| {
        let queued = item.is_queued.swap(true, Ordering::Relaxed);
        assert!(!queued, "queued twice");
        let item = Arc::clone(item);
        thread::spawn(move || item.run())
    })
}

#[test]
fn work_item_runs_once_at_a_time_and_after_every_wish() {
    loom::model(|| {
        let item = Arc::new(Item {
            state: State::idle(),
            is_queued: AtomicBool::new(false),
            is_running: AtomicBool::new(false),
            written: AtomicU32::new(0),
            seen: Handed::new(),
        });
        let other = {
            let item = Arc::clone(&item);
            thread::spawn(move || wish(&item))
        };
        let mine = wish(&item);
        let others = other.join().expect("no assertion failed");
        for run in [mine, others].into_iter().flatten() {
            run.join().expect("no assertion failed");
        }
        assert_eq!(item.seen.value(), 2, "a wish was lost");
        assert!(!item.state.watch(), "it rests");
    });
}

#[derive(Default)]
struct Flag(Mutex<bool>, Condvar);

impl Signal for Flag {
    fn set(&self) {
        *self.0.lock().expect("lock") = true;
        self.1.notify_all();
    }

    fn reset(&self) {
        *self.0.lock().expect("lock") = false;
    }

    fn wait(&self, _irql: &mut Passive) {
        let mut set = self.0.lock().expect("lock");
        while !*set {
            set = self.1.wait(set).expect("lock");
        }
    }
}

#[test]
fn after_a_rundown_nobody_is_inside_and_nobody_comes() {
    loom::model(|| {
        let rundown = Arc::new(Rundown::closed(Flag::default()));
        let inside = Arc::new([Handed::new(), Handed::new()]);
        rundown.open();
        let visitors: Vec<_> = (0..2)
            .map(|visitor: usize| {
                let (rundown, inside) = (Arc::clone(&rundown), Arc::clone(&inside));
                thread::spawn(move || {
                    if rundown.acquire() {
                        inside[visitor].set(1);
                        rundown.release();
                    }
                })
            })
            .collect();
        rundown.close(&mut passive());
        // What visitors did is over, and can be seen: else these accesses would race.
        let _ = inside.iter().map(Handed::value).sum::<u32>();
        inside.iter().for_each(|place| place.set(2));
        assert!(!rundown.acquire(), "closed");
        for visitor in visitors {
            visitor.join().expect("no assertion failed");
        }
        assert!(inside.iter().all(|place| place.value() == 2), "came late");
    });
}

/// A work item with its gate, as both families have it.
struct Gated {
    state: State,
    gate: Rundown<Flag>,
    quiet: Flag,
    is_queued: AtomicBool,
    written: AtomicU32,
    /// What the last run saw of `written`; runs follow one another.
    seen: Handed,
}

impl Gated {
    fn new() -> Self {
        Self {
            state: State::idle(),
            gate: Rundown::closed(Flag::default()),
            quiet: Flag::default(),
            is_queued: AtomicBool::new(false),
            written: AtomicU32::new(0),
            seen: Handed::new(),
        }
    }
}

/// Gives the item to the system, whose thread runs it.
fn enqueue(item: &Arc<Gated>) {
    let queued = item.is_queued.swap(true, Ordering::Relaxed);
    assert!(!queued, "queued twice");
    let item = Arc::clone(item);
    thread::spawn(move || {
        item.is_queued.store(false, Ordering::Relaxed);
        let routine = || {
            item.seen.set(item.written.load(Ordering::Relaxed));
            false
        };
        work::run(&item.state, &item.gate, &item.quiet, routine, || {
            enqueue(&item);
        });
    });
}

/// One wishes, another asks for an idle thread, and there is none; then the owner goes.
#[test]
fn refused_item_runs_for_a_wish_that_came_meanwhile_and_the_gate_waits_for_it() {
    // Without a bound it takes minutes; its mutants are found with two.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(5);
    model.check(|| {
        let item = Arc::new(Gated::new());
        item.gate.open();
        let other = {
            let item = Arc::clone(&item);
            thread::spawn(move || {
                item.written.store(1, Ordering::Relaxed);
                work::wish(&item.state, &item.gate, || enqueue(&item))
            })
        };
        let no_thread_is_idle = || false;
        let tried = work::try_wish(
            &item.state,
            &item.gate,
            &item.quiet,
            no_thread_is_idle,
            || enqueue(&item),
        );
        assert!(tried.is_ok(), "the gate is open");
        let wished = other.join().expect("no assertion failed");
        // Either gives the item to the system for the wish, and not both.
        assert!(
            matches!(
                (wished, tried),
                (Ok(Queued::Coalesced), Ok(Tried::Queued(Queued::First)))
                    | (
                        Ok(Queued::First),
                        Ok(Tried::NotQueued | Tried::Queued(Queued::Coalesced))
                    )
            ),
            "{wished:?}, {tried:?}"
        );
        item.gate.close(&mut passive());
        // Runs are over, and what they did can be seen: else this access would race.
        assert_eq!(item.seen.value(), 1, "the wish was lost");
        assert!(!item.state.watch(), "it rests");
    });
}

/// Two ask for an idle thread, which the system has for every other offer, while the owner pauses; then it goes.
#[test]
fn offered_item_runs_if_it_is_taken_or_wanted_and_the_pause_waits_for_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let item = Arc::new(Gated::new());
        item.gate.open();
        let offers = Arc::new(AtomicU32::new(0));
        let offer = |item: &Arc<Gated>, offers: &AtomicU32| {
            item.written.fetch_add(1, Ordering::Relaxed);
            let take = || {
                let is_taken = offers.fetch_add(1, Ordering::Relaxed) == 1;
                if is_taken {
                    enqueue(item);
                }
                is_taken
            };
            work::try_wish(&item.state, &item.gate, &item.quiet, take, || enqueue(item))
        };
        let other = {
            let (item, offers) = (Arc::clone(&item), Arc::clone(&offers));
            thread::spawn(move || offer(&item, &offers))
        };
        let mine = offer(&item, &offers);
        // Whoever offers meanwhile is waited for, and whoever is refused keeps nobody.
        if item.state.watch() {
            item.quiet.wait(&mut passive());
        }
        let others = other.join().expect("no assertion failed");
        item.gate.close(&mut passive());
        assert!(!item.state.watch(), "it rests");
        match (mine, others) {
            (Ok(Tried::NotQueued), Ok(Tried::NotQueued)) => panic!("the second offer is taken"),
            (Ok(_), Ok(_)) => assert!(item.seen.value() > 0, "no run"),
            refused => panic!("the gate was open: {refused:?}"),
        }
    });
}

#[test]
fn routine_that_wants_to_run_again_keeps_a_pause_for_one_run() {
    keep(|item, begin| {
        if item.state.watch() {
            begin();
            item.quiet.wait(&mut passive());
        }
    });
}

#[test]
fn routine_that_wants_to_run_again_keeps_a_detach_for_one_run() {
    keep(|item, begin| item.gate.close_and(&mut passive(), |_| begin()));
}

/// A routine that always wants to run again, and its owner, who waits for its end: `wait` says when that has begun. It ends
/// by itself so that the model does.
fn keep(wait: impl Fn(&Gated, &dyn Fn()) + Send + Sync + 'static) {
    const MOST_RUNS: u32 = 4;
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let item = Arc::new(Gated::new());
        item.gate.open();
        let waits = Arc::new(AtomicBool::new(false));
        // Runs that began after the owner has begun to wait.
        let late = Arc::new(AtomicU32::new(0));
        let queued = work::wish(&item.state, &item.gate, || {
            let item = Arc::clone(&item);
            let (waits, late) = (Arc::clone(&waits), Arc::clone(&late));
            thread::spawn(move || {
                let mut is_queued = true;
                for run in 1..=MOST_RUNS {
                    if !core::mem::take(&mut is_queued) {
                        break;
                    }
                    let is_late = waits.load(Ordering::Relaxed);
                    late.fetch_add(u32::from(is_late), Ordering::Relaxed);
                    let routine = || run < MOST_RUNS;
                    work::run(&item.state, &item.gate, &item.quiet, routine, || {
                        is_queued = true;
                    });
                }
            });
        });
        assert_eq!(queued, Ok(Queued::First));
        wait(&item, &|| waits.store(true, Ordering::Relaxed));
        let late = late.load(Ordering::Relaxed);
        assert!(late <= 1, "it keeps its owner: {late}");
    });
}

/// A ring of two entries. Each entry's bytes stand as one `Handed`, found by their address.
struct Ring {
    ring: SnapshotRing<u32>,
    bytes: [Handed; 2],
}

impl Ring {
    fn new() -> Self {
        Self {
            ring: SnapshotRing::try_new(TAG, 2, 1).expect("memory"),
            bytes: [Handed::new(), Handed::new()],
        }
    }

    fn bytes(&self, at: *const u8) -> &Handed {
        &self.bytes[at.addr() & 1]
    }

    fn write(&self, value: u32) -> bool {
        let written = self.ring.write(|room| {
            self.bytes(room.as_ptr()).set(value);
            Ok::<_, ()>((value, 1))
        });
        assert_ne!(written, Err(NotWritten::Refused(())));
        written.is_ok()
    }

    fn drain(&self) -> Vec<u32> {
        let mut taken = Vec::new();
        let _ = self.ring.drain(|&value, bytes| {
            assert_eq!(self.bytes(bytes.as_ptr()).value(), value, "torn");
            taken.push(value);
            ControlFlow::Continue(())
        });
        taken
    }
}

#[test]
fn ring_hands_over_what_two_writers_write() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        let other = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || assert!(ring.write(1), "room for two"))
        };
        let reader = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.drain())
        };
        assert!(ring.write(2), "room for two");
        other.join().expect("no assertion failed");
        let mut taken = reader.join().expect("no assertion failed");
        taken.extend(ring.drain());
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn ring_reuses_an_entry_after_it_was_read_and_not_before() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        let reader = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.drain())
        };
        let written: Vec<u32> = (1..=4).filter(|&value| ring.write(value)).collect();
        let mut taken = reader.join().expect("no assertion failed");
        taken.extend(ring.drain());
        assert_eq!(taken, written, "in order, each once");
    });
}

/// A list of one packet.
struct Packet {
    name: u32,
    next: core::cell::Cell<Option<Nbl>>,
    stamp: core::cell::Cell<u64>,
}

#[derive(Clone, Copy)]
struct Nbl(&'static Packet);

// SAFETY: the queue's lock, or the right to release, orders what happens to a packet.
unsafe impl Send for Nbl {}

impl Node for Nbl {
    unsafe fn next(self) -> Option<Self> {
        self.0.next.get()
    }

    unsafe fn set_next(self, next: Option<Self>) {
        self.0.next.set(next);
    }

    unsafe fn stamp(self) -> Stamp {
        Stamp(self.0.stamp.get())
    }

    unsafe fn set_stamp(self, stamp: Stamp) {
        self.0.stamp.set(stamp.0);
    }

    unsafe fn packets(self) -> u32 {
        1
    }
}

fn packet(name: u32) -> Nbl {
    Nbl(Box::leak(Box::new(Packet {
        name,
        next: core::cell::Cell::new(None),
        stamp: core::cell::Cell::new(0),
    })))
}

/// A queue, and where its packets go, which no lock protects: only who has the right touches it.
struct Path {
    fifo: Mutex<Fifo<Nbl>>,
    out: UnsafeCell<Vec<u32>>,
}

// SAFETY: loom finds accesses that are not ordered.
unsafe impl Sync for Path {}
// SAFETY: as above.
unsafe impl Send for Path {}

impl Path {
    fn append(&self, name: u32) {
        let limit = HoldLimit {
            packets: 8,
            overload: Overload::Refuse,
        };
        let mut fifo = self.fifo.lock().expect("lock");
        // SAFETY: the packet is made for it.
        let kept = unsafe { fifo.append(Some(packet(name)), Stamp::new(0, 0, 0), limit, |_| true) };
        assert_eq!(kept.held, 1);
    }

    /// As `Running::release`, and again as long as something is left.
    fn release(&self) {
        loop {
            if !self.fifo.lock().expect("lock").take_right() {
                // Who has it sees to the rest.
                return;
            }
            loop {
                let run = self.fifo.lock().expect("lock").take(1);
                let Some(run) = run else { break };
                let name = run.list.first.expect("a packet").0.name;
                // SAFETY: loom finds accesses that are not ordered.
                self.out.with_mut(|out| unsafe { (*out).push(name) });
            }
            let mut fifo = self.fifo.lock().expect("lock");
            fifo.give_right_back();
            if fifo.oldest().is_none() {
                return;
            }
        }
    }
}

#[test]
fn queue_lets_packets_go_in_order_whoever_releases_them() {
    loom::model(|| {
        let path = Arc::new(Path {
            fifo: Mutex::new(Fifo::new()),
            out: UnsafeCell::new(Vec::new()),
        });
        path.append(1);
        let other = {
            let path = Arc::clone(&path);
            thread::spawn(move || path.release())
        };
        path.append(2);
        path.release();
        other.join().expect("no assertion failed");
        // SAFETY: loom finds accesses that are not ordered.
        path.out.with(|out| assert_eq!(unsafe { &*out }, &[1, 2]));
        assert!(!path.fifo.lock().expect("lock").is_busy(), "all are gone");
    });
}
