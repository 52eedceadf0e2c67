//! Control operations at any moment, next to the traffic and to each other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use lab_rules::event::NblPath;

use super::{control, stage};
use crate::ndis::module::{self, State};
use crate::ndis::{self, adapter, filter, path, stack, status, traffic};
use crate::rt::sched;
use crate::{Chaos, Request, UserMemory, device, watch};

/// Threads of an adapter that carry operations out.
const THREADS: u32 = 2;
/// The longest pause before an operation, in ns.
const GAP_NS: u64 = 60_000;
/// The longest time between a pause and the restart, in ns.
const REST_NS: u64 = 50_000;
/// Requests of one open file, at most.
const REQUESTS: u64 = 4;
/// The longest output buffer of a spoilt request, in bytes.
const OUTPUT_BYTES: u64 = 8192;

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Status,
    PnpEvent,
    Power,
    Restart,
    Reattach,
    Device,
    Mode,
    CancelSend,
    Request,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::PnpEvent => "PnP event",
            Self::Power => "power",
            Self::Restart => "pause and restart",
            Self::Reattach => "detach and attach",
            Self::Device => "device request",
            Self::Mode => "mode change",
            Self::CancelSend => "cancelled send",
            Self::Request => "OID request",
        }
    }
}

thread_local! {
    static COUNTS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// How often each operation was carried out.
pub(super) fn take_counts() -> BTreeMap<&'static str, u64> {
    COUNTS.take()
}

/// The operations that this driver has handlers for, on this adapter.
fn possible(adapter: u32, chaos: &Chaos) -> Vec<Operation> {
    let Some(filter) = filter::registered() else {
        return Vec::new();
    };
    let handlers = filter.handlers;
    [
        (Operation::Status, handlers.status != 0),
        (
            Operation::PnpEvent,
            handlers.net_pnp_event != 0 || handlers.device_pnp_event != 0,
        ),
        (Operation::Power, handlers.net_pnp_event != 0),
        (Operation::Restart, true),
        (Operation::Reattach, true),
        (Operation::Device, !device::names().is_empty()),
        (
            Operation::Mode,
            control::exists() && !modes(adapter, chaos).is_empty(),
        ),
        (Operation::CancelSend, handlers.path.cancel_send != 0),
        (Operation::Request, ndis::has_oid_handlers()),
    ]
    .into_iter()
    .filter(|(_, is_possible)| *is_possible)
    .map(|(operation, _)| operation)
    .collect()
}

/// What changes the mode of an adapter.
fn modes(adapter: u32, chaos: &Chaos) -> &[Request] {
    chaos.modes.get(adapter as usize).map_or(&[], Vec::as_slice)
}

/// Starts the operations of an adapter; `done` is called when the last has ended.
pub(super) fn start(adapter: u32, chaos: &Rc<Chaos>, done: impl Fn() + 'static) {
    let done = Rc::new(done);
    let left = Rc::new(std::cell::Cell::new(THREADS));
    for thread in 0..THREADS {
        let share = chaos.operations / THREADS + u32::from(thread < chaos.operations % THREADS);
        let (chaos, left, done) = (Rc::clone(chaos), Rc::clone(&left), Rc::clone(&done));
        sched::spawn(&format!("control {adapter}.{thread}"), None, move || {
            for _ in 0..share {
                operate(adapter, &chaos);
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                done();
            }
        });
    }
}

fn operate(adapter: u32, chaos: &Chaos) {
    sched::sleep_until(sched::now() + sched::random(GAP_NS));
    let possible = possible(adapter, chaos);
    let Some(operation) = possible.get(sched::random(possible.len().max(1) as u64) as usize) else {
        return;
    };
    // Who demands something of packets wants to see what a pause does to those that wait.
    let operation = if is_yet_to_pause() {
        &Operation::Restart
    } else {
        operation
    };
    match operation {
        Operation::Status => with_control(adapter, || {
            traffic::at_some_level(|| status::indicate_link_state(adapter, sched::chance(1, 2)));
        }),
        Operation::PnpEvent => with_control(adapter, || ndis::notify(adapter)),
        Operation::Power => power(adapter),
        Operation::Restart => restart(adapter),
        Operation::Reattach => reattach(adapter),
        Operation::Device => ask_device(&chaos.requests),
        Operation::Mode => {
            let modes = modes(adapter, chaos);
            control::send(&modes[sched::random(modes.len() as u64) as usize]);
        }
        Operation::CancelSend => stack::at_top(|| {
            with_control(adapter, || {
                traffic::at_some_level(|| path::cancel_any(adapter));
            });
        }),
        Operation::Request => ndis::ask_oids(adapter, 1),
    }
    let name = operation.name();
    COUNTS.with_borrow_mut(|counts| *counts.entry(name).or_default() += 1);
}

