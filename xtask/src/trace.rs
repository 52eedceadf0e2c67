//! `cargo xtask check-trace`: trace logs of `lwf-lab`, as two decoders of others read them, and WPP messages, as a reader does
//! that knows nothing but the TMF files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    failure::Failed,
    output::say,
    program, python,
    repository::{Repository, write_if_changed},
};

/// What PyPI's etl-parser and dissect.etl are asked: is every event in the log, as it was printed?
const DECODE: &str = include_str!("trace/decode.py");
/// What reads WPP messages by TMF files alone, and the values that `examples/traced` writes.
const READ_WPP: &str = include_str!("trace/wpp.py");
const WPP_VALUES: &str = include_str!("trace/wpp_values.json");
const PACKAGES: &[&str] = &["etl-parser==1.0.1", "dissect.etl==3.14"];

/// The list of events.
const DOCUMENTED: &str = include_str!("../../docs/tracing.md");

/// What is run: arguments that bring about all kinds of events.
const RUNS: &[(&str, &[&str])] = &[
    ("tap", &["--set", "RingEntries=16", "--set", "MaxFlows=16"]),
    (
        "inline",
        &[
            "--set",
            "Mode=2",
            "--set",
            "HoldLimit=1",
            "--set",
            "Block=icmp, udp:53, tcp",
            "--set-later",
            "Block=icmp",
            "--set",
            "SnapLen=1",
        ],
    ),
    (
        "mode",
        &["--set", "Block=tcp:x", "--modes", "inline,off,tap"],
    ),
    (
        "hard",
        &[
            "--hard",
            "--seed",
            "0",
            "--set",
            "RingEntries=16",
            "--set",
            "MaxFlows=16",
        ],
    ),
    ("not-loaded", &["--fail", "NdisFRegisterFilterDriver"]),
    ("not-attached", &["--fail", "NdisAllocateIoWorkItem"]),
    ("not-read", &["--fail", "NdisOpenConfigurationEx"]),
    ("value-not-read", &["--fail", "NdisReadConfiguration"]),
    ("not-restarted", &["--medium", "0,9"]),
    ("no-copies", &["--fail", "NdisAllocateMdl"]),
    ("no-messages", &["--fail", "EtwRegisterClassicProvider"]),
    (
        "not-changed",
        &["--modes", "off,tap", "--fail", "NdisFRestartFilter"],
    ),
];

/// Read trace logs of the lab with etl-parser and dissect.etl.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Plays the runs, and has their logs read.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let target = repository.target_folder();
    let (lab, image) = (
        built(&target.join("lab/lwf-lab"))?,
        built(&target.join("driver/x64/release/deferlwf.sys"))?,
    );
    let python = python::environment(target, PACKAGES, arguments.yes)?;
    let folder = target.join("trace");
    let script = folder.join("decode.py");
    write_if_changed(&script, DECODE)?;
    let messages = folder.join("wpp.py");
    write_if_changed(&messages, READ_WPP)?;
    let formats = built(&image.with_file_name("tmf").join("deferlwf"))?;
    let mut missing = documented();
    for (name, options) in RUNS {
        let log = folder.join(format!("{name}.etl"));
        let lines = folder.join(format!("{name}.jsonl"));
        let mut command = Command::new(&lab);
        command.arg("run").arg(&image).args(*options);
        command
            .args(["--trace", "all", "--json", "--etl"])
            .arg(&log);
        if !options.contains(&"--hard") {
            for capture in ["http1", "ping"] {
                let capture = repository
                    .root()
                    .join(format!("tests/captures/{capture}.pcapng"));
                command.arg("--pcap").arg(capture);
            }
        }
        let printed = program::run(&mut command)?;
        let events = events_of(&printed);
        write_if_changed(&lines, events)?;
        missing.retain(|event| !events.contains(&format!("\"name\":\"{event}\"")));
        let mut command = Command::new(&python);
        command.arg(&script).arg(&log).arg(&lines);
        told(name, &log, &mut command)?;
        let mut command = Command::new(&python);
        command.arg(&messages).arg("--printed");
        command.args([&log, &formats, &lines]);
        told(name, &log, &mut command)?;
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        bail!(Failed(format!("no run has brought about {missing}")));
    }
    let traced = built(&target.join("driver/x64/release/traced.sys"))?;
    check_wpp(&repository, &lab, &traced, &folder, &python)
}

/// The events that docs/tracing.md lists.
fn documented() -> Vec<&'static str> {
    let (_, events) = DOCUMENTED.split_once("\n## Events\n").unwrap_or_default();
    let (events, _) = events.split_once("\n## ").unwrap_or((events, ""));
    events
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

/// Plays the example of WPP, and has its messages read.
fn check_wpp(
    repository: &Repository,
    lab: &Path,
    image: &Path,
    folder: &Path,
    python: &Path,
) -> Result<()> {
    let (script, values) = (folder.join("wpp.py"), folder.join("wpp_values.json"));
    write_if_changed(&script, READ_WPP)?;
    write_if_changed(&values, WPP_VALUES)?;
    let log = folder.join("wpp.etl");
    let mut command = Command::new(lab);
    command.arg("run").arg(image).arg("--etl").arg(&log);
    let capture = repository.root().join("tests/captures/ping.pcapng");
    command.arg("--pcap").arg(capture);
    program::run(&mut command)?;
    let formats = image.with_file_name("tmf").join("traced");
    let joined = image.with_extension("tmf");
    let mut command = Command::new(python);
    command.args([&script, &log, &built(&formats)?, &built(&joined)?, &values]);
    // Those of the driver that ships are held to the strict forms too.
    let shipped = image.with_file_name("deferlwf.tmf");
    command.arg(built(&shipped)?);
    command.args(tmf_files(&built(
        &image.with_file_name("tmf").join("deferlwf"),
    )?)?);
    told("wpp", &log, &mut command)?;
    // Events of every kind of field, beside what the driver has.
    let lines = folder.join("traced.jsonl");
    let log = folder.join("traced.etl");
    let mut command = Command::new(lab);
    command.arg("run").arg(image);
    command
        .args(["--trace", "all", "--json", "--etl"])
        .arg(&log);
    let printed = program::run(&mut command)?;
    write_if_changed(&lines, events_of(&printed))?;
    let mut command = Command::new(python);
    command.arg(folder.join("decode.py")).args([&log, &lines]);
    told("traced", &log, &mut command)
}

/// Has a script read a log, and prints what it finds.
fn told(name: &str, log: &Path, command: &mut Command) -> Result<()> {
    match program::run(command) {
        Ok(found) => say!("ok      {name}: {}", found.trim_end()),
        Err(error) => bail!(Failed(format!("{}: {error:#}", log.display()))),
    }
}

/// What a run has printed, but for its last line, which is its own.
fn events_of(printed: &str) -> &str {
    let (events, _) = printed.trim_end().rsplit_once('\n').unwrap_or_default();
    events
}

fn tmf_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(unreadable)?;
    let paths = entries.map(|entry| Ok(entry.with_context(unreadable)?.path()));
    paths.collect()
}

/// A file or folder that a build has left.
fn built(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    bail!(
        "{} is not there: build it with `cargo xtask test`",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::documented;

    #[test]
    fn events_are_read_from_the_document() {
        let events = documented();
        assert!(events.len() >= 33, "{events:?}");
        assert!(events.contains(&"DriverLoaded") && events.contains(&"RequestRefused"));
    }
}
