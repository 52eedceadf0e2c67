//! The image as it lies on disk, and the headers of structures that calls are given.

use crate::event::{Event, Kind};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Structures whose header has a rule of its own, which another monitor watches.
const OTHERS: [&str; 4] = [
    "NDIS_FILTER_DRIVER_CHARACTERISTICS",
    "NDIS_FILTER_ATTRIBUTES",
    "NDIS_STATUS_INDICATION",
    "NDIS_OID_REQUEST",
];

/// Looks at the image and at every header.
#[derive(Debug, Default)]
pub(crate) struct ImageMonitor;

impl Monitor for ImageMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::MEM_NX_POOL,
            &rule::HDR_FILL_CORRECT,
            &rule::SETMODULE_PARTIAL_HEADER,
            &rule::DEV_ATTRIBUTES,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Loaded(loaded) => {
                let section = loaded.writable_code.first()?;
                let happened = format!("section {section} is writable and executable");
                let bug_check = BugCheck::new(0xC4, &[0x2003]);
                Some(Finding::new(&rule::MEM_NX_POOL, happened).with(bug_check))
            }
            Kind::Structure(header)
                if !header.is_valid() && !OTHERS.contains(&header.structure) =>
            {
                let rule = match header.structure {
                    "NDIS_FILTER_PARTIAL_CHARACTERISTICS" => &rule::SETMODULE_PARTIAL_HEADER,
                    "NDIS_DEVICE_OBJECT_ATTRIBUTES" => &rule::DEV_ATTRIBUTES,
                    _ => &rule::HDR_FILL_CORRECT,
                };
                let happened = format!(
                    "{}: type {:#x}, revision {}, size {}; expected {:#x}, {}, {}",
                    header.structure,
                    header.object_type,
                    header.revision,
                    header.size,
                    header.expected_type,
                    header.expected_revision,
                    header.expected_size
                );
                let bug_check = BugCheck::new(0x7C, &[0x21, 0, header.address]);
                Some(Finding::new(rule, happened).with(bug_check))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ImageMonitor;
    use crate::event::{Event, Header, Kind, Loaded};
    use crate::table::{at, check};

    fn header(structure: &'static str, revision: u8) -> Event {
        at(Kind::Structure(Header {
            structure,
            address: 1,
            object_type: 0x80,
            revision,
            size: 16,
            expected_type: 0x80,
            expected_revision: 1,
            expected_size: 16,
        }))
    }

    #[test]
    fn headers_and_sections_are_checked() {
        let loaded = |writable_code| {
            at(Kind::Loaded(Loaded {
                writable_code,
                ..Loaded::default()
            }))
        };
        let partial = "NDIS_FILTER_PARTIAL_CHARACTERISTICS";
        let device = "NDIS_DEVICE_OBJECT_ATTRIBUTES";
        let pool = "NET_BUFFER_LIST_POOL_PARAMETERS";
        check::<ImageMonitor>(vec![
            ("plain", vec![loaded(vec![])], vec![]),
            (
                "W+X",
                vec![loaded(vec![".text".into()])],
                vec!["mem-nx-pool"],
            ),
            (
                "right",
                vec![header(pool, 1), header(partial, 1), header(device, 1)],
                vec![],
            ),
            ("wrong", vec![header(pool, 0)], vec!["hdr-fill-correct"]),
            (
                "wrong handlers",
                vec![header(partial, 2)],
                vec!["setmodule-partial-header"],
            ),
            (
                "wrong device",
                vec![header(device, 0)],
                vec!["dev-attributes"],
            ),
            (
                "watched elsewhere",
                vec![header("NDIS_FILTER_ATTRIBUTES", 0)],
                vec![],
            ),
        ]);
    }
}
