//! `lwf-lab run`: everything read and checked, then one life of the driver.

use std::fs;
use std::path::{Path, PathBuf};

use lab_kernel::{AdapterConfig, Failure, RunConfig};

use crate::account::{self, Source};
use crate::argument::RunArguments;
use crate::capture;
use crate::device;
use crate::error::Error;
use crate::progress::ProgressLine;
use crate::summary::Summary;

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
    let pdb = symbols(arguments)?;
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
    if adapters.is_empty() {
        let name = "1 idle".to_owned();
        adapters.push(AdapterConfig {
            name,
            mac: IDLE_MAC,
            frames: Vec::new(),
        });
        sources.push(Source {
            capture: None,
            direction_by: "no traffic".to_owned(),
            notes: Vec::new(),
        });
    }
    let progress = ProgressLine::start();
    let report = lab_kernel::run(
        RunConfig {
            image,
            image_name: image_name.clone(),
            pdb,
            seed: arguments.seed,
            ndis_minor: arguments.ndis,
            processors: arguments.processors,
            workers: arguments.workers,
            adapters,
            parameters: arguments
                .settings
                .iter()
                .map(|setting| (setting.name.clone(), setting.value.clone()))
                .collect(),
            control: Some(device::administrator()),
        },
        Box::new(move |step| progress.show(step)),
    );
    let report = report.map_err(|failure| refuse(&arguments.image, &image_name, &failure))?;
    let summary = account::summarise(&image_name, arguments, &sources, &report);
    Ok(Outcome { summary, damage })
}

/// Names the image by its path, as the caller did.
fn refuse(path: &Path, image_name: &str, failure: &Failure) -> Error {
    let line = failure.to_string();
    let line = line
        .strip_prefix(image_name)
        .and_then(|line| line.strip_prefix(": "))
        .unwrap_or(&line);
    let line = format!("{}: {line}", path.display());
    match failure {
        Failure::BadInput(_) | Failure::UnknownImports { .. } => Error::bad_input(line),
        Failure::Lab(_) => Error::lab_fault(line),
    }
}

/// A locally administered address for an adapter that no capture gives one.
const IDLE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::bad_input(format!("{}: {error}", path.display())))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The program database that was named, or the one beside the image if there is one.
fn symbols(arguments: &RunArguments) -> Result<Option<PathBuf>, Error> {
    match &arguments.pdb {
        Some(path) => read(path).map(|_| Some(path.clone())),
        None => Ok(Some(arguments.image.with_extension("pdb")).filter(|path| path.is_file())),
    }
}
