//! `--timeline` writes a trace that viewers of the JSON trace event format open: spans nest on every lane, and lanes are
//! the processors, the threads and the DPCs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;
use tests::{Lab, Scratch, capture, driver};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
    #[serde(rename = "displayTimeUnit")]
    unit: String,
    #[serde(rename = "otherData")]
    about: About,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    image: String,
    seed: u64,
    replay: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    ph: String,
    ts: Option<f64>,
    dur: Option<f64>,
    pid: u32,
    tid: Option<u32>,
    cat: Option<String>,
    cname: Option<String>,
    s: Option<String>,
    id: Option<u64>,
    bp: Option<String>,
    args: Option<Arguments>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    name: Option<String>,
    irql: Option<u8>,
    processor: Option<u32>,
    #[serde(rename = "adapter")]
    _adapter: Option<u32>,
}

/// What a strict reader made of a trace.
#[derive(Default)]
struct Read {
    /// Names of the lanes by group.
    lanes: BTreeMap<String, BTreeSet<String>>,
    /// Names of the spans by lane.
    spans: BTreeMap<String, BTreeSet<String>>,
    instants: BTreeSet<String>,
    arrows: usize,
}

/// Reads a trace, and refuses what a viewer would show wrongly.
fn read(trace: &Trace) -> Read {
    assert_eq!(trace.unit, "ns");
    let mut read = Read::default();
    let mut groups = BTreeMap::new();
    let mut lanes = BTreeMap::new();
    let mut open: BTreeMap<(u32, u32), Vec<&Event>> = BTreeMap::new();
    let mut last: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    let mut arrows = BTreeMap::new();
    for event in &trace.events {
        let name = event.args.as_ref().and_then(|args| args.name.as_deref());
        if event.ph == "M" {
            let name = name.expect("metadata has a name");
            match event.name.as_str() {
                "process_name" => assert!(groups.insert(event.pid, name).is_none()),
                "thread_name" => {
                    let group = groups[&event.pid];
                    let tid = event.tid.expect("a lane");
                    assert!(lanes.insert((event.pid, tid), name).is_none());
                    read.lanes
                        .entry(group.to_owned())
                        .or_default()
                        .insert(name.to_owned());
                }
                other => panic!("{other}"),
            }
            continue;
        }
        let key = (event.pid, event.tid.expect("a lane"));
        let lane = lanes
            .get(&key)
            .unwrap_or_else(|| panic!("no lane: {event:?}"));
        let ts = event.ts.expect("a time");
        let last = last.entry(key).or_default();
        assert!(ts >= *last, "{lane}: back in time: {event:?}");
        *last = ts;
        let open = open.entry(key).or_default();
        let spans = read.spans.entry((*lane).to_owned()).or_default();
        match event.ph.as_str() {
            "B" => {
                let args = event.args.as_ref().expect("a level");
                assert!(args.irql.is_some() && args.processor.is_some() && event.cat.is_some());
                assert!(event.cname.is_some(), "no colour: {event:?}");
                spans.insert(event.name.clone());
                open.push(event);
            }
            "E" => {
                let begun = open
                    .pop()
                    .unwrap_or_else(|| panic!("never begun: {event:?}"));
                assert_eq!(begun.name, event.name, "{lane}");
            }
            "X" => {
                let dur = event.dur.expect("a duration");
                assert!(dur > 0.0, "{event:?}");
                // Spans that are known as a whole do not nest: the next begins at their end or later.
                *last = ts + dur - 1e-6;
                spans.insert(event.name.clone());
            }
            "i" => {
                assert!(matches!(event.s.as_deref(), Some("t" | "g")), "{event:?}");
                read.instants.insert(event.name.clone());
            }
            "s" => {
                assert!(!open.is_empty(), "an arrow from nowhere: {event:?}");
                assert!(arrows.insert(event.id.expect("an id"), ts).is_none());
            }
            "f" => {
                assert!(
                    !open.is_empty() && event.bp.as_deref() == Some("e"),
                    "{event:?}"
                );
                let from = arrows.remove(&event.id.expect("an id")).expect("its begin");
                assert!(from <= ts, "{event:?}");
                read.arrows += 1;
            }
            other => panic!("phase {other}"),
        }
    }
    for (key, open) in open {
        assert!(open.is_empty(), "{}: {open:?}", lanes[&key]);
    }
    read
}

