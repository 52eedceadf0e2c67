//! A driver that misbehaves on request is caught each time: by the right rule, in the run in which it happens, with
//! the source line. And what is only unusual is not reported.
//!
//! The marks in the driver's source are the only list of what comes of each play; `drivers/faulty/src/fault.rs` says
//! how they are written.

#[path = "faults/coverage.rs"]
mod coverage;
#[path = "faults/mark.rs"]
mod mark;
#[path = "faults/text.rs"]
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, thread};

use lab_cli::summary::Finding;
use lab_cli::trial::stress::Summary as Stress;
use mark::{Mark, Outcome};
use tests::{Lab, Output, capture, driver};

/// Seeds of each play.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// Seeds of a play that declines besides: its lives are short.
const SHORT_LIVES: std::ops::RangeInclusive<u64> = 4..=12;

/// Hard lives of each legal play.
const HARD_LIVES: u32 = 8;

/// The seeds to play: `FAULTS_SEEDS=A-B` in the environment says others.
fn seeds() -> Vec<u64> {
    if let Ok(text) = env::var("FAULTS_SEEDS") {
        let (first, last) = text.split_once('-').expect("FAULTS_SEEDS=A-B");
        let number = |text: &str| text.parse().expect("FAULTS_SEEDS=A-B");
        return (number(first)..=number(last)).collect();
    }
    SEEDS.collect()
}

fn faulty(play: &str, seed: u64) -> Lab {
    faulty_with(play, seed, &BTreeSet::new())
}

/// The same with what marks add: arguments, and a capture as `@NAME`.
fn faulty_with(play: &str, seed: u64, added: &BTreeSet<&str>) -> Lab {
    let traffic = added.iter().find_map(|argument| argument.strip_prefix('@'));
    Lab::run(&driver("faulty"))
        .pcap(&capture(traffic.unwrap_or("ping")))
        .set("Fault", play)
        .with(added.iter().filter(|argument| !argument.starts_with('@')))
        .seed(seed)
}

/// Plays all that is marked, or with `FAULTS=text` in the environment what has the text in its name.
#[test]
fn every_play_ends_as_its_mark_says() {
    let only = env::var("FAULTS").unwrap_or_default();
    let marks = mark::all();
    let mut plays: BTreeMap<&str, Vec<&Mark>> = BTreeMap::new();
    let played: Vec<&Mark> = marks
        .iter()
        .filter(|mark| mark.play.contains(&only))
        .collect();
    for mark in &played {
        plays.entry(&mark.play).or_default().push(mark);
    }
    let seeds = seeds();
    let failures = failures(&plays.iter().collect::<Vec<_>>(), &seeds);
    let table = format!(
        "\n{} plays, seeds {seeds:?} each\n{}",
        plays.len(),
        table(&played, &failures)
    );
    // Past the test harness, which hides what a test that passes prints.
    io::stdout()
        .write_all(table.as_bytes())
        .expect("standard output");
    assert!(
        failures.is_empty(),
        "{}",
        failures.into_values().collect::<Vec<_>>().join("\n")
    );
}

/// Plays all; gives what went otherwise than marked, by play.
fn failures(plays: &[(&&str, &Vec<&Mark>)], seeds: &[u64]) -> BTreeMap<String, String> {
    in_parallel(plays, |(play, marks)| {
        let arguments = marks.iter().flat_map(|mark| &mark.arguments);
        let arguments: BTreeSet<&str> = arguments.map(String::as_str).collect();
        let declines = |mark: &&Mark| matches!(mark.outcome, Outcome::Declined(_));
        let more = SHORT_LIVES.filter(|_| marks.iter().all(declines));
        seeds
            .iter()
            .copied()
            .chain(more)
            .map(|seed| (seed, faulty_with(play, seed, &arguments).output()))
            .find_map(|(seed, output)| {
                let told = marks.iter().find_map(|mark| complaint(mark, &output))?;
                Some(((**play).to_owned(), format!("{play}, seed {seed}: {told}")))
            })
    })
}

