//! `lwf-lab bench`: what images cost per packet.
//!
//! Each image lives in a process of its own (`work`), which measures one load at a time when it is asked; so two of them
//! take turns and never run at the same time, and both on the same processor. A turn of two images is A, B, B, A, so that a
//! machine that becomes faster or slower does so for both. Within a repetition the processes are replaced some times: where
//! Linux puts their memory makes a difference that no number of turns takes away.

mod figure;
mod gather;
mod load;
mod table;

use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::rc::Rc;

use lab_kernel::{AdapterConfig, Media, NextLoad, RunConfig, Stop};
use lab_net::generator::{ADAPTER, Datagrams};
use lab_rules::Demands;

use crate::argument::{self, BenchArguments, REFUSED, Subject, WorkerArguments};
use crate::capture::{self, VlanTags};
use crate::error::{Error, Exit};
use crate::progress::CountLine;
use crate::run;
use crate::trial::pool::Worker;
pub use figure::{Cost, Figure, Ratio, Row, Summary};
use gather::Gathered;
pub use load::Load;
use load::{Question, Taken};
pub use table::render;

/// The command that measures.
const MEASURER: &str = "bench-worker";
/// Processes of an image in a repetition, at most.
const PROCESSES: u32 = 5;
/// How often a sample is taken again that another process has interrupted.
const AGAIN: u32 = 20;
/// Of the time of a sample, the part that it takes to get warm before.
const WARM: u64 = 4;

/// Measures one image, or two in alternation.
///
/// # Errors
///
/// When an image cannot be used, breaks down, or keeps packets.
pub(crate) fn execute(arguments: &BenchArguments) -> Result<Summary, Error> {
    let mut subjects = vec![arguments.subject.clone()];
    if let Some(image) = &arguments.vs {
        subjects.push(Subject {
            image: image.clone(),
            settings: arguments.vs_settings.clone(),
            pdb: None,
            ..arguments.subject.clone()
        });
    }
    // Bad input ends here, before a process is started for it.
    let subject = &arguments.subject;
    if let Some(refused) = REFUSED.iter().find(|it| (it.is_given)(subject)) {
        return Err(Error::bad_input(refused.why));
    }
    for subject in &subjects {
        run::read(&subject.image)?;
    }
    subject.files.read(&[])?;
    let loads = Load::all();
    let asked = u64::from(arguments.repeat) * u64::from(arguments.samples);
    let progress = CountLine::start("turns", asked * loads.len() as u64);
    let mut gathered: Vec<Gathered> = loads
        .iter()
        .map(|_| Gathered::new(subjects.len()))
        .collect();
    let mut discarded = 0;
    let processes = arguments.samples.min(PROCESSES);
    for _ in 0..arguments.repeat {
        gathered.iter_mut().for_each(Gathered::begin_repetition);
        for process in 0..processes {
            let mut measurers = Measurers::start(&subjects)?;
            for (load, gathered) in loads.iter().zip(&mut gathered) {
                for turn in (process..arguments.samples).step_by(processes as usize) {
                    let added = gathered.add(*load, turn, arguments.time, &mut measurers);
                    if let Err(Silent { index, why }) = added {
                        return Err(measurers.all.swap_remove(index).end(why));
                    }
                    progress.advance(|| load.to_string());
                }
            }
            discarded += measurers.discarded;
            measurers.end();
        }
    }
    drop(progress);
    Ok(Summary {
        images: subjects
            .iter()
            .map(|it| run::file_name(&it.image))
            .collect(),
        processor: processor(),
        repetitions: arguments.repeat,
        turns: arguments.samples,
        sample_ms: arguments.time,
        discarded,
        rows: loads
            .iter()
            .zip(gathered)
            .map(|(load, it)| it.row(*load))
            .collect(),
    })
}

/// Who measures in a turn, one after the other. Who begins has it neither always better nor always worse.
fn order(images: usize, turn: u32) -> &'static [usize] {
    match (images, turn % 2) {
        (2, 0) => &[0, 1, 1, 0],
        (2, _) => &[1, 0, 0, 1],
        _ => &[0],
    }
}

/// The processor of this machine.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    named.unwrap_or_else(|| "an unknown processor".to_owned())
}

/// An image in its process.
struct Measurer {
    worker: Worker,
    /// The image's, for messages.
    path: String,
}

/// A process that gave no sample.
struct Silent {
    /// Its place among them.
    index: usize,
    /// What it said instead; `None` if it is gone.
    why: Option<String>,
}

impl Measurer {
    /// Ends the process after it gave no sample, for that reason; tells of it.
    fn end(self, why: Option<String>) -> Error {
        match why {
            Some(why) => {
                self.worker.end();
                Error::bad_input(format!("{}: {why}", self.path))
            }
            None => self.worker.autopsy(&self.path),
        }
    }
}

/// The processes of a repetition.
struct Measurers {
    all: Vec<Measurer>,
    discarded: u64,
}

impl Measurers {
    fn start(subjects: &[Subject]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for subject in subjects {
            all.push(Measurer {
                worker: Worker::start(MEASURER, subject)?,
                path: subject.image.display().to_string(),
            });
        }
        Ok(Self { all, discarded: 0 })
    }

