//! Virtual processors, kernel threads, DPCs and time.
//!
//! One coroutine runs at a time; at a *scheduling point* (every import, every wait, every change to
//! a lower IRQL) the seed decides who goes on:
//!
//! - A processor that is at DISPATCH_LEVEL goes on with what it runs, even if that waits: so spin
//!   locks spin. Otherwise a queued DPC comes first, then any thread that may run there.
//! - Threads move between processors, among those that they are bound to if they are. There are no priorities.
//! - A `pause` instruction of the image always gives way, so that loops that spin by themselves end.
//! - If nobody can run, the virtual clock jumps to the next thing that is timed; if there is none,
//!   the run hangs and says who waits where.
//!
//! Virtual time passes by [`IMPORT_NS`] per import and [`COPY_BYTES_PER_NS`] for copies that imports
//! make, wherever that happens: the processors share one clock, as if they took turns. What each has
//! spent itself is counted beside it.

mod binding;
mod choice;
mod dpc;
mod hang;
mod thread;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicU8, Ordering},
};

pub(super) use self::hang::hang;
pub(crate) use self::{
    binding::{bind, bound_to, is_active, thread_of_object, time_of},
    dpc::{DpcId, cancel_dpc, queue_dpc, queue_dpc_at, queue_dpc_first},
    hang::{Hang, HangKind},
};
use self::{
    dpc::Dpc,
    thread::{Thread, Threads, Waiting},
};
pub(crate) use super::machine::Reason;
use super::{
    context::{self, CURRENT},
    journal::{self, What},
    layout, paged,
    processor::{self, Processors},
    random::Random,
    signal, stack,
    trace::{StackId, capture_of},
    user,
};

/// `PASSIVE_LEVEL`.
pub(crate) const PASSIVE_LEVEL: u8 = 0;
/// `APC_LEVEL`.
pub(crate) const APC_LEVEL: u8 = 1;
/// `DISPATCH_LEVEL`.
pub(crate) const DISPATCH_LEVEL: u8 = 2;

/// Virtual time of an import call, in ns.
pub(crate) const IMPORT_NS: u64 = 50;
/// Bytes that an import copies in a ns of virtual time.
pub(crate) const COPY_BYTES_PER_NS: u64 = 8;
/// Virtual time that a processor may stay at DISPATCH_LEVEL, in ns. The DPC watchdog of Windows
/// allows a single DPC 20 s by default.
pub(crate) const DISPATCH_LIMIT_NS: u64 = 20_000_000_000;
/// Imports that one callback may call, one after another and without waiting; what they fill or
/// copy counts too.
const BUSY_LIMIT: u64 = 1_000_000;

/// A kernel thread or DPC body, never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ThreadId(pub(crate) u32);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its condition took what it waited for.
    Satisfied,
    /// The deadline passed first.
    TimedOut,
}

/// A virtual processor.
#[derive(Default)]
struct Processor {
    /// The thread that it runs, or that a DPC interrupted.
    thread: Option<ThreadId>,
    /// The DPC body that it runs.
    dpc: Option<ThreadId>,
    queue: VecDeque<Dpc>,
    /// Whether what it runs cannot be interrupted. For the choice, which finds it out anew.
    is_owned: bool,
    /// Threads that it could run next. For the choice.
    options: Vec<ThreadId>,
    /// Virtual time that it has spent itself.
    spent_ns: u64,
}

/// # Invariants
/// A thread whose stage is `On(p)` is `processors[p].thread` or `.dpc`, and no other is.
#[derive(Default)]
struct Machine {
    threads: Threads,
    processors: Vec<Processor>,
    /// DPCs that wait for their time, by that time.
    timed: BTreeMap<(u64, DpcId), (u32, Dpc)>,
    stacks: Option<stack::Stacks>,
    host_stacks: Vec<corosensei::stack::DefaultStack>,
    time_limit_ns: u64,
}

