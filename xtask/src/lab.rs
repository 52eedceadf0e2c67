//! Building `lwf-lab`, for tasks that run it.

use std::path::PathBuf;

use anyhow::Result;

use crate::{compile, lint, repository::Repository};

/// Builds `lwf-lab` for this machine, and gives its path.
pub(crate) fn build(repository: &Repository) -> Result<PathBuf> {
    let mut command = lint::outer_cargo(repository);
    command
        .args(["build", "--profile", "lab", "--locked"])
        .args(["--package", "lab-cli", "--bin", "lwf-lab"]);
    compile::run(&mut command)?;
    Ok(repository.target_folder().join("lab/lwf-lab"))
}
