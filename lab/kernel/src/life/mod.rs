//! A driver's life, from load to unload, and the report on it.

mod chaos;
mod control;
mod operation;
mod script;
mod stage;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use lab_rules::event::{Loaded, NblPath, Overdue};
use lab_rules::{Demands, Kind, Monitors};

use crate::injection;
use crate::ndis::{self, adapter, stack};
use crate::per_image::{MOST, per_image};
use crate::rt::pool::Side;
use crate::rt::sched::{self, Hang, HangKind};
use crate::rt::{self, DataExport, Import, LoadError, Machine};
use crate::watch::{self, Outcome, Tally};
use crate::{
    AdapterReport, Failure, MachineReport, Progress, Report, RuleReport, RunConfig, StackedImage,
    StackedReport, fwp, nt,
};

/// Virtual time after which a run counts as hung: one hour.
const TIME_LIMIT_NS: u64 = 3_600_000_000_000;

/// Every function that the lab offers.
pub(crate) const IMPORTS: &[&[Import]] = &{
    const MODULES: [&[&[Import]]; 3] = [&nt::IMPORTS, &ndis::IMPORTS, &fwp::ALL];
    const ALL: usize = nt::IMPORTS.len() + ndis::IMPORTS.len() + fwp::ALL.len();
    let mut all: [&[Import]; ALL] = [&[]; ALL];
    let (mut i, mut module, mut file) = (0, 0, 0);
    while i < ALL {
        if file == MODULES[module].len() {
            (module, file) = (module + 1, 0);
        }
        all[i] = MODULES[module][file];
        (i, file) = (i + 1, file + 1);
    }
    all
};
/// Every variable that the lab offers.
pub(crate) const DATA: &[&[DataExport]] = &[nt::DATA];

/// Tells a person where the run is.
type Show = Box<dyn FnMut(&Progress)>;

per_image! {
    /// The image that was run last, and its bytes.
    static PARSED: RefCell<Option<(Vec<u8>, Rc<lab_pe::Image>)>> = const { RefCell::new(None) };
}

thread_local! {
    static SHOW: RefCell<Option<Show>> = const { RefCell::new(None) };
    /// Which image is no filter that can be run, and why, if so.
    static REFUSAL: RefCell<Option<(u8, String)>> = const { RefCell::new(None) };
    static VERSION: Cell<Option<u32>> = const { Cell::new(None) };
}

