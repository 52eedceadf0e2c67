//! Running the programs of others.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs a program that shows itself what it has to say; whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(status.success())
}

/// Runs a program and gives what it printed; fails with the last line of what it complained about.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let complaint = [output.stderr, output.stdout].concat();
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        bail!(
            "{program}: {}",
            complaint.lines().next_back().unwrap_or("failed")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
