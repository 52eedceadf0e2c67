//! A folder of Python packages for tools that come from PyPI.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    package_install::{self, Need},
    program, tool,
};

/// The program that makes environments.
const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

const NEEDS: &[Need] = &[Need {
    what: "python3 with venv",
    package: "python3-venv",
    is_met: || {
        let mut command = Command::new(PYTHON);
        command.args(["-c", "import venv, ensurepip"]);
        tool::on_path(PYTHON).is_some()
            && command.output().is_ok_and(|output| output.status.success())
    },
}];

/// The Python of `target/python`, with `packages` installed in the versions that they name.
pub(crate) fn environment(target: &Path, packages: &[&str], yes: bool) -> Result<PathBuf> {
    let folder = target.join("python");
    let python = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python3"
    });
    if !python.is_file() {
        package_install::ensure(NEEDS, yes)?;
        let mut command = Command::new(PYTHON);
        program::run(command.args(["-m", "venv"]).arg(&folder))
            .context("cannot make a Python environment")?;
    }
    // One file for each package that is there, so that nothing is asked of the network again.
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !folder.join(format!("{package}.installed")).is_file())
        .collect();
    if !missing.is_empty() {
        let mut command = Command::new(&python);
        command.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        program::run(command.args(&missing)).context("cannot install from PyPI")?;
        for package in missing {
            fs::write(folder.join(format!("{package}.installed")), "")?;
        }
    }
    Ok(python)
}
