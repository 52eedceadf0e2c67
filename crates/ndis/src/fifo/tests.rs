extern crate std;

use std::boxed::Box;
use std::cell::Cell;
use std::vec;
use std::vec::Vec;

use super::*;

/// A list of packets that leaks its memory.
#[derive(Debug)]
struct Packets {
    name: u32,
    packets: u32,
    next: Cell<Option<Nbl>>,
    stamp: Cell<u64>,
}

type Nbl = &'static Packets;

impl Node for Nbl {
    unsafe fn next(self) -> Option<Self> {
        self.next.get()
    }

    unsafe fn set_next(self, next: Option<Self>) {
        self.next.set(next);
    }

    unsafe fn stamp(self) -> Stamp {
        Stamp(self.stamp.get())
    }

    unsafe fn set_stamp(self, stamp: Stamp) {
        self.stamp.set(stamp.0);
    }

    unsafe fn packets(self) -> u32 {
        self.packets
    }
}

const MS: u64 = 1_000_000;
const ROOMY: HoldLimit = HoldLimit {
    packets: 100,
    overload: Overload::Refuse,
};

/// A chain of lists of so many packets, with names from `first` on.
fn chain(first: u32, packets: &[u32]) -> Option<Nbl> {
    let names = first..;
    let lists: Vec<_> = names.zip(packets.iter().copied()).collect();
    lists.into_iter().rev().fold(None, |next, (name, packets)| {
        Some(Box::leak(Box::new(Packets {
            name,
            packets,
            next: Cell::new(next),
            stamp: Cell::new(u64::MAX),
        })))
    })
}

fn names(list: &List<Nbl>) -> Vec<u32> {
    let names: Vec<_> = core::iter::successors(list.first, |nbl| nbl.next.get())
        .map(|nbl| nbl.name)
        .collect();
    assert_eq!(names.len(), list.count as usize);
    names
}

/// Appends, and gives the names of what was refused.
fn append(fifo: &mut Fifo<Nbl>, nbls: Option<Nbl>, stamp: Stamp, limit: HoldLimit) -> Vec<u32> {
    // SAFETY: the nodes are made for it.
    names(&unsafe { fifo.append(nbls, stamp, limit, |_| true) }.refused)
}

fn take_all(fifo: &mut Fifo<Nbl>, most: u32) -> Vec<Vec<u32>> {
    core::iter::from_fn(|| fifo.take(most))
        .map(|run| names(&run.list))
        .collect()
}

#[test]
fn order_is_kept_and_batches_stay_apart() {
    let mut fifo = Fifo::new();
    let stamp = Stamp::new(0, 0, 0);
    assert!(append(&mut fifo, chain(1, &[1, 1]), stamp, ROOMY).is_empty());
    assert!(append(&mut fifo, chain(3, &[1, 2, 1]), stamp, ROOMY).is_empty());
    assert_eq!(fifo.waiting(), 6);
    assert_eq!(take_all(&mut fifo, 2), [vec![1, 2], vec![3, 4], vec![5]]);
    assert_eq!(fifo.waiting(), 0);
    assert!(!fifo.is_busy());
}

#[test]
fn ports_and_flags_come_back() {
    let mut fifo = Fifo::new();
    append(&mut fifo, chain(1, &[1]), Stamp::new(7, 0x502, 0), ROOMY);
    append(
        &mut fifo,
        chain(2, &[1]),
        Stamp::new(u32::MAX, 1, u64::MAX),
        ROOMY,
    );
    for (port, flags) in [(7, 0x502), (u32::MAX, 1)] {
        let stamp = fifo.take(9).unwrap().stamp;
        assert_eq!((stamp.port(), stamp.flags()), (port, flags));
        assert!(!stamp.is_unjudged());
    }
}

#[test]
fn limit_bounds_what_waits_for_judgement() {
    for overload in [Overload::Refuse, Overload::Unjudged] {
        let mut fifo = Fifo::new();
        let limit = HoldLimit {
            packets: 4,
            overload,
        };
        let stamp = Stamp::new(0, 0, 0);
        let refused = append(&mut fifo, chain(1, &[2, 3, 2, 1]), stamp, limit);
        assert_eq!(fifo.waiting(), 4);
        let runs: Vec<_> = core::iter::from_fn(|| fifo.take(9))
            .map(|run| (names(&run.list), run.stamp.is_unjudged()))
            .collect();
        let (judged, unjudged) = (false, true);
        match overload {
            Overload::Refuse => {
                assert_eq!(refused, [2, 4]);
                assert_eq!(runs, [(vec![1, 3], judged)]);
            }
            Overload::Unjudged => {
                assert!(refused.is_empty());
                assert_eq!(
                    runs,
                    [
                        (vec![1], judged),
                        (vec![2], unjudged),
                        (vec![3], judged),
                        (vec![4], unjudged)
                    ]
                );
            }
        }
        assert_eq!(fifo.waiting(), 0);
    }
}

#[test]
fn what_cannot_wait_is_refused_under_any_limit() {
    let mut fifo = Fifo::new();
    let stamp = Stamp::new(0, 0, 0);
    let can_wait = |nbl: Nbl| nbl.name == 2;
    // SAFETY: the nodes are made for it.
    let kept = unsafe { fifo.append(chain(1, &[1, 1]), stamp, HoldLimit::UNJUDGED, can_wait) };
    assert!(kept.is_first);
    assert_eq!(names(&kept.refused), [1]);
    assert_eq!(take_all(&mut fifo, 9), [vec![2]]);
}

#[test]
fn one_has_the_right_and_an_idle_queue_is_passed_by() {
    let mut fifo = Fifo::<Nbl>::new();
    assert!(fifo.take_idle_right());
    assert!(!fifo.take_right());
    fifo.give_right_back();
    append(&mut fifo, chain(1, &[1]), Stamp::new(0, 0, 0), ROOMY);
    assert!(!fifo.take_idle_right());
    assert!(fifo.take_right());
    assert!(fifo.take(1).is_some());
    // It is in hand yet.
    assert!(!fifo.take_idle_right());
    fifo.give_right_back();
    assert!(fifo.take_idle_right());
}

#[test]
fn removal_joins_no_batches_and_counts() {
    let mut fifo = Fifo::new();
    let stamp = Stamp::new(0, 0, 0);
    append(&mut fifo, chain(1, &[1, 1]), stamp, ROOMY);
    append(&mut fifo, chain(3, &[2, 1, 1]), stamp, ROOMY);
    assert_eq!(names(&fifo.remove(|nbl| nbl.name == 3)), [3]);
    assert_eq!(fifo.waiting(), 4);
    assert_eq!(take_all(&mut fifo, 9), [vec![1, 2], vec![4, 5]]);
}

#[test]
fn age_is_never_less_than_it_is() {
    for since_ns in [0, 1, 3 * MS, 5_000 * MS, u64::MAX / 2] {
        for held_ns in [0, 1, MS, 50 * MS, 8_000 * MS] {
            let measured = Stamp::new(1, 2, since_ns).held_ns(since_ns + held_ns);
            assert!(measured >= held_ns, "{since_ns} {held_ns} {measured}");
            assert!(measured <= held_ns + (2 << 19), "{since_ns} {held_ns}");
        }
    }
}
