//! A filter in plain C runs clean, whichever way it is built, and what one does wrong is caught with the line of its C
//! source.

use std::path::Path;

use lab_cli::summary::{Finding, StackFrame};
use tests::{Lab, Scratch, capture, captures, checked_driver, driver};

/// The filter without and with `/GS` and control-flow guard, as a release and as a checked build.
fn filters() -> impl Iterator<Item = std::path::PathBuf> {
    let names = ["c-filter", "c-filter-guarded"];
    names
        .into_iter()
        .flat_map(|name| [driver(name), checked_driver(name)])
}

#[test]
fn every_packet_passes_through_the_filter_in_c() {
    for image in filters() {
        for capture in captures() {
            let output = Lab::run(&image).pcap(&capture).seed(1).output();
            assert_eq!(output.exit, 0, "{}: {output:?}", image.display());
            let summary = output.summary();
            assert_eq!(summary.passed, summary.packets.ndis);
            assert!(summary.passed.send + summary.passed.receive > 0);
            assert_eq!(summary.warnings.len(), 0, "{:?}", summary.warnings);
            assert_eq!(summary.pool.left_bytes, 0);
            assert!(summary.work_items.runs > 0, "{:?}", summary.work_items);
        }
    }
}

#[test]
fn the_filter_in_c_is_clean_in_hard_lives() {
    for image in [driver("c-filter"), driver("c-filter-guarded")] {
        let output = Lab::stress(&image).with(["--seeds", "40"]).output();
        assert_eq!(output.exit, 0, "{output:?}");
    }
}

#[test]
fn the_filter_in_c_is_clean_when_calls_fail() {
    let output = Lab::sweep(&driver("c-filter")).output();
    assert_eq!(output.exit, 0, "{output:?}");
}

/// A mark `caught: PLAY by RULE` in the source, with its line.
struct Mark {
    play: String,
    rule: String,
    line: u32,
}

fn marks(kind: &str) -> Vec<Mark> {
    let begin = format!("/* {kind}: ");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/c/fault.c");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mark = |(index, line): (usize, &str)| {
        let (_, mark) = line.split_once(&begin)?;
        let (play, rule) = mark.strip_suffix(" */")?.split_once(" by ")?;
        Some(Mark {
            play: play.to_owned(),
            rule: rule.to_owned(),
            line: index as u32 + 1,
        })
    };
    text.lines().enumerate().filter_map(mark).collect()
}

/// The line in `fault.c` of the innermost frame that has a line.
fn line(finding: &Finding) -> Option<u32> {
    let (file, line) = finding
        .stack
        .iter()
        .find_map(|frame| Some((frame.file.as_ref()?, frame.line?)))?;
    file.replace('\\', "/")
        .ends_with("tests/drivers/c/fault.c")
        .then_some(line)
}

#[test]
fn misbehaviour_in_c_is_caught_with_its_line() {
    let marks = marks("caught");
    assert!(marks.len() >= 10, "{} marks", marks.len());
    for image in [driver("c-faulty"), checked_driver("c-faulty")] {
        for mark in &marks {
            let output = Lab::run(&image)
                .pcap(&capture("ping"))
                .set("Fault", &mark.play)
                .seed(1)
                .output();
            let play = format!("{} of {}", mark.play, image.display());
            assert_eq!(output.exit, 1, "{play}: {output:?}");
            let violation = output.summary().violation.expect("a broken rule");
            assert_eq!(violation.rule, mark.rule, "{play}: {}", violation.happened);
            assert_eq!(line(&violation), Some(mark.line), "{play}: {violation:?}");
        }
    }
}

/// A callback that never returns is told as what it is; the report is at the callback.
#[test]
fn a_callback_in_c_that_never_returns_is_caught() {
    for mark in marks("overdue") {
        let output = Lab::run(&driver("c-faulty"))
            .pcap(&capture("ping"))
            .set("Fault", &mark.play)
            .seed(1)
            .output();
        assert_eq!(output.exit, 1, "{}: {output:?}", mark.play);
        let violation = output.summary().violation.expect("a broken rule");
        assert_eq!(violation.rule, mark.rule, "{}", violation.happened);
    }
}

/// Without a play the same image is a filter like the other.
#[test]
fn without_a_play_the_faulty_filter_is_clean() {
    let output = Lab::run(&driver("c-faulty"))
        .pcap(&capture("ping"))
        .seed(1)
        .output();
    assert_eq!(output.exit, 0, "{output:?}");
}

/// Without its PDB, or with that of another build, an image runs as well: the report has offsets.
#[test]
fn without_symbols_a_report_has_offsets() {
    let scratch = Scratch::new("stripped");
    let image = std::fs::read(driver("c-faulty")).expect("an image");
    let path = scratch.file("stripped.sys", &image);
    for has_other in [false, true] {
        if has_other {
            let other = driver("c-filter").with_extension("pdb");
            let other = std::fs::read(other).expect("a PDB");
            scratch.file("stripped.pdb", &other);
        }
        let output = Lab::run(&path)
            .pcap(&capture("ping"))
            .set("Fault", "c-divide")
            .seed(1)
            .output();
        assert_eq!(output.exit, 1, "{output:?}");
        let violation = output.summary().violation.expect("a broken rule");
        assert_eq!(violation.rule, "lab-fault");
        assert!(violation.stack.len() > 1, "{violation:?}");
        let is_offset = |frame: &StackFrame| frame.function.contains("+0x") && frame.file.is_none();
        assert!(violation.stack.iter().all(is_offset), "{violation:?}");
        assert_eq!(output.stdout.contains("another build"), has_other);
    }
}
