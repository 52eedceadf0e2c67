//! One seed is one run, byte for byte; other seeds are other schedules with the same counts.

use std::collections::BTreeSet;

use tests::{Lab, captures, driver};

/// Every committed capture on an adapter of its own, as the demo has it.
fn demo(seed: u64) -> Lab {
    captures()
        .iter()
        .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
            lab.pcap(capture)
        })
        .seed(seed)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let first = demo(7).output();
    let second = demo(7).output();
    assert_eq!(
        (first.exit, second.exit),
        (0, 0),
        "{}{}",
        first.stderr,
        second.stderr
    );
    assert!(!first.stdout.is_empty());
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn seeds_change_the_schedule_and_never_the_counts() {
    let mut digests = BTreeSet::new();
    let mut runs = BTreeSet::new();
    let mut counts = BTreeSet::new();
    for seed in 1..=20 {
        let summary = demo(seed).clean();
        counts.insert(format!(
            "{:?} {:?} {:?}",
            summary.packets, summary.bytes, summary.flow_count
        ));
        runs.insert(summary.work_items.runs);
        digests.insert(summary.schedule_digest);
    }
    assert!(
        digests.len() >= 10,
        "{} schedules in 20 seeds",
        digests.len()
    );
    assert!(runs.len() >= 2, "always {runs:?} runs");
    assert_eq!(counts.len(), 1, "{counts:#?}");
}
