//! Mode `inline`: every packet leaves once and in its order, or is dropped and counted under one reason; not too many
//! wait, and none is held for longer than it may be.
//!
//! The lab follows each packet, copies included. That those that did not leave are as many as the driver counts dropped, by
//! direction, `lwf-lab` compares in every run.

use lab_cli::summary::{Passages, Summary};
use lab_cli::trial::stress;
use tests::{Lab, captures, driver};

/// All captures through the driver in mode `inline`.
fn inline() -> Lab {
    captures()
        .iter()
        .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
            lab.pcap(capture)
        })
        .set("Mode", 2)
        .with(["--ordered"])
}

fn reasons(summary: &Summary) -> Vec<&str> {
    let reasons = summary.not_inspected.as_deref().unwrap_or_default();
    reasons
        .iter()
        .map(|reason| reason.reason.as_str())
        .collect()
}

#[test]
fn without_overload_only_what_cannot_be_held_is_not_judged() {
    for seed in 1..=10 {
        let summary = inline().seed(seed).clean();
        assert_eq!(summary.dropped.send, 0, "seed {seed}");
        assert!(
            reasons(&summary)
                .iter()
                .all(|&reason| reason == "not holdable"),
            "seed {seed}: {:?}",
            summary.not_inspected
        );
        let items = summary.work_items;
        assert_eq!(items.max_concurrent, 1, "seed {seed}");
        assert_eq!(items.entry_irql, Some(0), "seed {seed}");
    }
}

#[test]
fn what_ndis_takes_back_is_copied_and_judged() {
    let (mut copied, mut missed) = (0, 0);
    for seed in 1..=10 {
        let summary = inline().seed(seed).clean();
        copied += summary.originated.receive;
        // What is longer than a copy has room for passes while nothing is held, and is dropped else.
        let reasons = summary.not_inspected.unwrap_or_default();
        missed += reasons.iter().map(|reason| reason.packets).sum::<u64>();
        assert_eq!(summary.originated.send, 0, "seed {seed}");
    }
    assert!(copied > 0, "nothing was lent");
    assert!(
        4 * missed < copied,
        "{missed} packets without a verdict, {copied} copied"
    );
}

#[test]
fn a_short_queue_drops_or_passes_as_it_is_told() {
    for seed in 1..=10 {
        let short = inline().set("HoldLimit", 2).seed(seed);
        let drop = short.clone().set("OnOverload", 0);
        let drop = drop.with(["--hold-limit", "2"]).clean();
        let Passages { send, receive } = drop.passage.expect("packets are followed");
        let most = send.most_waiting.max(receive.most_waiting);
        assert_eq!(most, 2, "seed {seed}: the queue was full, and never fuller");
        assert!(drop.dropped.send > 0, "seed {seed}");
        assert!(reasons(&drop).contains(&"too many held"), "seed {seed}");
        let pass = short.set("OnOverload", 1).clean();
        assert_eq!(pass.dropped.send, 0, "seed {seed}");
        assert!(reasons(&pass).contains(&"too many held"), "seed {seed}");
    }
}

#[test]
fn a_slow_worker_is_overtaken_by_the_timer() {
    let late = (1..=10).any(|seed| {
        let summary = inline()
            .set("MaxHoldMs", 1)
            .set("WorkerBudgetUs", 10)
            .seed(seed)
            .clean();
        assert_eq!(summary.dropped.send, 0, "seed {seed}");
        reasons(&summary).contains(&"held too long")
    });
    assert!(late, "no seed held a packet for too long");
}

/// How many such seeds are played unless `INLINE_SEEDS` says so.
const SEEDS: u64 = 120;
/// `HoldLimit` of those seeds.
const HOLD_LIMIT: u64 = 2;
/// `MaxHoldMs` and `WorkerBudgetUs` of those seeds, in nanoseconds.
const MAX_HOLD_NS: u64 = 1_000_000;
const WORKER_BUDGET_NS: u64 = 500_000;

