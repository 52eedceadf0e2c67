//! The event stream: everything that happens is written here once, judged, counted and hashed.
//!
//! [`emit`] is the only way in. It never switches; a fatal finding stops the run.

mod call;
mod digest;
mod fault;
mod history;
mod hold;
mod hook;
mod requests;
mod service;
pub(crate) mod situation;
mod tally;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use lab_rules::event::{DpcEvent, Fault, Lent, PoolEvent, Region, TimerEvent, WorkItemEvent};
use lab_rules::{
    Event, Finding, Kind, Monitors, ObjectHistory, ObjectStep, Origin, StackFrame, Violation,
};

use crate::per_image::per_image;
use crate::rt::journal::{self, What};
use crate::rt::sched::{self, Reason, ThreadId};
use crate::rt::{meter, pool, trace};
pub(crate) use call::{Running, any_running, enter, inside_of, is_inside, leave, running};
use digest::Digest;
pub(crate) use fault::{OrFault, fault_event};
pub(crate) use history::Holder;
use history::{Histories, Object, Step};
pub(crate) use hook::{after_import, before_import, current_import, cut_imports, tell_result};
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

per_image! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
    static HISTORIES: RefCell<Histories> = RefCell::default();
}

thread_local! {
    /// The names of the images of a stack; none where there is one image.
    static NAMES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
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

/// Whether reports name images, and how: where there are several.
pub(crate) fn name_images(names: &[String]) {
    NAMES.set(if names.len() > 1 {
        names.to_vec()
    } else {
        Vec::new()
    });
}

/// The name of an image, if reports name them.
fn image_name(number: usize) -> Option<String> {
    NAMES.with_borrow(|names| names.get(number).cloned())
}

/// One digest of several.
pub(crate) fn join_digests<'a>(digests: impl Iterator<Item = &'a str>) -> String {
    digest::join(digests)
}