/// What changes with every import: cells, so that a scheduling point that does not switch is cheap.
struct Fast {
    now_ns: Cell<u64>,
    /// Virtual time that this processor has spent itself.
    spent_ns: Cell<u64>,
    random: Cell<Random>,
    /// One in so many scheduling points switches.
    odds: Cell<u64>,
    current: Cell<Option<ThreadId>>,
    processor: Cell<u32>,
    /// The image on whose behalf the running thread runs.
    image: Cell<u8>,
    /// The process whose thread it is; 0 for the system's.
    process: Cell<u32>,
    /// When the running thread went to DISPATCH_LEVEL.
    dispatch_since_ns: Cell<u64>,
    /// Whether a DPC waits for this processor.
    has_dpc: Cell<bool>,
    /// Whether the running thread has been bound to other processors than this.
    is_misplaced: Cell<bool>,
    /// What the processor had spent when the running thread went on.
    spent_before_ns: Cell<u64>,
    /// Imports since the running callback began or waited.
    busy: Cell<u64>,
    /// `pause` instructions since the last import.
    pauses: Cell<u32>,
    switches: Cell<u64>,
    next_id: Cell<u64>,
    uses_shared_clock: Cell<bool>,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::default();
    static STOP: RefCell<Option<Reason>> = const { RefCell::new(None) };
    static FAST: Fast = const {
        Fast {
            now_ns: Cell::new(0),
            spent_ns: Cell::new(0),
            random: Cell::new(Random::new(0)),
            odds: Cell::new(1),
            current: Cell::new(None),
            processor: Cell::new(0),
            image: Cell::new(0),
            process: Cell::new(0),
            dispatch_since_ns: Cell::new(0),
            has_dpc: Cell::new(false),
            is_misplaced: Cell::new(false),
            spent_before_ns: Cell::new(0),
            busy: Cell::new(0),
            pauses: Cell::new(0),
            switches: Cell::new(0),
            next_id: Cell::new(0),
            uses_shared_clock: Cell::new(false),
        }
    };
}

/// IRQL of the running thread. Not thread-local as the rest: [`super::leaf`] has it in driver code too, and the only
/// thread that ever uses it is the machine's.
pub(super) static IRQL: AtomicU8 = AtomicU8::new(PASSIVE_LEVEL);

fn fast<R>(read: impl FnOnce(&Fast) -> R) -> R {
    FAST.with(read)
}

/// Begins a run: no threads yet.
pub(super) fn reset(seed: u64, processors: u32, time_limit_ns: u64, stacks: stack::Stacks) {
    let mut random = Random::new(seed);
    // How eagerly a run switches is a part of what a seed explores.
    let odds = [1, 2, 4, 16, 64][random.below(5) as usize];
    let host_stacks = MACHINE.take().host_stacks;
    MACHINE.replace(Machine {
        host_stacks,
        processors: (0..processors).map(|_| Processor::default()).collect(),
        stacks: Some(stacks),
        time_limit_ns,
        ..Machine::default()
    });
    STOP.take();
    fast(|fast| {
        fast.now_ns.set(0);
        fast.image.set(0);
        fast.process.set(0);
        fast.random.set(random);
        fast.odds.set(odds);
        fast.switches.set(0);
        fast.next_id.set(0);
        fast.has_dpc.set(false);
        fast.uses_shared_clock.set(false);
    });
}

/// Abandons all threads and gives their driver stacks back. Host stacks are kept for the next run: what is on them no
/// driver sees.
pub(super) fn close() {
    let machine = MACHINE.take();
    MACHINE.replace(Machine {
        host_stacks: machine.host_stacks,
        ..Machine::default()
    });
}

/// Runs `main` as the first thread, until it returns or the run is stopped.
pub(super) fn run(processors: &Processors, main: Box<dyn FnOnce()>) -> Option<Reason> {
    let main = start("main", None, main);
    loop {
        let next = match choice::choose() {
            Ok(thread) => thread,
            Err(hang) => return Some(Reason::Hang(hang)),
        };
        let ended = thread::resume(next, processors);
        if let Some(reason) = STOP.take() {
            return Some(reason);
        }
        if ended {
            thread::end(next);
            if next == main {
                return None;
            }
        }
    }
}

