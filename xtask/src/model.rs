//! `cargo xtask models`: the loom models of `ndis`.
//!
//! They are built with `--cfg loom` for everything, so they have a target folder of their own.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{failure::Failed, program, repository::Repository};

/// Try every interleaving of what `ndis` does without a lock.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the models.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Without optimisation the larger ones take minutes.
    let mut command = Command::new(&cargo);
    command
        .args([
            "test",
            "--locked",
            "--release",
            "--package",
            "ndis",
            "--lib",
        ])
        .arg("model::")
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", repository.target_folder().join("loom"))
        .current_dir(repository.root());
    if !program::succeeds(&mut command)? {
        bail!(Failed("a model of ndis does not hold".to_owned()));
    }
    Ok(())
}
