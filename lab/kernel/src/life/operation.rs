//! Carries operations out: those that a seed chooses and those of a script.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use lab_rules::event::NblPath;

use super::{control, stage};
use crate::abi::constant::STATUS_OBJECT_NAME_NOT_FOUND;
use crate::device::{self, File};
use crate::ndis::module::{self, State};
use crate::ndis::{self, adapter, path, stack, status, traffic};
use crate::rt::sched::{self, Wait};
use crate::{Answer, FileCall, FileOperation, Operation, Outcome, watch, worker};

/// The longest time between a pause and the restart, in ns.
const REST_NS: u64 = 50_000;
/// How long a pause waits at most for the filter to have packets, in ns.
const HOLD_WAIT_NS: u64 = 300_000;
/// Why some operations are not carried out.
const NOTHING_RUNS: &str = "no filter runs there";
const NOT_OPEN: &str = "the file is not open";

/// An open file, and the image whose device it is of.
#[derive(Clone)]
struct Open {
    image: u8,
    file: Rc<File>,
}

thread_local! {
    static COUNTS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
    static FILES: RefCell<BTreeMap<u32, Open>> = const { RefCell::new(BTreeMap::new()) };
    static LAST_FILE: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// Forgets all: a run begins.
pub(super) fn reset() {
    COUNTS.take();
    FILES.take();
    LAST_FILE.set(u32::MAX);
}

/// How often each operation was carried out.
pub(super) fn take_counts() -> BTreeMap<&'static str, u64> {
    COUNTS.take()
}

/// Counts an operation that was carried out.
pub(super) fn count(name: &'static str) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(name).or_default() += 1);
}

/// A number for a file that no script knows.
pub(super) fn new_file() -> u32 {
    let number = LAST_FILE.get();
    LAST_FILE.set(number - 1);
    number
}

/// Does something to an adapter, and to the filter `image` of its stack or the first that is concerned.
pub(super) fn carry_out(adapter: u32, image: Option<u8>, operation: &Operation) -> Outcome {
    match operation {
        Operation::Traffic(traffic) => traffic::give(adapter, traffic),
        Operation::CancelSend => stack::at_top(|| {
            with_control(adapter, || {
                traffic::at_some_level(|| path::cancel_any(adapter));
            });
            Outcome::done()
        }),
        Operation::Oid(None) => {
            ndis::ask_oids(adapter, 1);
            Outcome::done()
        }
        Operation::Oid(Some(request)) => ndis::ask_oid(adapter, image, request),
        Operation::Status(None) => {
            traffic::at_some_level(|| status::indicate_link_state(adapter, sched::chance(1, 2)));
            Outcome::done()
        }
        Operation::Status(Some(given)) => {
            let mut is_heard = false;
            traffic::at_some_level(|| is_heard = status::indicate(adapter, image, given));
            if is_heard {
                Outcome::done()
            } else {
                Outcome::past()
            }
        }
        Operation::Event(None) => {
            ndis::notify(adapter);
            Outcome::done()
        }
        Operation::Event(Some(event)) => match ndis::give_event(adapter, image, event) {
            Some(status) => Outcome {
                status,
                ..Outcome::default()
            },
            None => Outcome::past(),
        },
        Operation::Power(state) => change(adapter, || {
            match state {
                Some(state) => ndis::set_power(adapter, *state),
                None => ndis::change_power(adapter, || {
                    if sched::chance(1, 2) {
                        pause_and_restart(adapter);
                    }
                }),
            }
            Outcome::done()
        }),
        Operation::Pause => change(adapter, || Outcome::done_if(pause(adapter), NOTHING_RUNS)),
        Operation::Restart => change(adapter, || restart(adapter)),
        Operation::PauseAndRestart => change(adapter, || {
            Outcome::done_if(pause_and_restart(adapter), NOTHING_RUNS)
        }),
        Operation::Detach => on(image, || change(adapter, || detach(adapter))),
        Operation::Attach => on(image, || change(adapter, || attach(adapter))),
        Operation::Reattach => on(image, || change(adapter, || reattach(adapter))),
        Operation::Control(request) => match control::send(request) {
            Some(answer) => answered(answer),
            None => Outcome::undone("there is no such device"),
        },
        Operation::File(operation) => use_file(image, operation),
        Operation::Sleep(ns) => {
            sched::sleep_until(sched::now() + ns);
            Outcome::done()
        }
        Operation::Settle(ns) => settle(*ns),
    }
}