fn next_id() -> u64 {
    fast(|fast| {
        let id = fast.next_id.get() + 1;
        fast.next_id.set(id);
        id
    })
}

fn last_id() -> u64 {
    fast(|fast| fast.next_id.get())
}

/// Starts a kernel thread at PASSIVE_LEVEL, on `processor` only or on any.
pub(crate) fn spawn(name: &str, processor: Option<u32>, body: impl FnOnce() + 'static) -> ThreadId {
    start(name, processor, Box::new(body))
}

fn start(name: &str, processor: Option<u32>, body: Box<dyn FnOnce()>) -> ThreadId {
    let id = ThreadId(next_id() as u32);
    MACHINE.with_borrow_mut(|machine| {
        let thread = Thread::new(machine, name.to_owned(), processor, image(), body);
        machine.threads.add(id, thread);
    });
    journal::note_of(id, 0, PASSIVE_LEVEL, || What::Born {
        name: name.to_owned(),
        is_dpc: false,
    });
    id
}

/// A scheduling point: another thread may run before this returns.
pub(crate) fn point() {
    check_dispatch();
    let switch = fast(|fast| {
        let dispatch = irql() >= DISPATCH_LEVEL;
        (fast.has_dpc.get() || fast.is_misplaced.get()) && !dispatch || random(fast.odds.get()) == 0
    });
    if switch {
        suspend();
    }
}

/// Ends the run when the processor has been at DISPATCH_LEVEL for too long.
fn check_dispatch() {
    let stay_ns = fast(|fast| match irql() {
        DISPATCH_LEVEL.. => fast.now_ns.get() - fast.dispatch_since_ns.get(),
        _ => 0,
    });
    if stay_ns > DISPATCH_LIMIT_NS {
        hang(HangKind::DispatchTooLong);
    }
}

/// How long the processor has been at DISPATCH_LEVEL or above, in ns; none below.
pub(crate) fn dispatch_time() -> Option<u64> {
    fast(|fast| {
        let is_dispatch = irql() >= DISPATCH_LEVEL;
        is_dispatch.then(|| fast.now_ns.get() - fast.dispatch_since_ns.get())
    })
}

/// Counts an import of the running callback.
pub(super) fn note_import() {
    fast(|fast| fast.pauses.set(0));
    note_work(1);
}

/// The running thread spins by itself: lets others go on.
pub(super) fn pause() {
    /// Imports that a pause counts as, against the limit for loops without end.
    const WEIGHT: u64 = 50;
    fast(|fast| fast.pauses.set(fast.pauses.get().saturating_add(1)));
    note_work(WEIGHT);
    check_dispatch();
    suspend();
}

fn note_work(imports: u64) {
    signal::note_progress();
    charge(IMPORT_NS);
    note_busy(imports);
}

/// Counts bytes that an import of the running callback fills or copies: they keep the host busy as imports do.
pub(crate) fn note_bytes(bytes: usize) {
    /// Imports that a page counts as.
    const WEIGHT: u64 = 2;
    note_busy(WEIGHT * bytes as u64 / layout::PAGE);
}

fn note_busy(imports: u64) {
    let busy = fast(|fast| {
        fast.busy.set(fast.busy.get() + imports);
        fast.busy.get()
    });
    if busy > BUSY_LIMIT {
        hang(HangKind::EndlessCalls);
    }
}

/// Begins counting anew: a callback begins, or a wait.
pub(super) fn reset_busy() {
    fast(|fast| fast.busy.set(0));
}

/// Waits until `condition` holds.
///
/// The condition tests *and takes* (an auto-reset event, a lock word). It is tried at once, then at
/// any time on the scheduler's stack: it must not wait, switch, stop or call the driver.
///
/// At DISPATCH_LEVEL and above the processor stays occupied: that is how a spin lock spins.
pub(crate) fn wait(condition: &mut dyn FnMut() -> bool) {
    let _ = wait_until(u64::MAX, condition);
}

