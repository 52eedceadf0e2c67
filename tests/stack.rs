//! Filters that share adapters live together, in either order: what one passes on the next is given, each is judged by
//! itself, and what one of them does wrong is told of that one.

use std::path::{Path, PathBuf};

use lab_cli::summary::{Directions, Summary};
use tests::{Lab, Output, captures, driver};

/// The pairs that are tried: the image under test, the option that says where the other is, and the other.
fn pairs() -> Vec<(PathBuf, &'static str, PathBuf)> {
    let pair = |a: &str, place, b: &str| (driver(a), place, driver(b));
    vec![
        pair("deferlwf", "--above", "c-filter"),
        pair("deferlwf", "--below", "c-filter"),
        pair("c-filter-guarded", "--above", "everything"),
    ]
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn assert_clean(what: &str, output: &Output) -> Summary {
    assert_eq!(output.exit, 0, "{what}: {output:?}");
    let summary = output.summary();
    assert_eq!(summary.warnings.len(), 0, "{what}: {:?}", summary.warnings);
    assert_eq!(summary.pool.left_bytes, 0, "{what}");
    summary
}

#[test]
fn every_packet_passes_through_both() {
    for (image, place, other) in pairs() {
        for capture in captures() {
            for seed in 0..3 {
                let output = Lab::run(&image)
                    .with([place, &other.display().to_string()])
                    .pcap(&capture)
                    .seed(seed)
                    .output();
                let what = format!("{} {place} {}", image.display(), other.display());
                let summary = assert_clean(&what, &output);
                assert_eq!(summary.passed, summary.packets.ndis, "{what}");
                let mut order = [name(&image), name(&other)];
                if place == "--above" {
                    order.reverse();
                }
                let [top, bottom] = &summary.stack[..] else {
                    panic!("{what}: {:?}", summary.stack);
                };
                assert_eq!([&top.image, &bottom.image], [&order[0], &order[1]]);
                // What the upper one sends the lower one is given, and the other way round.
                let sent = top.passed.send + top.originated.send;
                let received = bottom.passed.receive + bottom.originated.receive;
                assert_eq!(bottom.packets.send, sent, "{what}: {:?}", summary.stack);
                assert_eq!(top.packets.receive, received, "{what}: {:?}", summary.stack);
            }
        }
    }
}

#[test]
fn three_filters_can_be_on_one_adapter() {
    let [above, below] = ["c-filter", "passthru"].map(|name| driver(name).display().to_string());
    let output = Lab::run(&driver("deferlwf"))
        .with(["--above", &above, "--below", &below])
        .pcap(&captures()[0])
        .output();
    let summary = assert_clean("three", &output);
    let images: Vec<&str> = summary.stack.iter().map(|it| it.image.as_str()).collect();
    assert_eq!(images, ["c-filter.sys", "deferlwf.sys", "passthru.sys"]);
    let given = |packets: fn(&Directions) -> u64| {
        let all: Vec<u64> = summary
            .stack
            .iter()
            .map(|it| packets(&it.packets))
            .collect();
        assert!(all.iter().all(|one| *one == all[0] && *one > 0), "{all:?}");
    };
    given(|packets| packets.send);
    given(|packets| packets.receive);
}

#[test]
fn a_stack_is_clean_in_hard_lives() {
    for (image, place, other) in pairs() {
        let output = Lab::stress(&image)
            .with(["--seeds", "24", place, &other.display().to_string()])
            .output();
        assert_eq!(output.exit, 0, "{place} {}: {output:?}", other.display());
    }
}

#[test]
fn a_stack_is_clean_when_calls_fail() {
    for (image, place, other) in pairs().into_iter().take(2) {
        let output = Lab::sweep(&image)
            .with(["--seeds", "2", place, &other.display().to_string()])
            .output();
        assert_eq!(output.exit, 0, "{place} {}: {output:?}", other.display());
    }
}

/// A life of a stack can be played again, from the command that its report ends with, to the same digest.
#[test]
fn a_stack_plays_the_same_again() {
    let other = driver("c-filter").display().to_string();
    let run = || {
        let lab = Lab::run(&driver("deferlwf")).with(["--hard", "--below", &other]);
        lab.seed(5).output().summary()
    };
    let first = run();
    assert!(first.replay.contains(" --below "), "{}", first.replay);
    assert_eq!(first.schedule_digest, run().schedule_digest);
}

#[test]
fn the_faulty_one_is_named_wherever_it_is() {
    // What each does is caught wherever it is: memory, a packet that was passed on, a lock, a fault, a timer, a leak.
    let plays = [
        ("c-pool-past", "mem-overrun"),
        ("c-pool-left", "unload-pool-freed"),
        ("c-null-read", "null-check"),
        ("c-lock-twice", "lock-dpr"),
        ("c-send-touched", "nbl-no-touch-after-complete"),
        ("c-timer-freed-set", "timer-free-idle"),
        ("c-spin", "lab-no-hang"),
    ];
    let (faulty, innocent) = (driver("c-faulty"), driver("deferlwf"));
    for (play, rule) in plays {
        // A loop takes seconds until it is called one.
        let places = if rule == "lab-no-hang" { 1 } else { 2 };
        for place in ["--above", "--below"].into_iter().take(places) {
            let pairs = [(&faulty, &innocent), (&innocent, &faulty)];
            for (image, other) in pairs.into_iter().take(places) {
                let output = Lab::run(image)
                    .with([place, &other.display().to_string()])
                    .pcap(&tests::capture("ping"))
                    .set("Fault", play)
                    .seed(1)
                    .output();
                let what = format!("{play}, {} {place} {}", image.display(), other.display());
                assert_eq!(output.exit, 1, "{what}: {output:?}");
                let violation = output.summary().violation.expect("a broken rule");
                assert_eq!(violation.rule, rule, "{what}: {}", violation.happened);
                assert_eq!(violation.image.as_deref(), Some("c-faulty.sys"), "{what}");
                let blamed = violation.stack.first().map(|frame| frame.function.as_str());
                assert!(
                    blamed.is_none_or(|function| function.starts_with("c-faulty.sys!")),
                    "{what}: {blamed:?}"
                );
            }
        }
    }
}

/// A request that lies below a filter is the business of who has it there.
#[test]
fn who_keeps_a_request_is_named_and_not_who_has_passed_it_on() {
    let below = driver("faulty").display().to_string();
    for play in [
        "oid-never-completed",
        "oid-completed-late",
        "oid-handler-stays",
    ] {
        let output = Lab::run(&driver("everything"))
            .with(["--below", &below])
            .pcap(&tests::capture("ping"))
            .set("Fault", play)
            .seed(1)
            .output();
        assert_eq!(output.exit, 1, "{play}: {output:?}");
        let violation = output.summary().violation.expect("a broken rule");
        let happened = &violation.happened;
        assert_eq!(
            violation.image.as_deref(),
            Some("faulty.sys"),
            "{play}: {happened}"
        );
    }
}

/// `everything` reads the last byte of each answer, if those below say that there is one. What they say of the room for it,
/// which a method request has among what comes back, may be a lie.
#[test]
fn what_a_filter_below_says_of_the_room_is_not_believed() {
    let below = driver("faulty").display().to_string();
    for play in ["oid-room-raised", "oid-sync-room-raised"] {
        for seed in 1..=8 {
            let output = Lab::run(&driver("everything"))
                .with(["--below", &below, "--without", "oid-bytes-in-bounds"])
                .pcap(&tests::capture("ping"))
                .set("Fault", play)
                .seed(seed)
                .output();
            assert_eq!(output.exit, 0, "{play}, seed {seed}: {output:?}");
            let methods = output.summary().requests.into_iter();
            let methods = methods.filter(|request| !request.is_own && request.kind == "method");
            assert!(
                methods.count() > 0,
                "{play}, seed {seed}: nothing was asked"
            );
        }
    }
}

/// The other may be loaded first or last, and one of its adapters' stacks may start while it goes again already.
#[test]
fn what_does_not_load_is_named_in_every_hard_life() {
    for seed in 0..24 {
        for side in ["--above", "--below"] {
            let output = Lab::run(&driver("deferlwf"))
                .with([side, &driver("faulty").display().to_string(), "--hard"])
                .set("Fault", "entry-fails")
                .seed(seed)
                .output();
            assert_eq!(output.exit, 2, "{side}, seed {seed}: {output:?}");
            let named = "faulty.sys: DriverEntry failed with 0xc000009a";
            assert!(output.stderr.contains(named), "{}", output.stderr);
        }
    }
}

#[test]
fn a_stack_that_cannot_be_is_refused() {
    let image = driver("passthru").display().to_string();
    let four = [
        "--above", &image, "--above", &image, "--below", &image, "--below", &image,
    ];
    for (options, expected) in [
        (&four[..], "5 images in a stack: 4 at most"),
        (&["--above", "none.sys"][..], "none.sys: "),
    ] {
        let output = Lab::run(&driver("deferlwf"))
            .with(options.iter().copied())
            .output();
        assert_eq!(output.exit, 2, "{output:?}");
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}
