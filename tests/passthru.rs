//! The smallest filter runs clean too, and the lab invents no counts for it.

use tests::{Lab, captures, driver};

#[test]
fn every_packet_passes_and_fields_of_deferlwf_are_null() {
    for capture in captures() {
        let output = Lab::run(&driver("passthru"))
            .pcap(&capture)
            .seed(1)
            .output();
        assert_eq!(output.exit, 0, "{}", output.stderr);
        let summary = output.summary();
        assert_eq!(
            summary.passed,
            summary.packets.ndis,
            "{}",
            capture.display()
        );
        assert!(summary.passed.send + summary.passed.receive > 0);
        assert_eq!(summary.rules.broken, 0);
        assert_eq!(summary.pool.left_bytes, 0);

        let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        for pointer in [
            "/packets/driver/send",
            "/packets/driver/receive",
            "/packets/driver/not_inspected",
            "/flow_count",
            "/flows",
            "/work_items/coalesced",
            "/work_items/max_batch",
        ] {
            assert_eq!(
                value.pointer(pointer),
                Some(&serde_json::Value::Null),
                "{pointer}"
            );
        }
    }
}
