//! The simulated administrator who asks the driver's control device.

use std::cell::{Cell, RefCell};

use crate::device::{self, File};
use crate::{Answer, Control, ControlPhase, ControlRecord, Device};

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
    fn io_control(&mut self, code: u32, input: &[u8], output_len: u32) -> Answer {
        let answer = device::io_control(&self.file, code, input, output_len);
        let record = ControlRecord {
            phase: self.phase,
            code,
            input: input.to_vec(),
            answer: answer.clone(),
        };
        RECORDS.with_borrow_mut(|records| records.push(record));
        answer
    }
}

/// Opens the device, asks, closes it.
pub(super) fn ask(phase: ControlPhase) {
    // Taken out meanwhile, because asking calls into the driver.
    let Some(mut control) = CONTROL.take() else {
        return;
    };
    if device::exists(&control.device) {
        FOUND.set(true);
        if let Some(Ok(file)) = device::open(&control.device) {
            let mut recorder = Recorder { file, phase };
            (control.ask)(phase, &mut recorder);
            device::close(recorder.file);
        }
    }
    CONTROL.set(Some(control));
}
