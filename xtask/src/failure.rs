//! How a task ends when it does not succeed.

use std::{fmt, process::ExitCode};

use anyhow::Error;

/// A check that did not hold, or a program that failed: exit code 1. Every other error but one is bad input, exit code 2.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// A toolchain that this machine cannot have, by its name: exit code 3.
#[derive(Debug)]
pub(crate) struct NoToolchain(pub(crate) &'static str);

impl fmt::Display for NoToolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} cannot be had", self.0)
    }
}

impl std::error::Error for NoToolchain {}

/// Prints `error` with its causes on one line and gives the exit code that it stands for.
pub(crate) fn report(error: &Error) -> ExitCode {
    complain(&format!("{error:#}"), code(error))
}

fn code(error: &Error) -> u8 {
    if error.is::<Failed>() {
        1
    } else if error.is::<NoToolchain>() {
        3
    } else {
        2
    }
}

/// Answers a command line that clap did not accept, or one that asks for help or the version.
pub(crate) fn answer(answer: &clap::Error) -> ExitCode {
    if !answer.use_stderr() {
        return match crate::output::write(format_args!("{answer}")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&error),
        };
    }
    if answer.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = answer.print();
        return ExitCode::from(2);
    }
    let text = answer.to_string();
    let message: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.starts_with("For more information"))
        .collect();
    let message = message.join("\n");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    complain(&format!("{message} (cargo xtask help tells more)"), 2)
}

fn complain(text: &str, exit: u8) -> ExitCode {
    eprintln!("error: {}", one_line(text));
    ExitCode::from(exit)
}

/// The words of `text` on one line; other programs, Cargo among them, spread theirs over several.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn what_another_program_says_on_several_lines_becomes_one() {
        let said = "cargo metadata: error: failed to parse manifest\n\nCaused by:\n  no targets specified\n";
        assert_eq!(
            one_line(said),
            "cargo metadata: error: failed to parse manifest Caused by: no targets specified"
        );
    }

    #[test]
    fn what_went_wrong_decides_the_exit_code() {
        assert_eq!(code(&anyhow!(Failed("x".to_owned()))), 1);
        assert_eq!(code(&anyhow!("x").context("y")), 2);
        let missing: Result<(), _> = Err(anyhow!("no server")).context(NoToolchain("Debian's"));
        let missing = missing.expect_err("an error").context("build");
        assert_eq!(code(&missing), 3);
        assert_eq!(
            format!("{missing:#}"),
            "build: Debian's cannot be had: no server"
        );
    }
}
