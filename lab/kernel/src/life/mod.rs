//! A driver's life, from load to unload, and the report on it.

mod chaos;
mod control;
mod stage;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lab_rules::event::{Loaded, Overdue};
use lab_rules::{Kind, Monitors};

use crate::injection;
use crate::ndis::{self, adapter};
use crate::rt::pool::Side;
use crate::rt::sched::{Hang, HangKind};
use crate::rt::{self, DataExport, Import, LoadError, Machine};
use crate::watch::{self, Outcome};
use crate::{AdapterReport, Failure, MachineReport, Progress, Report, RuleReport, RunConfig, nt};

/// Virtual time after which a run counts as hung: one hour.
const TIME_LIMIT_NS: u64 = 3_600_000_000_000;

/// Every function that the lab offers.
pub(crate) const IMPORTS: &[&[Import]] = &{
    const NT: usize = nt::IMPORTS.len();
    const ALL: usize = NT + ndis::IMPORTS.len();
    let mut all: [&[Import]; ALL] = [&[]; ALL];
    let mut i = 0;
    while i < ALL {
        all[i] = if i < NT {
            nt::IMPORTS[i]
        } else {
            ndis::IMPORTS[i - NT]
        };
        i += 1;
    }
    all
};
/// Every variable that the lab offers.
pub(crate) const DATA: &[&[DataExport]] = &[nt::DATA];

/// Tells a person where the run is.
type Show = Box<dyn FnMut(&Progress)>;

thread_local! {
    /// The image that was run last, and its bytes.
    static PARSED: RefCell<Option<(Vec<u8>, Rc<lab_pe::Image>)>> = const { RefCell::new(None) };
    static SHOW: RefCell<Option<Show>> = const { RefCell::new(None) };
    /// Why the image is no filter that can be run, if so.
    static REFUSAL: RefCell<Option<String>> = const { RefCell::new(None) };
    static VERSION: Cell<Option<u32>> = const { Cell::new(None) };
}

/// See [`crate::run`].
pub(crate) fn run(config: RunConfig, progress: Show) -> Result<Report, Failure> {
    validate(&config)?;
    let bad = |error: &dyn std::fmt::Display| {
        Failure::BadInput(format!("{}: {error}", config.image_name))
    };
    let image = parse(&config.image).map_err(|error| bad(&error))?;
    let monitors = Monitors::without(&config.without)
        .map_err(|(rule, error)| Failure::BadInput(format!("{rule}: {error}")))?;
    let seed = config.seed;
    let loaded = loaded(&image);
    let mut machine = Machine::load(rt::Config {
        image,
        name: config.image_name.clone(),
        pdb: config.pdb,
        seed,
        processors: config.processors.into(),
        imports: IMPORTS,
        data: DATA,
        hooks: rt::Hooks {
            before: watch::before_import,
            instead: injection::instead,
            after: watch::after_import,
            cut: watch::cut_imports,
        },
        time_limit_ns: TIME_LIMIT_NS,
        pool_side: pool_side(seed, config.chaos.is_some()),
        keeps_journal: config.keeps_timeline,
    })
    .map_err(|error| match error {
        LoadError::MissingImports { image, names } => Failure::UnknownImports { image, names },
        error => Failure::Lab(error.to_string()),
    })?;
    reset(seed, monitors);
    // In hard lives it is left to every fourth: it costs time, and reach has nothing to do with
    // schedules.
    ndis::guard_packets(config.chaos.is_none() || seed.is_multiple_of(4));
    ndis::disturb(config.disturb || config.chaos.is_some());
    ndis::version::offer(config.ndis_minor);
    let macs: Vec<[u8; 6]> = config.adapters.iter().map(|adapter| adapter.mac).collect();
    let names: Vec<String> = config
        .adapters
        .iter()
        .map(|adapter| adapter.name.clone())
        .collect();
    let frames_total = config
        .adapters
        .iter()
        .map(|adapter| adapter.frames.len() as u64)
        .sum();
    adapter::configure(config.adapters, config.parameters);
    ndis::module::reset();
    let device = config
        .control
        .as_ref()
        .map(|control| control.device.clone());
    control::configure(config.control);
    nt::etw::configure(config.trace);
    SHOW.set(Some(progress));
    let entry = machine.entry();
    let (workers, stop) = (config.workers, config.stop);
    let chaos = config.chaos;
    injection::configure(config.faults);
    let end = machine.run(move || {
        watch::emit(Kind::Loaded(loaded));
        stage::play(entry, workers, stop, frames_total, chaos)
    });
    SHOW.take();
    judge_end(end)?;
    let stats = machine.stats();
    let measured = MachineReport {
        imports: stats.imports,
        stack_peak_bytes: stats.stack_peak_bytes,
        stack_peak: stats
            .stack_peak
            .map(rt::trace::frames)
            .into_iter()
            .flatten()
            .map(watch::stack_frame)
            .collect(),
        nondeterministic: stats.nondeterministic,
    };
    let Some(outcome) = watch::finish() else {
        return Err(Failure::Lab("the event stream is gone".into()));
    };
    let mut refusal = REFUSAL.take();
    if outcome.violation.is_none()
        && !injection::has_failed_any()
        && let Some(refusal) = refusal.take()
    {
        let told = outcome.warnings.iter();
        let told = told.map(|warning| format!("; {}: {}", warning.rule.id, warning.happened));
        return Err(Failure::BadInput(format!(
            "{}: {refusal}{}",
            config.image_name,
            told.collect::<String>()
        )));
    }
    Ok(Report {
        machine: measured,
        refusal,
        call_sites: injection::take_report(),
        timeline: rt::journal::take(),
        ..report(seed, &names, &macs, device, outcome)
    })
}

