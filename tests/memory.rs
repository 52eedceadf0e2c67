//! `MaxMemoryMiB`, the driver's own parameter: rings and flow tables of all adapters together stay below it.

use lab_cli::summary::Summary;
use tests::{Lab, captures, driver};

/// How often the filter began to attach, and how often it did.
fn attaches(summary: &Summary) -> (usize, usize) {
    let states = summary.adapters.iter().map(|adapter| &adapter.states);
    states.fold((0, 0), |(begun, done), states| {
        let pairs = || states.windows(2).filter(|pair| pair[0] == "Attaching");
        let succeeded = pairs().filter(|pair| pair[1] == "Paused").count();
        (begun + pairs().count(), done + succeeded)
    })
}

#[test]
fn adapters_beyond_the_limit_go_without_the_filter() {
    let lab = captures()
        .iter()
        .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
            lab.pcap(capture)
        });
    // About 2.5 MiB each.
    for (limit_mib, attached) in [(8, 3), (1024, 10), (1, 0)] {
        for seed in 1..=3 {
            let lab = lab.clone().set("MaxMemoryMiB", limit_mib).seed(seed);
            assert_eq!(attaches(&lab.clean()), (10, attached), "{limit_mib} MiB");
        }
    }
    // Out of range, and so the default.
    let summary = lab.clone().set("MaxMemoryMiB", 0).seed(1).clean();
    assert_eq!(attaches(&summary), (10, 10));
}

#[test]
fn what_detaches_gives_its_memory_back() {
    let mut most = 0;
    for seed in 1..=8 {
        let lab = Lab::run(&driver("deferlwf"))
            .with(["--hard"])
            .set("MaxMemoryMiB", 6)
            .seed(seed);
        let (begun, done) = attaches(&lab.clean());
        assert_eq!(begun, done, "seed {seed}");
        most = most.max(done);
    }
    assert!(most > 2, "more than fit at once, one after the other");
}
