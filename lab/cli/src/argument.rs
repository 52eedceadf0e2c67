//! The command line.

mod bench;
mod decode;
mod demand;
mod file;
mod run;
mod setting;
mod site;
mod stack;
mod trial;

pub use bench::BenchArguments;
pub(crate) use bench::REFUSED;
pub use decode::{DecodeArguments, Keywords, TraceArguments};
pub use demand::DemandArguments;
pub use file::FileArguments;
pub(crate) use file::{check as check_disk_files, read as read_disk_file};
pub use run::{ModeName, RunArguments, StopWhen};
pub use setting::Setting;
pub(crate) use setting::values;
pub use site::Site;
pub use stack::StackArguments;
use trial::{STRESS_HELP, SWEEP_HELP};
pub use trial::{StressArguments, Subject, SweepArguments, WorkerArguments};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lab_kernel::Media;
use lab_rules::{Monitors, SwitchError};

/// Runs NDIS lightweight filter drivers (.sys files) in this process, on any Linux machine, and reports
/// every documented rule that they break.
#[derive(Debug, Parser)]
#[command(name = "lwf-lab", version, after_help = EXIT_CODES, arg_required_else_help = false)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `lwf-lab` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play an image's whole life once: load, attach, restart, traffic both ways, pause, detach, unload
    #[command(after_help = run::HELP)]
    Run(RunArguments),
    /// Play an image's life once per seed: generated traffic, and control operations at any moment
    #[command(after_help = STRESS_HELP)]
    Stress(StressArguments),
    /// Fail every call that can fail, once for each of the driver's call stacks that reach it
    #[command(after_help = SWEEP_HELP)]
    Sweep(SweepArguments),
    /// Print a trace log (.etl)
    #[command(after_help = decode::HELP)]
    Decode(DecodeArguments),
    /// List what an image imports, and whether the lab emulates it, only knows it, or lacks it
    #[command(after_help = IMPORTS_HELP)]
    Imports(ImportsArguments),
    /// Measure the time that an image needs per packet, alone or against another
    #[command(after_help = bench::HELP, mut_args(bench::hide_refused))]
    Bench(BenchArguments),
    /// Play lives that another lwf-lab asks for
    #[command(hide = true)]
    Worker(WorkerArguments),
    /// Measure loads that another lwf-lab asks for
    #[command(hide = true)]
    BenchWorker(WorkerArguments),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  clean
  1  the driver broke a rule, or counts that must agree differ
  2  bad input or usage
  3  a fault of the lab itself";

const IMPORTS_HELP: &str = "\
Examples:
  Can the lab run this driver, and if not, what does it lack?
    lwf-lab imports myfilter.sys

Names that a driver asks MmGetSystemRoutineAddress or NdisGetRoutineAddress for are not in the table: an unknown one
gives NULL there, as on a Windows that lacks it.

Exit codes: 0 all are emulated; 2 some are not, or the image cannot be read; 3 fault of the lab.";

/// Arguments of `lwf-lab imports`.
#[derive(Args, Clone, Debug)]
pub struct ImportsArguments {
    /// The driver image: a PE32+ .sys file for x64
    pub image: PathBuf,

    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
}

fn ndis_minor(text: &str) -> Result<u8, String> {
    // Compared as text: a number is read from "084" and "+84" too.
    (84..=89)
        .find(|minor| text == format!("6.{minor}"))
        .ok_or_else(|| "the lab offers 6.84, 6.85, 6.86, 6.87, 6.88 and 6.89".to_owned())
}

fn media(text: &str) -> Result<Media, String> {
    let (attach, restart) = text.split_once(',').unwrap_or((text, text));
    let number = |text: &str| {
        let number: Option<i32> = text.parse().ok();
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.ok_or("expected a number of NDIS_MEDIUM, or two with a comma")
    };
    Ok(Media {
        attach: number(attach)?,
        restart: number(restart)?,
    })
}

fn rule(text: &str) -> Result<String, SwitchError> {
    Monitors::switchable(text).map(|rule| rule.id.to_owned())
}

/// What a reader should know of rules that are switched off.
pub(crate) fn switched_off(rules: &[String]) -> Option<String> {
    (!rules.is_empty()).then(|| format!("not watched: {}", rules.join(", ")))
}

/// A path as a shell takes it.
pub(crate) fn path_word(path: &std::path::Path) -> String {
    word(&path.to_string_lossy())
}

