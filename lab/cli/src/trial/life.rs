//! One life, as a worker process plays it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lab_kernel::{
    AdapterReport, Chaos, DiskFile, Failure, Media, Request, RunConfig, Stop, TrafficCount,
};
use protocol::{FlowQuery, IOCTL_DEFERLWF_QUERY_FLOWS, IOCTL_DEFERLWF_QUERY_STATISTICS, Mode};
use serde::{Deserialize, Serialize};

use super::traffic;
use crate::account::{self, finding};
use crate::argument::{self, DemandArguments, Site, Subject};
use crate::error::{Error, Exit};
use crate::run::Others;
use crate::script::{self, Script};
use crate::summary::{self, Directions, Finding, Passages, StackFrame};
use crate::{device, run};

/// Control operations per adapter and life.
const OPERATIONS: u32 = 10;

/// A life to be played.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Task {
    pub(super) seed: u64,
    /// The calls that fail; `None` when nobody asks which could.
    pub(super) faults: Option<Vec<Site>>,
}

/// A call that could fail, and what became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct SeenSite {
    pub(super) site: Site,
    pub(super) is_allocation: bool,
    pub(super) has_failed: bool,
    pub(super) frames: Vec<StackFrame>,
}

/// What became of a life.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Life {
    pub(super) seed: u64,
    pub(super) schedule_digest: String,
    pub(super) events: u64,
    /// Packets that NDIS gave to the filter.
    pub(super) packets: Directions,
    /// Packets that went past it.
    pub(super) past: Directions,
    pub(super) operations: BTreeMap<String, u64>,
    pub(super) holds: Holds,
    /// What came of the packets that it was given, if they were followed.
    pub(super) passage: Option<Passages>,
    /// How the miniport of each adapter treated sends.
    pub(super) lower_edges: Vec<String>,
    /// Adapters on which the filter ran at some time, and all adapters.
    pub(super) running: usize,
    pub(super) adapters: usize,
    /// Whether the filter went from an adapter before the end, other than to come back.
    pub(super) ended_detached: bool,
    /// Why the driver did not load, when a failed call led to that.
    pub(super) refusal: Option<String>,
    pub(super) violation: Option<Finding>,
    pub(super) disagreements: Vec<String>,
    /// Steps of a script that came to something else than expected, a line each.
    pub(super) failed_steps: Vec<String>,
    pub(super) warnings: Vec<Finding>,
    pub(super) sites: Vec<SeenSite>,
}

impl Life {
    /// Whether no rule was broken, all counts agree, and no step of a script failed.
    pub(super) fn is_clean(&self) -> bool {
        self.violation.is_none() && self.disagreements.is_empty() && self.failed_steps.is_empty()
    }
}

/// What the filter kept in a life.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Holds {
    /// Packets that the driver had no room to judge, if it counts.
    pub(super) overloaded: Option<u64>,
    /// Packet lists that it had when pauses began.
    pub(super) at_pause: u64,
    /// The most that waited for their verdict, as the driver says.
    pub(super) held_peak: Option<u64>,
    /// The longest virtual time that it had one, and that a pause took.
    pub(super) longest_ns: u64,
    pub(super) longest_pause_ns: u64,
}

/// A life, or why there is none: exit code and line.
pub(super) type Answer = Result<Life, (u8, String)>;

/// Everything that the lives of one image share.
pub(super) struct Stage {
    image: Vec<u8>,
    image_name: String,
    subject: Subject,
    pdb: Option<PathBuf>,
    others: Others,
    script: Option<Script>,
    files: Vec<DiskFile>,
    notes: Vec<String>,
}

impl Stage {
    /// Reads the image.
    ///
    /// # Errors
    ///
    /// When image or symbols cannot be read.
    pub(super) fn new(subject: &Subject) -> Result<Self, Error> {
        let image = run::read(&subject.image)?;
        let mut notes = Vec::new();
        let pdb = run::symbols(&subject.image, subject.pdb.as_deref(), &image, &mut notes)?;
        let others = run::others(&subject.stack, &mut notes)?;
        notes.extend(argument::switched_off(&subject.without));
        let images = subject.stack.images_with(&subject.image);
        let script = subject.script.as_ref();
        let script = script
            .map(|path| script::read(path, &[], &images))
            .transpose()?;
        let files = subject.files.read(script::files(script.as_ref()))?;
        Ok(Self {
            files,
            script,
            image,
            others,
            image_name: run::file_name(&subject.image),
            pdb,
            subject: subject.clone(),
            notes,
        })
    }

