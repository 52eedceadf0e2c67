//! Models of who ends a request: a callback or a taker has it, while it is cancelled and its module goes.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Flag, Handed, TAG, passive};
use crate::desk::{self, Behind, Desk, Hand, Locked, Next, Room};
use crate::irql::{Caller, Passive};
use crate::rundown::{Rundown, Signal};

/// The identifier of the one request, which is a number, too.
const ID: usize = 7;
const REQUEST: u32 = 1;

/// What becomes of the request when a callback, or a taker, has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    End,
    Forward,
    Wait,
}

/// A module that is given one request.
struct Module {
    gate: Rundown<Flag>,
    desk: Mutex<Desk<u32>>,
    room: Room,
    /// What nobody may look at when the module is gone.
    memory: Handed,
    /// Times that the request was ended.
    ends: AtomicU32,
    ended: Flag,
    /// Set when nobody cancels any more.
    cancelled: Flag,
    /// Times that the request was cancelled where it had gone down; it was there.
    told_below: AtomicU32,
    is_below: AtomicU32,
    /// Whether somebody takes the request when it waits.
    has_taker: bool,
}

impl Locked<u32> for Module {
    fn with<C: Caller, R>(&self, _irql: &mut C, f: impl FnOnce(&mut Desk<u32>) -> R) -> R {
        let mut desk = self.desk.lock().expect("lock");
        let _ = self.memory.value();
        f(&mut desk)
    }

    fn room(&self) -> &Room {
        &self.room
    }
}

/// How the request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success,
    Aborted,
}

/// The rest of the module, for the request.
struct Rest(Arc<Module>);

impl Behind<Passive> for Rest {
    type Status = Status;

    const ABORTED: Status = Status::Aborted;

    fn forward(&self, _irql: &mut Passive) -> Option<Status> {
        self.0.is_below.store(1, Ordering::SeqCst);
        None
    }

    fn cancel(&self, _irql: &mut Passive) {
        self.0.cancel_below();
    }

    fn waits(&self, _irql: &mut Passive) {
        // Who has cancelled it may have let the module go.
        if self.0.has_taker && self.0.gate.acquire() {
            let module = Arc::clone(&self.0);
            thread::spawn(move || Module::take(&module));
        }
    }
}

impl Module {
    fn new(has_taker: bool) -> Arc<Self> {
        let module = Self {
            gate: Rundown::closed(Flag::default()),
            desk: Mutex::new(Desk::new()),
            room: Room::new(),
            memory: Handed::new(),
            ends: AtomicU32::new(0),
            ended: Flag::default(),
            cancelled: Flag::default(),
            told_below: AtomicU32::new(0),
            is_below: AtomicU32::new(0),
            has_taker,
        };
        module.gate.open();
        Arc::new(module)
    }

    /// NDIS gives the request; it is cancelled while the callback has it.
    fn give(this: &Arc<Self>, way: Way) -> thread::JoinHandle<()> {
        let module = Arc::clone(this);
        thread::spawn(move || {
            let decide = |_: &mut Passive| {
                let canceller = Arc::clone(&module);
                thread::spawn(move || canceller.cancel());
                module.next(way)
            };
            let rest = Rest(Arc::clone(&module));
            let (gate, irql) = (&module.gate, &mut passive());
            if desk::arrive(gate, &*module, ID, &rest, irql, decide).is_some() {
                module.end();
            }
        })
    }

    fn next(&self, way: Way) -> Next<Status, u32> {
        match way {
            Way::End => Next::End(Status::Success),
            Way::Forward => Next::Forward,
            Way::Wait => Next::Wait(self.room.try_place(TAG, ID, REQUEST).expect("memory")),
        }
    }

    /// As a work item that was wished for when the request waited.
    fn take(this: &Arc<Self>) {
        let hand = Hand::empty();
        // SAFETY: it is new, and stays until this returns.
        let taken = unsafe { desk::take(&**this, &hand, &mut passive()) };
        if let Some(request) = taken {
            assert_eq!(request, REQUEST);
            let rest = Rest(Arc::clone(this));
            let decide = |_: &mut Passive| this.next(Way::End);
            // SAFETY: entered above; the gate's reference keeps the module.
            let ended = unsafe { desk::deal(&**this, &hand, &rest, &mut passive(), decide) };
            assert_eq!(ended, desk::Dealt::Ended(Status::Success), "decided so");
            this.end();
        }
        this.gate.release();
    }

    fn cancel(&self) {
        let abort = |request: u32, _: &mut Passive| {
            assert_eq!(request, REQUEST);
            self.end();
        };
        if !desk::cancel(self, ID, &mut passive(), abort) {
            self.cancel_below();
        }
        self.cancelled.set();
    }

    fn cancel_below(&self) {
        self.told_below
            .fetch_add(self.is_below.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn end(&self) {
        let before = self.ends.fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, 0, "ended twice");
        self.ended.set();
    }

    /// NDIS waits for the request, and for who cancels, and then detaches the module.
    fn detach(&self) {
        self.ended.wait(&mut passive());
        self.cancelled.wait(&mut passive());
        self.gate.close(&mut passive());
        self.memory.set(1);
        assert!(
            self.room.try_place(TAG, ID, REQUEST).is_ok(),
            "room for another"
        );
    }
}

fn check(f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(f);
}

/// Nobody takes it: only its cancellation ends it.
#[test]
fn request_that_waits_is_aborted_whenever_it_is_cancelled() {
    check(|| {
        let module = Module::new(false);
        Module::give(&module, Way::Wait);
        module.detach();
    });
}

#[test]
fn request_is_ended_once_by_who_takes_it_or_cancels_it() {
    check(|| {
        let module = Module::new(true);
        Module::give(&module, Way::Wait);
        module.detach();
    });
}

#[test]
fn request_that_is_ended_by_its_callback_is_not_ended_by_who_cancels_it() {
    check(|| {
        let module = Module::new(false);
        Module::give(&module, Way::End);
        module.detach();
    });
}

#[test]
fn cancellation_reaches_what_is_sent_down_meanwhile() {
    check(|| {
        let module = Module::new(false);
        Module::give(&module, Way::Forward)
            .join()
            .expect("no assertion failed");
        module.cancelled.wait(&mut passive());
        assert_ne!(module.told_below.load(Ordering::SeqCst), 0, "it was lost");
    });
}
