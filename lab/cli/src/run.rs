//! `lwf-lab run`: everything read and checked, then one life of the driver.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use lab_kernel::{AdapterConfig, Failure, Report, RunConfig, StackedImage};
use protocol::Mode;

use crate::account::{self, Source};
use crate::argument::{self, RunArguments, Site, StackArguments};
use crate::capture;
use crate::device;
use crate::error::Error;
use crate::progress::ProgressLine;
use crate::script::{self, Script};
use crate::summary::Summary;
use crate::timeline;
use crate::trace;
use crate::trial::{life, traffic};

/// A run that could be carried out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What it found.
    pub(crate) summary: Summary,
    /// Captures that could be used only in part, one line each.
    pub(crate) damage: Vec<String>,
}

/// Runs the image once.
///
/// # Errors
///
/// When an input cannot be used, or the lab itself fails.
pub(crate) fn execute(arguments: &RunArguments) -> Result<Outcome, Error> {
    let image = read(&arguments.image)?;
    let image_name = file_name(&arguments.image);
    let mut notes = Vec::new();
    let pdb = symbols(
        &arguments.image,
        arguments.pdb.as_deref(),
        &image,
        &mut notes,
    )?;
    let others = others(&arguments.stack, &mut notes)?;
    let mut adapters = Vec::new();
    let mut sources = Vec::new();
    let mut damage = Vec::new();
    for (index, path) in arguments.pcap.iter().enumerate() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{} {stem}", index + 1);
        let traffic = capture::read(path, name, &arguments.local, arguments.vlan_tags)?;
        adapters.push(traffic.adapter);
        sources.push(Source {
            capture: Some(file_name(path)),
            direction_by: traffic.direction_by,
            notes: traffic.notes,
        });
        damage.extend(traffic.damage);
    }
    if arguments.hard {
        adapters = traffic::adapters(arguments.seed);
        let generated = || Source {
            direction_by: "generated".to_owned(),
            ..Source::default()
        };
        sources = adapters.iter().map(|_| generated()).collect();
    }
    let script = match &arguments.script {
        Some(path) => {
            let names: Vec<String> = adapters.iter().map(|it| it.name.clone()).collect();
            let images = arguments.stack.images_with(&arguments.image);
            Some(script::read(path, &names, &images)?)
        }
        None => None,
    };
    if adapters.is_empty() {
        let direction_by = script.as_ref().map_or("no traffic", |_| "by the script");
        adapters = idle_adapters(script.as_ref());
        let source = || Source {
            direction_by: direction_by.to_owned(),
            ..Source::default()
        };
        sources = adapters.iter().map(|_| source()).collect();
    }
    let files = arguments.files.read(script::files(script.as_ref()))?;
    let modes: Vec<Mode> = arguments.modes.iter().map(|&mode| mode.into()).collect();
    let writes = argument::values(&arguments.later_settings);
    let control = device::administrator(writes, &modes, adapters.len() as u32);
    let chaos = arguments
        .hard
        .then(|| life::chaos(adapters.len() as u32, arguments.demand));
    let timeline = match &arguments.timeline {
        Some(path) => Some((path, timeline::create(path)?)),
        None => None,
    };
    let session = trace::Session::new(arguments)?;
    let faults = &arguments.fail;
    let progress = ProgressLine::start();
    let report = lab_kernel::run(
        RunConfig {
            image,
            image_name: image_name.clone(),
            pdb,
            above: others.above,
            below: others.below,
            seed: arguments.seed,
            media: arguments.medium,
            ndis_minor: arguments.ndis,
            processors: arguments.processors,
            workers: arguments.workers,
            stop: arguments.stop.into(),
            disturb: arguments.disturb,
            adapters,
            parameters: argument::values(&arguments.settings),
            files,
            control: Some(control),
            chaos,
            script: script.as_ref().map(|script| script.play.clone()),
            faults: (!faults.is_empty()).then(|| faults.iter().map(Site::call_site).collect()),
            trace: session.as_ref().map(|session| session.session(arguments)),
            without: arguments.without.clone(),
            demands: arguments.demand.demands(),
            keeps_timeline: timeline.is_some(),
            loads: None,
        },
        Box::new(move |step| progress.show(step)),
    );
    let report = report.map_err(|failure| refuse(&arguments.image, &image_name, &failure))?;
    if let Some((path, file)) = timeline {
        let about = timeline::About {
            image: &image_name,
            seed: arguments.seed,
            replay: &arguments.replay(),
        };
        timeline::write(&about, &report.timeline, file)
            .map_err(|error| timeline::refuse(path, &error))?;
    }
    if let Some(session) = session {
        notes.extend(session.note());
        session.finish()?;
    }
    notes.extend(argument::switched_off(&arguments.without));
    notes.extend(injected(faults, &report));
    let mut summary = account::summarise(&image_name, arguments, &sources, notes, &report);
    summary.script = script.map(|script| script.judge(&report));
    Ok(Outcome { summary, damage })
}

