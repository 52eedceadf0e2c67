//! The command line.

mod bench;
mod decode;
mod demand;
mod setting;
mod site;
mod stack;
mod trial;

pub use bench::BenchArguments;
pub use decode::{DecodeArguments, Keywords};
use decode::{VERBOSE, level};
pub use demand::DemandArguments;
pub use setting::Setting;
pub use site::Site;
pub use stack::StackArguments;
use trial::{STRESS_HELP, SWEEP_HELP};
pub use trial::{StressArguments, Subject, SweepArguments, WorkerArguments};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lab_kernel::Stop;
use lab_net::Local;
use lab_rules::{Monitors, SwitchError};

use crate::capture::VlanTags;

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
    #[command(after_help = RUN_HELP)]
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
    #[command(after_help = bench::HELP)]
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

const RUN_HELP: &str = "\
Examples:
  Replay a capture through a filter and see what it did:
    lwf-lab run deferlwf.sys --pcap tests/captures/ping.pcapng

  Two adapters, a fixed schedule, and an object for programs on the last line:
    lwf-lab run deferlwf.sys --pcap a.pcapng --pcap b.pcap --seed 7 --json

  An older system, and a registry value of the driver's parameters:
    lwf-lab run deferlwf.sys --pcap a.pcapng --ndis 6.85 --set RingEntries=16

  Change the driver's mode twice while packets flow:
    lwf-lab run deferlwf.sys --pcap a.pcapng --modes inline,off

  A seed of stress again, with a picture of what ran where, for ui.perfetto.dev:
    lwf-lab run deferlwf.sys --hard --seed 417 --timeline seed-417.json

  What the driver tells event tracing, warnings and worse, and all of it in a log:
    lwf-lab run deferlwf.sys --pcap a.pcapng --trace all --trace-level warning
    lwf-lab run deferlwf.sys --pcap a.pcapng --etl a.etl && lwf-lab decode a.etl

  Another filter above it, and what both do to packets and requests of each other:
    lwf-lab run deferlwf.sys --above myfilter.sys --pcap a.pcapng

  A capture that does not tell directions, taken on the host with this address:
    lwf-lab run myfilter.sys --pdb myfilter.pdb --pcap a.pcap --local 02:00:00:00:00:01

Direction of a packet: the capture's own record of it (epb_flags); else --local: a frame from that MAC
address, or from an IP address in that prefix, was sent; else the most frequent source MAC address is
the adapter's.

One seed gives one run, byte for byte. Times are virtual.

Exit codes: 0 clean; 1 a rule is broken or counts differ; 2 bad input or usage; 3 fault of the lab.";

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

