//! `lwf-lab bench` measures each load, of one image or of two, and says what cannot be measured.
//!
//! No time is judged by itself here: a busy machine may take any. Only what one image costs more than itself is.

use serde_json::Value;
use tests::{Lab, driver};

fn bench(image: &str) -> Lab {
    Lab::command(["bench".as_ref(), driver(image).as_os_str()]).with([
        "--repeat",
        "1",
        "--samples",
        "1",
        "--time",
        "1",
    ])
}

#[test]
fn two_images_take_turns_and_every_load_is_measured() {
    let other = driver("deferlwf");
    let lab = bench("deferlwf")
        .with(["--set", "Mode=2", "--json", "--vs-set", "Mode=1", "--vs"])
        .with([other.as_os_str()]);
    let output = lab.output();
    assert_eq!(output.exit, 0, "{output:?}");
    let found: Value = serde_json::from_str(&output.stdout).expect("one JSON object");
    let rows = found["rows"].as_array().expect("a list");
    // Directions, lengths, batches, buffers.
    assert_eq!(rows.len(), 2 * 2 * 3 * 2);
    for row in rows {
        let costs = row["costs"].as_array().expect("a list");
        assert_eq!(costs.len(), 2, "{row}");
        for cost in costs {
            let [raw, lab] = ["raw_ns", "lab_ns"].map(|name| cost[name].as_f64().expect("a time"));
            assert!(raw > 0.0 && lab <= raw, "{row}");
            assert!(
                cost["net"]["median"].as_f64().expect("a time") > 0.0,
                "{row}"
            );
            assert!(cost["imports"].as_f64().expect("a number") > 0.0, "{row}");
            // No ratio of what is more the lab than the driver, or less than its error.
            assert!(lab <= raw / 2.0 || row["ratio"].is_null(), "{row}");
            let error = cost["error_ns"].as_f64().expect("a time");
            let net = cost["net"]["median"].as_f64().expect("a time");
            assert!(
                error >= 0.0 && (net > error || row["ratio"].is_null()),
                "{row}"
            );
        }
    }
}

/// The net cost of a packet sent alone, with its error, of the C filter that spends more as `settings` say.
fn net(settings: &[&str]) -> (f64, f64) {
    let mut lab = Lab::command(["bench".as_ref(), driver("c-faulty").as_os_str()]);
    for setting in settings {
        lab = lab.with(["--set", setting]);
    }
    let lab = lab.with(["--repeat", "3", "--samples", "5", "--json"]);
    let output = lab.output();
    assert_eq!(output.exit, 0, "{output:?}");
    let found: Value = serde_json::from_str(&output.stdout).expect("one JSON object");
    let row = &found["rows"][0];
    let load = &row["load"];
    assert_eq!(
        (&load["is_send"], &load["batch"], &load["is_hot"]),
        (&Value::from(true), &Value::from(1), &Value::from(true))
    );
    let cost = &row["costs"][0];
    let figure = |value: &Value| value.as_f64().expect("a time");
    (figure(&cost["net"]["median"]), figure(&cost["error_ns"]))
}

/// What is cheap is seen as well as what is dear: nothing is taken off a net that is not the lab's.
#[test]
fn the_same_code_more_costs_the_same_more_wherever_it_is() {
    let mut tried = Vec::new();
    // On a busy machine the lot may fall on one of them.
    for _ in 0..4 {
        let [none, few, most, few_more] =
            ["0", "40", "400", "440"].map(|rounds| net(&[&format!("Rounds={rounds}")]));
        let doubt = none.1 + few.1 + most.1 + few_more.1;
        let (low, high) = (few.0 - none.0, few_more.0 - most.0);
        let is_same = (low - high).abs() <= 0.4 * high + doubt;
        // As much is there in all: some 10 ns on the slowest machine that this is tried on, and no less than nothing anywhere.
        if is_same && none.0 > -none.1 && low > 0.0 && (most.0 - none.0) > 5.0 * low {
            return;
        }
        tried.push([none, few, most, few_more]);
    }
    panic!("{tried:?}");
}

/// Calls of what the lab stands for are the lab's: what is left is the loop that makes them.
#[test]
fn calls_of_the_lab_are_not_the_images_own() {
    let mut tried = Vec::new();
    for _ in 0..4 {
        let (before, after) = (net(&["Rounds=40"]), net(&["Rounds=40", "Calls=16"]));
        let each = (after.0 - before.0) / 16.0;
        let doubt = (before.1 + after.1) / 16.0;
        if each > -doubt && each < 2.0 + doubt {
            return;
        }
        tried.push((before, after));
    }
    panic!("{tried:?}");
}

#[test]
fn help_shows_only_what_is_taken() {
    let output = Lab::command(["bench", "--help"]).output();
    assert_eq!(output.exit, 0, "{output:?}");
    for option in ["--vs", "--set", "--file", "--ndis", "--repeat"] {
        assert!(output.stdout.contains(option), "{option}");
    }
    for option in [
        "--above",
        "--below",
        "--ordered",
        "--hold-limit",
        "--script",
        "--without",
    ] {
        assert!(!output.stdout.contains(option), "{option}");
        let mut lab = bench("passthru").with([option]);
        match option {
            "--ordered" => {}
            "--hold-limit" => lab = bench("passthru").with(["--hold-limit=7"]),
            "--without" => lab = lab.with(["pause-within-10s"]),
            _ => lab = lab.with(["x"]),
        }
        let output = lab.output();
        assert_eq!(output.exit, 2, "{output:?}");
        let said = format!("no {option}");
        assert!(output.stderr.contains(&said), "{said}: {output:?}");
    }
}

#[test]
fn the_table_is_aligned() {
    let output = bench("passthru").output();
    assert_eq!(output.exit, 0, "{output:?}");
    let mut lines = output.stdout.lines().skip(2);
    let header = lines.next().expect("a header");
    let end = header.find("no filter").expect("a column") + "no filter".len();
    // Behind an empty line is a word on samples that were interrupted, if any.
    for line in lines.take_while(|line| !line.is_empty()) {
        let cell = line.get(..end).expect("a column");
        assert!(cell.ends_with(|last: char| last.is_ascii_digit()), "{line}");
    }
}

#[test]
fn the_filter_in_c_is_measured() {
    let output = bench("c-filter").output();
    assert_eq!(output.exit, 0, "{output:?}");
}

#[test]
fn what_cannot_be_measured_is_told_in_one_line() {
    for (lab, exit, said) in [
        (
            bench("plain"),
            2,
            "no filter: DriverEntry registered nothing",
        ),
        (
            bench("passthru").with(["--vs", "missing.sys"]),
            2,
            "missing.sys: No such file",
        ),
        (
            bench("passthru").with(["--vs-set", "Mode=1"]),
            2,
            "--vs <IMAGE>",
        ),
        (
            bench("passthru").with(["--ordered"]),
            2,
            "nobody follows packets that are measured",
        ),
        (
            bench("c-faulty").with(["--set", "Fault=c-null-read"]),
            1,
            "c-faulty.sys broke null-check while it was measured",
        ),
        (
            bench("faulty").with(["--set", "Fault=nbl-leak"]),
            2,
            "faulty.sys: the filter keeps ",
        ),
    ] {
        let output = lab.output();
        assert_eq!(output.exit, exit, "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        // The process that measures is nothing that a user knows.
        assert!(!output.stderr.contains("worker"), "{output:?}");
        assert!(output.stderr.starts_with("lwf-lab: "), "{output:?}");
        assert_eq!(output.stderr.matches("lwf-lab:").count(), 1, "{output:?}");
        assert!(output.stderr.contains(said), "{output:?}");
    }
}