/// Calls into the filter, unless it is being detached.
fn with_control(adapter: u32, call: impl FnOnce()) {
    if adapter::enter_control(adapter) {
        call();
        adapter::leave_control(adapter);
    }
}

/// To sleep and back. Since NDIS 6.30 the stack need not be paused for it.
fn power(adapter: u32) {
    adapter::begin_change(adapter);
    with_control(adapter, || {
        ndis::change_power(adapter, || {
            if sched::chance(1, 2) {
                pause_and_restart(adapter);
            }
        });
    });
    adapter::end_change(adapter);
}

fn restart(adapter: u32) {
    adapter::begin_change(adapter);
    pause_and_restart(adapter);
    adapter::end_change(adapter);
}

/// Pauses the stack from above, and restarts it from below. What has left the filter may come back
/// through it at any moment.
fn pause_and_restart(adapter: u32) {
    if !pause(adapter) {
        return;
    }
    sched::sleep_until(sched::now() + sched::random(REST_NS));
    module::restart_all(adapter);
    module::open(adapter);
}

/// Whether packets are followed, some have waited, and no pause has come meanwhile.
fn is_yet_to_pause() -> bool {
    ndis::follows_packets() && watch::is_yet_to_pause()
}

/// Pauses the stack; tells whether there is a module that is paused now.
fn pause(adapter: u32) -> bool {
    if module::state(adapter) != State::Running {
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

/// The filter is removed from the stack, and inserted again.
fn reattach(adapter: u32) {
    adapter::begin_change(adapter);
    if pause(adapter) && stage::detach_in_time(adapter) {
        sched::sleep_until(sched::now() + sched::random(REST_NS));
        module::reattach(adapter);
    }
    module::open(adapter);
    adapter::end_change(adapter);
}

/// How long somebody waits at most who cancels what is left pending, in ns.
const SOON_NS: u64 = 2_000_000;

/// How long a pause waits at most for the filter to have packets, in ns.
const HOLD_WAIT_NS: u64 = 300_000;

/// What a buffer of a sender's is: memory that is in order, as a rule.
fn any_memory() -> UserMemory {
    if sched::chance(3, 4) {
        return UserMemory::Valid;
    }
    UserMemory::ALL[sched::random(UserMemory::ALL.len() as u64) as usize]
}

/// Opens one of the driver's devices and asks: what it knows, what it knows with something spoilt,
/// and what it does not know.
fn ask_device(requests: &[(u32, Vec<u8>)]) {
    let names = device::names();
    let Some(name) = names.get(sched::random(names.len().max(1) as u64) as usize) else {
        return;
    };
    let Some(Ok(file)) = device::open(name) else {
        return;
    };
    for _ in 0..=sched::random(REQUESTS) {
        let known = requests.get(sched::random(requests.len().max(1) as u64) as usize);
        let (mut code, mut input) = known.cloned().unwrap_or_default();
        if known.is_none() || sched::chance(1, 8) {
            // With any transfer method: bits 0 and 1.
            code = sched::random(u64::from(u32::MAX)) as u32;
        }
        match sched::random(4) {
            0 => input.truncate(sched::random(input.len() as u64 + 1) as usize),
            1 if !input.is_empty() => {
                let at = sched::random(input.len() as u64) as usize;
                input[at] = sched::random(256) as u8;
            }
            _ => {}
        }
        let output_len = sched::random(OUTPUT_BYTES) >> sched::random(14);
        let request = Request {
            input_memory: any_memory(),
            output_memory: any_memory(),
            // Who loses patience cancels, as CancelIo does.
            cancelled_after_ns: sched::chance(1, 2).then(|| sched::random(SOON_NS)),
            ..Request::io_control(code, &input, output_len as u32)
        };
        device::send(&file, &request);
    }
    device::close(file);
}