    fn end(self) {
        let measurers = self.all.into_iter();
        measurers.for_each(|measurer| measurer.worker.end());
    }

    /// One sample of the process at a place, taken again while others interrupt it.
    fn sample(&mut self, index: usize, question: Question) -> Result<Taken, Silent> {
        let warm = Question {
            least_ns: question.least_ns / WARM,
            ..question
        };
        let mut again = 0;
        loop {
            // What a process did not do for a while is not in its caches.
            self.ask(index, warm)?;
            let taken = self.ask(index, question)?;
            if !taken.is_interrupted || again == AGAIN {
                return Ok(taken);
            }
            again += 1;
            self.discarded += 1;
        }
    }

    fn ask(&mut self, index: usize, question: Question) -> Result<Taken, Silent> {
        match self.all[index].worker.ask(&question) {
            Some(Ok(taken)) => Ok(taken),
            Some(Err(why)) => Err(Silent {
                index,
                why: Some(why),
            }),
            None => Err(Silent { index, why: None }),
        }
    }
}

/// Measures what standard input asks for, until it ends.
///
/// # Errors
///
/// When the image cannot be used, or the other side is gone or speaks another language.
pub(crate) fn work(arguments: &WorkerArguments) -> Result<Exit, Error> {
    let subject = &arguments.subject;
    let image = run::read(&subject.image)?;
    let image_name = run::file_name(&subject.image);
    let mut notes = Vec::new();
    let pdb = run::symbols(&subject.image, subject.pdb.as_deref(), &image, &mut notes)?;
    let broken = Rc::new(RefCell::new(None));
    let config = RunConfig {
        image,
        image_name: image_name.clone(),
        pdb,
        above: Vec::new(),
        below: Vec::new(),
        media: Media::default(),
        seed: 0,
        ndis_minor: subject.ndis,
        processors: subject.processors,
        workers: subject.workers,
        adapters: vec![adapter()],
        parameters: argument::values(&subject.settings),
        files: subject.files.read(&[])?,
        stop: Stop::default(),
        disturb: false,
        control: None,
        chaos: None,
        script: None,
        faults: None,
        trace: None,
        demands: Demands::default(),
        without: subject.without.clone(),
        keeps_timeline: false,
        loads: Some(conversation(Rc::clone(&broken))),
    };
    let report = lab_kernel::run(config, Box::new(|_| {}))
        .map_err(|failure| run::refuse(&subject.image, &image_name, &failure))?;
    if let Some(error) = broken.take() {
        return Err(error);
    }
    match report.violation {
        None => Ok(Exit::Clean),
        Some(violation) => Err(Error {
            exit: Exit::RuleBroken,
            line: format!(
                "{image_name} broke {} while it was measured: {} (`lwf-lab run` tells more)",
                violation.rule.id, violation.happened
            ),
        }),
    }
}

/// Asks standard input for loads, and answers on standard output.
fn conversation(broken: Rc<RefCell<Option<Error>>>) -> NextLoad {
    Box::new(move |outcome| {
        let talk = || -> io::Result<Option<lab_kernel::Load>> {
            if let Some(outcome) = &outcome {
                let mut line = serde_json::to_string(&outcome.clone().map(Taken::from))?;
                line.push('\n');
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()?;
            }
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line)? == 0 {
                return Ok(None);
            }
            Ok(Some(serde_json::from_str::<Question>(&line)?.load()))
        };
        talk().unwrap_or_else(|error| {
            let line = format!("the measuring process's conversation broke off: {error}");
            broken.replace(Some(Error::lab_fault(line)));
            None
        })
    })
}

/// The adapter, with the frames of all loads.
fn adapter() -> AdapterConfig {
    /// Bytes of a frame that are not UDP payload.
    const HEADERS: u32 = 42;
    const FLOWS: u16 = 16;
    let frames = Load::FRAMES.iter().flat_map(|bytes| {
        let datagrams = Datagrams {
            count: 2 * u32::from(FLOWS),
            conversations: FLOWS,
            payload_length: (bytes - HEADERS) as u16,
        };
        datagrams.frames()
    });
    AdapterConfig {
        name: "1".to_owned(),
        mac: ADAPTER.0,
        frames: frames
            .map(|frame| capture::convert(frame, VlanTags::OutOfBand))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::figure::{Figure, median};
    use super::order;

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, expected) in [
            (&[][..], 0.0),
            (&[3.0], 3.0),
            (&[3.0, 1.0], 2.0),
            (&[9.0, 1.0, 2.0], 2.0),
        ] {
            assert!(
                (median(values.iter().copied()) - expected).abs() < 1e-9,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_turn_is_as_much_the_one_image_as_the_other() {
        for turn in 0..4 {
            let of = |image| order(2, turn).iter().filter(|at| **at == image).count();
            assert_eq!((of(0), of(1)), (2, 2));
        }
        assert_ne!(order(2, 0), order(2, 1));
        assert_eq!(order(1, 1), [0]);
    }

    #[test]
    fn a_spread_is_relative() {
        let figure = Figure::of(&[10.0, 11.0, 10.0]);
        assert!((figure.median - 10.0).abs() < 1e-9);
        assert!((figure.spread - 0.1).abs() < 1e-9);
        assert!(Figure::of(&[10.0]).spread.abs() < 1e-9);
    }
}
