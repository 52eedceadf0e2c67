//! How much time of the host's goes into driver code, for measurements.
//!
//! While it is on, an import is its body and nothing else: no event, no scheduling point, no virtual time. The time-stamp
//! counter is read whenever driver code is entered and left; what that adds to the driver's share, with the assembly in
//! between, is measured beforehand with code of the lab's own ([`calibrate`]).

use std::{
    arch::x86_64::{_mm_lfence, _rdtsc},
    cell::{Cell, RefCell},
    io,
};

use super::{
    call::{self, Call, Import, call_driver, import_address},
    context::{self, Context, ImportFrame},
    layout,
    machine::Reason,
    mapping::{Access, Mapping},
    pool, sched, signal, thunk, trap,
};

/// What was counted while it was on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// Ticks of the time-stamp counter in driver code, with the way there and back.
    ticks: u64,
    /// Calls of driver code.
    calls: u64,
    /// Calls of imports by it.
    pub(crate) imports: u64,
}

/// Ticks that are not the driver's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overhead {
    call: f64,
    import: f64,
}

impl Reading {
    /// The ticks in driver code alone.
    pub(crate) fn driver_ticks(self, overhead: Overhead) -> f64 {
        let around = self.calls as f64 * overhead.call + self.imports as f64 * overhead.import;
        (self.ticks as f64 - around).max(0.0)
    }
}

struct Meter {
    is_on: Cell<bool>,
    /// When driver code was entered.
    since: Cell<u64>,
    reading: Cell<Reading>,
    functions: Cell<&'static [&'static Import]>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            is_on: Cell::new(false),
            since: Cell::new(0),
            reading: Cell::new(Reading { ticks: 0, calls: 0, imports: 0 }),
            functions: Cell::new(&[]),
        }
    };
    /// The mapping of [`map`].
    static ROOM: RefCell<Option<Mapping>> = const { RefCell::new(None) };
}

/// The time-stamp counter, after all that comes before it.
pub(crate) fn now() -> u64 {
    // SAFETY: every x64 processor has SSE2.
    unsafe { _mm_lfence() };
    // SAFETY: reads a register.
    unsafe { _rdtsc() }
}

/// Whether it is on.
pub(crate) fn is_on() -> bool {
    METER.with(|meter| meter.is_on.get())
}

/// Makes imports be `functions`, which have the places that the machine's have, while it is on.
pub(crate) fn configure(replaced: &[&'static Import]) {
    let instead = |known: &&'static Import| {
        let mut replaced = replaced.iter();
        let same = |new: &&&'static Import| (new.module, new.name) == (known.module, known.name);
        replaced.find(same).copied().unwrap_or(*known)
    };
    let functions: Vec<&'static Import> = call::functions().iter().map(instead).collect();
    METER.with(|meter| meter.functions.set(functions.leak()));
}

/// Begins counting, outside of driver code.
pub(crate) fn start() {
    METER.with(|meter| {
        meter.reading.set(Reading::default());
        meter.is_on.set(true);
    });
}

/// Ends it, outside of driver code.
pub(crate) fn stop() -> Reading {
    METER.with(|meter| {
        meter.is_on.set(false);
        meter.reading.get()
    })
}

fn enter_driver(meter: &Meter) {
    pool::settle();
    context::forget_capture();
    meter.since.set(now());
}

fn leave_driver(meter: &Meter) -> Reading {
    let ticks = now().wrapping_sub(meter.since.get());
    let mut reading = meter.reading.get();
    reading.ticks = reading.ticks.wrapping_add(ticks);
    context::forget_capture();
    reading
}

/// [`call_driver`] while it is on.
pub(super) fn call(context: &Context, address: u64, arguments: &[u64]) -> u64 {
    METER.with(enter_driver);
    // SAFETY: 1. it is the running coroutine's; 2. is passed on to the caller of `call_driver`.
    let result = unsafe { thunk::call(context, address, arguments) };
    METER.with(|meter| {
        let mut reading = leave_driver(meter);
        reading.calls += 1;
        meter.reading.set(reading);
    });
    result
}

/// One import while it is on.
pub(super) fn import(frame: &ImportFrame) -> u64 {
    let function = METER.with(|meter| {
        let mut reading = leave_driver(meter);
        reading.imports += 1;
        meter.reading.set(reading);
        meter.functions.get().get(frame.index as usize).copied()
    });
    let Some(function) = function else {
        sched::stop(Reason::Fault(trap::wild_jump(frame.driver_sp)));
    };
    signal::note_progress();
    let result = (function.run)(&Call::new(function, frame));
    METER.with(enter_driver);
    result
}

/// Fresh zeroed memory for the driver's structures, in place of what an earlier call gave; its address.
pub(crate) fn map(bytes: usize) -> io::Result<u64> {
    ROOM.with_borrow_mut(|room| {
        *room = None;
        let mapping = Mapping::private(layout::BENCH, bytes, Access::ReadWrite)?;
        Ok(room.insert(mapping).address())
    })
}

/// Finds out what a call and an import add to the driver's share. The least of several tries: what comes on top of it is
/// no constant.
pub(crate) fn calibrate() -> io::Result<Overhead> {
    const TRIES: usize = 25;
    const TIMES: u64 = 1_000;
    const RETURN: [u8; 1] = [0xC3];
    // push rbx; sub rsp, 32; mov ebx, ecx; mov r11, STUB; call r11; dec ebx; jnz (to the mov); add rsp, 32; pop rbx; ret
    const LOOP: [u8; 31] = [
        0x53, 0x48, 0x83, 0xEC, 0x20, 0x89, 0xCB, 0x49, 0xBB, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0xFF,
        0xD3, 0xFF, 0xCB, 0x75, 0xEF, 0x48, 0x83, 0xC4, 0x20, 0x5B, 0xC3, 0xCC,
    ];
    const STUB_AT: usize = 9;
    const LOOP_AT: u64 = 64;
    let stub = import_address("ntoskrnl.exe", "KeGetCurrentIrql")
        .ok_or_else(|| io::Error::other("no function to calibrate with"))?;
    let code = Mapping::private(layout::BENCH, layout::PAGE as usize, Access::ReadWrite)?;
    let mut body = LOOP;
    body[STUB_AT..STUB_AT + 8].copy_from_slice(&stub.to_le_bytes());
    code.write(0, &RETURN);
    code.write(LOOP_AT, &body);
    code.protect(0, layout::PAGE as usize, Access::ReadExecute)?;
    let least = |measure: &dyn Fn() -> f64| {
        let tries = (0..TRIES).map(|_| measure());
        tries.fold(f64::INFINITY, f64::min)
    };
    let address = code.address();
    let call = least(&|| {
        start();
        for _ in 0..TIMES {
            call_driver(address, &[]);
        }
        stop().ticks as f64 / TIMES as f64
    });
    let import = least(&|| {
        start();
        call_driver(address + LOOP_AT, &[TIMES]);
        (stop().ticks as f64 - call) / TIMES as f64
    });
    Ok(Overhead { call, import })
}