/// Looks at all items, spread over threads; gathers what is found.
fn in_parallel<T: Sync, F: Send, C: FromIterator<F>>(
    items: &[T],
    look: impl Fn(&T) -> Option<F> + Sync,
) -> C {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(one) = look(item) {
                found
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(one);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .collect()
}

/// What is otherwise than a mark says, if anything is.
fn complaint(mark: &Mark, output: &Output) -> Option<String> {
    let expected = match &mark.outcome {
        Outcome::Caught(_) => 1,
        Outcome::Warned(_) | Outcome::Legal(_) => 0,
        Outcome::Declined(_) | Outcome::DeclinedWith(_) => 2,
    };
    let summary = (output.exit < 2).then(|| output.summary());
    let violation = summary
        .as_ref()
        .and_then(|summary| summary.violation.as_ref());
    if output.exit != expected {
        let told = violation.map_or_else(|| format!("{}{}", output.stdout, output.stderr), told_of);
        return Some(format!("exit code {}, not {expected}: {told}", output.exit));
    }
    let warnings = summary
        .as_ref()
        .map_or(&[][..], |summary| &summary.warnings);
    match &mark.outcome {
        Outcome::Caught(rule) => {
            let Some(violation) = violation else {
                return Some("counts disagree, and no rule is broken".to_owned());
            };
            differs(mark, rule, violation)
                .then(|| told_of(violation))
                .or_else(|| left_open(violation))
        }
        Outcome::Warned(rule) => {
            let Some(warning) = warnings.iter().find(|warning| warning.rule == *rule) else {
                let told: Vec<String> = warnings.iter().map(told_of).collect();
                return Some(format!("no warning by {rule} among {told:?}"));
            };
            differs(mark, rule, warning)
                .then(|| told_of(warning))
                .or_else(|| left_open(warning))
        }
        Outcome::Legal(_) => warnings
            .first()
            .map(|warning| format!("a false alarm: {}", told_of(warning))),
        Outcome::Declined(_) => declines(output, "\n").then(|| output.stderr.clone()),
        Outcome::DeclinedWith(rule) => {
            declines(output, &format!("; {rule}: ")).then(|| output.stderr.clone())
        }
    }
}

/// Whether it is not one line about a refused load, with this behind the status.
fn declines(output: &Output, behind: &str) -> bool {
    let told = output
        .stderr
        .split_once("faulty.sys: DriverEntry failed with 0x");
    let rest = told.and_then(|(_, rest)| rest.get("c0000000".len()..));
    output.stderr.lines().count() != 1 || !rest.is_some_and(|rest| rest.starts_with(behind))
}

/// What a report must tell and does not: an object with its history; a stop code, or what follows without one; all of it
/// in words.
fn left_open(finding: &Finding) -> Option<String> {
    let has_history = finding.objects.first().is_some_and(|object| {
        let is_placed = object.steps.iter().any(|step| !step.stack.is_empty());
        !object.holder.is_empty() && is_placed
    });
    let lacks = if !has_history {
        "no object with a history"
    } else if finding.bugcheck.is_some() == finding.consequence.is_some() {
        "not one of stop code and consequence"
    } else if text::shows_program(finding) {
        "a text of Rust's among the words"
    } else {
        return None;
    };
    Some(format!("{lacks}: {}", told_of(finding)))
}

/// Whether a finding is by another rule or at another line.
fn differs(mark: &Mark, rule: &str, finding: &Finding) -> bool {
    finding.rule != rule || place(finding).as_ref() != Some(&mark.place)
}

fn told_of(finding: &Finding) -> String {
    format!(
        "{} at {:?}: {}",
        finding.rule,
        place(finding),
        finding.happened
    )
}

/// Of some marks: plays caught, plays that should be, legal plays, and how many of those gave a false alarm.
#[derive(Default)]
struct Row {
    caught: usize,
    expected: usize,
    legal: usize,
    alarms: usize,
}

impl Row {
    /// Of the plays that break, or nearly break, a rule that `is` accepts.
    fn of(
        marks: &[&Mark],
        failures: &BTreeMap<String, String>,
        is: impl Fn(&String) -> bool,
    ) -> Self {
        let mut row = Self::default();
        let mut legal = BTreeSet::new();
        for mark in marks {
            let has_failed = failures.contains_key(&mark.play);
            if let Some(rule) = mark.outcome.broken() {
                let counts = is(rule);
                row.expected += usize::from(counts);
                row.caught += usize::from(counts && !has_failed);
            } else if mark.outcome.near().iter().any(&is) && legal.insert(&mark.play) {
                row.legal += 1;
                row.alarms += usize::from(has_failed);
            }
        }
        row
    }
}

/// One line per family of monitors, and one for the rules that are the lab's own.
fn table(marks: &[&Mark], failures: &BTreeMap<String, String>) -> String {
    let mut table = format!(
        "{:<14} {:>8} {:>8} {:>8} {:>6}  false alarms\n",
        "family", "monitors", "caught", "expected", "legal"
    );
    let mut line = |family: &str, monitors: usize, row: &Row| {
        let Row {
            caught,
            expected,
            legal,
            alarms,
        } = row;
        table +=
            &format!("{family:<14} {monitors:>8} {caught:>8} {expected:>8} {legal:>6}  {alarms}\n");
    };
    for (family, rules) in coverage::families() {
        let row = Row::of(marks, failures, |rule| rules.contains(rule));
        line(&family, rules.len(), &row);
    }
    let is_own = |rule: &String| rule.starts_with("lab-");
    let own = marks.iter().filter_map(|mark| mark.outcome.broken());
    let own: BTreeSet<&String> = own.filter(|rule| is_own(rule)).collect();
    line(
        "the lab's own",
        own.len(),
        &Row::of(marks, failures, is_own),
    );
    let broken = marks.iter().filter(|mark| mark.outcome.broken().is_some());
    let caught = broken
        .clone()
        .filter(|mark| !failures.contains_key(&mark.play));
    let legal: BTreeSet<&str> = marks
        .iter()
        .filter(|mark| mark.outcome.broken().is_none())
        .map(|mark| mark.play.as_str())
        .collect();
    let alarms = legal.iter().filter(|play| failures.contains_key(**play));
    let (caught, expected, alarms) = (caught.count(), broken.count(), alarms.count());
    table
        + &format!(
            "caught {caught} of {expected} expected, false alarms {alarms} of {} legal plays\n\n",
            legal.len()
        )
}

/// A play without a mark would never be looked at, and a mark without a play would not be played.
#[test]
fn plays_and_marks_belong_together() {
    let marked: BTreeSet<String> = mark::all().into_iter().map(|mark| mark.play).collect();
    let plays = mark::plays();
    let unmarked: Vec<_> = plays.difference(&marked).collect();
    assert!(unmarked.is_empty(), "no mark: {unmarked:?}");
    let unknown: Vec<_> = marked.difference(&plays).collect();
    assert!(unknown.is_empty(), "no play: {unknown:?}");
}

/// The driver's README names what is wrong in its first table, and in its second what is only unusual.
#[test]
fn the_readme_of_the_driver_names_plays() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/faulty/README.md");
    let text = fs::read_to_string(path).expect("the driver's README");
    let (_, tables) = text.split_once("## What is wrong").expect("a first table");
    let (wrong, unusual) = tables
        .split_once("## What is only unusual")
        .expect("a second table");
    let marks = mark::all();
    for (table, is_wrong) in [(wrong, true), (unusual, false)] {
        for row in table.lines().filter_map(|line| line.rsplit("| ").next()) {
            for play in row.split('`').skip(1).step_by(2) {
                let mut of_play = marks.iter().filter(|mark| mark.play == play).peekable();
                assert!(of_play.peek().is_some(), "no play: {play}");
                assert!(
                    of_play.all(|mark| mark.outcome.broken().is_some() == is_wrong),
                    "in the other table: {play}"
                );
            }
        }
    }
}

