//! Scripts and workflow files, read by real parsers from PyPI and npm.
//!
//! Asks registries the first time: `cargo xtask test` runs it with `--ignored`.

#![forbid(unsafe_code)]

use std::{fs, path::Path, process::Command};

/// Runs the task over the repository's files.
fn check() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["check-windows-files", "--yes"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{errors}");
}

/// A script as it should be, and what it is changed into: what is said of that.
const SCRIPT: &str = "\
[CmdletBinding(SupportsShouldProcess)]
param([switch]$Off)
Assert-Elevated
if ($Off) {
    throw \"There is no x: make it.\"
}
function Clear-It { Remove-Item -LiteralPath $x }
if ($PSCmdlet.ShouldProcess('x', 'change')) {
    Invoke-Program -Name 'netcfg.exe' -Arguments '/v'
    Clear-It
}
Invoke-Program -Name 'verifier.exe' -Arguments '/querysettings'
if (-not $PSCmdlet.ShouldProcess('y', 'change')) {
    return
}
Copy-Item -Path $x -Destination $y
";

#[test]
#[ignore = "asks package registries"]
fn every_script_parses_and_every_workflow_lints() {
    check();
}

#[test]
#[ignore = "asks package registries"]
fn a_script_that_breaks_its_promises_is_found() {
    check();
    // The target folder is two above the program: `<target>/debug/xtask`.
    let program = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let python = program.parent().unwrap().join("../python");
    let folder = std::env::temp_dir().join(format!("xtask-scripts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let script = folder.join("bind.ps1");
    let found = |text: &str| {
        fs::write(&script, text).unwrap();
        let mut command = Command::new(python.join("bin/python3"));
        let output = command
            .arg(python.join("powershell.py"))
            .arg(&script)
            .output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(found(SCRIPT), "");
    for (from, to, what) in [
        ("param(", "param((", "bind.ps1:2: not PowerShell"),
        ("(SupportsShouldProcess)", "()", "no -WhatIf"),
        (
            "if ($PSCmdlet.ShouldProcess('x', 'change'))",
            "if ($Off)",
            "bind.ps1:9: -WhatIf would run it: Invoke-Program",
        ),
        (
            "'/querysettings'",
            "'/reset'",
            "bind.ps1:12: -WhatIf would run it: Invoke-Program",
        ),
        (
            "    return\n",
            "    Write-Host 'no'\n",
            "bind.ps1:16: -WhatIf would run it: Copy-Item",
        ),
        (
            "Clear-It\n}",
            "}\nelse {\n    Clear-It\n}",
            "bind.ps1:12: -WhatIf would run it: Clear-It",
        ),
        (
            "Assert-Elevated\n",
            "",
            "Assert-Elevated does not come before what is changed",
        ),
        ("x: make it.", "x.", "bind.ps1:5: says no remedy"),
    ] {
        let lines = found(&SCRIPT.replace(from, to));
        assert!(lines.contains(what), "{what}: {lines}");
    }
    fs::remove_dir_all(folder).unwrap();
}
