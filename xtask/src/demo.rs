//! `cargo xtask demo`: from source to packets in one command.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{failure::Failed, lab, repository::Repository, toolchain::Origin};

/// Build deferlwf.sys and lwf-lab, and run the one in the other on every committed capture.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object as the last line of standard output instead of the screen.
    #[arg(long)]
    json: bool,
    /// Decides every choice of the run that Windows leaves open.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the Rust toolchain comes from [default: whichever has the library's sources].
    #[arg(long, value_enum)]
    toolchain: Option<Origin>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Builds and shows.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let captures = captures(repository.root())?;
    let image = build_driver(&repository, arguments)?;
    let lab = lab::build(&repository)?;

    let mut command = Command::new(lab);
    command
        .current_dir(repository.root())
        .arg("run")
        .arg(relative(&image, repository.root()));
    for capture in &captures {
        command
            .arg("--pcap")
            .arg(relative(capture, repository.root()));
    }
    command.args(["--seed", &arguments.seed.to_string()]);
    if arguments.json {
        command.arg("--json");
    }
    let status = command.status().context("cannot run lwf-lab")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!(Failed(
            "lwf-lab: a rule is broken, or counts differ".to_owned()
        )),
        _ => bail!("lwf-lab ended with {status}"),
    }
}

/// Builds the driver by the task for it, and gives its path.
fn build_driver(repository: &Repository, arguments: &Arguments) -> Result<PathBuf> {
    let mut command = Command::new(env::current_exe().context("cannot find xtask itself")?);
    command.args(["build", "--release"]);
    if arguments.yes {
        command.arg("--yes");
    }
    if let Some(toolchain) = arguments
        .toolchain
        .and_then(|origin| origin.to_possible_value())
    {
        command.args(["--toolchain", toolchain.get_name()]);
    }
    match command.status().context("cannot run xtask itself")?.code() {
        Some(0) => Ok(repository
            .target_folder()
            .join("driver/x64/release/deferlwf.sys")),
        Some(1) => bail!(Failed("the driver was not built".to_owned())),
        _ => bail!("the driver was not built"),
    }
}

/// The committed captures in the order of their names.
fn captures(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("tests").join("captures");
    let mut captures = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "pcapng" || extension == "pcap")
        {
            captures.push(path);
        }
    }
    if captures.is_empty() {
        bail!(
            "no captures in {}; make them with: cargo xtask capture",
            folder.display()
        );
    }
    captures.sort();
    Ok(captures)
}

/// `path` below `root`, or itself when it is elsewhere: short names make short replay commands.
fn relative<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}
