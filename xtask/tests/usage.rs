//! A command line or a machine that xtask cannot work with gets one line and exit code 2.

#![forbid(unsafe_code)]

use std::process::{Command, Output};

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

/// The one line that `output` complains with.
fn complaint(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors
}

#[test]
fn a_wrong_command_line_is_told_in_one_line() {
    for (arguments, part) in [
        (&["biuld"][..], "'biuld'"),
        (&["build", "--arch", "mips"], "'mips'"),
        (&["build", "--relaese"], "'--relaese'"),
        (&["check-image"], "required"),
    ] {
        let line = complaint(&xtask(arguments).output().unwrap());
        assert!(line.contains(part), "{arguments:?}: {line}");
        assert!(line.contains("cargo xtask help"), "{arguments:?}: {line}");
    }
}

#[test]
fn what_cargo_complains_of_is_told_in_one_line() {
    let scratch = std::env::temp_dir().join(format!("xtask-usage-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    std::fs::write(scratch.join("Cargo.toml"), "[package]\nname = 1\n").unwrap();
    let output = xtask(&["rules"])
        .env("CARGO_MANIFEST_DIR", &scratch)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&scratch).unwrap();
    let line = complaint(&output);
    assert!(line.contains("cargo metadata"), "{line}");
}

#[test]
fn help_is_no_complaint() {
    let output = xtask(&["--help"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn no_task_at_all_is_answered_with_the_tasks() {
    let output = xtask(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("Usage:") && text.contains("check-image"),
        "{text}"
    );
}

/// Standard output that cannot be written is no panic.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_told_in_one_line() {
    for arguments in [&["rules", "--totals"][..], &["--help"]] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let line = complaint(&xtask(arguments).stdout(full).output().unwrap());
        assert!(line.contains("standard output cannot be written"), "{line}");
    }
}
