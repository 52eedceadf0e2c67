//! Arguments about traces.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

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