/// Every fourth hard life finds underruns where they happen, the others overruns.
fn pool_side(seed: u64, is_hard: bool) -> Side {
    if is_hard && seed % 4 == 2 {
        Side::Start
    } else {
        Side::End
    }
}

/// The image in these bytes: the one of the last run, if they are the same.
fn parse(bytes: &[u8]) -> Result<Rc<lab_pe::Image>, lab_pe::Error> {
    PARSED.with_borrow_mut(|parsed| match parsed {
        Some((known, image)) if known == bytes => Ok(Rc::clone(image)),
        _ => {
            let image = Rc::new(lab_pe::Image::parse(bytes)?);
            *parsed = Some((bytes.to_owned(), Rc::clone(&image)));
            Ok(image)
        }
    })
}

/// What monitors are told of an image.
fn loaded(image: &lab_pe::Image) -> Loaded {
    let names = image.imports.iter().flat_map(|module| &module.functions);
    let is_both =
        |section: &&lab_pe::Section| section.protection.write && section.protection.execute;
    Loaded {
        imports: names.map(|function| function.name.to_string()).collect(),
        writable_code: image
            .sections
            .iter()
            .filter(is_both)
            .map(|section| section.name.clone())
            .collect(),
        stacks: rt::stack_range(),
    }
}

/// Refuses what no machine can be built from.
fn validate(config: &RunConfig) -> Result<(), Failure> {
    let bad = |line: String| Err(Failure::BadInput(line));
    if !(84..=89).contains(&config.ndis_minor) {
        return bad(format!(
            "NDIS 6.{} is outside 6.84 to 6.89",
            config.ndis_minor
        ));
    }
    if !(1..=16).contains(&config.processors) {
        return bad(format!("{} processors: outside 1 to 16", config.processors));
    }
    if !(2..=16).contains(&config.workers) {
        return bad(format!(
            "{} worker threads: outside 2 to 16",
            config.workers
        ));
    }
    if config.adapters.is_empty() {
        return bad("no adapter".into());
    }
    let mut sites = config.faults.iter().flatten();
    if let Some(site) = sites.find(|site| !injection::can_fail(&site.import)) {
        return bad(format!("{} cannot be made to fail", site.import));
    }
    Ok(())
}