/// Runs `body` on behalf of the filter `image`, or of the running one.
fn on<R>(image: Option<u8>, body: impl FnOnce() -> R) -> R {
    sched::on_behalf(image.unwrap_or_else(sched::image), body)
}

/// Calls into the filter, unless it is being detached.
fn with_control(adapter: u32, call: impl FnOnce()) {
    if adapter::enter_control(adapter) {
        call();
        adapter::leave_control(adapter);
    }
}

/// Changes an adapter's stack, when no other change is under way.
fn change(adapter: u32, body: impl FnOnce() -> Outcome) -> Outcome {
    adapter::begin_change(adapter);
    let outcome = body();
    adapter::end_change(adapter);
    outcome
}

/// Whether a filter of the stack is in this state.
fn is_any(adapter: u32, state: State) -> bool {
    !stack::all(|| module::state(adapter) != state)
}

/// Pauses the stack from above, and restarts it from below, if there is anything that runs. What has left the filter may
/// come back through it at any moment. Since NDIS 6.30 the stack need not be paused to sleep.
fn pause_and_restart(adapter: u32) -> bool {
    if !pause(adapter) {
        return false;
    }
    sched::sleep_until(sched::now() + sched::random(REST_NS));
    module::restart_all(adapter);
    module::open(adapter);
    true
}

fn restart(adapter: u32) -> Outcome {
    if !adapter::is_closed(adapter, NblPath::Send) {
        return Outcome::undone("the adapter is not paused");
    }
    module::restart_all(adapter);
    module::open(adapter);
    Outcome::done()
}

/// Whether packets are followed, some have waited, and no pause has come meanwhile.
pub(super) fn is_yet_to_pause() -> bool {
    ndis::follows_packets() && watch::is_yet_to_pause()
}

/// Pauses the stack; tells whether there is a filter that is paused now.
fn pause(adapter: u32) -> bool {
    if !is_any(adapter, State::Running) {
        return false;
    }
    let is_yet_to_pause = is_yet_to_pause();
    if sched::chance(1, 2) || is_yet_to_pause {
        // When it has something in hand: it has to give that up.
        sched::wait_until(sched::now() + HOLD_WAIT_NS, &mut || {
            watch::is_holding(adapter)
        });
    }
    adapter::close(adapter, NblPath::Send);
    if sched::chance(1, 2) && !is_yet_to_pause {
        // A protocol may wait for its sends before it calls itself paused.
        sched::wait(&mut || adapter::has_no_sends(adapter));
    }
    let is_paused = stage::pause_in_time(adapter);
    adapter::close(adapter, NblPath::Receive);
    is_paused
}

/// The running image's filter is removed from the stack, and inserted again.
fn reattach(adapter: u32) -> Outcome {
    let has_paused = pause(adapter);
    let is_removed = has_paused && remove(adapter);
    if is_removed {
        sched::sleep_until(sched::now() + sched::random(REST_NS));
        module::reattach(adapter);
    } else if has_paused {
        // The others of the stack.
        module::restart_all(adapter);
    }
    module::open(adapter);
    Outcome::done_if(is_removed, NOTHING_RUNS)
}

/// Detaches the running image's filter, if it is paused; tells whether it is gone.
fn remove(adapter: u32) -> bool {
    module::state(adapter) == State::Paused && stage::detach_in_time(adapter)
}

/// The running image's filter is removed from the stack; what runs goes on.
fn detach(adapter: u32) -> Outcome {
    if module::state(adapter) == State::Detached {
        return Outcome::undone("the filter is not attached");
    }
    let was_paused = adapter::is_closed(adapter, NblPath::Send);
    pause(adapter);
    let is_removed = remove(adapter);
    go_on(adapter, was_paused);
    Outcome::done_if(is_removed, "the filter has not paused")
}

