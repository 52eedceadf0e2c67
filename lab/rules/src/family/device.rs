//! Device objects of the driver.

use std::collections::BTreeSet;

use crate::event::{DeviceEvent, Event, Kind};
use crate::{Finding, Monitor, Rule, Severity, Strength};

const DEV_HANDLE: Rule = Rule {
    id: "dev-handle",
    official_name: None,
    statement: "NdisRegisterDeviceEx gets the driver handle, at PASSIVE_LEVEL, after registration.",
    page: "ddi ndis/nf-ndis-ndisregisterdeviceex.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const DEV_SDDL: Rule = Rule {
    id: "dev-sddl",
    official_name: None,
    statement: "The device has an explicit SDDL string limited to the needed callers.",
    page: "kernel/sddl-for-device-objects.md",
    severity: Severity::Style,
    strength: Strength::Should,
};

const DEV_DEREGISTER_ONCE: Rule = Rule {
    id: "dev-deregister-once",
    official_name: None,
    statement: "The device handle is deregistered exactly once, at PASSIVE_LEVEL, before the driver handle is deregistered.",
    page: "ddi ndis/nf-ndis-ndisderegisterdeviceex.md",
    severity: Severity::Leak,
    strength: Strength::Derived,
};

const UNLOAD_DEVICES_GONE: Rule = Rule {
    id: "unload-devices-gone",
    official_name: None,
    statement: "Every device object the filter created is destroyed by the unload routine.",
    page: "network/unloading-a-filter-driver.md",
    severity: Severity::Leak,
    strength: Strength::Must,
};

/// Follows the driver's device objects.
#[derive(Debug, Default)]
pub(crate) struct DeviceMonitor {
    alive: BTreeSet<u64>,
}

impl Monitor for DeviceMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &DEV_HANDLE,
            &DEV_SDDL,
            &DEV_DEREGISTER_ONCE,
            &UNLOAD_DEVICES_GONE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match event.kind {
            Kind::Device(DeviceEvent::Created {
                device,
                with_driver_handle,
                with_sddl,
            }) => {
                self.alive.insert(device);
                if !with_driver_handle {
                    let happened =
                        "NdisRegisterDeviceEx was given a handle that is not the filter driver's";
                    return Some(Finding::new(&DEV_HANDLE, happened));
                }
                (!with_sddl).then(|| {
                    Finding::new(&DEV_SDDL, "a device was created without DefaultSDDLString")
                })
            }
            Kind::Device(DeviceEvent::Deleted { device, known }) => {
                self.alive.remove(&device);
                (!known).then(|| {
                    let happened =
                        format!("device handle {device:#x} was deregistered and is not alive");
                    Finding::new(&DEV_DEREGISTER_ONCE, happened)
                })
            }
            Kind::Left(_) => {
                let device = self.alive.first()?;
                Some(Finding::new(
                    &UNLOAD_DEVICES_GONE,
                    format!("device {device:#x} is left after unload"),
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceMonitor;
    use crate::event::{DeviceEvent, Event, Kind, Left};
    use crate::table::{at, broken};

    #[test]
    fn devices_are_followed() {
        let created = |with_driver_handle, with_sddl| {
            at(Kind::Device(DeviceEvent::Created {
                device: 1,
                with_driver_handle,
                with_sddl,
            }))
        };
        let deleted = |known| at(Kind::Device(DeviceEvent::Deleted { device: 1, known }));
        let left = || at(Kind::Left(Left::default()));
        let table: Vec<(&str, Vec<Event>, Vec<&str>)> = vec![
            (
                "life",
                vec![created(true, true), deleted(true), left()],
                vec![],
            ),
            (
                "wrong handle",
                vec![created(false, true)],
                vec!["dev-handle"],
            ),
            (
                "no descriptor",
                vec![created(true, false)],
                vec!["dev-sddl"],
            ),
            (
                "deleted twice",
                vec![created(true, true), deleted(true), deleted(false)],
                vec!["dev-deregister-once"],
            ),
            (
                "left",
                vec![created(true, true), left()],
                vec!["unload-devices-gone"],
            ),
        ];
        for (name, events, expected) in table {
            assert_eq!(broken::<DeviceMonitor>(events), expected, "{name}");
        }
    }
}
