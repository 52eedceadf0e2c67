//! How a task ends when it does not succeed.

use std::{fmt, process::ExitCode};

use anyhow::Error;

/// A check that did not hold, or a program that failed: exit code 1. Every other error is bad input, exit code 2.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// Prints `error` with its causes on one line and gives the exit code that it stands for.
pub(crate) fn report(error: &Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(if error.is::<Failed>() { 1 } else { 2 })
}