/// See [`crate::run`].
pub(crate) fn run(mut config: RunConfig, progress: Show) -> Result<Report, Failure> {
    validate(&config)?;
    let stacked = Stacked::take(&mut config);
    let (images, order) = (stacked.images, stacked.order);
    let named: Vec<String> = images.iter().map(|image| image.name.clone()).collect();
    stack::configure(&order);
    let seed = config.seed;
    let mut loaded = Vec::new();
    let mut machine_images = Vec::new();
    for (number, image) in (0..).zip(images) {
        let parsed = sched::on_behalf(number, || parse(&image.image));
        let plan = parsed.map_err(|error| Failure::BadInput(format!("{}: {error}", image.name)))?;
        loaded.push(about(&plan));
        machine_images.push(rt::ImageConfig {
            image: plan,
            name: image.name,
            pdb: image.pdb,
        });
    }
    let monitors = || {
        Monitors::demanding(config.demands, &config.without)
            .map_err(|(rule, error)| Failure::BadInput(format!("{rule}: {error}")))
    };
    let monitors = (0..named.len())
        .map(|_| monitors())
        .collect::<Result<Vec<_>, _>>()?;
    let mut machine = Machine::load(rt::Config {
        images: machine_images,
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
        LoadError::TooLarge { .. } => Failure::BadInput(error.to_string()),
        error => Failure::Lab(error.to_string()),
    })?;
    watch::name_images(&named);
    for (number, monitors) in (0..).zip(monitors) {
        sched::on_behalf(number, || reset(seed, monitors));
    }
    // In hard lives it is left to every fourth: it costs time, and reach has nothing to do with
    // schedules.
    let guards_packets = config.chaos.is_none() || seed.is_multiple_of(4);
    ndis::disturb(config.disturb || config.chaos.is_some());
    ndis::follow_script(config.script.is_some());
    operation::reset();
    script::reset();
    ndis::follow_packets(config.demands != Demands::default());
    ndis::version::offer(config.ndis_minor);
    ndis::name_media(config.media);
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
    stack::each(|| {
        ndis::guard_packets(guards_packets);
        adapter::configure(adapter::share(&mut config.adapters));
        ndis::module::reset();
        nt::etw::configure(None);
        injection::configure(None);
        nt::registry::configure(&config.parameters);
        nt::file::seed::put(&config.files);
    });
    let device = config
        .control
        .as_ref()
        .map(|control| control.device.clone());
    control::configure(config.control);
    nt::etw::configure(config.trace);
    SHOW.set(Some(progress));
    injection::configure(config.faults);
    let play = stage::Play {
        // The others end as their seeds always did.
        idles: config.chaos.is_some() && seed.is_multiple_of(2),
        entries: machine.entries(),
        workers: config.workers,
        stop: config.stop,
        frames_total,
        chaos: config.chaos,
        script: config.script,
        loads: config.loads,
    };
    let end = machine.run(move || {
        nt::security::export();
        for (number, loaded) in (0..).zip(loaded) {
            sched::on_behalf(number, || watch::emit(Kind::Loaded(loaded)));
        }
        stage::play(play);
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
    sched::on_behalf(0, || {
        let (outcome, stack) = outcome(&order, &named, &names, &macs)
            .ok_or_else(|| Failure::Lab("the event stream is gone".into()))?;
        let mut refusal = REFUSAL.take();
        if outcome.violation.is_none()
            && !injection::has_failed_any()
            && let Some((image, refusal)) = refusal.take()
        {
            let told = outcome.warnings.iter();
            let told = told.map(|warning| format!("; {}: {}", warning.rule.id, warning.happened));
            return Err(Failure::BadInput(format!(
                "{}: {refusal}{}",
                named[usize::from(image)],
                told.collect::<String>()
            )));
        }
        Ok(Report {
            machine: measured,
            refusal: refusal.map(|(_, why)| why),
            call_sites: injection::take_report(),
            timeline: rt::journal::take(),
            stack,
            ..report(seed, &names, &macs, device, outcome)
        })
    })
}

/// The images of a run by number: that of the configuration is the first.
struct Stacked {
    images: Vec<StackedImage>,
    /// Their numbers from top to bottom.
    order: Vec<u8>,
}

impl Stacked {
    fn take(config: &mut RunConfig) -> Self {
        let mut images = vec![StackedImage {
            image: std::mem::take(&mut config.image),
            name: config.image_name.clone(),
            pdb: config.pdb.take(),
        }];
        let mut order = vec![0];
        for image in std::mem::take(&mut config.above) {
            order.insert(0, images.len() as u8);
            images.push(image);
        }
        for image in std::mem::take(&mut config.below) {
            order.push(images.len() as u8);
            images.push(image);
        }
        Self { images, order }
    }
}

/// What the streams of events of all images amount to, as that of the first with what the others add; and what each
/// saw, if there are several.
fn outcome(
    order: &[u8],
    named: &[String],
    names: &[String],
    macs: &[[u8; 6]],
) -> Option<(Outcome, Vec<StackedReport>)> {
    let mut first = watch::finish()?;
    if order.len() == 1 {
        return Some((first, Vec::new()));
    }
    let mut stack = Vec::new();
    let mut digests = vec![(0, first.digest.clone())];
    for image in order {
        let mut outcome = None;
        let tally = if *image == 0 {
            &first.tally
        } else {
            let other = sched::on_behalf(*image, watch::finish)?;
            &outcome.insert(other).tally
        };
        let of_image = || adapters(names, macs, tally);
        stack.push(StackedReport {
            image: named[usize::from(*image)].clone(),
            adapters: sched::on_behalf(*image, of_image),
        });
        if let Some(other) = outcome {
            first.events += other.events;
            first.warnings.extend(other.warnings);
            first.violation = first.violation.or(other.violation);
            digests.push((*image, other.digest));
        }
    }
    digests.sort();
    first.digest = watch::join_digests(digests.iter().map(|(_, digest)| digest.as_str()));
    Some((first, stack))
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
fn about(image: &lab_pe::Image) -> Loaded {
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
    let images = 1 + config.above.len() + config.below.len();
    if images > MOST {
        return bad(format!("{images} images in a stack: {MOST} at most"));
    }
    for file in &config.files {
        nt::file::seed::check(&file.name)
            .map_err(|why| Failure::BadInput(format!("{} {why}", file.name)))?;
    }
    nt::file::seed::check_all(&config.files).map_err(Failure::BadInput)?;
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
    fwp::reset();
    REFUSAL.take();
    VERSION.set(None);
}

/// Turns the way the run ended into an event, or into a fault of the lab. The image on whose behalf the thread ran that
/// ended it is the running one still.
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
            let (overdue, stack, image) = judge_hang(&hang);
            sched::on_behalf(image, || {
                watch::emit_last(Kind::Overdue(overdue), None, stack);
            });
            Ok(())
        }
        rt::End::Stopped(Reason::Internal(text)) => Err(Failure::Lab(text)),
    }
}

