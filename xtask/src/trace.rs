//! `cargo xtask check-trace`: trace logs of `lwf-lab`, as two decoders of others read them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    failure::Failed,
    output::say,
    program, python,
    repository::{Repository, write_if_changed},
};

/// What PyPI's etl-parser and dissect.etl are asked: is every event in the log, as it was printed?
const DECODE: &str = include_str!("trace/decode.py");
const PACKAGES: &[&str] = &["etl-parser==1.0.1", "dissect.etl==3.14"];

/// What is run: arguments that bring about as many kinds of events as there are.
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
            "--set",
            "SnapLen=1",
        ],
    ),
    (
        "mode",
        &["--set", "Block=tcp:x", "--modes", "inline,off,tap"],
    ),
    ("hard", &["--hard", "--seed", "5"]),
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
        // The last line is the run's own.
        let events = printed
            .trim_end()
            .rsplit_once('\n')
            .map_or("", |(events, _)| events);
        write_if_changed(&lines, events)?;
        let mut command = Command::new(&python);
        command.arg(&script).arg(&log).arg(&lines);
        match program::run(&mut command) {
            Ok(found) => say!("ok      {name}: {}", found.trim_end())?,
            Err(error) => bail!(Failed(format!("{}: {error:#}", log.display()))),
        }
    }
    Ok(())
}

fn built(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    bail!(
        "{} is not there: build it with `cargo xtask test`",
        path.display()
    )
}
