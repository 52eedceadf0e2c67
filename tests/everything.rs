//! The example that asks for every path: packets of its own go both ways and come back, in easy lives and in hard ones,
//! and whatever fails.

use std::collections::BTreeMap;
use std::fs;

use lab_cli::summary::Summary;
use lab_cli::trial::sweep;
use serde_json::Value;
use tests::{Lab, Scratch, capture, captures, driver};

#[test]
fn own_packets_go_both_ways_and_everything_comes_back() {
    for seed in 1..=10 {
        let lab = captures()
            .iter()
            .fold(Lab::run(&driver("everything")), |lab, capture| {
                lab.pcap(capture)
            })
            .seed(seed);
        let (told, summary) = told(&lab);
        for (path, made) in [
            ("BesideSends", summary.originated.send),
            ("BesideReceives", summary.originated.receive),
        ] {
            // What goes beside others, or in their place as copies, is the filter's own too, beside the frames that it makes up;
            // a clone in place is not.
            let beside = ["Mirrored", "Duplicated", "Replaced"].map(|name| of(&told, path, name));
            assert!(made > beside.iter().sum(), "seed {seed}: {made} {beside:?}");
        }
        assert_eq!(
            summary.passed.send + of(&told, "BesideSends", "Replaced"),
            summary.packets.ndis.send,
            "seed {seed}"
        );
        assert_eq!(summary.pool.left_bytes, 0, "seed {seed}");
    }
}

/// What the modules of a run that breaks no rule tell when they pause at its end, and its summary.
fn told(lab: &Lab) -> (Vec<Value>, Summary) {
    let output = lab.clone().with(["--trace", "all"]).passed();
    let mut events = output.records();
    assert!(!events.is_empty(), "{lab:?}");
    // Some were told to the session when it came.
    events.retain(|event| event["irql"] == 0);
    (events, output.summary())
}

/// The sum of a field over the events of one name.
fn of(events: &[Value], name: &str, field: &str) -> u64 {
    events
        .iter()
        .filter(|event| event["name"] == name)
        .map(|event| event["fields"][field].as_u64().expect("a number"))
        .sum()
}

#[test]
fn what_stands_beside_packets_is_read_each_way() {
    let mut seen: Vec<Value> = Vec::new();
    for seed in 1..=6 {
        for name in ["coalesced", "vlan", "large", "dns"] {
            let (events, summary) = told(
                &Lab::run(&driver("everything"))
                    .pcap(&capture(name))
                    .seed(seed),
            );
            let received = |field| of(&events, "BesideReceives", field);
            // Every joined packet says how many segments it has, as the lab counts them.
            let joined = received("Joined");
            let single = summary.packets.ndis.receive - joined;
            let segments = summary
                .adapters
                .iter()
                .map(|adapter| adapter.segments.receive);
            assert_eq!(
                segments.sum::<u64>(),
                single + received("Segments"),
                "{name} {seed}"
            );
            if name == "coalesced" {
                // Those that are wider than the wire, and no others.
                let large = ["LargeV1", "LargeV2"];
                let large: u64 = large
                    .map(|field| of(&events, "BesideSends", field))
                    .iter()
                    .sum();
                assert!(large > 0 && joined > 0, "{seed}");
            } else {
                assert_eq!(received("Invalid"), 0, "{name} {seed}");
            }
            seen.extend(events);
        }
    }
    for (event, fields) in [
        (
            "BesideSends",
            &[
                "Checksums",
                "LargeV1",
                "LargeV2",
                "Timestamps",
                "Hashes",
                "Tags",
                "Cloned",
                "Mirrored",
                "Replaced",
                "Duplicated",
                "Read",
            ] as &[&str],
        ),
        (
            "BesideReceives",
            &[
                "Right",
                "Invalid",
                "Joined",
                "DuplicateAcks",
                "Timestamps",
                "Hashes",
                "Tags",
                "Cloned",
                "Mirrored",
                "Replaced",
                "Duplicated",
                "Read",
            ],
        ),
    ] {
        for field in fields {
            assert!(of(&seen, event, field) > 0, "{event} {field}");
        }
    }
    // Nothing in these captures is damaged.
    assert_eq!(of(&seen, "BesideReceives", "Wrong"), 0);
    // In whatever pieces a packet lies, reading it in parts says what reading it at once does.
    for event in ["BesideSends", "BesideReceives"] {
        assert_eq!(of(&seen, event, "Misread"), 0, "{event}");
    }
}

