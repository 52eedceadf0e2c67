//! The driver runs on every NDIS version from 6.84 to 6.89, at the version that the system offers.

use tests::{Lab, captures, driver};

#[test]
fn it_registers_at_the_version_offered_and_runs_clean() {
    let capture = &captures()[0];
    for minor in 84..=89 {
        let version = format!("6.{minor}");
        let summary = Lab::run(&driver("deferlwf"))
            .pcap(capture)
            .with(["--ndis", &version])
            .seed(1)
            .clean();
        assert_eq!(summary.registered_ndis.as_deref(), Some(version.as_str()));
        assert_eq!(summary.packets.driver.not_inspected, Some(0), "{version}");
    }
}
