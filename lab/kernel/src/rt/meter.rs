//! How much time of the host's goes into driver code, for measurements.
//!
//! While it is on, an import is its body and nothing else: no event, no scheduling point, no virtual time; and the frequent
//! ones are run by driver code itself ([`leaf`]). The time-stamp counter is read whenever driver code is entered and left
//! otherwise. What all that adds to the driver's share is measured beforehand with code of the lab's own ([`calibrate`]):
//! for the reading with the assembly in between, and for each leaf.

use std::{
    arch::x86_64::_rdtsc,
    cell::{Cell, RefCell},
    io,
    mem::MaybeUninit,
};

use super::{
    call::{self, Call, import_address},
    context::{self, Context, ImportFrame},
    layout,
    leaf::{self, LeafImport, Stubs},
    machine::Reason,
    mapping::{Access, Mapping},
    pool, sched, signal, thunk, trap,
};

/// What was counted while it was on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// Ticks of the time-stamp counter in driver code, with the way there and back.
    ticks: u64,
    /// Calls of driver code, and rows of such calls in which the clock was read once before and once after.
    calls: u64,
    rows: u64,
    /// Calls of imports that are no leaves.
    imports: u64,
    /// Calls of leaves, and the ticks that they have taken.
    leaf_calls: u64,
    leaf_ticks: f64,
}

/// Ticks that are not the driver's.
#[derive(Debug)]
pub(crate) struct Overhead {
    row: f64,
    call: f64,
    import: f64,
    stubs: Stubs,
    /// For each of the stubs.
    leaves: Vec<f64>,
}

impl Reading {
    /// The ticks in driver code alone.
    pub(crate) fn driver_ticks(&self, overhead: &Overhead) -> f64 {
        let around = self.rows as f64 * overhead.row
            + self.calls as f64 * overhead.call
            + self.imports as f64 * overhead.import;
        (self.ticks as f64 - around - self.leaf_ticks).max(0.0)
    }

    /// Calls of imports.
    pub(crate) fn imports(&self) -> u64 {
        self.imports + self.leaf_calls
    }
}

struct Meter {
    is_on: Cell<bool>,
    /// When driver code was entered.
    since: Cell<u64>,
    ticks: Cell<u64>,
    calls: Cell<u64>,
    rows: Cell<u64>,
    imports: Cell<u64>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            is_on: Cell::new(false),
            since: Cell::new(0),
            ticks: Cell::new(0),
            calls: Cell::new(0),
            rows: Cell::new(0),
            imports: Cell::new(0),
        }
    };
    /// The mapping of [`map`].
    static ROOM: RefCell<Option<Mapping>> = const { RefCell::new(None) };
}

/// The time-stamp counter. What comes before it may not have ended: waiting for that would take longer than what is
/// measured, and what one interval has too much the next has too little.
pub(crate) fn now() -> u64 {
    // SAFETY: reads a register.
    unsafe { _rdtsc() }
}

/// How often Linux has taken the processor from this thread for others.
pub(crate) fn interruptions() -> i64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is one that may be written.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: any bytes are a `rusage`, and all of them are initialised.
    let usage = unsafe { usage.assume_init() };
    if failed == 0 { usage.ru_nivcsw } else { 0 }
}

/// Lets this thread run on one processor only, the last that it may run on. Where Linux refuses, it goes on as before.
pub(crate) fn stay() {
    let bytes = size_of::<libc::cpu_set_t>();
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: `set` has so many bytes, which may be written.
    let failed = unsafe { libc::sched_getaffinity(0, bytes, set.as_mut_ptr()) };
    // SAFETY: any bytes are a set, and all of them are initialised.
    let mut set = unsafe { set.assume_init() };
    let is_in = |processor: &usize| {
        // SAFETY: the set has so many bits.
        unsafe { libc::CPU_ISSET(*processor, &set) }
    };
    let last = (0..8 * bytes).rev().find(is_in);
    if let Some(last) = last.filter(|_| failed == 0) {
        // SAFETY: the set is initialised.
        unsafe { libc::CPU_ZERO(&mut set) };
        // SAFETY: the set has this bit, see above.
        unsafe { libc::CPU_SET(last, &mut set) };
        // SAFETY: `set` has so many bytes.
        unsafe { libc::sched_setaffinity(0, bytes, &raw const set) };
    }
}

