//! `cargo xtask lint`: what the compiler and its lints do not see of the project's rules, and then those too.

mod arrow;
mod crate_root;
mod level;
mod room;
mod tracked_file;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    architecture::Architecture,
    compile::{self, Compilation, Options},
    failure::Failed,
    repository::Repository,
    toolchain::Origin,
};

/// Check formatting, dependencies between rooms, unsafe code, tracked files, and run clippy for both sides.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only what needs no compilation.
    #[arg(long)]
    fast: bool,
    /// Where the Rust toolchain of the kernel side comes from.
    #[arg(long, value_enum)]
    toolchain: Option<Origin>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Something that breaks a rule, and where.
struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// Runs every lint, and fails at the end if one has found something.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let mut failed = Vec::new();
    let mut findings = arrow::check(&repository)?;
    findings.extend(crate_root::check(&repository)?);
    findings.extend(level::check(&repository)?);
    findings.extend(tracked_file::check(repository.root())?);
    for finding in &findings {
        eprintln!("{}: {}", finding.place, finding.what);
    }
    if !findings.is_empty() {
        failed.push(format!("{} findings", findings.len()));
    }
    let mut note = |name: &str, result: Result<()>| match result {
        Err(error) if error.is::<Failed>() => {
            failed.push(name.to_owned());
            Ok(())
        }
        other => other,
    };
    note("formatting", format_check(&repository))?;
    if !arguments.fast {
        note("clippy of the host side", host_clippy(&repository))?;
        note(
            "clippy of the kernel side",
            kernel_clippy(&repository, arguments),
        )?;
    }
    if !failed.is_empty() {
        bail!(Failed(format!("lint: {}", failed.join(", "))));
    }
    Ok(())
}

fn format_check(repository: &Repository) -> Result<()> {
    if !has_component(repository, "fmt")? {
        return Ok(());
    }
    let mut command = outer_cargo(repository);
    compile::run(command.args(["fmt", "--all", "--check"]))
}

fn host_clippy(repository: &Repository) -> Result<()> {
    if !has_component(repository, "clippy")? {
        return Ok(());
    }
    let mut command = outer_cargo(repository);
    command.args(["clippy", "--locked", "--workspace", "--all-targets"]);
    for package in repository.packages() {
        if !room::of(package, repository).is_ok_and(|room| room.host) {
            command.args(["--exclude", &package.name]);
        }
    }
    compile::run(command.args(["--", "-Dwarnings"]))
}

/// Where a crate is compiled for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// This machine.
    Host,
    /// The Windows target.
    Kernel,
}

/// The packages of one side. Some are of both.
pub(crate) fn packages(repository: &Repository, side: Side) -> Vec<String> {
    let is_of = |room: &room::Room| match side {
        Side::Host => room.host,
        Side::Kernel => room.kernel,
    };
    repository
        .packages()
        .filter(|package| room::of(package, repository).is_ok_and(is_of))
        .map(|package| package.name.to_string())
        .collect()
}

fn kernel_clippy(repository: &Repository, arguments: &Arguments) -> Result<()> {
    let packages = packages(repository, Side::Kernel);
    let options = Options {
        arch: Architecture::X64,
        release: false,
        toolchain: arguments.toolchain,
        yes: arguments.yes,
    };
    let compilation = Compilation::prepare(repository, &options)?;
    compilation.toolchain().require_clippy(arguments.yes)?;
    let mut command = compilation.cargo(repository, "clippy", &packages)?;
    compile::run(command.args(["--", "-Dwarnings"]))
}

/// Whether the toolchain has rustfmt or clippy: not every one does, and what is built does not depend on them.
fn has_component(repository: &Repository, subcommand: &str) -> Result<bool> {
    let output = outer_cargo(repository)
        .args([subcommand, "--version"])
        .output();
    let has = output.context("cannot run cargo")?.status.success();
    if !has {
        eprintln!("skipped: this toolchain has no `cargo {subcommand}`");
    }
    Ok(has)
}

/// The Cargo that runs xtask, in the repository.
pub(crate) fn outer_cargo(repository: &Repository) -> Command {
    let mut command = Command::new(
        std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from),
    );
    command.current_dir(repository.root());
    command
}

/// Runs git and gives its output.
fn git(root: &std::path::Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(arguments)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!(
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}
