//! Many schedules of a whole life, with control operations at any moment, break no rule; a seed that breaks one plays
//! the same again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use std::{fs, thread};

use lab_cli::trial::stress::Summary;
use tests::{Lab, driver};

/// A share of the seeds that a release is tried with.
const SEEDS: u64 = 200;

/// Filters with a short flow table: the driver fills it entry by entry, and attaches often here.
fn stress(name: &str) -> Lab {
    Lab::stress(&driver(name)).with(["--set", "MaxFlows=64"])
}

fn seeds(lab: &Lab, from: u64, seeds: u64) -> Lab {
    lab.clone()
        .with(["--from", &from.to_string(), "--seeds", &seeds.to_string()])
}

fn clean(lab: &Lab) -> Summary {
    let output = lab.output();
    assert_eq!(
        output.exit, 0,
        "{lab:?}\n{}{}",
        output.stdout, output.stderr
    );
    output.object()
}

#[test]
fn every_seed_is_a_full_life_of_its_own() {
    for (name, operations) in [
        (
            "deferlwf",
            &[
                "detach and attach",
                "device request",
                "mode change",
                "pause and restart",
                "status",
            ][..],
        ),
        (
            "passthru",
            &["detach and attach", "pause and restart", "status"],
        ),
        ("faulty", &["detach and attach", "pause and restart"]),
    ] {
        let summary = clean(&seeds(&stress(name), 0, SEEDS));
        assert_eq!((summary.played, summary.distinct), (SEEDS, SEEDS), "{name}");
        assert!(
            summary.warnings.is_empty(),
            "{name}: {:#?}",
            summary.warnings
        );
        for packets in [summary.sent_per_seed, summary.received_per_seed] {
            assert!(packets.unwrap().min >= 200, "{name}: {summary:?}");
        }
        assert!(summary.events.unwrap().min > 1000, "{name}: {summary:?}");
        assert!(
            summary.packets.send > 0 && summary.packets.receive > 0,
            "{name}"
        );
        for edge in ["prompt", "slow", "refusing", "stuck"] {
            assert!(summary.lower_edges.contains_key(edge), "{name}: {edge}");
        }
        // Ten per adapter, of every kind that there are handlers for.
        assert!(
            summary.operations_per_seed.unwrap().min >= 10,
            "{name}: {summary:?}"
        );
        for operation in operations {
            assert!(
                summary.operations.contains_key(*operation),
                "{name}: {operation}"
            );
        }
    }
}

#[test]
fn a_life_is_the_same_whatever_was_played_before() {
    let lab = stress("deferlwf").with(["--jobs", "1"]);
    let events = |summary: Summary| summary.events.map(|events| (events.min, events.max));
    // Two lives after one another have the least and the most events of the two that are played alone.
    let together = events(clean(&seeds(&lab, 5, 2))).unwrap();
    let alone: BTreeSet<u64> = (5..7)
        .map(|seed| events(clean(&seeds(&lab, seed, 1))).unwrap().0)
        .collect();
    assert_eq!(alone, BTreeSet::from([together.0, together.1]));
}

#[test]
fn the_same_seeds_give_the_same_bytes() {
    for lab in [
        seeds(&stress("deferlwf"), 40, 6),
        Lab::run(&driver("deferlwf")).with(["--hard", "--seed", "41"]),
    ] {
        let (first, second) = (lab.output(), lab.output());
        assert_eq!(first.exit, 0, "{lab:?}\n{}", first.stderr);
        assert!(
            !first.stdout.is_empty() && first.stdout == second.stdout,
            "{lab:?}"
        );
    }
}

#[test]
fn a_seed_alone_is_that_of_a_stress() {
    for seed in [3, 8] {
        let lab = stress("deferlwf").with(["--jobs", "1"]);
        let stress = clean(&seeds(&lab, seed, 1));
        let alone = Lab::run(&driver("deferlwf"))
            .set("MaxFlows", 64)
            .with(["--hard"])
            .seed(seed)
            .clean();
        assert_eq!(stress.events.unwrap().min, alone.events, "{seed}");
        assert_eq!(stress.packets, alone.packets.ndis, "{seed}");
        assert_eq!(alone.processors, 2);
    }
}

#[test]
fn a_failing_seed_is_named_and_plays_again() {
    let lab = stress("faulty").with(["--set", "Fault=nbl-leak"]);
    let first = seeds(&lab, 3, 20).output();
    assert_eq!(first.exit, 1, "{}", first.stderr);
    let failure = first.object::<Summary>().failure.expect("a failure");
    let violation = failure.violation.expect("a broken rule");
    assert!(
        violation.rule.starts_with("nbl-") || violation.rule.starts_with("pause-"),
        "{violation:#?}"
    );
    let first = violation.objects.first().expect("the packet");
    assert!(!first.steps.is_empty(), "{first:#?}");
    for _ in 0..2 {
        let again = Lab::command_line(&failure.replay).broken();
        assert_eq!(again, violation);
    }
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let no_image = Lab::stress("no-such.sys".as_ref()).output();
    let not_an_image = Lab::stress(&driver("deferlwf").with_extension("map")).output();
    let no_seed = seeds(&stress("deferlwf"), 0, 0).output();
    let beyond = seeds(&stress("deferlwf"), u64::MAX, 2).output();
    for output in [no_image, not_an_image, no_seed, beyond] {
        assert_eq!(output.exit, 2, "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// Whoever kills the command has killed all of it.
#[test]
fn no_worker_outlives_the_command() {
    let endless = Lab::stress(&driver("faulty"))
        .set("Fault", "machine-loop")
        .with(["--jobs", "1", "--seeds", "1"]);
    let mut command = endless.start();
    let begun = Instant::now();
    let worker = loop {
        if let Some(worker) = busy_child_of(command.id()) {
            break worker;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no worker");
        thread::sleep(Duration::from_millis(20));
    };
    command.kill().expect("it can be killed");
    command.wait().expect("it ends");
    // The loop ends the life after some seconds of processor time, and with it the worker that only waits for questions.
    thread::sleep(Duration::from_millis(200));
    assert!(!is_running(worker), "process {worker} goes on");
}

/// A child of the process that has worked for a while.
fn busy_child_of(process: u32) -> Option<u32> {
    const TICKS: u64 = 20;
    let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let children = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|line| {
            let ids = line.split_whitespace().map(|id| id.parse().ok());
            ids.flatten().collect::<Vec<u32>>()
        })
        .collect();
    children.into_iter().find(|child| {
        let ticks = fields(*child).and_then(|fields| fields.get(11)?.parse::<u64>().ok());
        ticks.is_some_and(|ticks| ticks >= TICKS)
    })
}

/// Whether there is such a process, other than as an entry that nobody has asked for yet.
fn is_running(process: u32) -> bool {
    fields(process).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

/// What Linux says of a process, from its state on.
fn fields(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// In this seed two senders each had a part of a long batch when no more packets were to be out, and waited for each other.
#[test]
fn long_batches_do_not_wait_for_each_other() {
    clean(&seeds(&Lab::stress(&driver("deferlwf")), 36_368, 1));
}
