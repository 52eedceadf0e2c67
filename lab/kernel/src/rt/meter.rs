//! How much time of the host's goes into driver code, for measurements.
//!
//! While it is on, an import is its body and nothing else: no event, no scheduling point, no virtual time; and the frequent
//! ones are run by driver code itself ([`leaf`]). The time-stamp counter is read whenever driver code is entered and left
//! otherwise. What the reading adds to the driver's share, and the way of an import that is no leaf, is measured beforehand
//! with code of the lab's own ([`calibrate`]). What calls of driver code and leaves add is told by doing them again where
//! they are ([`start`]): it depends on the code around them.

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
    /// Rows of calls of driver code, in which the clock was read once before and once after.
    rows: u64,
    /// Calls of imports that are no leaves.
    imports: u64,
    /// Calls of leaves.
    leaf_calls: u64,
}

/// Ticks that are not the driver's, and what else it takes to count them.
#[derive(Debug)]
pub(crate) struct Overhead {
    row: Cost,
    import: Cost,
    stubs: Stubs,
    /// Code that does nothing, at its first byte.
    idle: Mapping,
}

/// Ticks, and how far they may be wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) ticks: f64,
    pub(crate) doubt: f64,
}

impl Reading {
    /// The ticks in driver code and in leaves, with the way there and back.
    pub(crate) fn driver_ticks(&self, overhead: &Overhead) -> Cost {
        let of = |part: fn(Cost) -> f64| {
            self.rows as f64 * part(overhead.row) + self.imports as f64 * part(overhead.import)
        };
        Cost {
            ticks: self.ticks as f64 - of(|cost| cost.ticks),
            doubt: of(|cost| cost.doubt),
        }
    }

    /// Calls of imports.
    pub(crate) fn imports(&self) -> u64 {
        self.imports + self.leaf_calls
    }
}

/// Bytes of a large page.
const HUGE_PAGE: usize = 2 << 20;

