//! `lwf-lab bench` measures each load, of one image or of two, and says what cannot be measured.
//!
//! No time is judged here: a busy machine may take any.

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
            assert!(raw > 0.0 && lab > 0.0 && lab <= raw, "{row}");
            assert!(
                cost["net"]["median"].as_f64().expect("a time") > 0.0,
                "{row}"
            );
            assert!(cost["imports"].as_f64().expect("a number") > 0.0, "{row}");
            // No ratio of what is more the lab than the driver.
            assert!(lab <= raw / 2.0 || row["ratio"].is_null(), "{row}");
        }
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
            bench("faulty").with(["--set", "Fault=nbl-leak"]),
            2,
            "faulty.sys: the filter keeps ",
        ),
    ] {
        let output = lab.output();
        assert_eq!(output.exit, exit, "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        assert!(output.stderr.contains(said), "{output:?}");
    }
}
