//! The event stream: everything that happens is written here once, judged, counted and hashed.
//!
//! [`emit`] is the only way in. It never switches; a fatal finding stops the run.

mod digest;
mod tally;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use lab_rules::event::{
    Access, Call, Callback, Fault, FaultKind, Import, NblEvent, PoolEvent, Region, WorkItemEvent,
};
use lab_rules::{Event, Finding, Kind, Monitors, Origin, StackFrame, Violation};

use crate::abi::irql::IRQL;
use crate::rt::mem::BadAddress;
use crate::rt::sched::{self, Reason, ThreadId};
use crate::rt::{fault, pool, trace};
use digest::Digest;
pub(crate) use tally::Tally;

/// Events that a violation shows.
const HISTORY: usize = 24;

/// The judges of one run.
struct Watch {
    seed: u64,
    monitors: Monitors,
    digest: Digest,
    tally: Tally,
    events: u64,
    history: VecDeque<Event>,
    violation: Option<Violation>,
    warnings: Vec<Violation>,
}

/// What the stream amounted to.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) events: u64,
    pub(crate) digest: String,
    pub(crate) rules_checked: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) warnings: Vec<Violation>,
    /// When the last event happened.
    pub(crate) virtual_ns: u64,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
    /// The driver's routines that run, with their addresses, per thread, outermost first.
    static CALLS: RefCell<BTreeMap<ThreadId, Vec<(Call, u64)>>> = const { RefCell::new(BTreeMap::new()) };
    /// The import that each thread is in.
    static IMPORTS: RefCell<BTreeMap<ThreadId, Vec<&'static str>>> = const { RefCell::new(BTreeMap::new()) };
    /// Stacks of what happened earlier to objects.
    static ORIGINS: RefCell<BTreeMap<Origin, trace::StackId>> = const { RefCell::new(BTreeMap::new()) };
    /// When the last event happened, for a violation that is found after the end.
    static LAST: Cell<Place> = const { Cell::new(Place { time_ns: 0, processor: 0, thread: 0, irql: 0 }) };
}

/// Where an event happens.
#[derive(Clone, Copy)]
struct Place {
    time_ns: u64,
    processor: u8,
    thread: u32,
    irql: u8,
}

impl Place {
    fn here() -> Self {
        Self {
            time_ns: sched::now(),
            processor: u8::try_from(sched::processor()).unwrap_or(u8::MAX),
            thread: sched::current().0,
            irql: sched::irql(),
        }
    }
}

/// Begins a run.
pub(crate) fn start(seed: u64) {
    let watch = Watch {
        seed,
        monitors: Monitors::default(),
        digest: Digest::default(),
        tally: Tally::default(),
        events: 0,
        history: VecDeque::with_capacity(HISTORY),
        violation: None,
        warnings: Vec::new(),
    };
    WATCH.set(Some(watch));
    CALLS.take();
    IMPORTS.take();
    ORIGINS.take();
}

/// Ends the run.
pub(crate) fn finish() -> Option<Outcome> {
    let watch = WATCH.take()?;
    Some(Outcome {
        events: watch.events,
        digest: watch.digest.hex(),
        rules_checked: u64::try_from(watch.monitors.rules().len()).unwrap_or(u64::MAX),
        tally: watch.tally,
        violation: watch.violation,
        warnings: watch.warnings,
        virtual_ns: LAST.get().time_ns,
    })
}

/// Writes an event that happens now, on this thread. Does not return when it breaks a rule.
pub(crate) fn emit(kind: Kind) {
    let place = Place::here();
    LAST.set(place);
    note_origin(&kind);
    if observe(place, kind, || trace::frames(driver_stack())) {
        sched::stop(Reason::Rule);
    }
}

/// Writes an event that ended the run, with the driver's stack at that moment.
pub(crate) fn emit_last(kind: Kind, at: Option<(ThreadId, u8)>, stack: trace::StackId) {
    let mut place = LAST.get();
    if let Some((thread, irql)) = at {
        (place.thread, place.irql) = (thread.0, irql);
    }
    observe(place, kind, || trace::frames(stack));
}

