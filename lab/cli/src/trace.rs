//! What the driver tells Windows' tracing: shown while it happens, kept as an `.etl` log, and read from one.

mod decode;
mod etl;
mod show;
mod tmf;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lab_kernel::{TraceRecord, TraceSession, Wanted};

use crate::argument::{DecodeArguments, RunArguments, TraceArguments};
use crate::error::Error;
use decode::Decoded;
use tmf::Formats;

/// A session of one run, and what becomes of its records.
pub(crate) struct Session {
    state: Rc<RefCell<State>>,
    etl: Option<(PathBuf, File)>,
    /// What is wrong with the formats, though they can be used.
    note: Option<String>,
}

struct State {
    is_shown: bool,
    is_json: bool,
    formats: Formats,
    /// Kept for the log, if there is to be one.
    kept: Option<Vec<TraceRecord>>,
    /// The first error of standard output.
    failed: Option<io::Error>,
}

impl Session {
    /// The session that the arguments ask for.
    ///
    /// # Errors
    ///
    /// When the log cannot be created.
    pub(crate) fn new(arguments: &RunArguments) -> Result<Option<Self>, Error> {
        let TraceArguments {
            trace, tmf, etl, ..
        } = &arguments.tracing;
        if !arguments.tracing.is_session() {
            return Ok(None);
        }
        let create = |path: &PathBuf| {
            File::create(path)
                .map(|file| (path.clone(), file))
                .map_err(|error| refuse(path, &error))
        };
        let etl = etl.as_ref().map(create).transpose()?;
        let beside_image = arguments.image.with_extension("tmf");
        let tmf = match tmf {
            Some(path) => Some(path.as_path()),
            None => beside_image.is_file().then_some(beside_image.as_path()),
        };
        let (formats, note) = formats(tmf)?;
        Ok(Some(Self {
            state: Rc::new(RefCell::new(State {
                is_shown: trace.is_some(),
                is_json: arguments.json,
                formats,
                kept: etl.is_some().then(Vec::new),
                failed: None,
            })),
            etl,
            note,
        }))
    }

    /// What a reader should know of what is printed.
    pub(crate) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// The session for the kernel.
    pub(crate) fn session(&self, arguments: &RunArguments) -> TraceSession {
        let state = Rc::clone(&self.state);
        TraceSession {
            wanted: Wanted {
                level: arguments.tracing.trace_level,
                any_keyword: arguments
                    .tracing
                    .trace
                    .map_or(u64::MAX, |keywords| keywords.0),
                all_keywords: 0,
            },
            reader: Box::new(move |record| state.borrow_mut().take(record)),
        }
    }

    /// Writes the log.
    ///
    /// # Errors
    ///
    /// When it, or standard output, could not be written.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        if let Some((path, mut file)) = self.etl {
            let log = etl::write(state.kept.as_deref().unwrap_or_default());
            file.write_all(&log)
                .map_err(|error| refuse(&path, &error))?;
        }
        match state.failed.take() {
            Some(error) if state.is_json || error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::standard_output(&error))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl State {
    fn take(&mut self, record: &TraceRecord) {
        if self.is_shown && self.failed.is_none() {
            let decoded = decode::decode(record, &self.formats);
            let line = line(&decoded, self.is_json);
            self.failed = writeln!(io::stdout(), "{line}").err();
        }
        if let Some(kept) = &mut self.kept {
            kept.push(record.clone());
        }
    }
}

/// The formats of WPP messages at `path`, a folder or a file, and what of them is left out.
fn formats(path: Option<&Path>) -> Result<(Formats, Option<String>), Error> {
    let Some(path) = path else {
        return Ok((Formats::default(), None));
    };
    let formats = Formats::read(path).map_err(Error::bad_input)?;
    let skipped = formats.skipped();
    let note = skipped.map(|skipped| format!("{}: {skipped}", path.display()));
    Ok((formats, note))
}

fn line(decoded: &Decoded, is_json: bool) -> String {
    if is_json {
        show::json(decoded)
    } else {
        show::text(decoded)
    }
}

fn refuse(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::bad_input(format!("{}: {error}", path.display()))
}

/// What is said beside the records of a log, a line each.
#[derive(Default)]
pub(crate) struct Beside {
    /// What is wrong with the log.
    pub(crate) problems: Vec<String>,
    /// What of the formats is left out.
    pub(crate) note: Option<String>,
}

/// `lwf-lab decode`: prints a log to `out`, and gives what there is to say beside.
///
/// # Errors
///
/// When it cannot be read at all, or `out` not be written.
pub(crate) fn decode(arguments: &DecodeArguments, out: &mut dyn Write) -> Result<Beside, Error> {
    let path = &arguments.file;
    let bytes = std::fs::read(path).map_err(|error| refuse(path, &error))?;
    let (formats, note) = formats(arguments.tmf.as_deref())?;
    let log = etl::read(&bytes);
    for record in &log.records {
        let decoded = Decoded {
            irql: None,
            ..decode::decode(record, &formats)
        };
        let written = writeln!(out, "{}", line(&decoded, arguments.json));
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !arguments.json => {
                return Ok(Beside::default());
            }
            Err(error) => return Err(Error::standard_output(&error)),
            Ok(()) => {}
        }
    }
    let name = |problem| format!("{}: {problem}", path.display());
    Ok(Beside {
        problems: log.problem.into_iter().map(name).collect(),
        note,
    })
}
