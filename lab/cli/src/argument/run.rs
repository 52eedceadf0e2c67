//! Arguments of `lwf-lab run`.

use std::path::PathBuf;

use clap::Args;
use lab_kernel::{Media, Stop};
use lab_net::Local;

use super::trial::Subject;
use super::{
    DemandArguments, FileArguments, Setting, Site, StackArguments, TraceArguments, media,
    ndis_minor, path_word, rule, word,
};
use crate::capture::VlanTags;

pub(super) const HELP: &str = "\
Examples:
  Replay a capture through a filter and see what it did:
    lwf-lab run deferlwf.sys --pcap tests/captures/ping.pcapng

  Two adapters, a fixed schedule, and an object for programs on the last line:
    lwf-lab run deferlwf.sys --pcap a.pcapng --pcap b.pcap --seed 7 --json

  An older system, and a registry value of the driver's parameters:
    lwf-lab run deferlwf.sys --pcap a.pcapng --ndis 6.85 --set RingEntries=16

  A file that the driver reads with ZwCreateFile and ZwReadFile:
    lwf-lab run myfilter.sys --file '\\SystemRoot\\System32\\drivers\\rules.bin=rules.bin'

  Change the driver's mode twice while packets flow:
    lwf-lab run deferlwf.sys --pcap a.pcapng --modes inline,off

  Packets, requests and events as a script says, in sequence or at the same time:
    lwf-lab run myfilter.sys --script tests/scripts/oid.toml

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

    /// Media of the adapters as the filter is told: a number of NDIS_MEDIUM for FilterAttach, and if it is another then one
    /// for FilterRestart. 0 is Ethernet
    #[arg(long, value_name = "N[,N]", default_value = "0", value_parser = media)]
    pub medium: Media,

    /// Registry value for the driver's and the adapters' parameters: REG_DWORD for a number (decimal
    /// or 0x...), else REG_SZ; give it again for more
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = Setting::parse)]
    pub settings: Vec<Setting>,

    /// Registry value that is written while packets flow; then deferlwf is asked, on every adapter, to read its parameters again
    #[arg(long = "set-later", value_name = "NAME=VALUE", value_parser = Setting::parse)]
    pub later_settings: Vec<Setting>,

    /// What the disk has.
    #[command(flatten)]
    pub files: FileArguments,

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

    /// Do to the adapters what this script says, step by step, instead of what the lab does by itself: docs/scripts.md tells
    /// how one is written. Adapters are those of --pcap, else those that it names
    #[arg(long, value_name = "FILE", conflicts_with = "hard")]
    pub script: Option<PathBuf>,

    /// When the stacks stop, once every packet is home
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = StopWhen::Idle)]
    pub stop: StopWhen,

    /// Play the life that stress plays for this seed: its traffic, and its control operations at any moment
    #[arg(long, conflicts_with_all = ["pcap", "local", "vlan_tags", "stop", "modes", "later_settings"])]
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

    /// What it tells event tracing.
    #[command(flatten)]
    pub tracing: TraceArguments,

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

impl RunArguments {
    /// The run that plays the same as `stress` does for a seed, or `sweep` with the calls that fail: a hard one, or that of a
    /// script.
    pub(crate) fn hard(subject: &Subject, seed: u64, faults: Vec<Site>) -> Self {
        let Subject {
            image,
            stack,
            ndis,
            settings,
            files,
            processors,
            workers,
            pdb,
            without,
            demand,
            script,
        } = subject.clone();
        Self {
            image,
            stack,
            ndis,
            settings,
            files,
            processors,
            workers,
            pdb,
            without,
            demand,
            seed,
            fail: faults,
            modes: Vec::new(),
            hard: script.is_none(),
            script,
            // So it is in a hard life.
            disturb: false,
            pcap: Vec::new(),
            local: Vec::new(),
            vlan_tags: VlanTags::OutOfBand,
            stop: StopWhen::Idle,
            timeline: None,
            medium: Media::default(),
            later_settings: Vec::new(),
            tracing: TraceArguments::NONE,
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
        for (name, value) in self.tracing.words() {
            option(name, value);
        }
        let Media { attach, restart } = self.medium;
        if self.medium != Media::default() {
            option("--medium", format!("{attach},{restart}"));
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
        for setting in &self.later_settings {
            option("--set-later", word(&setting.text));
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
        if let Some(script) = &self.script {
            option("--script", path_word(script));
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
        words.extend(self.files.words());
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