/// Hard lives with a short queue, half of them with either `OnOverload`, until so many have had too short a queue at least
/// once and a pause that began while packets were held. In every life packets leave in order and once, those that do not
/// are as many as the driver has under its reasons, no more than `HoldLimit` wait for a verdict, and none is held for
/// longer than it may be; no rule is broken, and pauses come in time.
///
/// Half of those that drop stay in their mode: in them no packet waits for its turn only, so the lab counts all that wait,
/// and lets no more of them be than `HoldLimit`. In the others that is the driver's word.
#[test]
fn hard_lives_with_a_short_queue_are_clean() {
    let seeds: u64 = std::env::var("INLINE_SEEDS").map_or(SEEDS, |seeds| {
        seeds.parse().expect("INLINE_SEEDS is a number of seeds")
    });
    for (overload, first, has_limit, share) in [
        (0, 0, true, seeds.div_ceil(4)),
        (0, 500_000, false, seeds.div_ceil(4)),
        (1, 1_000_000, false, seeds.div_ceil(2)),
    ] {
        let (mut played, mut both) = (0, 0);
        let (mut longest_ns, mut longest_pause_ns) = (0, 0);
        let (mut left, mut dropped) = (0, 0);
        while both < share {
            assert!(played < 2 * seeds, "{both} of {played} seeds are such");
            let summary = short_queue(overload, has_limit, first + played, share - both);
            let holds = summary.holds;
            played += summary.played;
            both += holds.both;
            let passages = summary.passage.expect("packets are followed");
            let Passages { send, receive } = passages;
            for passage in [send, receive] {
                assert_eq!((passage.overtaken, passage.again), (0, 0));
                assert!(passage.left > 0 && passage.dropped > 0, "{passage:?}");
                longest_ns = longest_ns.max(passage.longest_virtual_ns);
                left += passage.left;
                dropped += passage.dropped;
            }
            // The queue was full, and never fuller; what only waits for its turn is not in it.
            assert_eq!(holds.held_peak, HOLD_LIMIT);
            if has_limit {
                let most = send.most_waiting.max(receive.most_waiting);
                assert_eq!(most, HOLD_LIMIT, "as the lab counts");
            }
            longest_pause_ns = longest_pause_ns.max(holds.longest_pause_virtual_ns);
        }
        println!(
            "OnOverload {overload}, limit {has_limit}: {both} of {played} seeds overload and pause with packets held; \
             {left} packets left in order, {dropped} dropped; held at most for {longest_ns} ns, \
             paused for {longest_pause_ns} ns"
        );
        assert!(longest_ns <= MAX_HOLD_NS + WORKER_BUDGET_NS, "{longest_ns}");
        assert!(longest_pause_ns < 10_000_000_000, "{longest_pause_ns}");
    }
}

fn short_queue(overload: u32, has_limit: bool, from: u64, seeds: u64) -> stress::Summary {
    let limit = HOLD_LIMIT.to_string();
    let limit = has_limit.then_some(["--hold-limit", &limit]);
    let output = Lab::stress(&driver("deferlwf"))
        .set("Mode", 2)
        .set("HoldLimit", HOLD_LIMIT)
        .set("MaxHoldMs", 1)
        .set("OnOverload", overload)
        .set("MaxFlows", 64)
        .with(["--ordered", "--from", &from.to_string()])
        .with(["--seeds", &seeds.to_string()])
        .with(limit.into_iter().flatten())
        .output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
    let summary: stress::Summary = output.object();
    assert_eq!(summary.played, seeds);
    assert!(summary.warnings.is_empty(), "{:#?}", summary.warnings);
    summary
}

#[test]
fn a_rule_blocks_what_it_names_and_nothing_else() {
    let flow_of = |summary: &Summary, protocol: &str| {
        let flows = summary.flows.as_deref().unwrap_or_default();
        flows.iter().any(|flow| flow.protocol == protocol)
    };
    for seed in 1..=5 {
        let open = inline().seed(seed).clean();
        let blocked = inline().set("Block", "udp").seed(seed).clean();
        assert!(flow_of(&blocked, "udp"), "what is blocked is inspected");
        assert!(blocked.dropped.send > open.dropped.send, "seed {seed}");
        let other = inline().set("Block", "@203.0.113.0/24").seed(seed).clean();
        assert_eq!(other.dropped.send, 0, "seed {seed}");
    }
}
