//! A driver that is unloaded while it is attached is detached by NDIS inside `NdisFDeregisterFilterDriver`, and leaves
//! nothing.

use tests::{Lab, capture, driver};

#[test]
fn what_is_attached_is_detached_in_the_unload_routine() {
    for name in ["deferlwf", "passthru", "everything"] {
        for seed in 1..=8 {
            // Disturbed lives give packets to modules that no longer run, after the driver was asked for its counts.
            let disturb = (seed % 2 == 0).then_some("--disturb");
            let summary = Lab::run(&driver(name))
                .pcap(&capture("http1"))
                .with(["--stop", "in-unload"])
                .with(disturb)
                .seed(seed)
                .clean();
            let states = &summary.adapters[0].states;
            assert_eq!(
                states.last().map(String::as_str),
                Some("Detached"),
                "{name}"
            );
            assert!(states.iter().any(|state| state == "Pausing"), "{name}");
            assert!(summary.packets.ndis.send > 0, "{name}");
            assert!(
                summary.warnings.is_empty(),
                "{name}: {:?}",
                summary.warnings
            );
        }
    }
}
