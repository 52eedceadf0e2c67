//! The work item's routine runs at `PASSIVE_LEVEL` on a system thread, never twice at once, with many packets a run.

use std::collections::{BTreeMap, BTreeSet};

use lab_cli::summary::WorkItemFunction;
use serde_json::Value;
use tests::{Lab, capture, captures, driver};

#[test]
fn the_routine_runs_at_passive_level_on_system_threads_and_never_twice_at_once() {
    for seed in 1..=10 {
        let output = captures()
            .iter()
            .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
                lab.pcap(capture)
            })
            .with(["--workers", "4", "--processors", "4", "--trace", "all"])
            .with(["--trace-level", "5"])
            .seed(seed)
            .passed();
        assert_one_at_a_time(&output.events(), seed);
        let items = output.summary().work_items;
        assert!(items.runs > 0, "seed {seed}");
        assert_eq!(items.entry_irql, Some(0), "seed {seed}");
        assert_eq!(items.runs_on_system_thread, items.runs, "seed {seed}");
        // The last act of a run that wants another is to queue the item, so the next may begin before it has returned.
        assert!(items.max_concurrent <= 2, "seed {seed}");
        assert_eq!(items.queued, items.runs, "seed {seed}");
        assert_eq!(items.allocated, items.freed, "seed {seed}");
    }
}

/// By what the driver tells of its work: a routine ends before it begins again.
fn assert_one_at_a_time(events: &[Value], seed: u64) {
    let events = events.iter().filter_map(|event| {
        let (name, fields) = (event["name"].as_str()?, &event["fields"]);
        let work = (fields["IfIndex"].as_u64()?, fields["Work"].as_str()?);
        Some((
            name == "WorkStarted",
            name == "WorkStopped",
            (work.0, work.1.to_owned()),
        ))
    });
    let (mut running, mut runs) = (BTreeSet::new(), 0);
    for (begins, ends, work) in events {
        if begins {
            runs += 1;
            assert!(
                running.insert(work.clone()),
                "seed {seed}: {work:?} runs twice at once"
            );
        }
        if ends {
            assert!(running.remove(&work), "seed {seed}: {work:?} does not run");
        }
    }
    assert!(runs > 0, "seed {seed}");
}

#[test]
fn a_run_takes_many_packets_under_load() {
    let summary = Lab::run(&driver("deferlwf"))
        .pcap(&capture("large"))
        .seed(1)
        .clean();
    let items = summary.work_items;
    assert!(items.packets_per_run > Some(1.0), "{items:?}");
    assert!(items.max_batch > Some(1), "{items:?}");
    assert!(items.coalesced > Some(0), "{items:?}");
}

/// What was written to the ring is drained before detach, and detach waits for the worker.
#[test]
fn stacks_may_stop_while_the_worker_is_wanted() {
    for seed in 1..=30 {
        let summary = Lab::run(&driver("deferlwf"))
            .pcap(&capture("large"))
            .pcap(&capture("dns"))
            .with(["--stop", "busy", "--workers", "4"])
            .seed(seed)
            .clean();
        let seen = summary.packets.driver.seen;
        assert_eq!(seen.send.zip(seen.receive), Some((276, 192)), "seed {seed}");
        assert_eq!(
            summary.packets.driver.not_inspected,
            Some(0),
            "seed {seed}: the ring is drained before detach"
        );
        assert!(summary.work_items.runs > 0, "seed {seed}");
    }
}

/// The table of `docs/work-items.md`: each member of both families is made, queued, run and freed by a driver on `ndis`.
#[test]
fn each_member_of_both_families_is_made_queued_run_and_freed() {
    let mut all: BTreeMap<String, WorkItemFunction> = BTreeMap::new();
    for seed in 1..=20 {
        let summary = Lab::run(&driver("everything"))
            .pcap(&capture("dns"))
            .with(["--workers", "4"])
            .seed(seed)
            .clean();
        for (name, function) in summary.work_items.functions {
            let sum = all.entry(name).or_default();
            sum.calls += function.calls;
            sum.runs += function.runs;
        }
    }
    let calls = |name: &str| all.get(name).map_or(0, |function| function.calls);
    let table = include_str!("../docs/work-items.md");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |"))
        .map(|line| line.split("` | `").collect())
        .collect();
    assert_eq!(rows.len(), 6, "{rows:#?}");
    for row in rows {
        let &[made, queued, freed] = row.as_slice() else {
            panic!("{row:?}");
        };
        assert!(calls(made) > 0, "{made}: {all:#?}");
        assert_eq!(calls(made), calls(freed), "{made} and {freed}: {all:#?}");
        let queued = all
            .get(queued)
            .unwrap_or_else(|| panic!("{queued}: {all:#?}"));
        assert!(queued.runs > 0, "{queued:?}");
        assert_eq!(queued.calls, queued.runs, "each queueing leads to one run");
    }
    // No function of the families is missing in the table.
    for name in all.keys() {
        assert!(table.contains(&format!("`{name}`")), "{name}");
    }
}

/// That the lab can show what the driver avoids.
#[test]
fn a_routine_that_requeues_itself_naively_is_seen_overlapping() {
    let most = (1..=20).map(|seed| {
        Lab::run(&driver("faulty"))
            .pcap(&capture("ping"))
            .set("Fault", "work-overlap")
            .with(["--workers", "4", "--processors", "4"])
            .seed(seed)
            .clean()
            .work_items
            .max_concurrent
    });
    assert!(most.max() >= Some(2));
}