/// Arguments of `lwf-lab run`.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// The driver image: a PE32+ .sys file for x64
    pub image: PathBuf,

    /// Other filters on the same adapters.
    #[command(flatten)]
    pub stack: StackArguments,

    /// Capture to replay (pcap or pcapng, Ethernet); give it again for more adapters. Without it the
    /// filter attaches to one adapter without traffic
    #[arg(long, value_name = "FILE")]
    pub pcap: Vec<PathBuf>,

    /// Decides every choice that Windows leaves open
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// NDIS version that the simulated system offers: 6.84 to 6.89
    #[arg(long, value_name = "VERSION", default_value = "6.89", value_parser = ndis_minor)]
    pub ndis: u8,

    /// Who is local in captures that do not tell: a MAC address, or an IP prefix such as 10.1.0.0/16; give
    /// it again for more
    #[arg(long, value_name = "MAC|PREFIX")]
    pub local: Vec<Local>,

    /// Where VLAN tags travel
    #[arg(long, value_name = "PLACE", value_enum, default_value_t = VlanTags::OutOfBand)]
    pub vlan_tags: VlanTags,

    /// Registry value for the driver's and the adapters' parameters: REG_DWORD for a number (decimal
    /// or 0x...), else REG_SZ; give it again for more
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = Setting::parse)]
    pub settings: Vec<Setting>,

    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub processors: u8,

    /// System worker threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub workers: u8,

    /// Cancel sends, give packets also to a module that does not run, and loop sends back, as stress does:
    /// such packets come beside those of the captures
    #[arg(long)]
    pub disturb: bool,

    /// Ask deferlwf for these modes, one after the other and on every adapter, while packets flow: off, tap, inline
    #[arg(long, value_name = "MODE,...", value_enum, value_delimiter = ',')]
    pub modes: Vec<ModeName>,

    /// When the stacks stop, once every packet is home
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = StopWhen::Idle)]
    pub stop: StopWhen,

    /// Play the life that stress plays for this seed: its traffic, and its control operations at any moment
    #[arg(long, conflicts_with_all = ["pcap", "local", "vlan_tags", "stop", "modes"])]
    pub hard: bool,

    /// Fail this import, the first time that each of the driver's call stacks calls it, or the one that sweep
    /// names; give it again for more
    #[arg(long, value_name = "IMPORT[@STACK]", value_parser = Site::parse)]
    pub fail: Vec<Site>,

    /// Do not watch this rule; give it again for more. `cargo xtask rules` lists them all, a report names those broken
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub without: Vec<String>,

    /// What is demanded beyond pages.
    #[command(flatten)]
    pub demand: DemandArguments,

    /// Write what ran where and when as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,

    /// Print what the driver writes for event tracing, as it happens: all of it, or events with one of these keyword
    /// bits (such as 0x21) and those without keywords. With --json an object a line, before the last
    #[arg(long, value_name = "all|KEYWORDS", value_parser = Keywords::parse)]
    pub trace: Option<Keywords>,

    /// How much of it: critical, error, warning, information or verbose, or a number from 1 to 255
    #[arg(long, value_name = "LEVEL", default_value = "verbose", value_parser = level)]
    pub trace_level: u8,

    /// Texts of WPP messages, for --trace: a .tmf file, or a folder of them [default: the .tmf beside IMAGE, if there is
    /// one]. Flags of WPP are the low 32 keyword bits
    #[arg(long, value_name = "PATH")]
    pub tmf: Option<PathBuf>,

    /// Write it to a trace log, as Windows would; without --trace all of it
    #[arg(long, value_name = "FILE")]
    pub etl: Option<PathBuf>,

    /// Print one JSON object, as the last line of standard output, instead of the screen
    #[arg(long)]
    pub json: bool,

    /// Symbols of the image; default: the .pdb beside it
    #[arg(long, value_name = "FILE")]
    pub pdb: Option<PathBuf>,
}

/// A mode of deferlwf, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeName {
    /// NDIS sends packets past the filter
    Off,
    /// Packets pass at once
    Tap,
    /// Packets wait for a verdict
    Inline,
}

impl ModeName {
    /// The name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Tap => "tap",
            Self::Inline => "inline",
        }
    }
}

impl From<ModeName> for protocol::Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Off => Self::Off,
            ModeName::Tap => Self::Tap,
            ModeName::Inline => Self::Inline,
        }
    }
}

/// When the stacks stop, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StopWhen {
    /// When the worker threads are idle
    Idle,
    /// At once: work items may be queued or running. Only the reading before unload is taken
    Busy,
    /// When the driver is unloaded: NDIS pauses and detaches inside NdisFDeregisterFilterDriver
    InUnload,
}

impl From<StopWhen> for Stop {
    fn from(when: StopWhen) -> Self {
        match when {
            StopWhen::Idle => Self::Idle,
            StopWhen::Busy => Self::Busy,
            StopWhen::InUnload => Self::InUnload,
        }
    }
}

fn ndis_minor(text: &str) -> Result<u8, String> {
    // Compared as text: a number is read from "084" and "+84" too.
    (84..=89)
        .find(|minor| text == format!("6.{minor}"))
        .ok_or_else(|| "the lab offers 6.84, 6.85, 6.86, 6.87, 6.88 and 6.89".to_owned())
}

fn rule(text: &str) -> Result<String, SwitchError> {
    Monitors::switchable(text).map(|rule| rule.id.to_owned())
}