/// As [`wait`], but at most until the virtual clock has reached `deadline_ns`.
pub(crate) fn wait_until(deadline_ns: u64, condition: &mut dyn FnMut() -> bool) -> Wait {
    if condition() {
        return Wait::Satisfied;
    }
    if deadline_ns <= now() {
        return Wait::TimedOut;
    }
    reset_busy();
    let current = current();
    let waiting = Waiting::new(deadline_ns, condition);
    with_thread(current, |thread| thread.waiting = Some(waiting));
    suspend();
    with_thread(current, |thread| thread.outcome)
}

/// Sleeps until the virtual clock has reached `deadline_ns`.
pub(crate) fn sleep_until(deadline_ns: u64) {
    let _ = wait_until(deadline_ns, &mut || false);
}

/// Virtual time since the run began, in ns.
pub(crate) fn now() -> u64 {
    fast(|fast| fast.now_ns.get())
}

/// Virtual time that the running processor has spent itself since the run began, in ns: what was
/// charged while it ran. The others' work, and time in which all wait, is not in it.
pub(crate) fn processor_time() -> u64 {
    fast(|fast| fast.spent_ns.get())
}

/// Lets `ns` of virtual time pass, which the running processor spends.
pub(crate) fn charge(ns: u64) {
    fast(|fast| {
        fast.spent_ns.set(fast.spent_ns.get() + ns);
        set_now(fast, fast.now_ns.get() + ns);
    });
}

/// Lets the time pass that copying `bytes` takes.
pub(crate) fn charge_copy(bytes: usize) {
    charge((bytes as u64).div_ceil(COPY_BYTES_PER_NS));
    note_bytes(bytes);
}

fn set_now(fast: &Fast, now_ns: u64) {
    fast.now_ns.set(now_ns);
    if fast.uses_shared_clock.get() {
        processor::set_clock(now_ns).expect("the shared page is ours and writable");
    }
}

/// The driver reads times from KUSER_SHARED_DATA: keep them right from now on.
pub(super) fn use_shared_clock() {
    fast(|fast| {
        fast.uses_shared_clock.set(true);
        set_now(fast, fast.now_ns.get());
    });
}

/// IRQL of the running thread.
pub(crate) fn irql() -> u8 {
    IRQL.load(Ordering::Relaxed)
}

/// Sets the IRQL, and nothing that follows from it.
pub(super) fn set_irql(level: u8) {
    IRQL.store(level, Ordering::Relaxed);
}

/// The number of the image on whose behalf the running thread runs.
pub(crate) fn image() -> u8 {
    fast(|fast| fast.image.get())
}

/// Runs `body` on behalf of another image, or of the same.
pub(crate) fn on_behalf<R>(image: u8, body: impl FnOnce() -> R) -> R {
    let old = fast(|fast| fast.image.replace(image));
    let result = body();
    fast(|fast| fast.image.set(old));
    result
}

/// The process whose thread runs; 0 for the system's.
pub(crate) fn process() -> u32 {
    fast(|fast| fast.process.get())
}

/// Runs `body` on a thread of another process, or of the same.
pub(crate) fn in_process<R>(process: u32, body: impl FnOnce() -> R) -> R {
    let old = fast(|fast| fast.process.replace(process));
    let result = body();
    fast(|fast| fast.process.set(old));
    user::switch(old, irql());
    result
}

/// Makes the running thread one of another process, or of the same, until this is called again.
pub(crate) fn enter_process(process: u32) {
    fast(|fast| fast.process.set(process));
    user::switch(process, irql());
}

/// Ends the waits that can end now.
pub(crate) fn wake() {
    choice::try_conditions(now());
}

/// Sets a higher (or the same) IRQL and gives back the old one. Legality is the caller's to check.
pub(crate) fn raise(level: u8) -> u8 {
    let old = irql();
    set_irql(level);
    if old < DISPATCH_LEVEL && level >= DISPATCH_LEVEL {
        fast(|fast| fast.dispatch_since_ns.set(fast.now_ns.get()));
    }
    journal::note(|| What::Level);
    if level >= DISPATCH_LEVEL {
        paged::close();
        user::close();
    }
    old
}

