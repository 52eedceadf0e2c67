//! Mode `off`: NDIS does not call the datapath handlers.

use tests::{Lab, captures, driver};

#[test]
fn nothing_is_given_to_the_filter_and_no_work_item_runs() {
    for seed in 1..=10 {
        let summary = captures()
            .iter()
            .fold(Lab::run(&driver("deferlwf")), |lab, capture| {
                lab.pcap(capture)
            })
            .set("Mode", 0)
            .seed(seed)
            .clean();
        assert_eq!(summary.packets.ndis.send, 0, "seed {seed}");
        assert_eq!(summary.packets.ndis.receive, 0, "seed {seed}");
        assert_eq!(summary.work_items.queued, 0, "seed {seed}");
    }
}