#[test]
fn a_play_has_one_kind_of_end() {
    let mut ends: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for mark in mark::all() {
        let kind = mark.outcome.kind();
        let known = ends.entry(mark.play.clone()).or_insert(kind);
        assert_eq!(*known, kind, "{}", mark.play);
        if kind == "caught" {
            assert!(
                lines.insert(mark.play.clone()),
                "caught twice: {}",
                mark.play
            );
        }
    }
}

/// Each monitor is tripped by a driver's own calls, and has a neighbour that is legal.
#[test]
fn every_monitor_has_its_plays() {
    let marks = mark::all();
    let known: BTreeSet<String> = coverage::monitors();
    let named = |rules: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
        let rules: BTreeSet<String> = rules.cloned().collect();
        // Rules of the lab's own stand beside Microsoft's.
        let unknown: Vec<_> = rules
            .difference(&known)
            .filter(|rule| !rule.starts_with("lab-"))
            .collect();
        assert!(unknown.is_empty(), "not monitors: {unknown:?}");
        rules
    };
    let broken = named(&mut marks.iter().filter_map(|mark| mark.outcome.broken()));
    let near = named(&mut marks.iter().flat_map(|mark| mark.outcome.near()));
    let mut missing = Vec::new();
    for (family, rules) in coverage::families() {
        let open: Vec<String> = rules
            .iter()
            .filter(|rule| !broken.contains(*rule) || !near.contains(*rule))
            .map(|rule| {
                let misses = |is_there: bool, what| if is_there { "" } else { what };
                format!(
                    "{rule}{}{}",
                    misses(broken.contains(rule), " -play"),
                    misses(near.contains(rule), " -neighbour")
                )
            })
            .collect();
        missing.extend(open.iter().map(|open| format!("{family}: {open}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Legal plays stay clean with two adapters, attached and detached again, and control operations at any moment.
#[test]
fn legal_plays_are_clean_in_hard_lives() {
    let marks = mark::all();
    // Traffic and operations are the life's own, not what marks add.
    let plays: BTreeSet<&str> = marks
        .iter()
        .filter(|mark| matches!(mark.outcome, Outcome::Legal(_)))
        .map(|mark| mark.play.as_str())
        .collect();
    assert!(plays.len() >= 80, "{plays:?}");
    let lives = HARD_LIVES.to_string();
    let failures: Vec<String> = in_parallel(&plays.iter().collect::<Vec<_>>(), |play| {
        let output = Lab::stress(&driver("faulty"))
            .set("Fault", play)
            .with(["--jobs", "1", "--seeds", &lives])
            .output();
        let is_clean = output.exit == 0 && output.object::<Stress>().warnings.is_empty();
        (!is_clean).then(|| format!("{play}: {output:?}"))
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A play that its rule catches, or warns of, is not told of by that rule when it is switched off: one play of each rule,
/// or all of them, with all seeds, with `FAULTS_ALL` in the environment.
#[test]
fn a_rule_that_is_switched_off_tells_of_nothing() {
    let marks = mark::all();
    let mut arguments: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mark in &marks {
        let added = mark.arguments.iter().map(String::as_str);
        arguments.entry(&mark.play).or_default().extend(added);
    }
    let mut cases: Vec<(&str, &str)> = Vec::new();
    let mut seen = BTreeSet::new();
    for mark in &marks {
        let rule = match &mark.outcome {
            // A run ends with these in any case.
            Outcome::Caught(rule) if rule == "lab-fault" || rule == "lab-no-hang" => continue,
            Outcome::Caught(rule) | Outcome::Warned(rule) => rule,
            _ => continue,
        };
        if seen.insert(rule) || env::var_os("FAULTS_ALL").is_some() {
            cases.push((&mark.play, rule));
        }
    }
    assert!(cases.len() > 250, "{}", cases.len());
    let seeds = env::var_os("FAULTS_ALL").map_or_else(|| vec![1], |_| seeds());
    let cases: Vec<(&str, &str, u64)> = cases
        .iter()
        .flat_map(|(play, rule)| seeds.iter().map(|seed| (*play, *rule, *seed)))
        .collect();
    let failures: Vec<String> = in_parallel(&cases, |(play, rule, seed)| {
        let lab = faulty_with(play, *seed, &arguments[play]).with(["--without", *rule]);
        let output = lab.output();
        let is_off = || {
            let summary = output.summary();
            let mut told = summary.violation.iter().chain(&summary.warnings);
            summary.rules.without == [*rule] && told.all(|finding| finding.rule != *rule)
        };
        // Where that was why `DriverEntry` failed, it still does.
        let is_clean = match output.exit {
            2 => !declines(&output, "\n"),
            exit => exit < 2 && is_off(),
        };
        (!is_clean).then(|| format!("{play} without {rule}, seed {seed}: {output:?}"))
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The run goes on to what comes next, and says for people and in its command what is not watched.
#[test]
fn what_is_switched_off_is_said() {
    let off = ["--without", "event-wait-passive"];
    let output = Lab::screen(&driver("faulty"))
        .set("Fault", "irql-wait")
        .with(off)
        .output();
    let stress = Lab::stress(&driver("faulty"))
        .with(["--seeds", "1"])
        .with(off)
        .output();
    for text in [&output.stdout, &stress.stdout] {
        assert!(text.contains("not watched: event-wait-passive"), "{text}");
    }
    let alone = Lab::run(&driver("faulty")).with(off).clean();
    assert!(
        alone.replay.ends_with("--without event-wait-passive"),
        "{alone:?}"
    );
    let checked = Lab::run(&driver("faulty")).clean().rules.checked;
    assert_eq!(alone.rules.checked + 1, checked);
}

#[test]
fn an_unknown_play_is_refused() {
    let output = faulty("no-such-play", 1).output();
    assert_eq!(output.exit, 2, "{output:?}");
    assert!(
        output
            .stderr
            .contains("faulty.sys: DriverEntry failed with 0xc0000034"),
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
    let marks = mark::all();
    let mark = marks.iter().find(|mark| mark.play == "irql-wait");
    let (file, line) = &mark.expect("a mark").place;
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
