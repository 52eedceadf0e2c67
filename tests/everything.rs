//! The example that asks for every path: packets of its own go both ways and come back, in easy lives and in hard ones,
//! and whatever fails.

use tests::{Lab, captures, driver};

#[test]
fn own_packets_go_both_ways_and_everything_comes_back() {
    let (mut sent, mut indicated) = (0, 0);
    for seed in 1..=10 {
        let summary = captures()
            .iter()
            .fold(Lab::run(&driver("everything")), |lab, capture| {
                lab.pcap(capture)
            })
            .seed(seed)
            .clean();
        assert!(summary.originated.send > 0, "seed {seed}");
        (sent, indicated) = (
            sent + summary.originated.send,
            indicated + summary.originated.receive,
        );
        assert_eq!(
            summary.passed.send, summary.packets.ndis.send,
            "seed {seed}"
        );
        assert_eq!(summary.pool.left_bytes, 0, "seed {seed}");
    }
    // As many are made up for either way; copies are among those that are indicated.
    assert!(indicated > sent, "{indicated} {sent}");
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
    assert!(
        restless * others > at_rest * its,
        "{restless} for {its}, {at_rest} for {others}: it has rested"
    );
    let output = Lab::stress(&driver("everything"))
        .set("Restless", 1)
        .with(["--seeds", "10"])
        .output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
}

#[test]
fn every_call_stack_fails_once_and_no_rule_is_broken() {
    let output = Lab::sweep(&driver("everything"))
        .with(["--seeds", "4"])
        .output();
    assert_eq!(output.exit, 0, "{}{}", output.stdout, output.stderr);
}
