//! A panic of the lab itself is one line and exit code 3, never a backtrace.

use std::env;
use std::process::Command;

#[test]
#[ignore = "panics on purpose: run by the other test, in a process of its own"]
fn child() {
    lab_cli::command::report_own_panics();
    panic!("first\nsecond");
}

#[test]
fn a_panic_is_one_line_and_exit_code_3() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("lwf-lab: fault of the lab at "), "{text}");
    assert!(text.ends_with(": first second\n"), "{text}");
}