/// Judges one event; tells whether the run is over.
fn observe(place: Place, kind: Kind, stack: impl Fn() -> Vec<trace::Frame>) -> bool {
    let Place {
        time_ns,
        processor,
        thread,
        irql,
    } = place;
    let block = block_of(&kind);
    let event = Event {
        time_ns,
        processor,
        thread,
        irql,
        kind,
    };
    let findings = WATCH.with_borrow_mut(|watch| {
        let Some(watch) = watch else {
            return Vec::new();
        };
        watch.events += 1;
        watch.digest.update(&event);
        watch.tally.observe(&event);
        let findings = watch.monitors.observe(&event);
        if watch.history.len() == HISTORY {
            watch.history.pop_front();
        }
        watch.history.push_back(event);
        findings
    });
    let mut is_over = false;
    let memory = findings.first().and_then(|_| block_history(block?));
    for mut finding in findings {
        if let Some(memory) = &memory {
            finding.happened = format!("{}; it {memory}", finding.happened);
        }
        let is_fatal = finding.is_fatal();
        if is_over && is_fatal {
            continue;
        }
        is_over |= is_fatal;
        record(finding, place, &stack);
    }
    is_over
}

/// The pool block that an event is about, if a finding about it should tell its history.
fn block_of(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::Fault(Fault {
            region:
                Region::PoolPast { block, .. }
                | Region::PoolBefore { block, .. }
                | Region::PoolFreed { block, .. },
            ..
        })
        | Kind::Pool(
            PoolEvent::Damaged { block, .. } | PoolEvent::BadFree { address: block, .. },
        ) => Some(*block),
        _ => None,
    }
}

/// Where a block was allocated, and freed if it was.
fn block_history(block: u64) -> Option<String> {
    let block = pool::find(block)?;
    // Frames of published crates and of Rust's own library are wrappers of what the driver did.
    let is_wrapper = |file: &str| file.contains("/registry/src/") || file.contains("/library/");
    let place = |stack| {
        let mut frames = trace::frames(stack).into_iter();
        let frame = frames.find(|frame| !frame.file.as_deref().is_some_and(is_wrapper))?;
        let line = frame
            .file
            .zip(frame.line)
            .map(|(file, line)| format!(" ({file}:{line})"));
        Some(format!("{}{}", frame.function?, line.unwrap_or_default()))
    };
    let allocated = format!("was allocated by {}", place(block.allocated)?);
    Some(match block.freed.and_then(place) {
        Some(freed) => format!("{allocated} and freed by {freed}"),
        None => allocated,
    })
}

/// Keeps a finding as a violation or a warning.
fn record(finding: Finding, place: Place, stack: &dyn Fn() -> Vec<trace::Frame>) {
    let is_fatal = finding.is_fatal();
    let known = WATCH.with_borrow(|watch| {
        watch.as_ref().is_some_and(|watch| {
            watch
                .warnings
                .iter()
                .any(|warning| warning.rule.id == finding.rule.id)
        })
    });
    // One warning per rule: the first says it all.
    if !is_fatal && known {
        return;
    }
    let earlier = finding.origin.and_then(|origin| {
        let stack = ORIGINS.with_borrow(|origins| origins.get(&origin).copied())?;
        Some((trace::frames(stack), origin.text()))
    });
    let (frames, happened) = match earlier {
        Some((frames, text)) => (frames, format!("{}; {text}", finding.happened)),
        None => (stack(), finding.happened),
    };
    let frames = frames.into_iter().map(stack_frame).collect();
    let thread = sched::thread_name(ThreadId(place.thread));
    let callback = innermost(ThreadId(place.thread)).map(|(call, _)| call.callback.name());
    WATCH.with_borrow_mut(|watch| {
        let Some(watch) = watch else { return };
        let history = watch.history.iter().map(line).collect();
        let violation = Violation {
            rule: finding.rule,
            happened,
            bug_check: finding.bug_check,
            stack: frames,
            history,
            callback,
            irql: place.irql,
            processor: place.processor,
            thread,
            time_ns: place.time_ns,
            seed: watch.seed,
        };
        if is_fatal {
            watch.violation = Some(violation);
        } else {
            watch.warnings.push(violation);
        }
    });
}

pub(crate) fn stack_frame(frame: trace::Frame) -> StackFrame {
    StackFrame {
        rva: frame.offset.into(),
        function: frame.function,
        file: frame.file,
        line: frame.line,
    }
}

/// One event for a person.
fn line(event: &Event) -> String {
    let Event {
        time_ns,
        processor,
        thread,
        irql,
        kind,
    } = event;
    format!("{time_ns:>12} ns  cpu {processor}  thread {thread:<3}  irql {irql}  {kind}")
}