/// Begins a run.
pub(crate) fn start(seed: u64, monitors: Monitors) {
    let watch = Watch {
        seed,
        monitors,
        digest: Digest::default(),
        tally: Tally::default(),
        events: 0,
        history: VecDeque::with_capacity(HISTORY),
        violation: None,
        warnings: Vec::new(),
    };
    WATCH.set(Some(watch));
    call::reset();
    hook::reset();
    situation::reset();
    HISTORIES.take();
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

/// Whether the filter has something that it was given, on this adapter.
pub(crate) fn is_holding(adapter: u32) -> bool {
    WATCH.with_borrow(|watch| {
        watch
            .as_ref()
            .is_some_and(|watch| watch.tally.holds.is_holding(adapter))
    })
}

/// Whether packets have waited in the filter, and no pause has begun meanwhile.
pub(crate) fn is_yet_to_pause() -> bool {
    WATCH.with_borrow(|watch| {
        watch
            .as_ref()
            .is_some_and(|watch| watch.tally.holds.is_yet_to_pause())
    })
}

/// Writes an event that happens now, on this thread. Does not return when it breaks a rule. While something is measured,
/// nobody looks.
pub(crate) fn emit(kind: Kind) {
    // What is measured is watched for faults alone.
    if meter::is_on() && !matches!(kind, Kind::Fault(_)) {
        return;
    }
    let place = Place::here();
    LAST.set(place);
    HISTORIES.with_borrow_mut(|histories| histories.note(place, &kind, driver_stack));
    if observe(place, kind, || trace::frames(driver_stack())) {
        sched::stop(Reason::Rule);
    }
}

/// Writes an event that is about another thread's routine, and does not return when it breaks a rule.
pub(crate) fn emit_about(kind: Kind, routine: u64) {
    emit_at(Place::here(), kind, || trace::of_code(routine));
}

/// Writes an event that is about what a thread is inside and does not leave, with where it is now, and does not return when it
/// breaks a rule.
pub(crate) fn emit_stuck(kind: Kind, running: Running) {
    let place = Place {
        thread: running.thread.0,
        irql: sched::irql_of(running.thread),
        ..Place::here()
    };
    emit_at(place, kind, || {
        stack_now(running.thread).unwrap_or_else(|| trace::of_code(running.routine))
    });
}

/// Writes an event with a stack that is not the running thread's.
fn emit_at(place: Place, kind: Kind, stack: impl Fn() -> trace::StackId) {
    if meter::is_on() {
        return;
    }
    LAST.set(place);
    if observe(place, kind, || trace::frames(stack())) {
        sched::stop(Reason::Rule);
    }
}

/// The driver's stack where a thread is now, if it is in the driver's code.
fn stack_now(thread: ThreadId) -> Option<trace::StackId> {
    sched::stack_of(thread).filter(|stack| !trace::is_empty(*stack))
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
    note_moment(&kind);
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

/// Writes into the timeline what has no span of its own.
fn note_moment(kind: &Kind) {
    match kind {
        Kind::Import(_) | Kind::Returned(_) | Kind::Enter(_) | Kind::Leave { .. } => {}
        Kind::WorkItem(WorkItemEvent::Queued { item, .. }) => {
            journal::note(|| What::Queued(*item));
        }
        Kind::WorkItem(WorkItemEvent::Started { item }) => journal::note(|| What::Taken(*item)),
        Kind::Timer(TimerEvent::Set { timer, .. }) => journal::note(|| What::Queued(*timer)),
        Kind::Timer(TimerEvent::Fired { timer, .. }) => journal::note(|| What::Taken(*timer)),
        Kind::Dpc(DpcEvent::Queued { dpc, .. }) => journal::note(|| What::Queued(*dpc)),
        Kind::Dpc(DpcEvent::Started { dpc, .. }) => journal::note(|| What::Taken(*dpc)),
        other => journal::note(|| What::Mark(other.to_string().trim_start().to_owned())),
    }
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
            PoolEvent::Damaged { block, .. }
            | PoolEvent::Exposed { block, .. }
            | PoolEvent::BadFree { address: block, .. },
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

/// Where the thread that a finding is about is now, if it is one of the driver's that has not ended.
fn whereabouts(finding: &Finding) -> Option<trace::StackId> {
    let Some(Origin::Started(object)) = finding.origin else {
        return None;
    };
    stack_now(crate::nt::ps::find(object)?)
}

/// Keeps a finding as a violation or a warning.
fn record(finding: Finding, place: Place, stack: &dyn Fn() -> Vec<trace::Frame>) {
    let is_fatal = finding.is_fatal();
    if is_fatal {
        let (thread, processor) = (ThreadId(place.thread), place.processor.into());
        let broken = || What::Broken(finding.rule.id);
        journal::note_of(thread, processor, place.irql, broken);
    }
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
    let elsewhere = match whereabouts(&finding) {
        Some(now) => Some((now, "the stack is where it is now")),
        None => finding.origin.and_then(|origin| {
            let stack = HISTORIES.with_borrow(|histories| histories.stack_of(origin))?;
            Some((stack, origin.text()))
        }),
    };
    let objects = objects(finding.origin, &finding.happened);
    let (frames, happened) = match elsewhere {
        Some((at, text)) => (trace::frames(at), format!("{}; {text}", finding.happened)),
        None => (stack(), finding.happened),
    };
    let frames = frames.into_iter().map(stack_frame).collect();
    // What hangs may be told after the thread of the last event has ended.
    let thread = sched::thread_name(ThreadId(place.thread))
        .unwrap_or_else(|| "a thread that has ended".to_owned());
    let callback = call::innermost(ThreadId(place.thread)).map(|(call, _)| call.callback.name());
    WATCH.with_borrow_mut(|watch| {
        let Some(watch) = watch else { return };
        let history = watch.history.iter().map(line).collect();
        let violation = Violation {
            rule: finding.rule,
            image: image_name(sched::image().into()),
            happened,
            bug_check: finding.bug_check,
            stack: frames,
            objects,
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

/// What happened to the objects that the last event, or a finding about it, is about.
fn objects(origin: Option<Origin>, happened: &str) -> Vec<ObjectHistory> {
    let last = WATCH.with_borrow(|watch| {
        let event = watch.as_ref()?.history.back()?;
        let call = call::innermost(ThreadId(event.thread));
        let adapter = call.and_then(|(call, _)| call.adapter);
        Some(HISTORIES.with_borrow(|histories| histories.of(origin, happened, event, adapter)))
    });
    let objects = last.unwrap_or_default();
    let steps = objects.iter().flat_map(|(_, object)| &object.steps);
    let stacks: Vec<trace::StackId> = steps.map(|step| step.stack).collect();
    let mut frames = trace::frames_of(&stacks).into_iter();
    let mut tell = |step: &Step| ObjectStep {
        time_ns: step.place.time_ns,
        processor: step.place.processor,
        thread: step.place.thread,
        irql: step.place.irql,
        what: step.what,
        stack: frames
            .next()
            .unwrap_or_default()
            .into_iter()
            .map(stack_frame)
            .collect(),
    };
    let mut tell_all = |(address, object): &(u64, Object)| ObjectHistory {
        noun: object.noun,
        address: *address,
        holder: object.holder.text(),
        left_out: object.left_out,
        steps: object.steps.iter().map(&mut tell).collect(),
    };
    objects.iter().map(&mut tell_all).collect()
}

/// A frame as reports have it.
pub(crate) fn stack_frame(frame: trace::Frame) -> StackFrame {
    StackFrame {
        image: image_name(frame.image),
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
    match call::innermost(sched::current()) {
        Some((_, address)) if trace::is_empty(stack) => trace::of_code(address),
        _ => stack,
    }
}

/// Notes what happens to an object, and who has it then, where no event says it.
pub(crate) fn note_object(noun: &'static str, address: u64, what: &'static str, holder: Holder) {
    if meter::is_on() {
        return;
    }
    let (place, stack) = (Place::here(), driver_stack());
    let step = Step { place, what, stack };
    HISTORIES.with_borrow_mut(|histories| histories.add(noun, address, step, holder));
}

/// Notes that one of the driver's routines is about to be called with something that is lent to it.
pub(crate) fn note_lent(lent: Lent, address: u64, handler: u64) {
    let step = Step {
        place: Place::here(),
        what: "given to the driver's handler",
        stack: trace::of_code(handler),
    };
    HISTORIES
        .with_borrow_mut(|histories| histories.add(lent.noun(), address, step, Holder::Driver));
}

/// Notes the blocks that a structure is made of.
pub(crate) fn note_parts(structure: u64, blocks: &[u64]) {
    HISTORIES.with_borrow_mut(|histories| histories.note_parts(structure, blocks));
}

/// Notes the driver object, or the handle of the module that an adapter has from now on.
pub(crate) fn note_life(adapter: Option<u32>, address: u64) {
    HISTORIES.with_borrow_mut(|histories| histories.note_life(adapter, address));
}

/// Remembers the handler that NBLs, or an OID request, are given to.
pub(crate) fn note_handler(nbls: &[u64], handler: u64) {
    let stack = trace::of_code(handler);
    HISTORIES.with_borrow_mut(|histories| histories.note_handler(nbls, stack));
}
