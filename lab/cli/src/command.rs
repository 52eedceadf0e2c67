//! The command from its arguments to its exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use serde::Serialize;

use crate::argument::{Command, CommandLine, RunArguments};
use crate::error::{Error, Exit};
use crate::run::{self, Outcome};
use crate::summary::Script;
use crate::trace::Beside;
use crate::{bench, imports, screen, trace, trial};

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    report_own_panics();
    let exit = execute().unwrap_or_else(|error| {
        complain(&error.line);
        error.exit
    });
    ExitCode::from(exit as u8)
}

fn execute() -> Result<Exit, Error> {
    match CommandLine::try_parse() {
        Ok(CommandLine { command }) => match command {
            Command::Run(arguments) => execute_run(&arguments),
            Command::Stress(arguments) => {
                let result = trial::stress::execute(&arguments)?;
                show(&result, arguments.json, trial::stress::render)?;
                Ok(exit(result.failure.is_none()))
            }
            Command::Sweep(arguments) => {
                let result = trial::sweep::execute(&arguments)?;
                show(&result, arguments.json, trial::sweep::render)?;
                Ok(exit(result.failures.is_empty()))
            }
            Command::Decode(arguments) => {
                let mut out = io::BufWriter::new(io::stdout().lock());
                let Beside { problems, note } = trace::decode(&arguments, &mut out)?;
                let flushed = out.flush();
                for line in note.iter().chain(&problems) {
                    complain(line);
                }
                match flushed {
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe || arguments.json => {
                        Err(Error::standard_output(&error))
                    }
                    _ if problems.is_empty() => Ok(Exit::Clean),
                    _ => Ok(Exit::BadInput),
                }
            }
            Command::Imports(arguments) => {
                let found = imports::execute(&arguments)?;
                show(&found, arguments.json, imports::render)?;
                match found.complaint() {
                    Some(line) => Err(Error::bad_input(line)),
                    None => Ok(Exit::Clean),
                }
            }
            Command::Bench(arguments) => {
                let result = bench::execute(&arguments)?;
                show(&result, arguments.json, bench::render)?;
                Ok(Exit::Clean)
            }
            Command::BenchWorker(arguments) => bench::work(&arguments),
            Command::Worker(arguments) => trial::work(&arguments).map(|()| Exit::Clean),
        },
        Err(answer) if !answer.use_stderr() => {
            print(&answer.to_string(), Reader::Person).map(|()| Exit::Clean)
        }
        // clap's own line names the hidden one too.
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => {
            let names = CommandLine::command();
            let shown = names.get_subcommands().filter(|it| !it.is_hide_set());
            let names: Vec<&str> = shown.map(clap::Command::get_name).collect();
            Err(Error::bad_input(format!(
                "what to do is missing: {} (lwf-lab --help tells more)",
                names.join(", ")
            )))
        }
        Err(error) => Err(Error::bad_input(one_line(&error.to_string()))),
    }
}

/// The message of a usage error without its label, its usage block and its hint.
fn one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let words: Vec<&str> = message
        .lines()
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.starts_with("For more information"))
        .flat_map(str::split_whitespace)
        .collect();
    format!("{} (lwf-lab --help tells more)", words.join(" "))
}

fn execute_run(arguments: &RunArguments) -> Result<Exit, Error> {
    let Outcome { summary, damage } = run::execute(arguments)?;
    show(&summary, arguments.json, screen::render)?;
    for line in &damage {
        complain(line);
    }
    let mut failures = summary.script.iter().flat_map(Script::failures);
    if let Some(first) = failures.next() {
        let more = match failures.count() {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        complain(&format!("{first}{more}"));
    }
    Ok(match (summary.is_clean(), damage.is_empty()) {
        (false, _) => Exit::RuleBroken,
        (true, false) => Exit::BadInput,
        (true, true) => Exit::Clean,
    })
}

/// Who reads standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Who has seen enough may leave (`| head`).
    Person,
    /// What did not get all got nothing.
    Program,
}

fn exit(is_clean: bool) -> Exit {
    if is_clean {
        Exit::Clean
    } else {
        Exit::RuleBroken
    }
}

/// Prints what was found, for programs or for people.
fn show<T: Serialize>(found: &T, json: bool, render: fn(&T) -> String) -> Result<(), Error> {
    if !json {
        return print(&render(found), Reader::Person);
    }
    let line = serde_json::to_string(found)
        .map_err(|error| Error::lab_fault(format!("the summary does not serialise: {error}")))?;
    print(&(line + "\n"), Reader::Program)
}

/// Writes to standard output.
fn print(text: &str, reader: Reader) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && reader == Reader::Person => {
            Ok(())
        }
        Err(error) => Err(Error::standard_output(&error)),
        Ok(()) => Ok(()),
    }
}

/// One line on standard error; when that is gone too, nobody is left to tell.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "lwf-lab: {line}");
}

/// Makes a panic of the lab what it is, a fault of the lab: one line, and its exit code, from whatever stack it
/// happens on.
pub fn report_own_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map(|place| format!(" at {place}"))
            .unwrap_or_default();
        complain(&format!(
            "fault of the lab{place}: {}",
            message.replace('\n', " ")
        ));
        std::process::exit(Exit::LabFault as i32);
    }));
}
