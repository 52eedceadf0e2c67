//! A capture counts the same in every format, and directions are found where the format does not tell them.

use std::path::Path;
use std::process::Command;

use lab_cli::summary::Summary;
use tests::{Lab, Scratch, capture, driver};

#[test]
fn every_format_counts_the_same() {
    let scratch = Scratch::new("formats");
    let original = capture("ping");
    let expected = run(&original, &[]);
    // The adapter of the capture is what a person would name.
    let mac = expected.adapters[0].mac.as_str();
    let copy = |name| scratch.path().join(name);
    for (from, format) in [
        (&original, "pcap"),
        (&original, "nsecpcap"),
        (&copy("pcap"), "pcapng"),
    ] {
        convert(from, format, &copy(format));
        let summary = run(&copy(format), &["--local", mac]);
        assert_eq!(summary.packets.ndis, expected.packets.ndis, "{format}");
        assert_eq!(summary.bytes, expected.bytes, "{format}");
        assert_eq!(summary.flow_count, expected.flow_count, "{format}");
        assert_eq!(summary.adapters[0].direction_by, "by --local", "{format}");
    }
}

#[test]
fn tags_count_wherever_they_travel() {
    let original = capture("vlan");
    let beside = run(&original, &[]);
    let inside = run(&original, &["--vlan-tags", "in-frame"]);
    assert_eq!(beside.bytes, inside.bytes);
    assert_eq!(beside.flow_count, inside.flow_count);
}

fn run(capture: &Path, arguments: &[&str]) -> Summary {
    Lab::run(&driver("deferlwf"))
        .pcap(capture)
        .with(arguments)
        .seed(1)
        .clean()
}

/// Copies a capture; a classic pcap file, and what is made of one, does not tell directions.
fn convert(from: &Path, format: &str, to: &Path) {
    let status = Command::new("editcap")
        .args(["-F", format])
        .args([from, to])
        .status()
        .expect("editcap can be started (it comes with tshark)");
    assert!(status.success());
}