    /// What a reader of the outcome should know.
    pub(super) fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// Plays one life.
    pub(super) fn play(&self, task: &Task) -> Answer {
        let faults = task.faults.as_ref();
        let faults = faults.map(|sites| sites.iter().map(Site::call_site).collect());
        let script = self.script.as_ref();
        let adapters = match script {
            Some(_) => run::idle_adapters(script),
            None => traffic::adapters(task.seed),
        };
        let chaos = script
            .is_none()
            .then(|| chaos(adapters.len() as u32, self.subject.demand));
        let config = RunConfig {
            image: self.image.clone(),
            image_name: self.image_name.clone(),
            pdb: self.pdb.clone(),
            above: self.others.above.clone(),
            below: self.others.below.clone(),
            media: Media::default(),
            seed: task.seed,
            ndis_minor: self.subject.ndis,
            processors: self.subject.processors,
            workers: self.subject.workers,
            adapters,
            parameters: argument::values(&self.subject.settings),
            files: self.files.clone(),
            stop: Stop::default(),
            disturb: script.is_none(),
            control: Some(device::administrator(Vec::new(), &[], 0)),
            chaos,
            script: script.map(|script| script.play.clone()),
            faults,
            trace: None,
            without: self.subject.without.clone(),
            demands: self.subject.demand.demands(),
            keeps_timeline: false,
            loads: None,
        };
        let report = lab_kernel::run(config, Box::new(|_| {})).map_err(|failure| {
            let exit = match failure {
                Failure::BadInput(_) | Failure::UnknownImports { .. } => Exit::BadInput,
                Failure::Lab(_) => Exit::LabFault,
            };
            let line = run::refuse(&self.subject.image, &self.image_name, &failure).line;
            (exit as u8, line)
        })?;
        let name = &self.image_name;
        let is_whole = report.violation.is_none() && report.refusal.is_none();
        let disagreements = if is_whole {
            account::disagreements(&report)
        } else {
            Vec::new()
        };
        let sum = |part: fn(&TrafficCount) -> u64| Directions {
            send: report.adapters.iter().map(|it| part(&it.send)).sum(),
            receive: report.adapters.iter().map(|it| part(&it.receive)).sum(),
        };
        let ran = |adapter: &&AdapterReport| adapter.states.contains(&"Running");
        // What is expected is expected of a driver whose calls succeed.
        let judged = script.filter(|_| task.faults.iter().flatten().next().is_none());
        let steps = judged.map(|script| script.judge(&report));
        Ok(Life {
            holds: Holds {
                overloaded: account::overloaded(&report),
                at_pause: report.holds.held_at_pause,
                held_peak: account::held_peak(&report),
                longest_ns: report.holds.longest_ns,
                longest_pause_ns: report.holds.longest_pause_ns,
            },
            passage: account::passage(&report),
            seed: report.seed,
            events: report.events,
            packets: sum(|count| count.packets),
            past: sum(|count| count.past),
            operations: report
                .operations
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
            lower_edges: report
                .adapters
                .iter()
                .map(|adapter| adapter.lower_edge.to_owned())
                .collect(),
            running: report.adapters.iter().filter(ran).count(),
            adapters: report.adapters.len(),
            ended_detached: report.adapters.iter().any(failed_restart),
            disagreements,
            failed_steps: steps.iter().flat_map(summary::Script::failures).collect(),
            violation: report
                .violation
                .as_ref()
                .map(|violation| finding::of(name, violation)),
            warnings: report
                .warnings
                .iter()
                .map(|warning| finding::of(name, warning))
                .collect(),
            sites: report
                .call_sites
                .iter()
                .map(|seen| SeenSite {
                    site: Site::from(&seen.site),
                    is_allocation: seen.is_allocation,
                    has_failed: seen.has_failed,
                    frames: finding::frames(name, &seen.frames),
                })
                .collect(),
            refusal: report.refusal,
            schedule_digest: report.schedule_digest,
        })
    }
}

/// Whether a restart, or an attach after the first, failed: then the state before `Detached` is not that of a pause.
fn failed_restart(adapter: &AdapterReport) -> bool {
    adapter.states.windows(3).any(|states| {
        matches!(
            states,
            ["Restarting", "Paused", "Detached"] | ["Detached", "Attaching", "Detached"]
        )
    })
}

/// What makes a life hard, with so many adapters. Nobody changes the mode of a driver of which it is demanded how many
/// packets wait: what they wait for is that of one mode.
pub(crate) fn chaos(adapters: u32, demand: DemandArguments) -> Chaos {
    let adapters = if demand.hold_limit.is_none() {
        adapters
    } else {
        0
    };
    let modes: Vec<_> = (0..adapters).map(modes).collect();
    Chaos {
        operations: OPERATIONS,
        requests: requests(modes.first().map_or(&[], Vec::as_slice)),
        modes,
    }
}

/// What changes the mode of an adapter.
fn modes(adapter: u32) -> Vec<Request> {
    let if_index = lab_kernel::if_index(adapter);
    Mode::ALL
        .iter()
        .map(|&mode| device::set_mode(if_index, mode))
        .collect()
}

/// What our own control tool asks, with changes of mode like these; other drivers get it as questions that they do not know.
fn requests(modes: &[Request]) -> Vec<(u32, Vec<u8>)> {
    let if_index = lab_kernel::if_index(0);
    let query = FlowQuery {
        if_index,
        ..FlowQuery::default()
    };
    let reread = device::reread(if_index);
    let others = std::iter::once(&reread)
        .chain(modes)
        .filter_map(|request| Some((request.code()?, request.input.clone())));
    [
        (IOCTL_DEFERLWF_QUERY_STATISTICS, Vec::new()),
        (IOCTL_DEFERLWF_QUERY_FLOWS, device::encoded(&query)),
    ]
    .into_iter()
    .chain(others)
    .collect()
}
