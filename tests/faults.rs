//! A driver that misbehaves on request is caught each time: by the right rule, in the run in which it happens, with
//! the source line.

use std::fs;
use std::path::{Path, PathBuf};

use lab_cli::summary::Finding;
use tests::{Lab, capture, driver};

/// Fault, and the rule that it breaks.
const FAULTS: [(&str, &str); 41] = [
    ("irql-wait", "event-wait-passive"),
    ("irql-configuration", "config-passive"),
    ("irql-dpc-lock", "irql-dpc-lock-below"),
    ("pool-overrun", "mem-overrun"),
    ("pool-overrun-slack", "mem-overrun"),
    ("pool-use-after-free", "mem-use-after-free"),
    ("pool-leak", "unload-pool-freed"),
    ("pool-double-free", "mem-double-free"),
    ("nbl-leak", "nbl-every-receive-settled"),
    ("nbl-completed-twice", "nbl-complete-only-received"),
    ("nbl-returned-twice", "nbl-return-only-received"),
    ("work-queued-twice", "wi-queue-while-queued"),
    ("work-freed-while-queued", "wi-free-while-queued"),
    ("work-at-detach", "detach-no-workitem"),
    ("work-at-unload", "wi-complete-before-unload"),
    ("work-leak", "wi-freed-before-unload"),
    ("lock-twice", "lock-recursive"),
    ("lock-twice-at-dispatch", "lock-dpr"),
    ("lock-released-free", "lock-release-held"),
    ("lock-released-elsewhere", "lock-old-irql"),
    ("lock-inverted", "lock-order"),
    ("lock-outer-first", "lock-lifo"),
    ("lock-uninitialized", "lock-init"),
    ("lock-ndis-under", "lock-not-held-into-ndis"),
    ("lock-promoted", "rwlock-no-promotion"),
    ("lock-freed-held", "rwlock-free-released"),
    ("irql-lowered", "irql-raise-lower"),
    ("irql-lowered-elsewhere", "irql-setting-macros"),
    ("sleep-long", "sleep-limits"),
    ("pool-executable", "mem-nx-pool"),
    ("pool-empty", "mem-zero-size"),
    ("pool-wrong-tag", "mem-free-pair"),
    ("event-paged", "mem-sync-objects-resident"),
    ("handlers-elsewhere", "setmodule-options-context"),
    ("event-forwarded", "netpnp-forward-context"),
    ("mdl-on-stack", "mdl-ndis-nonpaged-pool-only"),
    ("mdl-mapped-unlocked", "mdl-map-locked"),
    ("timer-freed-set", "timer-free-idle"),
    ("work-item-short", "wi-initialize-storage"),
    ("handle-unknown", "kernel-handle-valid"),
    ("object-dereferenced", "object-refcount"),
];

fn faulty(fault: &str, seed: u64) -> Lab {
    Lab::run(&driver("faulty"))
        .pcap(&capture("ping"))
        .set("Fault", fault)
        .seed(seed)
}

#[test]
fn each_fault_is_caught_by_its_rule_at_its_line() {
    for (fault, rule) in FAULTS {
        for seed in 1..=3 {
            let finding = faulty(fault, seed).broken();
            assert_eq!(finding.rule, rule, "{fault}, seed {seed}: {finding:#?}");
            let line = marked_line(fault).unwrap_or_else(|| panic!("no line is marked: {fault}"));
            assert_eq!(
                place(&finding),
                Some(line),
                "{fault}, seed {seed}: {finding:#?}"
            );
        }
    }
}

#[test]
fn the_same_driver_without_a_fault_is_clean() {
    for fault in ["none", "attach-refused"] {
        let summary = faulty(fault, 1).clean();
        assert_eq!(summary.rules.broken, 0, "{fault}");
        assert!(
            summary.warnings.is_empty(),
            "{fault}: {:#?}",
            summary.warnings
        );
    }
}

#[test]
fn a_driver_that_declines_is_told_of_in_one_line() {
    let output = faulty("entry-fails", 1).output();
    assert_eq!(output.exit, 2, "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(
        output
            .stderr
            .contains("faulty.sys: DriverEntry failed with 0xc000009a"),
        "{output:?}"
    );
}

#[test]
fn a_report_for_people_has_all_that_is_needed() {
    let image = driver("faulty");
    let capture = capture("ping");
    let arguments = ["--pcap".as_ref(), capture.as_os_str(), "--set".as_ref()];
    let output = Lab::screen(&image)
        .with(arguments)
        .with(["Fault=irql-wait", "--seed", "5"])
        .output();
    assert_eq!(output.exit, 1, "{output:?}");
    let (file, line) = marked_line("irql-wait").expect("a marked line");
    for part in [
        "RULE BROKEN: event-wait-passive",
        "NdisWaitEvent",
        "IRQL 2",
        "*** STOP: 0x",
        &format!("{}:{line}", file.display()),
        "--seed 5",
        "--set Fault=irql-wait",
    ] {
        assert!(
            output.stdout.contains(part),
            "no {part:?} in:\n{}",
            output.stdout
        );
    }
}

/// The file (in `src`) and line of the innermost frame that has one.
fn place(finding: &Finding) -> Option<(PathBuf, u32)> {
    let (file, line) = finding
        .stack
        .iter()
        .find_map(|frame| Some((frame.file.as_ref()?, frame.line?)))?;
    let parts: Vec<_> = Path::new(file).iter().collect();
    let src = parts.iter().rposition(|part| *part == "src")?;
    Some((parts[src..].iter().collect(), line))
}

/// The file (in `src`) and line that end in `// caught: <fault>`.
fn marked_line(fault: &str) -> Option<(PathBuf, u32)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/faulty");
    let mark = format!("// caught: {fault}");
    files(&package.join("src")).into_iter().find_map(|path| {
        let text = fs::read_to_string(&path).expect("a source file");
        let index = text.lines().position(|line| line.ends_with(&mark))?;
        let file = path
            .strip_prefix(&package)
            .expect("a file of the package")
            .to_owned();
        Some((file, index as u32 + 1))
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