/// What a reader should know of rules that are switched off.
pub(crate) fn switched_off(rules: &[String]) -> Option<String> {
    (!rules.is_empty()).then(|| format!("not watched: {}", rules.join(", ")))
}

impl RunArguments {
    /// The run that plays the same as `stress` does for a seed, or `sweep` with the calls that fail.
    pub(crate) fn hard(subject: &Subject, seed: u64, faults: Vec<Site>) -> Self {
        let Subject {
            image,
            stack,
            ndis,
            settings,
            processors,
            workers,
            pdb,
            without,
            demand,
        } = subject.clone();
        Self {
            image,
            stack,
            ndis,
            settings,
            processors,
            workers,
            pdb,
            without,
            demand,
            seed,
            fail: faults,
            modes: Vec::new(),
            hard: true,
            // So it is in a hard life.
            disturb: false,
            pcap: Vec::new(),
            local: Vec::new(),
            vlan_tags: VlanTags::OutOfBand,
            stop: StopWhen::Idle,
            timeline: None,
            trace: None,
            trace_level: VERBOSE,
            etl: None,
            tmf: None,
            json: false,
        }
    }

    /// The shell command that repeats this run; what is the default is left out.
    pub fn replay(&self) -> String {
        let mut words = vec![
            "lwf-lab".to_owned(),
            "run".to_owned(),
            path_word(&self.image),
        ];
        words.extend(self.stack.words());
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        for path in &self.pcap {
            option("--pcap", path_word(path));
        }
        option("--seed", self.seed.to_string());
        // A session takes its time, whoever reads it.
        if self.trace.is_some() || self.etl.is_some() {
            option("--trace", self.trace.unwrap_or(Keywords::ALL).to_string());
            if self.trace_level != VERBOSE {
                option("--trace-level", self.trace_level.to_string());
            }
        }
        if self.ndis != 89 {
            option("--ndis", format!("6.{}", self.ndis));
        }
        for local in &self.local {
            option("--local", local_word(local));
        }
        if self.vlan_tags == VlanTags::InFrame {
            option("--vlan-tags", "in-frame".to_owned());
        }
        for setting in &self.settings {
            option("--set", word(&setting.text));
        }
        if self.processors != 2 {
            option("--processors", self.processors.to_string());
        }
        if self.workers != 2 {
            option("--workers", self.workers.to_string());
        }
        if !self.modes.is_empty() {
            let modes: Vec<&str> = self.modes.iter().map(|mode| mode.as_str()).collect();
            option("--modes", modes.join(","));
        }
        for site in &self.fail {
            option("--fail", word(&site.to_string()));
        }
        for rule in &self.without {
            option("--without", rule.clone());
        }
        match self.stop {
            StopWhen::Idle => {}
            StopWhen::Busy => option("--stop", "busy".to_owned()),
            StopWhen::InUnload => option("--stop", "in-unload".to_owned()),
        }
        if let Some(pdb) = &self.pdb {
            option("--pdb", path_word(pdb));
        }
        if self.disturb {
            words.push("--disturb".to_owned());
        }
        if self.hard {
            words.push("--hard".to_owned());
        }
        words.extend(self.demand.words());
        words.join(" ")
    }
}

fn local_word(local: &Local) -> String {
    match local {
        Local::Mac(mac) => mac.to_string(),
        Local::Prefix(address, length) => format!("{address}/{length}"),
    }
}

fn path_word(path: &std::path::Path) -> String {
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
            r"lwf-lab run 'dir one/a.sys' --pcap x.pcap --pcap 'y'\''s.pcap' --seed 9 --trace all --trace-level 3 --ndis 6.85 \
              --local 10.0.0.0/8 --local 02:00:00:00:00:0a --vlan-tags in-frame --set Mode=tap --set Ring=0x10 --processors 4 --workers 3 \
              --modes inline,off --fail NdisFRestartFilter --fail ExAllocatePool2@1a.2b --without pause-within-10s --stop busy --pdb a.pdb --disturb --ordered --hold-limit=7"
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
            &["a.sys", "--hard", "--pcap", "x"],
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