/// The driver's stack. A routine whose last act is an import has left it: then the routine itself.
fn driver_stack() -> trace::StackId {
    let stack = trace::capture();
    match innermost(sched::current()) {
        Some((_, address)) if trace::is_empty(stack) => trace::of_code(address),
        _ => stack,
    }
}

/// Remembers the driver's stack of what may matter later: allocations, and queued work items.
fn note_origin(kind: &Kind) {
    let origin = match kind {
        Kind::Pool(PoolEvent::Allocated { block, .. }) => Origin::Allocated(*block),
        Kind::WorkItem(WorkItemEvent::Allocated { item, .. }) => Origin::Allocated(*item),
        Kind::Nbl(NblEvent::Allocated { nbl, .. }) => Origin::Allocated(*nbl),
        Kind::WorkItem(WorkItemEvent::Queued { item, .. }) => Origin::Queued(*item),
        _ => return,
    };
    let stack = driver_stack();
    ORIGINS.with_borrow_mut(|origins| origins.insert(origin, stack));
}

/// Remembers the handler that NBLs are given to.
pub(crate) fn note_handler(nbls: &[u64], handler: u64) {
    let stack = trace::of_code(handler);
    ORIGINS.with_borrow_mut(|origins| {
        origins.extend(nbls.iter().map(|nbl| (Origin::Given(*nbl), stack)))
    });
}

/// The routine of the driver that a thread is in.
fn innermost(thread: ThreadId) -> Option<(Call, u64)> {
    CALLS.with_borrow(|calls| calls.get(&thread)?.last().copied())
}

/// Whether this thread is inside one of the driver's routines (at any depth) that `is` accepts.
pub(crate) fn is_inside(is: impl Fn(Call) -> bool) -> bool {
    CALLS.with_borrow(|calls| {
        calls
            .get(&sched::current())
            .is_some_and(|calls| calls.iter().any(|(call, _)| is(*call)))
    })
}

/// Whether any thread is inside the routine.
pub(crate) fn is_running(callback: Callback, adapter: Option<u32>) -> bool {
    let call = Call { callback, adapter };
    CALLS.with_borrow(|calls| {
        calls
            .values()
            .flatten()
            .any(|(running, _)| *running == call)
    })
}

/// A routine of the driver begins on this thread.
pub(crate) fn enter(call: Call, address: u64) {
    CALLS.with_borrow_mut(|calls| {
        calls
            .entry(sched::current())
            .or_default()
            .push((call, address))
    });
    emit(Kind::Enter(call));
}

/// It ended.
pub(crate) fn leave(call: Call, status: Option<u32>) {
    emit(Kind::Leave { call, status });
    CALLS.with_borrow_mut(|calls| {
        let thread = sched::current();
        if let Some(running) = calls.get_mut(&thread) {
            running.pop();
            if running.is_empty() {
                calls.remove(&thread);
            }
        }
    });
}

/// The hook before every import.
pub(crate) fn before_import(call: &crate::rt::Call<'_>) {
    let import = call.import();
    IMPORTS.with_borrow_mut(|imports| {
        imports
            .entry(sched::current())
            .or_default()
            .push(import.name)
    });
    let (irql_min, irql_max) = irql_range(call);
    emit(Kind::Import(Import {
        module: import.module,
        name: import.name,
        irql_min,
        irql_max,
    }));
}

/// The hook after every import.
pub(crate) fn after_import(_: &crate::rt::Call<'_>, _: u64) {
    IMPORTS.with_borrow_mut(|imports| {
        let thread = sched::current();
        if let Some(inside) = imports.get_mut(&thread) {
            inside.pop();
            if inside.is_empty() {
                imports.remove(&thread);
            }
        }
    });
}

/// The levels at which this call is legal. Where the range depends on the arguments, they decide.
fn irql_range(call: &crate::rt::Call<'_>) -> (u8, u8) {
    const POOL_FLAG_PAGED: u64 = crate::abi::constant::POOL_FLAG_PAGED;
    match call.import().name {
        "KeWaitForSingleObject" if !polls(call.arg(4)) => (0, sched::APC_LEVEL),
        "KeWaitForMultipleObjects" if !polls(call.arg(6)) => (0, sched::APC_LEVEL),
        "ExAllocatePool2" if call.arg(0) & POOL_FLAG_PAGED != 0 => (0, sched::APC_LEVEL),
        "KeSetEvent" if call.arg_u8(2) != 0 => (0, sched::APC_LEVEL),
        "KfRaiseIrql" => (0, call.arg_u8(0)),
        "KeLowerIrql" => (call.arg_u8(0), 15),
        name => match IRQL.binary_search_by_key(&name, |(name, ..)| name) {
            Ok(index) => (IRQL[index].1, IRQL[index].2),
            Err(_) => (0, 31),
        },
    }
}

