//! A desk without other threads.

extern crate std;

use core::cell::RefCell;
use std::sync::Mutex;
use std::vec::Vec;

use super::*;
use crate::irql::Passive;
use crate::rundown::tests::{Flag, passive};

const TAG: Tag = Tag::new(*b"Test");

struct Module {
    gate: Rundown<Flag>,
    desk: Mutex<Desk<u32>>,
    room: Room,
}

impl Module {
    fn new() -> Self {
        let module = Self {
            gate: Rundown::closed(Flag::default()),
            desk: Mutex::new(Desk::new()),
            room: Room::new(),
        };
        module.gate.open();
        module
    }

    fn arrive(&self, id: usize, request: u32) -> Option<&'static str> {
        self.arrive_and(id, || Next::Wait(self.place(id, request)))
    }

    fn arrive_and(
        &self,
        id: usize,
        decide: impl FnOnce() -> Next<&'static str, u32>,
    ) -> Option<&'static str> {
        let (behind, irql) = (Nothing::default(), &mut passive());
        arrive(&self.gate, self, id, &behind, irql, |_| decide())
    }

    fn place(&self, id: usize, request: u32) -> PoolBox<Place<u32>> {
        self.room.try_place(TAG, id, request).expect("memory")
    }

    fn take(&self) -> Option<u32> {
        let hand = Hand::empty();
        // SAFETY: it is new, and stays until this returns.
        let taken = unsafe { take(self, &hand, &mut passive()) }?;
        let behind = Nothing::default();
        // SAFETY: entered above.
        unsafe { deal(self, &hand, &behind, &mut passive(), |_| Next::End("taken")) };
        Some(taken)
    }

    fn cancel(&self, id: usize) -> Vec<u32> {
        let mut aborted = Vec::new();
        let has_any = cancel(self, id, &mut passive(), |request, _| aborted.push(request));
        assert_eq!(has_any, !aborted.is_empty());
        aborted.sort_unstable();
        aborted
    }
}

impl Locked<u32> for Module {
    fn with<C: Caller, R>(&self, _irql: &mut C, f: impl FnOnce(&mut Desk<u32>) -> R) -> R {
        f(&mut self.desk.lock().expect("lock"))
    }

    fn room(&self) -> &Room {
        &self.room
    }
}

/// What is behind notes what it is asked for.
#[derive(Default)]
struct Nothing(RefCell<Vec<&'static str>>);

impl Behind<Passive> for Nothing {
    type Status = &'static str;

    const ABORTED: &'static str = "aborted";

    fn forward(&self, _irql: &mut Passive) -> Option<&'static str> {
        self.0.borrow_mut().push("forward");
        None
    }

    fn cancel(&self, _irql: &mut Passive) {
        self.0.borrow_mut().push("cancel");
    }

    fn waits(&self, _irql: &mut Passive) {
        self.0.borrow_mut().push("waits");
    }
}

#[test]
fn requests_are_taken_in_the_order_in_which_they_came() {
    let module = Module::new();
    for request in 1..=3 {
        assert_eq!(module.arrive(request as usize, request), None);
    }
    let taken: Vec<_> = core::iter::from_fn(|| module.take()).collect();
    assert_eq!(taken, [1, 2, 3]);
}

#[test]
fn cancellation_ends_all_that_wait_with_its_identifier_and_no_other() {
    let module = Module::new();
    for (id, request) in [(5, 1), (6, 2), (5, 3), (7, 4), (5, 5)] {
        assert_eq!(module.arrive(id, request), None);
    }
    assert_eq!(module.cancel(5), [1, 3, 5]);
    assert_eq!(module.cancel(5), []);
    assert_eq!(module.arrive(8, 6), None);
    let taken: Vec<_> = core::iter::from_fn(|| module.take()).collect();
    assert_eq!(taken, [2, 4, 6]);
}

#[test]
fn cancellation_of_what_is_in_hand_is_remembered() {
    let module = Module::new();
    let early = |id| {
        module.arrive_and(5, || {
            assert_eq!(module.cancel(id), []);
            Next::Wait(module.place(5, 1))
        })
    };
    assert_eq!(early(5), Some("aborted"));
    assert_eq!(module.take(), None);
    assert_eq!(early(6), None);
    assert_eq!(module.take(), Some(1));
}

#[test]
fn cancellation_follows_what_is_sent_down() {
    let module = Module::new();
    let behind = Nothing::default();
    let (gate, irql) = (&module.gate, &mut passive());
    let sent = arrive(gate, &module, 5, &behind, irql, |_| {
        module.cancel(5);
        Next::Forward
    });
    assert_eq!(sent, None);
    assert_eq!(*behind.0.borrow(), ["forward", "cancel"]);
}

/// Whoever leaves first, second or last takes nobody along.
#[test]
fn hands_leave_in_any_order() {
    for order in [
        [0, 1, 2],
        [1, 0, 2],
        [2, 1, 0],
        [1, 2, 0],
        [0, 2, 1],
        [2, 0, 1],
    ] {
        let hands = [Hand::empty(), Hand::empty(), Hand::empty()];
        let mut desk = Desk::<u32>::new();
        for (id, hand) in hands.iter().enumerate() {
            // SAFETY: it is new, and leaves below.
            unsafe { desk.enter(hand, id) };
        }
        for (turn, left) in order.into_iter().enumerate() {
            for id in 0..hands.len() {
                if order[turn..].contains(&id) {
                    assert!(desk.cancel(id).is_none());
                }
            }
            // SAFETY: it was entered, and leaves once.
            assert!(unsafe { desk.leave(&hands[left]) }, "marked");
        }
        assert!(desk.hands.is_none());
    }
}

#[test]
fn no_more_wait_than_have_room() {
    let module = Module::new();
    for request in 0..MAX_PENDED {
        assert_eq!(module.arrive(1, request), None);
    }
    assert!(module.room.try_place(TAG, 1, 0).is_err());
    assert_eq!(module.take(), Some(0));
    assert_eq!(module.arrive(1, MAX_PENDED), None);
    assert_eq!(module.cancel(1).len(), MAX_PENDED as usize);
}

#[test]
fn nothing_comes_to_a_module_that_goes() {
    let module = Module::new();
    module.gate.close(&mut passive());
    assert_eq!(module.arrive(1, 1), Some("aborted"));
}
