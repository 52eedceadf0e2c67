//! Control operations at any moment, next to the traffic and to each other: what the seed chooses.

use std::rc::Rc;

use super::{control, operation};
use crate::ndis::{self, filter, stack};
use crate::rt::sched;
use crate::{Chaos, FileCall, FileOperation, Operation, Request, UserMemory, device};

/// Threads of an adapter that carry operations out.
const THREADS: u32 = 2;
/// The longest pause before an operation, in ns.
const GAP_NS: u64 = 60_000;
/// Requests of one open file, at most.
const REQUESTS: u64 = 4;
/// The longest output buffer of a spoilt request, in bytes.
const OUTPUT_BYTES: u64 = 8192;

/// How long somebody waits at most who cancels what is left pending, in ns.
const SOON_NS: u64 = 2_000_000;

/// What can be chosen.
#[derive(Clone)]
enum Choice {
    /// One operation.
    One(Operation),
    /// One of those that change the mode.
    Mode,
    /// Several with a file of a device.
    Device,
}

/// The operations that a filter of the stack has handlers for, on this adapter.
fn possible(adapter: u32, chaos: &Chaos) -> Vec<Choice> {
    if stack::all(|| filter::registered().is_none()) {
        return Vec::new();
    }
    let has = |is_handled: fn(&filter::Handlers) -> bool| {
        !stack::all(|| filter::registered().is_none_or(|filter| !is_handled(&filter.handlers)))
    };
    [
        (
            Choice::One(Operation::Status(None)),
            has(|handlers| handlers.status != 0),
        ),
        (
            Choice::One(Operation::Event(None)),
            has(|handlers| handlers.net_pnp_event != 0 || handlers.device_pnp_event != 0),
        ),
        (
            Choice::One(Operation::Power(None)),
            has(|handlers| handlers.net_pnp_event != 0),
        ),
        (Choice::One(Operation::PauseAndRestart), true),
        (Choice::One(Operation::Reattach), true),
        (Choice::Device, !devices().is_empty()),
        (
            Choice::Mode,
            control::exists() && !modes(adapter, chaos).is_empty(),
        ),
        (
            Choice::One(Operation::CancelSend),
            has(|handlers| handlers.path.cancel_send != 0),
        ),
        (Choice::One(Operation::Oid(None)), ndis::has_oid_handlers()),
    ]
    .into_iter()
    .filter(|(_, is_possible)| *is_possible)
    .map(|(choice, _)| choice)
    .collect()
}

/// What changes the mode of an adapter.
fn modes(adapter: u32, chaos: &Chaos) -> &[Request] {
    chaos.modes.get(adapter as usize).map_or(&[], Vec::as_slice)
}

/// The devices of all images of the stack.
fn devices() -> Vec<(u8, String)> {
    let of = |image| {
        let names = sched::on_behalf(image, device::names);
        names.into_iter().map(move |name| (image, name))
    };
    stack::from_top().flat_map(of).collect()
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
    let Some(choice) = possible.get(sched::random(possible.len().max(1) as u64) as usize) else {
        return;
    };
    let operation = match choice {
        // Who demands something of packets wants to see what a pause does to those that wait.
        _ if operation::is_yet_to_pause() => Operation::PauseAndRestart,
        Choice::One(operation) => operation.clone(),
        Choice::Mode => {
            let modes = modes(adapter, chaos);
            let mode = &modes[sched::random(modes.len() as u64) as usize];
            Operation::Control(mode.clone())
        }
        Choice::Device => return ask_device(adapter, &chaos.requests),
    };
    operation::carry_out(adapter, any_image(), &operation);
    operation::count(operation.name());
}

/// A filter of the stack.
fn any_image() -> Option<u8> {
    let images: Vec<u8> = stack::from_top().collect();
    match images.as_slice() {
        [only] => Some(*only),
        several => several
            .get(sched::random(several.len() as u64) as usize)
            .copied(),
    }
}

/// What a buffer of a sender's is: memory that is in order, as a rule.
fn any_memory() -> UserMemory {
    if sched::chance(3, 4) {
        return UserMemory::Valid;
    }
    UserMemory::ALL[sched::random(UserMemory::ALL.len() as u64) as usize]
}

/// Opens one of the devices and asks: what it knows, what it knows with something spoilt, and what it does not know.
fn ask_device(adapter: u32, requests: &[(u32, Vec<u8>)]) {
    let devices = devices();
    let at = sched::random(devices.len().max(1) as u64) as usize;
    let Some((image, device)) = devices.get(at) else {
        return;
    };
    let file = operation::new_file();
    let use_file = |call: FileCall| {
        let operation = Operation::File(FileOperation { file, call });
        let outcome = operation::carry_out(adapter, Some(*image), &operation);
        (outcome, operation.name())
    };
    let (opened, name) = use_file(FileCall::Open {
        device: device.clone(),
        name: String::new(),
    });
    operation::count(name);
    if opened.status != Some(0) {
        return;
    }
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
        use_file(FileCall::Send(Request {
            input_memory: any_memory(),
            output_memory: any_memory(),
            // Who loses patience cancels, as CancelIo does.
            cancelled_after_ns: sched::chance(1, 2).then(|| sched::random(SOON_NS)),
            ..Request::io_control(code, &input, output_len as u32)
        }));
    }
    use_file(FileCall::Close);
}