/// Whether a wait's timeout is zero: it only looks.
fn polls(timeout: u64) -> bool {
    timeout != 0 && crate::rt::mem::read::<i64>(timeout) == Ok(0)
}

/// What an import does with a bad pointer of the driver's: the run ends with the fault.
pub(crate) trait OrFault<T> {
    /// The value, or the end of the run.
    fn or_fault(self) -> T;
}

impl<T> OrFault<T> for Result<T, BadAddress> {
    fn or_fault(self) -> T {
        match self {
            Ok(value) => value,
            Err(bad) => bad_pointer(bad),
        }
    }
}

/// The driver gave an import a pointer that cannot be used.
fn bad_pointer(bad: BadAddress) -> ! {
    let import = IMPORTS.with_borrow(|imports| imports.get(&sched::current())?.last().copied());
    let access = if bad.write {
        Access::Write
    } else {
        Access::Read
    };
    let place = fault::classify(bad.address);
    emit(Kind::Fault(Fault {
        kind: if place == fault::Place::NonCanonical {
            FaultKind::NonCanonical
        } else {
            FaultKind::Memory(access)
        },
        address: bad.address,
        instruction: 0,
        region: region(&place),
        in_import: import,
    }));
    sched::stop(Reason::Internal(format!(
        "a bad pointer {:#x} broke no rule",
        bad.address
    )))
}

/// A fault of the driver's own code, after the run.
pub(crate) fn fault_event(fault: &fault::Fault) -> Kind {
    let access = match fault.access {
        fault::Access::Read => Access::Read,
        fault::Access::Write => Access::Write,
        fault::Access::Execute => Access::Execute,
    };
    let kind = match (fault.kind, &fault.place) {
        (fault::FaultKind::Memory, fault::Place::NonCanonical) => FaultKind::NonCanonical,
        (fault::FaultKind::Memory, fault::Place::StackGuard) => FaultKind::StackOverflow,
        (fault::FaultKind::Memory, _) => FaultKind::Memory(access),
        (fault::FaultKind::Divide, _) => FaultKind::Divide,
        (fault::FaultKind::IllegalInstruction | fault::FaultKind::Privileged, _) => {
            FaultKind::IllegalInstruction
        }
        (fault::FaultKind::Breakpoint, _) => FaultKind::Breakpoint,
        (fault::FaultKind::FastFail(code), _) => FaultKind::FastFail(code),
        (fault::FaultKind::Assertion, _) => FaultKind::Assertion,
    };
    Kind::Fault(Fault {
        kind,
        address: fault.address,
        instruction: fault.rip,
        region: region(&fault.place),
        in_import: None,
    })
}

/// What rules need to know of a place.
fn region(place: &fault::Place) -> Region {
    use crate::rt::pool::{Block, Owner};
    let parts = |block: &Block| {
        (
            block.address,
            u64::try_from(block.size).unwrap_or(u64::MAX),
            block.tag,
        )
    };
    match place {
        fault::Place::Null => Region::Null,
        fault::Place::FreedBlock(block) if block.owner == Owner::Lab => Region::GivenAway,
        fault::Place::FreedBlock(block) => {
            let (block, size, tag) = parts(block);
            Region::PoolFreed { block, size, tag }
        }
        fault::Place::BeyondBlock { block, .. } => {
            let (block, size, tag) = parts(block);
            Region::PoolPast { block, size, tag }
        }
        fault::Place::BeforeBlock { block, .. } => {
            let (block, size, tag) = parts(block);
            Region::PoolBefore { block, size, tag }
        }
        fault::Place::StackGuard | fault::Place::Stack => Region::Stack,
        fault::Place::Image { .. } => Region::Image,
        fault::Place::NonCanonical
        | fault::Place::Block(_)
        | fault::Place::Pool
        | fault::Place::Unmapped => Region::Unmapped,
    }
}