/// Whether it is on.
pub(crate) fn is_on() -> bool {
    METER.with(|meter| meter.is_on.get())
}

/// Begins counting, outside of driver code.
pub(crate) fn start(overhead: &Overhead) -> io::Result<()> {
    overhead.stubs.switch(true)?;
    // Nobody looks at what driver code does with FS, and exchanging it takes longer than the rest of the way there.
    thunk::share_fs(true);
    leaf::set_time(sched::now());
    METER.with(|meter| {
        meter.ticks.set(0);
        meter.calls.set(0);
        meter.rows.set(0);
        meter.imports.set(0);
        meter.is_on.set(true);
    });
    Ok(())
}

/// Ends it, outside of driver code.
pub(crate) fn stop(overhead: &Overhead) -> io::Result<Reading> {
    thunk::share_fs(false);
    let mut reading = METER.with(|meter| {
        meter.is_on.set(false);
        Reading {
            ticks: meter.ticks.get(),
            calls: meter.calls.get(),
            rows: meter.rows.get(),
            imports: meter.imports.get(),
            ..Reading::default()
        }
    });
    for (calls, ticks) in overhead.stubs.counts().zip(&overhead.leaves) {
        reading.leaf_calls += calls;
        reading.leaf_ticks += calls as f64 * ticks;
    }
    overhead.stubs.switch(false)?;
    Ok(reading)
}

fn enter_driver(meter: &Meter) {
    pool::settle();
    context::forget_capture();
    meter.since.set(now());
}

fn leave_driver(meter: &Meter) {
    let ticks = now().wrapping_sub(meter.since.get());
    meter.ticks.set(meter.ticks.get().wrapping_add(ticks));
    context::forget_capture();
}

/// [`call_driver`] while it is on.
pub(super) fn call(context: &Context, address: u64, arguments: &[u64]) -> u64 {
    call_in(context, address, [arguments].into_iter())
}

/// Calls driver code once with each of some arguments, and reads the clock before and after all that.
///
/// Must be called from a kernel thread or a DPC body, see the rule of the cut in [`super`].
pub(crate) fn call_each<'a>(address: u64, all: impl ExactSizeIterator<Item = &'a [u64]>) {
    let context = context::current().expect("called from a kernel thread or a DPC");
    call_in(context, address, all);
}

fn call_in<'a>(
    context: &Context,
    address: u64,
    all: impl ExactSizeIterator<Item = &'a [u64]>,
) -> u64 {
    let calls = all.len() as u64;
    let mut result = 0;
    signal::note_progress();
    METER.with(enter_driver);
    for arguments in all {
        // SAFETY: 1. it is the running coroutine's; 2. is passed on to the caller, which has no more than memory of the
        // stack's or of structures alive.
        result = unsafe { thunk::call(context, address, arguments) };
    }
    METER.with(|meter| {
        leave_driver(meter);
        meter.rows.set(meter.rows.get() + 1);
        meter.calls.set(meter.calls.get() + calls);
    });
    result
}

/// One import while it is on.
pub(super) fn import(frame: &ImportFrame) -> u64 {
    METER.with(|meter| {
        leave_driver(meter);
        meter.imports.set(meter.imports.get() + 1);
    });
    let functions = call::functions();
    let Some(function) = functions.get(frame.index as usize).copied() else {
        sched::stop(Reason::Fault(trap::wild_jump(frame.driver_sp)));
    };
    signal::note_progress();
    let result = (function.run)(&Call::new(function, frame));
    METER.with(enter_driver);
    result
}

/// Memory for the driver's structures, in place of what an earlier call gave; its address. What was written there may still
/// be there.
pub(crate) fn map(bytes: usize) -> io::Result<u64> {
    ROOM.with_borrow_mut(|room| {
        if let Some(known) = room.as_ref().filter(|known| known.bytes() >= bytes) {
            return Ok(known.address());
        }
        *room = None;
        let mapping = Mapping::private(layout::BENCH, bytes, Access::ReadWrite)?;
        Ok(room.insert(mapping).address())
    })
}

/// Gives that memory back.
pub(crate) fn unmap() {
    ROOM.take();
}

/// What goes on in memory that [`map`] gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    /// Its last structure that was looked at.
    pub(crate) last: u64,
    /// What that one points to.
    pub(crate) next: u64,
    /// How many were looked at.
    pub(crate) length: usize,
}