/// What a hang is, and the stack and the image of who is to blame: the first thread that is in driver code.
fn judge_hang(hang: &Hang) -> (Overdue, rt::trace::StackId, u8) {
    let overdue = match hang.kind {
        HangKind::Deadlock => Overdue::Deadlock,
        HangKind::DispatchTooLong => Overdue::Dispatch,
        HangKind::EndlessLoop => Overdue::EndlessLoop,
        HangKind::EndlessCalls => Overdue::EndlessCalls,
        HangKind::TimeLimit => Overdue::Run,
    };
    let blamed = hang.thread.and_then(|place| hang.threads.get(place));
    let in_driver = || {
        hang.threads
            .iter()
            .find(|(.., stack, _)| !rt::trace::frames(*stack).is_empty())
    };
    match blamed.or_else(in_driver) {
        Some((.., stack, image)) => (overdue, *stack, *image),
        None => (overdue, rt::trace::capture(), 0),
    }
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
    let adapters = adapters(names, macs, &tally);
    Report {
        seed,
        registered_version: VERSION.get(),
        adapters,
        pool: tally.pool(),
        holds: tally.holds.report(),
        work_items: tally.work_items,
        work_item_functions: crate::worker::functions(),
        requests: tally.requests.take(),
        device_requests: crate::device::take_requests(),
        situations: watch::situation::take(),
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
        operations: operation::take_counts(),
        steps: script::take(),
        call_sites: Vec::new(),
        timeline: Vec::new(),
        stack: Vec::new(),
        refusal: None,
        debug_output: nt::dbg::take_output(),
    }
}

/// The adapters as the running image saw them, with the states of its modules.
fn adapters(names: &[String], macs: &[[u8; 6]], tally: &Tally) -> Vec<AdapterReport> {
    let passages: BTreeMap<_, _> = tally.holds.passage.counts().collect();
    let of = |(index, (name, mac)): (u32, (&String, &[u8; 6]))| {
        let ([send, receive], before_pause, edge) = adapter::with(index, |adapter| {
            (adapter.counts, adapter.counts_before_pause, adapter.edge)
        });
        let states = tally.states.get(&index).cloned();
        AdapterReport {
            name: name.clone(),
            if_index: adapter::if_index(index),
            mac: *mac,
            states: states.unwrap_or_else(|| vec!["Detached"]),
            send,
            receive,
            lower_edge: edge.name(),
            before_pause,
            passage: ndis::follows_packets().then(|| {
                [NblPath::Send, NblPath::Receive]
                    .map(|path| passages.get(&(index, path)).copied().unwrap_or_default())
            }),
        }
    };
    (0..).zip(names.iter().zip(macs)).map(of).collect()
}
