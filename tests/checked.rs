//! Checked images assert the IRQL of every token that they make, and no life trips one of the assertions.

use serde_json::Value;
use tests::{Lab, captures, checked_driver, driver};

/// Asking for the level where a flag tells it is slow, which is why a rule advises against it, and what an assertion is for.
const ASKS: [&str; 2] = ["--without", "flags-irql-no-probe"];

/// Whether an image asks for the level that it runs at.
fn asks_for_the_level(image: &std::path::Path) -> bool {
    let imports = Lab::command(["imports".as_ref(), image.as_os_str()])
        .with(["--json"])
        .output();
    assert_eq!(imports.exit, 0, "{imports:?}");
    let found: Value = serde_json::from_str(&imports.stdout).expect("one JSON object");
    let mut imports = found["imports"].as_array().expect("a list").iter();
    imports.any(|import| import["name"] == "KeGetCurrentIrql")
}

#[test]
fn checked_images_ask_for_the_level_and_release_images_do_not() {
    for name in ["deferlwf", "everything", "passthru"] {
        assert!(asks_for_the_level(&checked_driver(name)), "{name}");
        assert!(!asks_for_the_level(&driver(name)), "{name}");
    }
}

#[test]
fn easy_lives_of_checked_images_are_clean_and_count_as_those_of_release_images() {
    for name in ["deferlwf", "everything", "passthru"] {
        for seed in 1..=3 {
            let passed = [checked_driver(name), driver(name)].map(|image| {
                let summary = captures()
                    .iter()
                    .fold(Lab::run(&image), |lab, capture| lab.pcap(capture))
                    .with(ASKS)
                    .seed(seed)
                    .clean();
                assert_eq!(summary.pool.left_bytes, 0, "{name}, seed {seed}");
                summary.packets.ndis
            });
            assert_eq!(passed[0], passed[1], "{name}, seed {seed}");
        }
    }
}

#[test]
fn hard_lives_of_checked_images_trip_no_assertion() {
    for (name, seeds) in [("deferlwf", "40"), ("everything", "40"), ("passthru", "10")] {
        let output = Lab::stress(&checked_driver(name))
            .with(["--seeds", seeds])
            .with(ASKS)
            .output();
        assert_eq!(output.exit, 0, "{name}: {}{}", output.stdout, output.stderr);
    }
}