/// The running image's filter is inserted into the stack; what ran goes on.
fn attach(adapter: u32) -> Outcome {
    if module::state(adapter) != State::Detached {
        return Outcome::undone("the filter is attached");
    }
    let was_paused = adapter::is_closed(adapter, NblPath::Send);
    if !pause(adapter) {
        // Nothing of the stack runs, but packets pass.
        adapter::close(adapter, NblPath::Send);
        adapter::close(adapter, NblPath::Receive);
    }
    let has_attached = module::insert(adapter);
    go_on(adapter, was_paused);
    Outcome::done_if(has_attached, "the filter has not attached")
}

/// A stack that was not paused before goes on.
fn go_on(adapter: u32, was_paused: bool) {
    if !was_paused {
        module::restart_all(adapter);
        module::open(adapter);
    }
}

/// Waits until packets are home and worker threads idle.
fn settle(limit_ns: u64) -> Outcome {
    let is_settled = || adapter::all_quiet() && stack::all(worker::is_idle);
    let waited = sched::wait_until(sched::now() + limit_ns, &mut || is_settled());
    Outcome::done_if(waited == Wait::Satisfied, "packets or work items are left")
}

fn answered(answer: Answer) -> Outcome {
    Outcome {
        status: Some(answer.status),
        bytes: Some(answer.information),
        output: answer.output,
        ..Outcome::default()
    }
}

fn use_file(image: Option<u8>, operation: &FileOperation) -> Outcome {
    let number = operation.file;
    match &operation.call {
        FileCall::Open { device, name } => open(image, number, device, name),
        FileCall::Send(request) => {
            with_handle(number, |file| answered(device::send(file, request)))
        }
        FileCall::Cleanup => with_handle(number, |file| {
            device::cleanup(file);
            Outcome::done()
        }),
        FileCall::Close => {
            let open = FILES.with_borrow_mut(|files| files.remove(&number));
            Outcome::done_if(open.map(close).is_some(), NOT_OPEN)
        }
    }
}

/// Uses a file that a handle is open of.
fn with_handle(number: u32, body: impl FnOnce(&File) -> Outcome) -> Outcome {
    let Some(open) = FILES.with_borrow(|files| files.get(&number).cloned()) else {
        return Outcome::undone(NOT_OPEN);
    };
    if open.file.is_cleaned_up() {
        return Outcome::undone("no handle of the file is open");
    }
    sched::on_behalf(open.image, || body(&open.file))
}

/// Opens a device of the filter `image`, or of the first that has one of that name.
fn open(image: Option<u8>, number: u32, device: &str, name: &str) -> Outcome {
    let image = stack::find(image, stack::from_top(), || device::exists(device));
    let opened = image.and_then(|image| {
        let opened = sched::on_behalf(image, || device::open(device, name))?;
        Some((image, opened))
    });
    match opened {
        None => Outcome::with_status(STATUS_OBJECT_NAME_NOT_FOUND.cast_unsigned()),
        Some((_, Err(status))) => Outcome::with_status(status),
        Some((image, Ok(file))) => {
            let file = Rc::new(file);
            let open = Open { image, file };
            let before = FILES.with_borrow_mut(|files| files.insert(number, open));
            if let Some(before) = before {
                close(before);
            }
            Outcome::with_status(0)
        }
    }
}

/// Closes a file: its last handle first, and itself when nothing that was asked of it is under way.
fn close(open: Open) {
    let Open { image, file } = open;
    sched::on_behalf(image, || {
        device::cleanup(&file);
        sched::wait(&mut || Rc::strong_count(&file) == 1);
        if let Some(file) = Rc::into_inner(file) {
            device::close(file);
        }
    });
}

/// Closes what was left open: the program ends.
pub(super) fn close_all() {
    while let Some((_, open)) = FILES.with_borrow_mut(BTreeMap::pop_first) {
        close(open);
    }
}
