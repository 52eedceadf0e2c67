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

#[test]
fn a_file_that_was_put_on_the_disk_is_read() {
    let scratch = Scratch::new("given");
    let image = driver("c-filter");
    let name = "\\SystemRoot\\Temp\\given\\DEFERLWF.dat";
    let given = |text: &[u8]| {
        let path = scratch.file("given.dat", text);
        format!("{name}={}", path.display())
    };
    let run = |file: &str| {
        Lab::run(&image)
            .pcap(&capture("ping"))
            .with(["--file", file])
    };
    run(&given(b"lab!\x07xy")).clean();
    // It is read: with other bytes the driver stops the system, in a run and in every life alike, and again when it is played
    // again.
    let wrong = given(b"lab!\x08xy");
    assert_eq!(run(&wrong).broken().rule, "lab-fault");
    let output = Lab::stress(&image)
        .with(["--seeds", "2", "--file", &wrong])
        .output();
    assert_eq!(output.exit, 1, "{output:?}");
    let found: lab_cli::trial::stress::Summary = output.object();
    let replay = found.failure.expect("it failed").replay;
    assert!(replay.contains("--file "), "{replay}");
    // A script brings its own, from beside it or from within.
    let text = |data: &str| {
        format!(
            "[[file]]\nname = '{name}'\n{data}\n[[step]]\ndo = 'wait'\nms = 5\n[[step]]\ndo = 'send'\nframes = '{}'",
            "00".repeat(60)
        )
    };
    for (data, exit) in [
        ("data = '6c616221 05'", 0),
        ("data = '6c616221 06'", 1),
        ("from = 'given.dat'", 1),
    ] {
        let path = scratch.file("s.toml", text(data).as_bytes());
        let output = Lab::run(&image).script(&path).output();
        assert_eq!(output.exit, exit, "{data}: {output:?}");
    }
}

#[test]
fn a_file_that_the_disk_cannot_have_is_refused_in_one_line() {
    let scratch = Scratch::new("no-disk");
    let here = scratch.file("x.dat", b"x");
    let large = scratch.path().join("large.dat");
    let file = std::fs::File::create(&large).expect("a file");
    file.set_len((16 << 20) + 1).expect("a long file");
    let [here, large] = [&here, &large].map(|path| path.display().to_string());
    for (files, said) in [
        (vec![format!("C:\\x={here}")], "no file of the lab's disk"),
        (vec![here.clone()], "expected NT-PATH=FILE"),
        (
            vec![format!("\\??\\C:\\x={here}.missing")],
            "x.dat.missing: No such file",
        ),
        (
            vec![format!("\\??\\C:\\x={large}")],
            "has more than 16777216 bytes, a file's limit",
        ),
        (
            vec![format!("\\??\\C:\\Windows={here}")],
            "is a folder, and cannot be a file",
        ),
        (
            vec![
                format!("\\SystemRoot\\x={here}"),
                format!("\\??\\C:\\WINDOWS\\X={here}"),
            ],
            "X: there are two of it",
        ),
    ] {
        for command in ["run", "stress", "bench"] {
            let mut lab = Lab::command([command.as_ref(), driver("c-filter").as_os_str()]);
            for file in &files {
                lab = lab.with(["--file", file]);
            }
            let output = lab.output();
            assert_eq!(output.exit, 2, "{command}: {output:?}");
            assert!(output.stderr.contains(said), "{said}: {output:?}");
            assert!(output.stderr.lines().count() <= 3, "{output:?}");
        }
    }
}

/// A mark `caught: PLAY by RULE` in the source, with its line.
struct Mark {
    play: String,
    rule: String,
    /// Its file and line.
    place: (String, u32),
}

fn marks(kind: &str) -> Vec<Mark> {
    let begin = format!("/* {kind}: ");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/c");
    let mut marks = Vec::new();
    for file in ["fault.c", "hang.c", "library_fault.c"] {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mark = |(line, text): (u32, &str)| {
            let (_, mark) = text.split_once(&begin)?;
            let (play, rule) = mark.strip_suffix(" */")?.split_once(" by ")?;
            Some(Mark {
                play: play.to_owned(),
                rule: rule.to_owned(),
                place: (file.to_owned(), line),
            })
        };
        marks.extend((1..).zip(text.lines()).filter_map(mark));
    }
    marks
}

/// File and line of the innermost frame that has a line, in the sources of the C filter.
fn place(finding: &Finding) -> Option<(String, u32)> {
    let (file, line) = finding
        .stack
        .iter()
        .find_map(|frame| Some((frame.file.as_ref()?, frame.line?)))?;
    let file = file.replace('\\', "/");
    let (_, name) = file.split_once("tests/drivers/c/")?;
    Some((name.to_owned(), line))
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
            assert_eq!(
                place(&violation).as_ref(),
                Some(&mark.place),
                "{play}: {violation:?}"
            );
        }
    }
}

/// What is missed in the end is told as what it is.
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

/// A timer of 10 ms expires in the first lives of stress, though their traffic is over long before.
#[test]
fn short_timers_expire_in_the_first_seeds() {
    let marks = marks("soon");
    assert!(!marks.is_empty());
    for mark in marks {
        let lab = Lab::stress(&driver("c-faulty")).set("Fault", &mark.play);
        let output = lab.with(["--seeds", "4"]).output();
        assert_eq!(output.exit, 1, "{output:?}");
        let found: lab_cli::trial::stress::Summary = output.object();
        let violation = found.failure.expect("it failed").violation;
        let violation = violation.expect("a broken rule");
        assert_eq!(
            (violation.rule.as_str(), place(&violation)),
            (mark.rule.as_str(), Some(mark.place))
        );
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
