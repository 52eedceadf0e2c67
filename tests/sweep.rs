//! Whatever call fails, the driver keeps every rule: it does not load, or does not attach, or works without.

use lab_cli::trial::sweep::{Row, Summary};
use tests::{Lab, driver};

fn sweep(name: &str) -> Lab {
    Lab::sweep(&driver(name)).with(["--set", "MaxFlows=64"])
}

fn clean(name: &str) -> Summary {
    let output = sweep(name).output();
    assert_eq!(output.exit, 0, "{name}\n{}{}", output.stdout, output.stderr);
    output.object()
}

fn row<'a>(summary: &'a Summary, import: &str) -> &'a Row {
    let mut rows = summary.imports.iter();
    rows.find(|row| row.import == import)
        .unwrap_or_else(|| panic!("{import} is not in {:#?}", summary.imports))
}

#[test]
fn every_call_stack_fails_once_and_no_rule_is_broken() {
    for name in ["deferlwf", "passthru", "faulty"] {
        let summary = clean(name);
        assert!(
            summary.warnings.is_empty(),
            "{name}: {:#?}",
            summary.warnings
        );
        for row in &summary.imports {
            assert_eq!((row.stacks, row.broken), (row.failed, 0), "{name}: {row:?}");
            assert_eq!(
                row.failed,
                row.refused + row.detached + row.passed,
                "{name}: {row:?}"
            );
        }
        // Without a registration there is no filter, and it says so.
        let registration = row(&summary, "NdisFRegisterFilterDriver");
        assert_eq!(
            (registration.stacks, registration.refused),
            (1, 1),
            "{name}"
        );
    }
}

/// Packets pass such a filter by also while it is paused, and before there is anybody to finish them.
#[test]
fn a_filter_without_handlers_fails_as_well() {
    let output = sweep("deferlwf").with(["--set", "Mode=0"]).output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
    let summary: Summary = output.object();
    assert_eq!(row(&summary, "NdisRegisterDeviceEx").failed, 1);
}

#[test]
fn deferlwf_attaches_without_what_it_can_do_without() {
    let summary = clean("deferlwf");
    for (import, passed) in [
        ("NdisReadConfiguration", true),
        ("NdisOpenConfigurationEx", true),
        ("MmMapLockedPagesSpecifyCache", true),
        ("NdisAllocateIoWorkItem", false),
    ] {
        let row = row(&summary, import);
        let expected = if passed {
            (0, row.stacks)
        } else {
            (row.stacks, 0)
        };
        assert_eq!((row.detached, row.passed), expected, "{row:?}");
    }
}

#[test]
fn two_sweeps_find_the_same() {
    let lab = sweep("passthru");
    assert_eq!(
        lab.output().stdout,
        lab.clone().with(["--jobs", "1"]).output().stdout
    );
}

#[test]
fn a_driver_that_leaks_when_memory_fails_is_caught() {
    let output = sweep("faulty").with(["--set", "Fault=pool-leak"]).output();
    assert_eq!(output.exit, 1, "{}", output.stderr);
    let summary: Summary = output.object();
    let failure = summary
        .failures
        .iter()
        .find(|failure| !failure.import.is_empty())
        .expect("a call that failed");
    assert!(failure.replay.contains("--fail "), "{}", failure.replay);
    let again = Lab::command_line(&failure.replay).broken();
    assert_eq!(Some(&again), failure.violation.as_ref());
}

#[test]
fn a_call_that_never_comes_is_told() {
    let lab = Lab::run(&driver("passthru")).with(["--hard", "--fail", "ExAllocatePool2@1"]);
    let notes = lab.clean().notes;
    assert!(notes[0].contains("ExAllocatePool2@1"), "{notes:?}");
}