/// Goes along a chain whose structures begin with a pointer to the next, over `most` of them at most. None if one is not in
/// the memory that [`map`] gave.
pub(crate) fn follow(first: u64, most: usize) -> Option<Chain> {
    ROOM.with_borrow(|room| {
        let room = room.as_ref()?;
        let mut chain = Chain {
            last: 0,
            next: first,
            length: 0,
        };
        while chain.next != 0 && chain.length < most {
            chain.last = chain.next;
            chain.next = room.word(chain.next)?;
            chain.length += 1;
        }
        Some(chain)
    })
}

/// Finds out what a row of calls, a call, an import and each leaf add to the driver's share. The least of several tries: what comes on top
/// of it is no constant.
pub(crate) fn calibrate(imports: &[LeafImport]) -> io::Result<Overhead> {
    const TRIES: usize = 25;
    const TIMES: u64 = 1_000;
    const ROW: usize = 32;
    const RETURN: [u8; 1] = [0xC3];
    // push rbx; sub rsp, 64; mov ebx, ecx; lea rcx, [rsp + 32]; lea rdx, [rsp + 32]; xor r8d, r8d; mov r11, STUB;
    // call r11; dec ebx; jnz (to the first lea); add rsp, 64; pop rbx; ret
    const LOOP: [u8; 43] = [
        0x53, 0x48, 0x83, 0xEC, 0x40, 0x89, 0xCB, 0x48, 0x8D, 0x4C, 0x24, 0x20, 0x48, 0x8D, 0x54,
        0x24, 0x20, 0x45, 0x31, 0xC0, 0x49, 0xBB, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0xFF, 0xD3, 0xFF,
        0xCB, 0x75, 0xE2, 0x48, 0x83, 0xC4, 0x40, 0x5B, 0xC3,
    ];
    const STUB_AT: usize = 22;
    const LOOP_AT: u64 = 64;
    let code = Mapping::private(layout::BENCH, layout::PAGE as usize, Access::ReadWrite)?;
    let address = code.address();
    let aim = |stub: u64| {
        let mut body = LOOP;
        body[STUB_AT..STUB_AT + 8].copy_from_slice(&stub.to_le_bytes());
        code.protect_all(Access::ReadWrite)?;
        code.write(0, &RETURN);
        code.write(LOOP_AT, &body);
        code.protect_all(Access::ReadExecute)
    };
    let mut overhead = Overhead {
        row: 0.0,
        call: 0.0,
        import: 0.0,
        stubs: Stubs::new(imports)?,
        leaves: vec![0.0; imports.len()],
    };
    // An import that is none of them, and needs nothing.
    let stub = import_address("ntoskrnl.exe", "KeQueryTimeIncrement")
        .ok_or_else(|| io::Error::other("no function to calibrate with"))?;
    // Ticks of each of so many rows of calls.
    let least = |overhead: &Overhead, rows: u64, entry: u64, arguments: &[&[u64]]| {
        let mut least = f64::INFINITY;
        for _ in 0..TRIES {
            start(overhead)?;
            for _ in 0..rows {
                call_each(entry, arguments.iter().copied());
            }
            least = least.min(stop(overhead)?.ticks as f64);
            leaf::clear();
        }
        Ok::<f64, io::Error>(least / rows as f64)
    };
    aim(stub)?;
    let arguments: &[u64] = &[0; 4];
    let one = least(&overhead, TIMES, address, &[arguments])?;
    let many = least(&overhead, TIMES, address, &[arguments; ROW])?;
    overhead.call = ((many - one) / (ROW - 1) as f64).max(0.0);
    overhead.row = (one - overhead.call).max(0.0);
    // Ticks of an import, called by code of ours in a loop.
    let called = |overhead: &Overhead| {
        let whole = least(overhead, 1, address + LOOP_AT, &[&[TIMES]])?;
        Ok::<f64, io::Error>((whole - one).max(0.0) / TIMES as f64)
    };
    overhead.import = called(&overhead)?;
    for index in 0..imports.len() {
        aim(overhead.stubs.stub(index))?;
        // Some of them change the level.
        let old = sched::irql();
        overhead.leaves[index] = called(&overhead)?;
        sched::set_irql(old);
    }
    Ok(overhead)
}
