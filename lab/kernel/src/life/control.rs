//! The simulated administrator who asks the driver's control device.

use std::cell::{Cell, RefCell};

use crate::abi::constant::{METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_NEITHER, METHOD_OUT_DIRECT};
use crate::device::{self, File};
use crate::ndis::{self, adapter, stack};
use crate::nt::registry;
use crate::rt::sched;
use crate::{Answer, Control, ControlPhase, ControlRecord, Device, Request, Requestor, UserMemory};

/// METHOD_BUFFERED, FILE_ANY_ACCESS, of a vendor's device type and function.
const UNKNOWN: u32 = 0x8DEF << 16 | 0xDEF << 2;

thread_local! {
    static CONTROL: RefCell<Option<Control>> = const { RefCell::new(None) };
    static RECORDS: RefCell<Vec<ControlRecord>> = const { RefCell::new(Vec::new()) };
    static FOUND: Cell<bool> = const { Cell::new(false) };
}

/// Sets who asks.
pub(super) fn configure(control: Option<Control>) {
    CONTROL.set(control);
    RECORDS.take();
    FOUND.set(false);
}

/// Whether the device was there.
pub(super) fn was_found() -> bool {
    FOUND.get()
}

/// Every request so far.
pub(super) fn take_records() -> Vec<ControlRecord> {
    RECORDS.take()
}

/// An open device, which writes down what it is asked.
struct Recorder {
    file: File,
    phase: ControlPhase,
}

impl Device for Recorder {
    fn send(&mut self, request: &Request) -> Answer {
        let answer = device::send(&self.file, request);
        let record = ControlRecord {
            phase: self.phase,
            request: request.clone(),
            answer: answer.clone(),
        };
        RECORDS.with_borrow_mut(|records| records.push(record));
        answer
    }
}

/// Starts the thread that sends what is to be sent while packets flow; `done` is called at its end.
pub(super) fn start(frames_total: u64, done: impl FnOnce() + 'static) {
    let plan = CONTROL.with_borrow(|control| {
        let control = control.as_ref()?;
        Some((control.during.clone(), control.writes.clone()))
    });
    let Some((requests, mut writes)) = plan else {
        return done();
    };
    sched::spawn("administrator", None, move || {
        let parts = requests.len() as u64 + 1;
        for (part, request) in (1..).zip(requests) {
            sched::wait(&mut || adapter::frames_done() * parts >= frames_total * part);
            for (name, value) in writes.drain(..) {
                stack::each(|| {
                    registry::set_parameter(&registry::parameters(), &name, &value, sched::now());
                });
            }
            send(&request);
        }
        done();
    });
}

/// The name of the device.
fn device_name() -> Option<String> {
    CONTROL.with_borrow(|control| control.as_ref().map(|control| control.device.clone()))
}

/// Whether a filter of the stack has the device.
pub(super) fn exists() -> bool {
    owner().is_some()
}

/// The first image of the stack that has the device, and the device's name.
fn owner() -> Option<(u8, String)> {
    let name = device_name()?;
    let image = stack::find(None, stack::from_top(), || device::exists(&name))?;
    Some((image, name))
}

/// Opens the device, sends a request, and closes the device; gives the answer, if it could be opened.
pub(super) fn send(request: &Request) -> Option<Answer> {
    let (image, name) = owner()?;
    sched::on_behalf(image, || {
        let file = device::open(&name, "")?.ok()?;
        let phase = ControlPhase::DuringTraffic;
        let mut recorder = Recorder { file, phase };
        let answer = recorder.send(request);
        device::close(recorder.file);
        Some(answer)
    })
}

/// Opens the device, asks, closes it.
pub(super) fn ask(phase: ControlPhase) {
    // Taken out meanwhile, because asking calls into the driver.
    let Some(mut control) = CONTROL.take() else {
        return;
    };
    if device::exists(&control.device) {
        FOUND.set(true);
        if let Some(Ok(file)) = device::open(&control.device, "") {
            let mut recorder = Recorder { file, phase };
            (control.ask)(phase, &mut recorder);
            device::close(recorder.file);
        }
        if phase == ControlPhase::BeforeUnload && ndis::is_disturbed() {
            // Most devices have no files below them.
            if let Some(Ok(file)) = device::open(&control.device, "\\file") {
                device::close(file);
            }
        }
    }
    CONTROL.set(Some(control));
}

/// Asks every device what no driver knows, and what it may know, without a file object: so another driver can ask.
pub(super) fn try_without_file() {
    let known = RECORDS.with_borrow(|records| {
        let first = records.first()?;
        Some(Request {
            output_len: 0,
            ..first.request.clone()
        })
    });
    for name in device::names() {
        device::send_without_file(&name, &unknown(METHOD_BUFFERED));
        if let Some(request) = &known {
            device::send_without_file(&name, request);
        }
    }
}

/// A request that no driver knows, with a transfer method.
fn unknown(method: u32) -> Request {
    Request::io_control(UNKNOWN | method, &[0x5A; 8], 16)
}

/// Opens every device of the driver's and asks for what no driver knows, with its buffers given as they are: once each
/// way that is in order, and with memory of each kind that is not.
pub(super) fn try_methods() {
    for name in device::names() {
        let Some(Ok(file)) = device::open(&name, "") else {
            continue;
        };
        for method in [METHOD_IN_DIRECT, METHOD_OUT_DIRECT] {
            device::send(&file, &unknown(method));
        }
        for memory in UserMemory::ALL {
            let request = Request {
                input_memory: memory,
                output_memory: memory,
                ..unknown(METHOD_NEITHER)
            };
            device::send(&file, &request);
        }
        let kernel = Request {
            requestor: Requestor::Kernel,
            ..unknown(METHOD_NEITHER)
        };
        device::send(&file, &kernel);
        device::close(file);
    }
}

/// Opens every other device of the driver's, asks for what no driver knows, and closes it.
pub(super) fn try_others() {
    let name = device_name();
    for other in device::names() {
        if name
            .as_ref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&other))
        {
            continue;
        }
        if let Some(Ok(file)) = device::open(&other, "") {
            device::send(&file, &unknown(METHOD_BUFFERED));
            device::close(file);
        }
    }
}
