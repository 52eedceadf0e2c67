//! Scripts: what is done to an adapter, step by step, as `docs/scripts.md` describes them.
//!
//! [`read`] makes of a file what the kernel plays, and keeps beside it what only the report needs: lines, words and
//! expectations. [`judge`] compares what came of the steps with the latter.

mod expect;
mod operation;
mod source;
mod step;

use std::collections::BTreeMap;
use std::path::Path;

use lab_kernel::{AdapterConfig, DiskFile, Performance, Report};

use expect::Expectation;
use source::{Keys, Source};

use crate::argument;
use crate::error::Error;
use crate::run;
use crate::summary;

/// The most steps that a script has, those that are done again included.
const MOST_STEPS: u64 = 100_000;
/// The longest time that all waits of a script take, in ns of virtual time.
const MOST_WAITING_NS: u64 = 30 * 60 * 1_000_000_000;
/// Bytes that all frames of a script hold, at most, and that all its steps have room for.
const MOST_FRAME_BYTES: u64 = 256 << 20;
const MOST_ROOM_BYTES: u64 = 1 << 30;
/// Adapters of a script, at most.
const MOST_ADAPTERS: usize = 16;

/// A script that was read.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What the kernel plays.
    pub(crate) play: lab_kernel::Script,
    /// The adapters that it names; none if it leaves them to others.
    pub(crate) adapters: Vec<AdapterConfig>,
    /// What it puts on the disk.
    files: Vec<DiskFile>,
    /// The file, as it was named.
    file: String,
    /// By number, less 1.
    known: Vec<Known>,
}

/// A step, as its author knows it.
#[derive(Clone, Debug)]
struct Known {
    line: u32,
    /// What it does.
    word: String,
    /// To what.
    about: String,
    adapter: u32,
    expected: Expectation,
}

/// Reads the script at `path`, for adapters of these names, if they are not the script's own, and these images from top to
/// bottom.
///
/// # Errors
///
/// When it cannot be read, or says what cannot be done: the line names the place.
pub(crate) fn read(path: &Path, given: &[String], images: &[&Path]) -> Result<Script, Error> {
    let source = Source::new(path, run::read(path)?)?;
    let root = source.parse()?;
    let mut keys = Keys::new(&source, "the script", root.span(), root.get_ref());
    let adapters = adapters(&source, &mut keys, !given.is_empty())?;
    let files = disk_files(&source, &mut keys)?;
    let names: Vec<String> = match (adapters.as_slice(), given) {
        ([], []) => vec![IDLE.to_owned()],
        ([], names) => names.to_vec(),
        (own, _) => own.iter().map(|adapter| adapter.name.clone()).collect(),
    };
    let mut reader = step::Reader::new(&source, &names, images);
    let steps = match keys.array("step")? {
        Some(array) => reader.steps(array)?,
        None => Vec::new(),
    };
    keys.finish()?;
    if steps.is_empty() {
        return Err(source.refuse(&(0..0), "the script has no [[step]]"));
    }
    let known = reader.into_known();
    let play = lab_kernel::Script { steps };
    Ok(Script {
        play,
        adapters,
        files,
        file: path.to_string_lossy().into_owned(),
        known,
    })
}

/// The name of an adapter that nobody has named.
pub(crate) const IDLE: &str = "1 idle";

/// The adapters that a script names, if it may.
fn adapters(
    source: &Source,
    keys: &mut Keys<'_>,
    are_given: bool,
) -> Result<Vec<AdapterConfig>, Error> {
    let mut adapters: Vec<AdapterConfig> = Vec::new();
    for (index, value) in (0_u8..).zip(keys.array("adapter")?.into_iter().flatten()) {
        let mut keys = Keys::of(source, "an adapter", value)?;
        if are_given {
            return Err(keys.refuse("adapters are those of --pcap: a script names none then"));
        }
        if usize::from(index) >= MOST_ADAPTERS {
            return Err(keys.refuse(format!("{MOST_ADAPTERS} adapters at most")));
        }
        let name = keys.text("name")?;
        let name = keys.need("name", name)?;
        if adapters.iter().any(|known| known.name == name.text) {
            let why = format!("there are two adapters `{}`", name.text.escape_debug());
            return Err(source.refuse(&name.place, why));
        }
        let mac = match keys.bytes("mac", 6)? {
            None => [0x02, 0, 0, 0, 0, index + 1],
            Some(mac) => <[u8; 6]>::try_from(mac)
                .map_err(|mac| keys.refuse(format!("`mac` has {} bytes: it has 6", mac.len())))?,
        };
        keys.finish()?;
        adapters.push(AdapterConfig {
            name: name.text.to_owned(),
            mac,
            frames: Vec::new(),
        });
    }
    Ok(adapters)
}

