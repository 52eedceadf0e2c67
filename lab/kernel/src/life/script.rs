//! Plays a script: what its author says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lab_rules::event::NblPath;

use super::operation;
use crate::ndis::{adapter, stack};
use crate::rt::sched;
use crate::{Act, Operation, Outcome, Performance, Script, Step, Target};

/// When steps are no longer done, in ns of virtual time: what takes an hour counts as hung, and that would be blamed on
/// the driver.
const END_NS: u64 = 3_000_000_000_000;

thread_local! {
    static PERFORMANCES: RefCell<Vec<Performance>> = const { RefCell::new(Vec::new()) };
    static PROGRESS: Cell<u64> = const { Cell::new(0) };
}

/// Forgets all: a run begins.
pub(super) fn reset() {
    PERFORMANCES.take();
    PROGRESS.set(0);
}

/// How each step was done, in the order in which they began.
pub(super) fn take() -> Vec<Performance> {
    PERFORMANCES.take()
}

/// How many steps have begun or ended: it grows while the script goes on.
pub(super) fn progress() -> u64 {
    PROGRESS.get()
}

/// Starts to play a script; `done` is called at its end.
pub(super) fn start(script: Rc<Script>, done: impl FnOnce() + 'static) {
    sched::spawn("script", None, move || {
        play(&script.steps);
        operation::close_all();
        (0..adapter::count()).for_each(let_in);
        done();
    });
}

/// What is still to come from captures does not wait for ever for an adapter that the script has left paused.
fn let_in(adapter: u32) {
    let has_more = !stack::all(|| adapter::with(adapter, |adapter| adapter.sources == [0; 2]));
    if has_more && adapter::is_closed(adapter, NblPath::Send) {
        operation::carry_out(adapter, None, &Operation::Restart);
    }
}

fn play(steps: &[Step]) {
    for step in steps {
        for _ in 0..step.times {
            match &step.what {
                Act::One(target) => perform(target),
                Act::Parallel(sequences) => play_all(sequences),
            }
        }
    }
}

/// Plays sequences at the same time, each by a thread of its own.
fn play_all(sequences: &[Vec<Step>]) {
    let left = Rc::new(Cell::new(sequences.len()));
    for steps in sequences {
        let (steps, left) = (steps.clone(), Rc::clone(&left));
        sched::spawn("script", None, move || {
            play(&steps);
            left.set(left.get() - 1);
        });
    }
    sched::wait(&mut || left.get() == 0);
}

fn perform(target: &Target) {
    let Target {
        number,
        adapter,
        image,
        operation,
    } = target;
    PROGRESS.set(PROGRESS.get() + 1);
    let place = PERFORMANCES.with_borrow_mut(|all| {
        all.push(Performance {
            number: *number,
            begun_ns: sched::now(),
            ended_ns: None,
            outcome: Outcome::default(),
        });
        all.len() - 1
    });
    let outcome = match image.map(|image| stack::from_top().nth(image.into())) {
        _ if sched::now() >= END_NS => Outcome::undone("the script takes more than 50 minutes"),
        Some(None) => Outcome::undone("the stack has no such image"),
        image => operation::carry_out(*adapter, image.flatten(), operation),
    };
    operation::count(operation.name());
    PROGRESS.set(PROGRESS.get() + 1);
    PERFORMANCES.with_borrow_mut(|all| {
        if let Some(performance) = all.get_mut(place) {
            performance.ended_ns = Some(sched::now());
            performance.outcome = outcome;
        }
    });
}
