//! Arguments about traces.

use std::fmt;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

pub(super) const HELP: &str = "\
Examples:
  lwf-lab run deferlwf.sys --pcap a.pcapng --etl a.etl
  lwf-lab decode a.etl

  A log with WPP messages:
    lwf-lab decode a.etl --tmf tmf

Prints the events that describe themselves (TraceLogging), and WPP messages whose format --tmf has, by their times. Of
others the provider, the number and the bytes are shown; the kernel's own records are left out. What can be read of a log that is damaged is printed, then one
line says what is wrong with it, with exit code 2.";

/// Arguments of `lwf-lab decode`.
#[derive(Args, Clone, Debug)]
pub struct DecodeArguments {
    /// The log
    pub file: PathBuf,

    /// Texts of WPP messages: a .tmf file, or a folder of them
    #[arg(long, value_name = "PATH")]
    pub tmf: Option<PathBuf>,

    /// Print one JSON object for each record, a line each
    #[arg(long)]
    pub json: bool,
}

/// What `lwf-lab run` does with what the driver tells event tracing.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("session").args(["trace", "etl"]).multiple(true))]
pub struct TraceArguments {
    /// Print what the driver writes for event tracing, as it happens: all of it, or events with one of these keyword
    /// bits (such as 0x21) and those without keywords. With --json an object a line, before the last
    #[arg(long, value_name = "all|KEYWORDS", value_parser = Keywords::parse)]
    pub trace: Option<Keywords>,

    /// How much of it is printed or written: critical, error, warning, information or verbose, or a number from 1 to 255
    #[arg(long, value_name = "LEVEL", default_value = "verbose", value_parser = level, requires = "session")]
    pub trace_level: u8,

    /// Texts of WPP messages, for --trace: a .tmf file, or a folder of them [default: the .tmf beside IMAGE, if there is
    /// one]. Flags of WPP are the low 32 keyword bits
    #[arg(long, value_name = "PATH", requires = "trace")]
    pub tmf: Option<PathBuf>,

    /// Write it to a trace log, as Windows would; without --trace all of it
    #[arg(long, value_name = "FILE")]
    pub etl: Option<PathBuf>,
}

impl TraceArguments {
    /// No session.
    pub(super) const NONE: Self = Self {
        trace: None,
        trace_level: VERBOSE,
        tmf: None,
        etl: None,
    };

    /// Whether there is a session.
    pub(crate) const fn is_session(&self) -> bool {
        self.trace.is_some() || self.etl.is_some()
    }

    /// Options that decide a run: a session takes its time, whoever reads it.
    pub(super) fn words(&self) -> Vec<(&'static str, String)> {
        let mut words = Vec::new();
        if self.is_session() {
            let keywords = self.trace.unwrap_or(Keywords::ALL);
            words.push(("--trace", keywords.to_string()));
            if self.trace_level != VERBOSE {
                words.push(("--trace-level", self.trace_level.to_string()));
            }
        }
        words
    }
}

/// Keyword bits that a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keywords(pub u64);

impl Keywords {
    /// Whatever there is.
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let number = match text.strip_prefix("0x") {
            _ if text == "all" => Ok(Self::ALL.0),
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number
            .map(Self)
            .map_err(|_| "expected `all` or keyword bits, such as 0x21".to_owned())
    }
}

impl fmt::Display for Keywords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            f.write_str("all")
        } else {
            write!(f, "{:#x}", self.0)
        }
    }
}

/// The level of all that there is.
pub(super) const VERBOSE: u8 = 5;

/// A level by its name or number.
pub(super) fn level(text: &str) -> Result<u8, String> {
    const NAMES: [&str; 5] = ["critical", "error", "warning", "information", "verbose"];
    (1..)
        .zip(NAMES)
        .find(|(_, name)| *name == text)
        .map(|(level, _)| level)
        .or_else(|| text.parse().ok().filter(|&level| level > 0))
        .ok_or_else(|| format!("expected {} or a number from 1 to 255", NAMES.join(", ")))
}