/// Sets a lower (or the same) IRQL. DPCs that were waiting for it run before this returns.
pub(crate) fn lower(level: u8) {
    set_irql(level);
    let gives_way = fast(|fast| fast.has_dpc.get() || fast.is_misplaced.get());
    journal::note(|| What::Level);
    if level < DISPATCH_LEVEL && gives_way {
        suspend();
    }
}

/// Does something at `DISPATCH_LEVEL`, and comes back to the level before, whatever comes of it.
pub(crate) fn at_dispatch<R>(body: impl FnOnce() -> R) -> R {
    let old = raise(DISPATCH_LEVEL);
    let result = body();
    lower(old);
    result
}

/// The running thread or DPC body.
pub(crate) fn current() -> ThreadId {
    fast(|fast| fast.current.get()).expect("called from a kernel thread or a DPC")
}

/// The processor it runs on.
pub(crate) fn processor() -> u32 {
    fast(|fast| fast.processor.get())
}

/// Number of processors.
pub(crate) fn processors() -> u32 {
    MACHINE.with_borrow(|machine| machine.processors.len() as u32)
}

/// Name given to a thread or DPC body, unless it has ended.
pub(crate) fn thread_name(thread: ThreadId) -> Option<String> {
    MACHINE.with_borrow(|machine| Some(machine.threads.get(thread)?.name.clone()))
}

/// The driver's stack of a thread that does not run right now, unless it has ended.
pub(crate) fn stack_of(thread: ThreadId) -> Option<StackId> {
    MACHINE.with_borrow(|machine| {
        let thread = machine.threads.get(thread)?;
        Some(capture_of(&thread.context))
    })
}

/// The level of a thread that does not run right now; PASSIVE_LEVEL of one that has ended.
pub(crate) fn irql_of(thread: ThreadId) -> u8 {
    MACHINE.with_borrow(|machine| {
        let thread = machine.threads.get(thread);
        thread.map_or(PASSIVE_LEVEL, |thread| thread.irql)
    })
}

/// Address of the thread's `ETHREAD`, which drivers treat as opaque.
pub(crate) fn thread_object(thread: ThreadId) -> u64 {
    layout::THREADS + u64::from(thread.0) * layout::PAGE
}

/// A number below `bound` (at least 1), decided by the seed.
pub(crate) fn random(bound: u64) -> u64 {
    fast(|fast| {
        let mut random = fast.random.get();
        let number = random.below(bound);
        fast.random.set(random);
        number
    })
}

/// True in `numerator` of `denominator` cases, decided by the seed.
pub(crate) fn chance(numerator: u64, denominator: u64) -> bool {
    random(denominator) < numerator
}

/// Ends the run. Nothing on this stack, nor on any other, runs again.
pub(crate) fn stop(reason: Reason) -> ! {
    note_stop(reason);
    loop {
        suspend();
    }
}

/// The first reason to stop is the one that counts.
fn note_stop(reason: Reason) {
    STOP.with_borrow_mut(|stop| {
        stop.get_or_insert(reason);
    });
}

/// Number of coroutine switches of the run.
#[cfg(test)]
pub(super) fn switches() -> u64 {
    fast(|fast| fast.switches.get())
}

fn with_thread<R>(id: ThreadId, body: impl FnOnce(&mut Thread) -> R) -> R {
    MACHINE.with_borrow_mut(|machine| {
        body(
            machine
                .threads
                .get_mut(id)
                .expect("the thread has not ended"),
        )
    })
}

/// Back to the scheduler.
fn suspend() {
    let context = context::current().expect("only a kernel thread or a DPC can wait or stop");
    // SAFETY: the yielder is on this coroutine's own stack, below its root, while it runs.
    let yielder = unsafe { &*context.yielder.get() };
    yielder.suspend(());
}