struct Meter {
    is_on: Cell<bool>,
    /// When driver code was entered.
    since: Cell<u64>,
    ticks: Cell<u64>,
    rows: Cell<u64>,
    imports: Cell<u64>,
    /// How often each call is done once more, of code that does nothing.
    again: Cell<u8>,
    /// That code.
    idle: Cell<u64>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            is_on: Cell::new(false),
            since: Cell::new(0),
            ticks: Cell::new(0),
            rows: Cell::new(0),
            imports: Cell::new(0),
            again: Cell::new(0),
            idle: Cell::new(0),
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

/// Begins counting, outside of driver code. Each call of driver code is done so many times more, of code that does nothing,
/// and each leaf, with no effect: two times at most.
pub(crate) fn start(overhead: &Overhead, again: u8) -> io::Result<()> {
    overhead.stubs.switch(Some(again))?;
    // Nobody looks at what driver code does with FS, and exchanging it takes longer than the rest of the way there.
    thunk::share_fs(true);
    leaf::set_time(sched::now());
    METER.with(|meter| {
        meter.ticks.set(0);
        meter.rows.set(0);
        meter.imports.set(0);
        meter.again.set(again);
        meter.idle.set(overhead.idle.address());
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
            rows: meter.rows.get(),
            imports: meter.imports.get(),
            ..Reading::default()
        }
    });
    reading.leaf_calls = overhead.stubs.counts().sum();
    overhead.stubs.switch(None)?;
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
    let mut result = 0;
    signal::note_progress();
    let (again, idle) = METER.with(|meter| (meter.again.get(), meter.idle.get()));
    METER.with(enter_driver);
    for arguments in all {
        for _ in 0..again {
            // SAFETY: as below.
            unsafe { thunk::call(context, idle, arguments) };
        }
        // SAFETY: 1. it is the running coroutine's; 2. is passed on to the caller, which has no more than memory of the
        // stack's or of structures alive.
        result = unsafe { thunk::call(context, address, arguments) };
    }
    METER.with(|meter| {
        leave_driver(meter);
        meter.rows.set(meter.rows.get() + 1);
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
        let bytes = bytes.next_multiple_of(HUGE_PAGE);
        let mapping = Mapping::private(layout::BENCH, bytes, Access::ReadWrite)?;
        // Which small pages Linux finds decides which of them are in each other's way in a cache. It need not have large ones.
        let _ = mapping.advise(0, bytes, libc::MADV_HUGEPAGE);
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

/// Finds out what a row of calls and an import add to the driver's share. The least of several tries: what comes on top of it is
/// no constant.
pub(crate) fn calibrate(imports: &[LeafImport]) -> io::Result<Overhead> {
    const TRIES: usize = 25;
    const TIMES: u64 = 1_000;
    const ROW: usize = 32;
    const RETURN: [u8; 1] = [0xC3];
    // push rbx; push rsi; sub rsp, 56; mov ebx, ecx
    const BEGIN: [u8; 8] = [0x53, 0x56, 0x48, 0x83, 0xEC, 0x38, 0x89, 0xCB];
    // mov rax, STUB; call rax
    const CALL: [u8; 12] = [0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xD0];
    // imul rsi, rsi
    const WORK: [u8; 4] = [0x48, 0x0F, 0xAF, 0xF6];
    const WORKS: usize = 100;
    // add rsp, 56; pop rsi; pop rbx; ret
    const END: [u8; 7] = [0x48, 0x83, 0xC4, 0x38, 0x5E, 0x5B, 0xC3];
    const LOOP_AT: u64 = 64;
    let code = Mapping::private(layout::BENCH_CODE, layout::PAGE as usize, Access::ReadWrite)?;
    let address = code.address();
    // An import that is none of them, and needs nothing.
    let stub = import_address("ntoskrnl.exe", "KeQueryTimeIncrement")
        .ok_or_else(|| io::Error::other("no function to calibrate with"))?;
    // A loop with as much work of its own, and with the import or without it.
    let write = |overhead: &Overhead, works: usize, calls: bool| {
        let mut body = BEGIN.to_vec();
        let first = body.len();
        if calls {
            body.extend(CALL);
            body[first + 2..first + 10].copy_from_slice(&stub.to_le_bytes());
        }
        body.extend(WORK.repeat(works));
        // dec ebx; jnz
        body.extend([0xFF, 0xCB, 0x0F, 0x85]);
        let distance = first as i32 - (body.len() as i32 + 4);
        body.extend(distance.to_le_bytes());
        body.extend(END);
        overhead.idle.protect_all(Access::ReadWrite)?;
        overhead.idle.write(LOOP_AT, &body);
        overhead.idle.protect_all(Access::ReadExecute)
    };
    code.write(0, &RETURN);
    code.protect_all(Access::ReadExecute)?;
    let mut overhead = Overhead {
        row: Cost::default(),
        import: Cost::default(),
        stubs: Stubs::new(imports)?,
        idle: code,
    };
    // Ticks of each of so many rows of calls.
    let least = |overhead: &Overhead, rows: u64, entry: u64, arguments: &[&[u64]]| {
        let mut least = f64::INFINITY;
        for _ in 0..TRIES {
            start(overhead, 0)?;
            for _ in 0..rows {
                call_each(entry, arguments.iter().copied());
            }
            least = least.min(stop(overhead)?.ticks as f64);
            leaf::clear();
        }
        Ok::<f64, io::Error>(least / rows as f64)
    };
    let arguments: &[u64] = &[0; 4];
    let one = least(&overhead, TIMES, address, &[arguments])?;
    let many = least(&overhead, TIMES, address, &[arguments; ROW])?;
    let call = ((many - one) / (ROW - 1) as f64).max(0.0);
    let row = (one - call).max(0.0);
    overhead.row = Cost {
        ticks: row,
        doubt: row / 2.0,
    };
    // Ticks of a round of that loop.
    let round = |overhead: &Overhead, works: usize, calls: bool| {
        write(overhead, works, calls)?;
        let whole = least(overhead, 1, address + LOOP_AT, &[&[TIMES]])?;
        Ok::<f64, io::Error>((whole - one).max(0.0) / TIMES as f64)
    };
    let alone = round(&overhead, 0, true)? - round(&overhead, 0, false)?;
    let amid = round(&overhead, WORKS, true)? - round(&overhead, WORKS, false)?;
    overhead.import = Cost {
        ticks: f64::midpoint(alone, amid).max(0.0),
        doubt: (alone - amid).abs() / 2.0,
    };
    Ok(overhead)
}
