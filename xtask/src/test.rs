//! `cargo xtask test`: everything that CI runs, in the order in which a mistake is found soonest.
//!
//! Each step is one command that a person can run alone; it is printed before it runs.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    c_driver,
    failure::Failed,
    output::say,
    package_install::{self, Need},
    program,
    repository::Repository,
    tool,
};

/// Run every check and test, as CI does.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// What the tests need beyond what the builds ask for themselves.
const NEEDS: &[Need] = &[Need {
    what: "tshark",
    package: "tshark",
    is_met: || tool::on_path("tshark").is_some(),
}];

/// What is built as a checked build and for ARM64, beside the release build of everything.
const SHIPPED: &str = " --package deferlwf --package passthru";

/// Runs all steps and prints what they did.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    package_install::ensure(NEEDS, arguments.yes)?;
    let repository = Repository::open()?;
    let steps = steps(&repository, arguments.yes)?;
    let mut outcomes = Vec::new();
    for step in &steps {
        say!("\n==> {}: {}", step.name, step.line())?;
        let started = Instant::now();
        let verdict = step.run(&repository)?;
        let is_over = verdict == Verdict::Failed && step.is_foundation;
        outcomes.push((verdict, started.elapsed()));
        if is_over {
            break;
        }
    }
    summarise(&steps, &outcomes)
}

/// One command.
struct Step {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    /// Whether later steps use what this one makes.
    is_foundation: bool,
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
}

impl Step {
    fn line(&self) -> String {
        let program = self
            .program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let program = if program == "xtask" {
            "cargo xtask".into()
        } else {
            program
        };
        self.arguments
            .iter()
            .fold(program.into_owned(), |line, argument| {
                format!("{line} {}", argument.to_string_lossy())
            })
    }

    fn run(&self, repository: &Repository) -> Result<Verdict> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(repository.root());
        Ok(if program::succeeds(&mut command)? {
            Verdict::Passed
        } else {
            Verdict::Failed
        })
    }
}

/// The steps, quick ones first; the end-to-end tests, which need all images, last.
fn steps(repository: &Repository, yes: bool) -> Result<Vec<Step>> {
    let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let xtask = env::current_exe().context("cannot find xtask itself")?;
    let consent = if yes { " --yes" } else { "" };
    let drivers: Vec<String> = repository.drivers().collect();
    let each = |option: &str| {
        drivers
            .iter()
            .map(|name| format!(" --{option} {name}"))
            .collect::<String>()
    };
    // Drivers are for the kernel: Cargo alone cannot build them on this host.
    let (on_host, mut packages) = (each("exclude"), each("package"));
    for driver in c_driver::DRIVERS {
        packages += &format!(" --package {}", driver.name);
    }

    let mut steps = Vec::new();
    let mut add = |name, program: &PathBuf, line: String, is_foundation| {
        steps.push(Step {
            name,
            program: program.clone(),
            arguments: line.split(' ').map(OsString::from).collect(),
            is_foundation,
        });
    };
    let check = false;
    let foundation = true;
    add("lint", &xtask, format!("lint{consent}"), check);
    add("documentation", &xtask, format!("doc{consent}"), check);
    add(
        "generated bindings",
        &xtask,
        "bindings --check".to_owned(),
        check,
    );
    add(
        "unit tests",
        &cargo,
        format!("test --locked --no-fail-fast --workspace{on_host} --exclude tests"),
        check,
    );
    add(
        "models of ndis",
        &xtask,
        "models --mutants".to_owned(),
        check,
    );
    add(
        "misuse of crates",
        &xtask,
        format!("compile-fail{consent}"),
        check,
    );
    add(
        "drivers, debug",
        &xtask,
        format!("build{packages}{consent}"),
        foundation,
    );
    add(
        "drivers, release",
        &xtask,
        format!("build --release{packages}{consent}"),
        foundation,
    );
    add(
        "drivers, ARM64",
        &xtask,
        format!("build --release --arch arm64{SHIPPED}{consent}"),
        check,
    );
    add(
        "builds",
        &cargo,
        "test --locked --package xtask --test build -- --ignored --test-threads 1 --nocapture"
            .to_owned(),
        check,
    );
    add(
        "package",
        &cargo,
        "test --locked --package xtask --test package --test windows_file --test abi -- --ignored --test-threads 1 --nocapture"
            .to_owned(),
        check,
    );
    add(
        "lwf-lab",
        &cargo,
        "build --locked --profile lab --package lab-cli".to_owned(),
        foundation,
    );
    add("trace logs", &xtask, format!("check-trace{consent}"), check);
    add(
        "promises",
        &cargo,
        "test --locked --no-fail-fast --profile lab --package tests".to_owned(),
        check,
    );
    Ok(steps)
}

fn summarise(steps: &[Step], outcomes: &[(Verdict, Duration)]) -> Result<()> {
    say!()?;
    for (index, step) in steps.iter().enumerate() {
        let (word, time) = match outcomes.get(index) {
            Some((Verdict::Passed, time)) => ("ok", seconds(*time)),
            Some((Verdict::Failed, time)) => ("FAILED", seconds(*time)),
            None => ("not run", String::new()),
        };
        say!("{:<20} {word:<8} {time}", step.name)?;
    }
    let total = outcomes.iter().map(|(_, time)| *time).sum();
    let has_failed = outcomes
        .iter()
        .any(|(verdict, _)| *verdict == Verdict::Failed);
    say!(
        "{:<20} {:<8} {}",
        "all",
        if has_failed { "FAILED" } else { "ok" },
        seconds(total)
    )?;
    if has_failed {
        bail!(Failed("not every step passed".to_owned()));
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:>7.1} s", time.as_secs_f64())
}