fn reset(seed: u64, monitors: Monitors) {
    watch::start(seed, monitors);
    nt::reset();
    ndis::reset();
    crate::device::reset();
    REFUSAL.take();
    VERSION.set(None);
}

/// Turns the way the run ended into an event, or into a fault of the lab.
fn judge_end(end: rt::End) -> Result<(), Failure> {
    use crate::rt::sched::Reason;
    match end {
        rt::End::Finished | rt::End::Stopped(Reason::Rule) => Ok(()),
        rt::End::Stopped(Reason::Fault(fault)) => {
            watch::emit_last(
                watch::fault_event(&fault),
                Some((fault.thread, fault.irql)),
                fault.stack,
            );
            Ok(())
        }
        rt::End::Stopped(Reason::Hang(hang)) => {
            let (overdue, stack) = judge_hang(&hang);
            watch::emit_last(Kind::Overdue(overdue), None, stack);
            Ok(())
        }
        rt::End::Stopped(Reason::Internal(text)) => Err(Failure::Lab(text)),
    }
}

/// What a hang is, and the stack of who is to blame: the first thread that is in driver code.
fn judge_hang(hang: &Hang) -> (Overdue, rt::trace::StackId) {
    let overdue = match hang.kind {
        HangKind::Deadlock => Overdue::Deadlock,
        HangKind::DispatchTooLong => Overdue::Dispatch,
        HangKind::EndlessLoop => Overdue::EndlessLoop,
        HangKind::TimeLimit => Overdue::Run,
    };
    let blamed = hang
        .threads
        .iter()
        .find(|(name, ..)| hang.thread.as_ref() == Some(name));
    let in_driver = || {
        hang.threads
            .iter()
            .find(|(.., stack)| !rt::trace::frames(*stack).is_empty())
    };
    let stack = blamed
        .or_else(in_driver)
        .map_or_else(rt::trace::capture, |(.., stack)| *stack);
    (overdue, stack)
}

fn report(
    seed: u64,
    names: &[String],
    macs: &[[u8; 6]],
    device: Option<String>,
    outcome: Outcome,
) -> Report {
    let Outcome {
        tally,
        events,
        digest,
        rules_checked,
        violation,
        warnings,
        virtual_ns,
    } = outcome;
    let adapters = (0..)
        .zip(names.iter().zip(macs))
        .map(|(index, (name, mac))| {
            let ([send, receive], before_pause, edge) = adapter::with(index, |adapter| {
                (adapter.counts, adapter.counts_before_pause, adapter.edge)
            });
            AdapterReport {
                name: name.clone(),
                if_index: adapter::if_index(index),
                mac: *mac,
                states: tally
                    .states
                    .get(&index)
                    .cloned()
                    .unwrap_or_else(|| vec!["Detached"]),
                send,
                receive,
                lower_edge: edge.name(),
                before_pause,
            }
        });
    let adapters = adapters.collect();
    Report {
        seed,
        registered_version: VERSION.get(),
        adapters,
        pool: tally.pool(),
        holds: tally.holds.report,
        work_items: tally.work_items,
        work_item_functions: crate::worker::functions(),
        requests: tally.requests.take(),
        longest_dispatch: tally.longest_dispatch,
        rules: RuleReport {
            checked: rules_checked,
            broken: violation
                .iter()
                .map(|violation| violation.rule.id)
                .collect(),
        },
        violation,
        warnings,
        schedule_digest: digest,
        events,
        virtual_ns,
        control_device_found: device.map(|_| control::was_found()),
        control: control::take_records(),
        machine: MachineReport::default(),
        operations: chaos::take_counts(),
        call_sites: Vec::new(),
        timeline: Vec::new(),
        refusal: None,
        debug_output: nt::dbg::take_output(),
    }
}
