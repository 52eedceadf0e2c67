//! Changing the mode while packets flow.
//!
//! That no packet is lost or counted twice, `lwf-lab` compares in every run: what NDIS gave to the filter, what came out
//! of it, and what the driver accounts for. Here it also demands that each leaves in its order, and once.

use lab_cli::summary::{ModeChange, Passages, Summary};
use tests::{Lab, capture, captures, driver};

const STATUS_SUCCESS: u32 = 0;
/// Also `NDIS_STATUS_FAILURE`.
const STATUS_UNSUCCESSFUL: u32 = 0xC000_0001;
/// Also `NDIS_STATUS_RESOURCES`.
const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xC000_009A;

/// All captures through the driver, which is asked for `modes` on the way.
fn changing(modes: &str) -> Lab {
    captures()
        .iter()
        .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
            lab.pcap(capture)
        })
        .with(["--ordered", "--modes", modes])
}

/// The statuses of all changes, which have to be those of `modes` on every adapter.
fn statuses(summary: &Summary, modes: &[&str]) -> Vec<u32> {
    let changes = &summary.mode_changes;
    assert_eq!(changes.len(), modes.len() * summary.adapters.len());
    for (change, mode) in changes
        .chunks(summary.adapters.len())
        .zip(modes)
        .flat_map(|(changes, mode)| changes.iter().map(move |change| (change, mode)))
    {
        assert_eq!(change.mode, **mode);
    }
    changes
        .iter()
        .map(|&ModeChange { status, .. }| status)
        .collect()
}

fn assert_all(statuses: &[u32], expected: u32, seed: u64) {
    assert!(
        statuses.iter().all(|&status| status == expected),
        "seed {seed}: {statuses:x?}"
    );
}

/// Each packet that the filter was given has left it, itself or as a copy. What can neither be held nor copied may be
/// dropped while others are held, and the driver says so.
fn assert_all_left(summary: &Summary, seed: u64) {
    let Passages { send, receive } = summary.passage.expect("packets are followed");
    assert_eq!(send.dropped, 0, "seed {seed}");
    let reasons = summary.not_inspected.iter().flatten();
    let unholdable = reasons.filter(|reason| reason.reason == "not holdable");
    let most: u64 = unholdable.map(|reason| reason.packets).sum();
    assert!(receive.dropped <= most, "seed {seed}: {receive:?}");
}

fn pauses(summary: &Summary) -> usize {
    let pauses = |states: &Vec<String>| states.iter().filter(|state| *state == "Pausing").count();
    summary
        .adapters
        .iter()
        .map(|adapter| pauses(&adapter.states))
        .max()
        .unwrap_or_default()
}

fn assert_modes(summary: &Summary, expected: &str) {
    for adapter in &summary.adapters {
        assert_eq!(adapter.mode.as_deref(), Some(expected), "{}", adapter.name);
    }
}

#[test]
fn tap_and_inline_follow_each_other_without_a_pause() {
    for seed in 1..=10 {
        let summary = changing("inline,tap,inline,tap").seed(seed).clean();
        let statuses = statuses(&summary, &["inline", "tap", "inline", "tap"]);
        assert_all(&statuses, STATUS_SUCCESS, seed);
        assert_eq!(pauses(&summary), 1, "seed {seed}: the one before detach");
        assert_all_left(&summary, seed);
        assert_modes(&summary, "tap");
    }
}

#[test]
fn off_takes_the_handlers_away_and_gives_them_back() {
    for seed in 1..=10 {
        // One adapter, so that the changes share its traffic out evenly.
        let long = |modes| {
            Lab::run(&driver("deferlwf"))
                .pcap(&capture("large"))
                .with(["--ordered", "--modes", modes])
                .seed(seed)
                .clean()
        };
        let whole = long("tap");
        let summary = long("off,inline,off,tap");
        let statuses = statuses(&summary, &["off", "inline", "off", "tap"]);
        assert_all(&statuses, STATUS_SUCCESS, seed);
        assert_eq!(pauses(&summary), 5, "seed {seed}");
        let (seen, all) = (summary.packets.ndis, whole.packets.ndis);
        assert!(
            seen.send < all.send,
            "seed {seed}: some passed by the filter"
        );
        assert!(seen.send > 0, "seed {seed}: not all did");
        assert_modes(&summary, "tap");
    }
}

#[test]
fn off_at_the_end_is_off() {
    let summary = changing("off").clean();
    assert_modes(&summary, "off");
}

#[test]
fn a_change_that_ndis_refuses_leaves_the_old_mode_and_says_so() {
    for (import, expected) in [
        ("NdisFRestartFilter", STATUS_UNSUCCESSFUL),
        ("NdisSetOptionalHandlers", STATUS_INSUFFICIENT_RESOURCES),
    ] {
        for seed in 1..=5 {
            let summary = changing("off").with(["--fail", import]).seed(seed).clean();
            let statuses = statuses(&summary, &["off"]);
            // The first restart of each adapter asks for the handlers too, and that call is the one that fails.
            let failed = statuses
                .iter()
                .filter(|&&status| status == expected)
                .count();
            let succeeded = statuses
                .iter()
                .filter(|&&status| status == STATUS_SUCCESS)
                .count();
            assert_eq!(
                failed + succeeded,
                statuses.len(),
                "seed {seed}: {statuses:x?}"
            );
            for (adapter, status) in summary.adapters.iter().zip(&statuses) {
                let mode = if *status == STATUS_SUCCESS {
                    "off"
                } else {
                    "tap"
                };
                assert_eq!(adapter.mode.as_deref(), Some(mode), "seed {seed}");
            }
            if import == "NdisFRestartFilter" {
                assert_eq!(failed, 1, "seed {seed}: a call stack fails once");
            }
        }
    }
}
