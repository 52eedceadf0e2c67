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
Assert-Machine
Assert-DriverLoads
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
    let look = |script: &Path, text: &str| {
        fs::write(script, text).unwrap();
        let mut command = Command::new(python.join("bin/python3"));
        let output = command
            .arg(python.join("powershell.py"))
            .arg(script)
            .output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    let module = folder.join("deferlwf.psm1");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let good = fs::read_to_string(scripts.join("deferlwf.psm1")).unwrap();
    assert_eq!(look(&module, &good), "");
    let found = |text: &str| look(&script, text);
    assert_eq!(found(SCRIPT), "");
    for (from, to, what) in [
        ("param(", "param((", "bind.ps1:2: not PowerShell"),
        ("(SupportsShouldProcess)", "()", "no -WhatIf"),
        (
            "if ($PSCmdlet.ShouldProcess('x', 'change'))",
            "if ($Off)",
            "bind.ps1:10: -WhatIf would run it: Invoke-Program",
        ),
        (
            "'/querysettings'",
            "'/reset'",
            "bind.ps1:13: -WhatIf would run it: Invoke-Program",
        ),
        (
            "    return\n",
            "    Write-Host 'no'\n",
            "bind.ps1:17: -WhatIf would run it: Copy-Item",
        ),
        (
            "Clear-It\n}",
            "}\nelse {\n    Clear-It\n}",
            "bind.ps1:13: -WhatIf would run it: Clear-It",
        ),
        (
            "Assert-Machine\n",
            "",
            "Assert-Machine does not come before what is changed",
        ),
        (
            "Assert-DriverLoads\n",
            "",
            "Assert-DriverLoads does not come before what is changed",
        ),
        (
            "Clear-It\n}",
            "Show-It\n}",
            "bind.ps1:11: deferlwf.psm1 has no Show-It",
        ),
        ("x: make it.", "x.", "bind.ps1:6: says no remedy"),
    ] {
        let lines = found(&SCRIPT.replace(from, to));
        assert!(lines.contains(what), "{what}: {lines}");
    }
    for (from, what) in [
        (
            "    Assert-Elevated\n",
            "Assert-Machine does not ask Assert-Elevated",
        ),
        (
            "            Assert-TestSigning\n",
            "Assert-DriverLoads does not ask Assert-TestSigning",
        ),
        (
            "$secureBoot = Confirm-SecureBootUEFI",
            "Assert-TestSigning does not ask Confirm-SecureBootUEFI",
        ),
        ("function Get-Signer {", "no function Get-Signer"),
    ] {
        assert!(good.contains(from), "{from}");
        let lines = look(
            &module,
            &good.replace(
                from,
                if from.ends_with('{') {
                    "function Other {"
                } else {
                    ""
                },
            ),
        );
        assert!(lines.contains(what), "{what}: {lines}");
    }
    fs::remove_dir_all(folder).unwrap();
}