/// The files that a script puts on the disk.
fn disk_files(source: &Source, keys: &mut Keys<'_>) -> Result<Vec<DiskFile>, Error> {
    let mut files: Vec<DiskFile> = Vec::new();
    for value in keys.array("file")?.into_iter().flatten() {
        let mut keys = Keys::of(source, "a file", value)?;
        let name = keys.text("name")?;
        let name = keys.need("name", name)?;
        let refuse = |why: String| source.refuse(&name.place, why);
        lab_kernel::check_disk_name(name.text)
            .map_err(|why| refuse(format!("{} {why}", name.text.escape_debug())))?;
        let from = keys.text("from")?;
        let data = match (keys.bytes("data", step::MOST_BYTES)?, from) {
            (Some(data), None) => data,
            (None, Some(from)) => {
                // A script names what lies beside it.
                let folder = source.path.parent().unwrap_or("".as_ref());
                argument::read_disk_file(&folder.join(from.text))
                    .map_err(|error| source.refuse(&from.place, error.line))?
            }
            _ => {
                return Err(
                    keys.refuse("a file has its bytes by `from` or by `data`, and not by both")
                );
            }
        };
        keys.finish()?;
        files.push(DiskFile {
            name: name.text.to_owned(),
            data,
        });
        argument::check_disk_files(&files)?;
    }
    Ok(files)
}

/// What a script puts on the disk, if there is one.
pub(crate) fn files(script: Option<&Script>) -> &[DiskFile] {
    script.map_or(&[], |script| script.files.as_slice())
}

impl Script {
    /// What came of its steps.
    pub(crate) fn judge(&self, report: &Report) -> summary::Script {
        let adapters = report.adapters.iter();
        let names: Vec<&str> = adapters.map(|adapter| adapter.name.as_str()).collect();
        let mut done: BTreeMap<u32, Vec<&Performance>> = BTreeMap::new();
        for performance in &report.steps {
            done.entry(performance.number)
                .or_default()
                .push(performance);
        }
        let steps = (1_u32..).zip(&self.known).map(|(number, known)| {
            let all = done.get(&number).map_or(&[][..], Vec::as_slice);
            known.judge(number, &names, all)
        });
        summary::Script {
            file: self.file.clone(),
            steps: steps.collect(),
        }
    }
}

impl Known {
    fn judge(&self, number: u32, names: &[&str], performances: &[&Performance]) -> summary::Step {
        let ended = performances.iter().filter(|one| one.ended_ns.is_some());
        let last = ended.clone().next_back();
        let outcome = last.map(|last| &last.outcome);
        let failed = ended
            .clone()
            .find_map(|one| self.expected.failure(&self.word, &one.outcome));
        summary::Step {
            number,
            line: self.line,
            does: self.word.clone(),
            about: self.about.clone(),
            adapter: names
                .get(self.adapter as usize)
                .map(|&name| name.to_owned()),
            times: ended.count() as u64,
            begun_virtual_ns: performances.first().map(|first| first.begun_ns),
            ended_virtual_ns: last.and_then(|last| last.ended_ns),
            status: outcome.and_then(|outcome| outcome.status),
            status_name: outcome
                .and_then(|outcome| outcome.status)
                .and_then(|status| expect::status_name(&self.word, status))
                .map(str::to_owned),
            bytes: outcome.and_then(|outcome| outcome.bytes),
            output: outcome
                .map(|outcome| expect::digits(&outcome.output))
                .unwrap_or_default(),
            packets: outcome.and_then(|outcome| outcome.packets).map(|packets| {
                summary::StepPackets {
                    given: packets.given,
                    passed: packets.passed,
                    dropped: packets.dropped,
                }
            }),
            note: outcome
                .and_then(|outcome| outcome.undone.or(outcome.note))
                .map(str::to_owned),
            failed,
        }
    }
}
