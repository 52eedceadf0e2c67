//! Arguments of the commands that play many lives.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{DemandArguments, FileArguments, Setting, StackArguments, ndis_minor, rule};

pub(super) const STRESS_HELP: &str = "\
Examples:
  A thousand seeds:
    lwf-lab stress deferlwf.sys --seeds 1000

  On from where another run of it ended:
    lwf-lab stress deferlwf.sys --from 1000 --seeds 1000

  One seed again, alone and with its whole screen:
    lwf-lab run deferlwf.sys --hard --seed 417

  A script, under a hundred schedules:
    lwf-lab stress myfilter.sys --script tests/scripts/oid.toml --seeds 100

Each seed is a whole life, from load to unload, on two virtual processors: at least 200 packets each way, of many
shapes, on one adapter or two; a lower edge that may be slow, refuse sends or get stuck; and ten control operations
per adapter that come at any moment: status, PnP and power events, OID requests, pause and restart, detach and
attach, requests to the driver's devices, changes of its mode, cancelled sends; those that it has handlers for. The
first failure ends it and is printed with the command that plays it again.

The end tells the rate and the time, how many interleavings were distinct (by the digests of their events), and
events, packets and operations per seed.

Exit codes: 0 clean; 1 a rule is broken or counts differ; 2 bad input or usage; 3 fault of the lab.";

pub(super) const SWEEP_HELP: &str = "\
Examples:
  All that can fail:
    lwf-lab sweep deferlwf.sys

A few seeds of stress find the call stacks at which memory, mappings, work items, configuration and registration are
asked for. Then each of them fails once, in a life of its own; what that brings to light fails next, together with
what led there, until no call stack is new.

Exit codes: 0 clean; 1 a rule is broken or counts differ; 2 bad input or usage; 3 fault of the lab.";

/// What is played, and where.
#[derive(Args, Clone, Debug)]
pub struct Subject {
    /// The driver image: a PE32+ .sys file for x64
    pub image: PathBuf,

    /// Other filters on the same adapters.
    #[command(flatten)]
    pub stack: StackArguments,

    /// NDIS version that the simulated system offers: 6.84 to 6.89
    #[arg(long, value_name = "VERSION", default_value = "6.89", value_parser = ndis_minor)]
    pub ndis: u8,

    /// Registry value for the driver's and the adapters' parameters: REG_DWORD for a number (decimal
    /// or 0x...), else REG_SZ; give it again for more
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = Setting::parse)]
    pub settings: Vec<Setting>,

    /// What the disk has.
    #[command(flatten)]
    pub files: FileArguments,

    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub processors: u8,

    /// System worker threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub workers: u8,

    /// Symbols of the image; default: the .pdb beside it
    #[arg(long, value_name = "FILE")]
    pub pdb: Option<PathBuf>,

    /// Do not watch this rule; give it again for more. `cargo xtask rules` lists them all, a report names those broken
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub without: Vec<String>,

    /// What is demanded beyond pages.
    #[command(flatten)]
    pub demand: DemandArguments,

    /// Play this script (docs/scripts.md) in every life, instead of generated traffic and control operations
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
}

impl Subject {
    /// The arguments that name it, image first; what is the default is left out.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![self.image.clone().into()];
        arguments.extend(self.stack.arguments());
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        if self.ndis != 89 {
            option("--ndis", format!("6.{}", self.ndis).into());
        }
        for setting in &self.settings {
            option("--set", setting.text.clone().into());
        }
        if self.processors != 2 {
            option("--processors", self.processors.to_string().into());
        }
        if self.workers != 2 {
            option("--workers", self.workers.to_string().into());
        }
        if let Some(pdb) = &self.pdb {
            option("--pdb", pdb.into());
        }
        for rule in &self.without {
            option("--without", rule.into());
        }
        arguments.extend(self.files.arguments());
        arguments.extend(self.demand.words().map(OsString::from));
        if let Some(script) = &self.script {
            arguments.extend(["--script".into(), script.into()]);
        }
        arguments
    }
}

/// Arguments of `lwf-lab stress`.
#[derive(Args, Clone, Debug)]
pub struct StressArguments {
    /// What is played, and where.
    #[command(flatten)]
    pub subject: Subject,

    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,

    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub from: u64,

    /// Lives at the same time; default: one for every processor of this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,

    /// Write what ran where and when in the seed that failed, else in the first one, as a trace that Perfetto
    /// (ui.perfetto.dev) and chrome://tracing open
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,

    /// Print one JSON object, as the last line of standard output, instead of the screen
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `lwf-lab sweep`.
#[derive(Args, Clone, Debug)]
pub struct SweepArguments {
    /// What is played, and where.
    #[command(flatten)]
    pub subject: Subject,

    /// How many seeds are played without a failing call first, to find call stacks
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,

    /// The first of these seeds
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub from: u64,

    /// Lives at the same time; default: one for every processor of this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,

    /// Print one JSON object, as the last line of standard output, instead of the screen
    #[arg(long)]
    pub json: bool,
}

/// Arguments of the command that `stress` and `sweep` start: it plays what it reads from standard
/// input, a line each, and answers with a line each.
#[derive(Args, Clone, Debug)]
pub struct WorkerArguments {
    /// What is played, and where.
    #[command(flatten)]
    pub subject: Subject,
}