/// The adapters of a script that has any of its own; else one to which nothing comes.
pub(crate) fn idle_adapters(script: Option<&Script>) -> Vec<AdapterConfig> {
    let own = script.map(|script| script.adapters.as_slice());
    match own.unwrap_or_default() {
        [] => vec![AdapterConfig {
            name: script::IDLE.to_owned(),
            mac: IDLE_MAC,
            frames: Vec::new(),
        }],
        own => own.to_vec(),
    }
}

/// The other filters of a stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    pub(crate) above: Vec<StackedImage>,
    pub(crate) below: Vec<StackedImage>,
}

/// Reads the other filters of a stack.
pub(crate) fn others(stack: &StackArguments, notes: &mut Vec<String>) -> Result<Others, Error> {
    let mut read_all = |paths: &[PathBuf]| {
        let mut images = Vec::new();
        for path in paths {
            let image = read(path)?;
            images.push(StackedImage {
                name: file_name(path),
                pdb: symbols(path, None, &image, notes)?,
                image,
            });
        }
        Ok(images)
    };
    Ok(Others {
        above: read_all(&stack.above)?,
        below: read_all(&stack.below)?,
    })
}

/// What came of the calls that were to fail.
fn injected(faults: &[Site], report: &Report) -> Vec<String> {
    let is_unmet = |site: &&Site| {
        let mut seen = report.call_sites.iter();
        let is_it = |seen: &lab_kernel::CallSite| {
            seen.import == site.import && (site.stack.is_empty() || seen.stack == site.stack)
        };
        !seen.any(|seen| seen.has_failed && is_it(&seen.site))
    };
    let unmet = faults.iter().filter(is_unmet);
    let mut notes: Vec<String> = unmet
        .map(|site| format!("nothing called {site}, so it did not fail"))
        .collect();
    notes.extend(
        report
            .refusal
            .as_ref()
            .map(|why| format!("the driver did not load: {why}")),
    );
    notes
}

/// Names the image by its path, as the caller did.
pub(crate) fn refuse(path: &Path, image_name: &str, failure: &Failure) -> Error {
    let line = failure.to_string();
    let line = line
        .strip_prefix(image_name)
        .and_then(|line| line.strip_prefix(": "))
        .unwrap_or(&line);
    let line = format!("{}: {line}", path.display());
    match failure {
        Failure::BadInput(_) => Error::bad_input(line),
        Failure::UnknownImports { .. } => Error::bad_input(format!(
            "{line} (`lwf-lab imports {}` lists them all, with what each would need)",
            argument::path_word(path)
        )),
        Failure::Lab(_) => Error::lab_fault(line),
    }
}

/// A locally administered address for an adapter that no capture gives one.
const IDLE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// The largest image file that is read, in bytes; the file that was named may be a device without an end.
const MAX_IMAGE_LENGTH: u64 = 256 << 20;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_up_to(path, MAX_IMAGE_LENGTH, "the lab's limit")
}

/// Reads a file of so many bytes at most, which is what `limit` calls it.
pub(crate) fn read_up_to(path: &Path, most: u64, limit: &str) -> Result<Vec<u8>, Error> {
    let bad = |why: &dyn Display| Error::bad_input(format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| bad(&error))?;
    if bytes.len() as u64 > most {
        return Err(bad(&format!("has more than {most} bytes, {limit}")));
    }
    Ok(bytes)
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The program database that was named, or the one beside the image if there is one. What was named must fit; what
/// merely lies there is noted if it does not.
pub(crate) fn symbols(
    path: &Path,
    named: Option<&Path>,
    image: &[u8],
    notes: &mut Vec<String>,
) -> Result<Option<PathBuf>, Error> {
    let check = |path: &Path| {
        lab_kernel::check_symbols(image, path).map_err(|why| format!("{}: {why}", path.display()))
    };
    if let Some(named) = named {
        check(named).map_err(Error::bad_input)?;
        return Ok(Some(named.to_owned()));
    }
    let beside = path.with_extension("pdb");
    if !beside.is_file() {
        return Ok(None);
    }
    match check(&beside) {
        Ok(()) => Ok(Some(beside)),
        Err(line) => {
            notes.push(format!("no symbols: {line}"));
            Ok(None)
        }
    }
}