/// Quotes `text` for a POSIX shell when it needs it.
fn word(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c));
    if is_plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use lab_kernel::ParameterValue;

    use super::*;

    fn run_arguments(words: &[&str]) -> Result<RunArguments, clap::Error> {
        let command_line = CommandLine::try_parse_from(["lwf-lab", "run"].iter().chain(words))?;
        let Command::Run(arguments) = command_line.command else {
            unreachable!("the first word is run")
        };
        Ok(arguments)
    }

    #[test]
    fn versions_outside_the_range_are_refused_with_the_range() {
        assert_eq!(
            run_arguments(&["a.sys", "--ndis", "6.84"]).unwrap().ndis,
            84
        );
        for text in [
            "6.83", "6.90", "7.84", "6", "", "6.84.1", "6.084", "6.+85", " 6.84", "06.84",
        ] {
            let error = run_arguments(&["a.sys", "--ndis", text])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("6.84") && error.contains("6.89"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn parameters_are_numbers_when_they_look_like_one() {
        for (text, value) in [
            ("A=16", ParameterValue::Integer(16)),
            ("A=0xff", ParameterValue::Integer(255)),
            ("A=4294967295", ParameterValue::Integer(u32::MAX)),
            ("A=", ParameterValue::String(String::new())),
            ("A=b=c", ParameterValue::String("b=c".to_owned())),
            ("A=-1", ParameterValue::String("-1".to_owned())),
            ("A=0x", ParameterValue::String("0x".to_owned())),
        ] {
            let setting = Setting {
                text: text.to_owned(),
                name: "A".to_owned(),
                value,
            };
            assert_eq!(Setting::parse(text), Ok(setting), "{text}");
        }
        for text in ["A", "=1", "A=4294967296"] {
            assert!(Setting::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn replay_names_everything_that_decides_a_run() {
        let words = [
            "dir one/a.sys",
            "--pcap",
            "x.pcap",
            "--pcap",
            "y's.pcap",
            "--seed",
            "9",
            "--ndis",
            "6.85",
            "--medium",
            "0,9",
            "--local",
            "10.0.0.0/8",
            "--local",
            "02-00-00-00-00-0A",
            "--vlan-tags",
            "in-frame",
            "--set",
            "Mode=tap",
            "--set",
            "Ring=0x10",
            "--processors",
            "4",
            "--workers",
            "3",
            "--modes",
            "inline,off",
            "--script",
            "s.toml",
            "--fail",
            "NdisFRestartFilter",
            "--stop",
            "busy",
            "--fail",
            "ExAllocatePool2@1a.2b",
            "--pdb",
            "a.pdb",
            "--disturb",
            "--ordered",
            "--hold-limit",
            "7",
            "--etl",
            "a.etl",
            "--trace-level",
            "warning",
            "--without",
            "pause-within-10s",
        ];
        assert_eq!(
            run_arguments(&words).unwrap().replay(),
            r"lwf-lab run 'dir one/a.sys' --pcap x.pcap --pcap 'y'\''s.pcap' --seed 9 --trace all --trace-level 3 --medium 0,9 --ndis 6.85 \
              --local 10.0.0.0/8 --local 02:00:00:00:00:0a --vlan-tags in-frame --set Mode=tap --set Ring=0x10 --processors 4 --workers 3 \
              --modes inline,off --script s.toml --fail NdisFRestartFilter --fail ExAllocatePool2@1a.2b --without pause-within-10s --stop busy --pdb a.pdb --disturb --ordered --hold-limit=7"
                .replace("\\\n              ", "")
        );
    }

    #[test]
    fn usage_errors_are_found() {
        for words in [
            &["--pcap", "x"][..],
            &["a.sys", "--seed", "x"],
            &["a.sys", "--processors", "0"],
            &["a.sys", "--processors", "17"],
            &["a.sys", "--workers", "1"],
            &["a.sys", "--frobnicate"],
            &["a.sys", "--trace", "some"],
            &["a.sys", "--trace", "0x"],
            &["a.sys", "--trace", "all", "--trace-level", "0"],
            &["a.sys", "--trace", "all", "--trace-level", "loud"],
            // What is for a session, without one.
            &["a.sys", "--trace-level", "warning"],
            &["a.sys", "--tmf", "a.tmf"],
            &["a.sys", "--etl", "a.etl", "--tmf", "a.tmf"],
            &["a.sys", "--medium", "-1"],
            &["a.sys", "--medium", "0,x"],
            &["a.sys", "--hard", "--pcap", "x"],
            &["a.sys", "--hard", "--script", "x"],
            &["a.sys", "--fail", "ExAllocatePool2@x"],
            &["a.sys", "--without", "no-such-rule"],
            &["a.sys", "--without", "lab-fault"],
        ] {
            assert_eq!(
                run_arguments(words).unwrap_err().exit_code(),
                2,
                "{words:?}"
            );
        }
    }
}
