//! A ring that is too small loses snapshots, never packets, and says how many.

use tests::{Lab, captures, driver};

#[test]
fn a_ring_of_16_entries_loses_snapshots_and_counts_them() {
    let lab = captures()
        .iter()
        .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
            lab.pcap(capture)
        });
    let roomy = lab.clone().seed(1).clean();
    let tight = lab.set("RingEntries", 16).seed(1).clean();

    let lost = tight.packets.driver.not_inspected.unwrap_or_default();
    assert!(lost > 0, "no snapshot was lost");
    let reasons = tight.not_inspected.clone().unwrap_or_default();
    assert_eq!(
        reasons.iter().map(|reason| reason.packets).sum::<u64>(),
        lost
    );
    assert!(
        reasons.iter().all(|reason| reason.reason == "ring full"),
        "{reasons:?}"
    );

    assert_eq!(tight.packets.ndis, roomy.packets.ndis);
    assert_eq!(tight.passed, tight.packets.ndis, "every packet passes");
    assert_eq!(
        tight.packets.driver.seen.send,
        Some(tight.packets.ndis.send)
    );
    assert_eq!(
        tight.packets.driver.seen.receive,
        Some(tight.packets.ndis.receive)
    );
}