fn timeline(scratch: &Scratch, lab: Lab, exit: i32) -> Trace {
    let path = scratch.path().join("timeline.json");
    let output = lab.with(["--timeline".as_ref(), path.as_os_str()]).output();
    assert_eq!(output.exit, exit, "{output:?}");
    serde_json::from_slice(&fs::read(&path).expect("a file")).expect("a trace")
}

#[test]
fn lanes_are_processors_threads_and_dpcs() {
    let scratch = Scratch::new("timeline");
    let lab = Lab::run(&driver("deferlwf")).pcap(&capture("ping")).seed(7);
    let trace = timeline(&scratch, lab, 0);
    assert_eq!(
        (trace.about.image.as_str(), trace.about.seed),
        ("deferlwf.sys", 7)
    );
    assert!(trace.about.replay.starts_with("lwf-lab run "));
    let read = read(&trace);
    let expected = ["CPU 0", "CPU 0 IRQL", "CPU 1", "CPU 1 IRQL"].map(str::to_owned);
    assert_eq!(read.lanes["virtual processors"], expected.into());
    for thread in [
        "main",
        "sender 0",
        "receiver 0",
        "system worker 0",
        "system worker 1",
    ] {
        assert!(
            read.lanes["kernel threads"].contains(thread),
            "{thread}: {:?}",
            read.lanes
        );
    }
    for (lane, span) in [
        ("main", "DriverEntry"),
        ("main", "NdisFRegisterFilterDriver"),
        ("sender 0", "FilterSendNetBufferLists"),
        ("miniport 0", "FilterSendNetBufferListsComplete"),
        ("main", "DriverUnload"),
        ("CPU 0 IRQL", "PASSIVE_LEVEL"),
        ("CPU 0 IRQL", "DISPATCH_LEVEL"),
        ("CPU 1", "sender 0"),
    ] {
        assert!(
            read.spans[lane].contains(span),
            "{span} on {lane}: {:?}",
            read.spans[lane]
        );
    }
    let works = |lane: &str| {
        let spans = read.spans.get(lane);
        spans.is_some_and(|spans| spans.contains("NDIS_IO_WORKITEM_ROUTINE"))
    };
    assert!(works("system worker 0") || works("system worker 1"));
    assert!(read.arrows > 0, "no work item runs after it was queued");
}

#[test]
fn every_life_of_a_stress_gives_a_trace_that_nests() {
    let scratch = Scratch::new("timeline-stress");
    let mut groups = BTreeSet::new();
    for (name, mode) in [
        ("deferlwf", "tap"),
        ("deferlwf", "inline"),
        ("passthru", ""),
    ] {
        for seed in 0..6 {
            let seed = seed.to_string();
            let lab = Lab::stress(&driver(name)).set("Mode", mode);
            let lab = lab.with(["--seeds", "1", "--from", &seed]);
            let read = read(&timeline(&scratch, lab, 0));
            assert!(
                read.lanes["kernel threads"].contains("control 0.0"),
                "{name}, {seed}"
            );
            groups.extend(read.lanes.into_keys());
        }
    }
    // Mode inline has timers.
    let expected = ["DPCs", "kernel threads", "virtual processors"].map(str::to_owned);
    assert_eq!(groups, expected.into());
}

#[test]
fn a_broken_rule_is_in_the_picture() {
    let scratch = Scratch::new("timeline-broken");
    let lab = Lab::run(&driver("faulty"))
        .pcap(&capture("ping"))
        .set("Fault", "irql-wait");
    let read = read(&timeline(&scratch, lab, 1));
    assert!(
        read.instants.contains("RULE BROKEN: event-wait-passive"),
        "{:?}",
        read.instants
    );
}

#[test]
fn a_file_that_cannot_be_written_is_one_line() {
    let folder = "no-such-folder/timeline.json";
    for lab in [
        Lab::run(&driver("passthru")),
        Lab::stress(&driver("passthru")),
    ] {
        let output = lab.with(["--timeline", folder]).output();
        assert_eq!(output.exit, 2, "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        assert!(output.stderr.contains(folder), "{output:?}");
    }
}
