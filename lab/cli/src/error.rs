//! How a command ends.

use std::fmt;

/// Exit codes of every `lwf-lab` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to report.
    Clean = 0,
    /// A rule is broken, or two counts of one thing differ.
    RuleBroken = 1,
    /// Bad input or usage.
    BadInput = 2,
    /// A fault of the lab itself.
    LabFault = 3,
}

/// Why a command could not do its work: one line that names the thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The exit code that it stands for.
    pub exit: Exit,
    /// The line, without the program's name.
    pub line: String,
}

impl Error {
    /// The caller gave something that cannot be used.
    pub fn bad_input(line: impl Into<String>) -> Self {
        Self {
            exit: Exit::BadInput,
            line: line.into(),
        }
    }

    /// Standard output does not take what is to be written.
    pub(crate) fn standard_output(error: &std::io::Error) -> Self {
        Self::bad_input(format!("standard output cannot be written: {error}"))
    }

    /// The lab is at fault.
    pub fn lab_fault(line: impl Into<String>) -> Self {
        Self {
            exit: Exit::LabFault,
            line: line.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Error {}
