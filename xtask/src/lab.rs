//! Building `lwf-lab`, for tasks that run it.

use std::{env, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{compile, repository::Repository};

/// Builds `lwf-lab` for this machine, and gives its path.
pub(crate) fn build(repository: &Repository) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(repository.root())
        .args(["build", "--profile", "lab", "--locked"])
        .args(["--package", "lab-cli", "--bin", "lwf-lab"]);
    compile::run(&mut command)?;
    Ok(repository.target_folder().join("lab/lwf-lab"))
}