#[test]
fn hard_lives_break_no_rule() {
    let output = Lab::stress(&driver("everything"))
        .with(["--seeds", "150"])
        .output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
}

/// A routine of the driver's asks for another run whenever it has run and the module does not run.
#[test]
fn work_item_that_never_has_enough_keeps_neither_pause_nor_detach() {
    // Runs of NDIS's work items, and of one of WDM's, which is queued whenever that of packets runs.
    let runs = |restless| {
        let run = |seed| {
            let lab = Lab::run(&driver("everything")).pcap(&captures()[0]);
            lab.set("Restless", restless).seed(seed).clean()
        };
        let functions: Vec<_> = (1..=5).map(|seed| run(seed).work_items.functions).collect();
        ["NdisQueueIoWorkItem", "IoQueueWorkItem"]
            .map(|name| functions.iter().map(|it| it[name].runs).sum::<u64>())
    };
    let ([restless, its], [at_rest, others]) = (runs(1), runs(0));
    // It runs whenever that of packets does, and more often; what else runs is the same in both, whose lives have any length.
    let else_runs = at_rest - others;
    assert!(
        restless > 2 * its + else_runs,
        "{restless} for {its}, {at_rest} for {others}: it has rested"
    );
    let output = Lab::stress(&driver("everything"))
        .set("Restless", 1)
        .with(["--seeds", "10"])
        .output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
}

/// How often a life calls each import, and how often something of the driver's begins, by name.
fn calls(seed: u64) -> BTreeMap<String, usize> {
    let scratch = Scratch::new("everything-calls");
    let timeline = scratch.path().join("timeline.json");
    Lab::run(&driver("everything"))
        .pcap(&capture("dns"))
        .seed(seed)
        .with(["--timeline".as_ref(), timeline.as_os_str()])
        .clean();
    let text = fs::read_to_string(&timeline).expect("a timeline");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let mut calls = BTreeMap::new();
    for event in trace["traceEvents"].as_array().expect("events") {
        if event["ph"] == "B" {
            let name = event["name"].as_str().expect("a name");
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// The lock, the list, the DPC and the thread of `kind.rs` and `request.rs` are made, used, and gone at the end.
#[test]
fn each_primitive_is_made_used_and_given_back() {
    for seed in 1..=5 {
        let calls = calls(seed);
        let of = |name: &str| calls.get(name).copied().unwrap_or(0);
        for (made, gone) in [
            ("NdisAllocateRWLock", "NdisFreeRWLock"),
            ("ExInitializeLookasideListEx", "ExDeleteLookasideListEx"),
            ("PsCreateSystemThread", "PsTerminateSystemThread"),
            ("PsCreateSystemThread", "ZwWaitForSingleObject"),
            ("PsCreateSystemThread", "ZwClose"),
            ("KeInsertQueueDpc", "driver DPC"),
            ("(lookaside list: allocate)", "(lookaside list: free)"),
        ] {
            assert!(of(made) > 0, "{made}, seed {seed}: {calls:?}");
            let is_dpc = made == "KeInsertQueueDpc";
            assert!(
                of(made) == of(gone) || is_dpc && (1..of(made)).contains(&of(gone)),
                "{made} {gone}, seed {seed}: {calls:?}"
            );
        }
        let (reads, writes) = (of("NdisAcquireRWLockRead"), of("NdisAcquireRWLockWrite"));
        assert!(reads > writes && writes > 0, "seed {seed}: {calls:?}");
        assert_eq!(of("NdisReleaseRWLock"), reads + writes, "seed {seed}");
    }
}

#[test]
fn every_call_stack_fails_once_and_no_rule_is_broken() {
    let output = Lab::sweep(&driver("everything"))
        .with(["--seeds", "4"])
        .output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
    let summary: sweep::Summary = output.object();
    let row = |import: &str| {
        let mut rows = summary.imports.iter();
        rows.find(|row| row.import == import)
            .unwrap_or_else(|| panic!("{import} is not in {:#?}", summary.imports))
    };
    // Without these a module does not attach.
    for import in [
        "NdisAllocateRWLock",
        "ExInitializeLookasideListEx",
        "PsCreateSystemThread",
    ] {
        let row = row(import);
        assert_eq!(
            (row.failed, row.detached),
            (row.stacks, row.stacks),
            "{row:?}"
        );
    }
    // Without a block a packet is counted, and passes.
    let row = row("(lookaside list: allocate)");
    assert_eq!(
        (row.failed, row.passed),
        (row.stacks, row.stacks),
        "{row:?}"
    );
}
