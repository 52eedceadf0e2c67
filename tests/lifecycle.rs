//! The life of a module, as a trace of what ran when shows it: attached before the registration has returned, asleep without
//! a pause, and unloaded in the documented order. What else `docs/lifecycle.md` says, it names the tests of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use tests::{Lab, Scratch, capture, driver};

#[derive(Debug, Deserialize)]
struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    name: String,
    ph: String,
    ts: Option<f64>,
    pid: u32,
    tid: Option<u32>,
}

/// A call: of a callback, or of an import.
#[derive(Debug)]
struct Span {
    name: String,
    lane: (u32, u32),
    from: f64,
    to: f64,
}

impl Span {
    fn is_within(&self, other: &Self) -> bool {
        other.from <= self.from && self.to <= other.to
    }
}

/// Makes a clean run; gives its calls in the order in which they began.
fn calls(scratch: &Scratch, lab: Lab) -> Vec<Span> {
    let path = scratch.path().join("timeline.json");
    let output = lab.with(["--timeline".as_ref(), path.as_os_str()]).output();
    assert_eq!(output.exit, 0, "{output:?}");
    let trace = fs::read(&path).expect("a file");
    let trace: Trace = serde_json::from_slice(&trace).expect("a trace");
    let mut open: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut spans = Vec::new();
    for event in trace.events {
        let (Some(tid), Some(ts)) = (event.tid, event.ts) else {
            continue;
        };
        let open = open.entry((event.pid, tid)).or_default();
        match event.ph.as_str() {
            "B" => open.push(ts),
            "E" => spans.push(Span {
                name: event.name,
                lane: (event.pid, tid),
                from: open.pop().expect("a begin"),
                to: ts,
            }),
            _ => {}
        }
    }
    spans.sort_by(|a, b| a.from.total_cmp(&b.from));
    spans
}

fn first<'a>(calls: &'a [Span], name: &str) -> &'a Span {
    let mut calls = calls.iter();
    let first = calls.find(|call| call.name == name);
    first.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn modules_attach_before_the_registration_has_returned_or_after() {
    let scratch = Scratch::new("lifecycle-attach");
    for name in ["deferlwf", "passthru", "everything"] {
        let is_early = |seed| {
            let lab = Lab::run(&driver(name)).pcap(&capture("ping")).seed(seed);
            let calls = calls(&scratch, lab);
            let registration = first(&calls, "NdisFRegisterFilterDriver");
            first(&calls, "FilterAttach").is_within(registration)
        };
        let early = (1..=12).filter(|&seed| is_early(seed)).count();
        assert!(0 < early && early < 12, "{name}: {early} of 12");
    }
}

#[test]
fn unload_removes_the_device_and_then_lets_ndis_detach_what_is_left() {
    let scratch = Scratch::new("lifecycle-unload");
    for (name, has_device) in [
        ("deferlwf", true),
        ("passthru", false),
        ("everything", true),
    ] {
        for seed in 1..=3 {
            let lab = Lab::run(&driver(name)).pcap(&capture("ping")).seed(seed);
            let calls = calls(&scratch, lab.with(["--stop", "in-unload"]));
            let unload = first(&calls, "DriverUnload");
            let deregistration = first(&calls, "NdisFDeregisterFilterDriver");
            assert!(deregistration.is_within(unload), "{name}, seed {seed}");
            if has_device {
                let removal = first(&calls, "NdisDeregisterDeviceEx");
                assert!(removal.is_within(unload), "{name}, seed {seed}");
                assert!(removal.to <= deregistration.from, "{name}, seed {seed}");
            }
            let detach = first(&calls, "FilterDetach");
            assert!(
                deregistration.from <= detach.from && detach.to <= deregistration.to,
                "{name}, seed {seed}"
            );
        }
    }
}

/// `NetEventQueryPower` and `NetEventSetPower` from below, `OID_PNP_SET_POWER` twice from above, and `NetEventSetPower`
/// again, with nothing between them on the thread that does it.
#[test]
fn a_running_module_sleeps_and_wakes_without_a_pause() {
    const SLEEP: [&str; 5] = [
        "FilterNetPnPEvent",
        "FilterNetPnPEvent",
        "FilterOidRequest",
        "FilterOidRequest",
        "FilterNetPnPEvent",
    ];
    let scratch = Scratch::new("lifecycle-sleep");
    let sleeps = |seed: u32| {
        let lab = Lab::stress(&driver("everything"));
        let lab = lab.with(["--seeds", "1", "--from", &seed.to_string()]);
        let calls = calls(&scratch, lab);
        let mut lanes: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for call in calls.iter().filter(|call| {
            SLEEP.contains(&call.name.as_str())
                || ["FilterPause", "FilterRestart", "FilterDetach"].contains(&call.name.as_str())
        }) {
            lanes.entry(call.lane).or_default().push(&call.name);
        }
        let is_asleep = |lane: &Vec<&str>| lane.windows(SLEEP.len()).any(|calls| calls == SLEEP);
        lanes.values().any(is_asleep)
    };
    assert!((0..12).any(sleeps), "no seed of these lets a module sleep");
}

/// Of each row of the page's table: files of this folder, and tests that are in one of them.
#[test]
fn what_the_page_names_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(folder.join("../docs/lifecycle.md")).expect("the page");
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| what holds |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut names = 0;
    for row in rows {
        let (_, shown) = row[1..].split_once(" | ").expect("two columns");
        let words: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        let texts: String = words
            .iter()
            .filter(|word| word.ends_with(".rs"))
            .map(|name| fs::read_to_string(folder.join(name)).expect(name))
            .collect();
        for test in words.iter().filter(|word| word.contains('_')) {
            let case = folder.join(format!("../crates/ndis/tests/compile_fail/{test}.rs"));
            assert!(
                texts.contains(&format!("fn {test}()")) || case.exists(),
                "{test} is in none of the files of its row"
            );
            names += 1;
        }
    }
    assert!(names > 8, "{names}");
}
