//! Processes that play lives.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc;
use std::{env, thread};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::life::{Answer, Life, Task};
use crate::argument::Subject;
use crate::error::{Error, Exit};

/// Plays `tasks` on `jobs` processes and gives every life to `each`, with the task's number, in the
/// order in which they end. No new life begins after `each` has said `false`.
///
/// # Errors
///
/// When a life could not be played: the first such line.
pub(super) fn play(
    subject: &Subject,
    jobs: usize,
    tasks: impl Iterator<Item = Task> + Send,
    mut each: impl FnMut(usize, Life) -> bool,
) -> Result<(), Error> {
    let tasks = Mutex::new(Some(tasks.enumerate()));
    let next = || {
        let mut tasks = tasks.lock().ok()?;
        tasks.as_mut()?.next()
    };
    let close = || {
        if let Ok(mut tasks) = tasks.lock() {
            *tasks = None;
        }
    };
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                let mut worker = None;
                while let Some((number, task)) = next() {
                    let played = play_one(&mut worker, subject, &task);
                    // The receiver outlives this thread.
                    let _ = sender.send((number, played));
                }
                if let Some(worker) = worker {
                    worker.end();
                }
            });
        }
        drop(sender);
        let mut error = None;
        for (number, played) in receiver {
            match played {
                Ok(life) => {
                    if !each(number, life) {
                        close();
                    }
                }
                Err(line) => {
                    error.get_or_insert(line);
                    close();
                }
            }
        }
        error.map_or(Ok(()), Err)
    })
}

/// Plays one life on a process that is started if need be, and not used again after a broken life.
fn play_one(worker: &mut Option<Worker>, subject: &Subject, task: &Task) -> Result<Life, Error> {
    let mut used = match worker.take() {
        Some(worker) => worker,
        None => Worker::start(PLAYER, subject)?,
    };
    match used.ask::<Answer>(task) {
        Some(Ok(life)) => {
            if life.violation.is_none() {
                *worker = Some(used);
            } else {
                used.end();
            }
            Ok(life)
        }
        Some(Err((exit, line))) => {
            used.end();
            let exit = if exit == Exit::BadInput as u8 {
                Exit::BadInput
            } else {
                Exit::LabFault
            };
            Err(Error { exit, line })
        }
        None => Err(used.autopsy(&format!("seed {}", task.seed))),
    }
}

/// The command that plays lives.
const PLAYER: &str = "worker";

/// One process, which answers a line with a line.
pub(crate) struct Worker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts the command of this name with a subject.
    pub(crate) fn start(command: &str, subject: &Subject) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::lab_fault(format!("a worker process cannot be started: {error}"))
        };
        let program = env::current_exe().map_err(|error| failed(&error))?;
        let mut child = Command::new(program)
            .arg(command)
            .args(subject.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => Ok(Self {
                child,
                questions,
                answers: BufReader::new(answers),
            }),
            _ => Err(failed(&"it has no pipes")),
        }
    }

    /// Asks, and waits for the answer; `None` when the process is gone.
    pub(crate) fn ask<A: DeserializeOwned>(&mut self, question: &impl Serialize) -> Option<A> {
        let mut line = serde_json::to_string(question).ok()?;
        line.push('\n');
        self.questions.write_all(line.as_bytes()).ok()?;
        self.questions.flush().ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    /// Lets the process end: it has nothing to read any more.
    pub(crate) fn end(self) {
        let Self {
            mut child,
            questions,
            ..
        } = self;
        drop(questions);
        // It has ended, or will; how, nobody needs.
        let _ = child.wait();
    }

    /// Why the process has ended in the middle of what it was asked for.
    pub(crate) fn autopsy(self, what: &str) -> Error {
        let Self {
            mut child,
            questions,
            ..
        } = self;
        drop(questions);
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            // What cannot be read is not there.
            let _ = stderr.read_to_string(&mut said);
        }
        let status = child
            .wait()
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        let last = said.lines().last().unwrap_or("without a word");
        let last = last.strip_prefix("lwf-lab: ").unwrap_or(last);
        // What the process itself calls bad input is bad input; how it ended says nothing more than its words.
        let code = child.wait().ok().and_then(|status| status.code());
        let (exit, line) = match (code, said.is_empty()) {
            (Some(1), false) => (Exit::RuleBroken, last.to_owned()),
            (Some(2), false) => (Exit::BadInput, last.to_owned()),
            (Some(3), false) => (Exit::LabFault, format!("{what}: {last}")),
            _ => {
                let line = format!("{what}: the worker process ended ({status}): {last}");
                (Exit::LabFault, line)
            }
        };
        Error { exit, line }
    }
}
