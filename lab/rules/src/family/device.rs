//! Device objects of the driver.

use std::collections::BTreeSet;

use crate::event::{DeviceEvent, Event, Kind};
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// Follows the driver's device objects.
#[derive(Debug, Default)]
pub(crate) struct DeviceMonitor {
    alive: BTreeSet<u64>,
}

impl Monitor for DeviceMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::DEV_HANDLE,
            &rule::DEV_SDDL,
            &rule::DEV_NO_PNP_POWER,
            &rule::DEV_DEREGISTER_ONCE,
            &rule::DEV_DETACH_FIRST,
            &rule::IO_TIMER_ONCE,
            &rule::REMOVE_LOCK_BALANCED,
            &rule::DEV_WMI_DEREGISTERED,
            &rule::UNLOAD_DEVICES_GONE,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match event.kind {
            Kind::Device(DeviceEvent::Created {
                device,
                with_driver_handle,
                with_sddl,
                with_pnp_or_power,
            }) => {
                self.alive.insert(device);
                if !with_driver_handle {
                    let happened =
                        "NdisRegisterDeviceEx was given a handle that is not the filter driver's";
                    return Some(Finding::new(&rule::DEV_HANDLE, happened));
                }
                if with_pnp_or_power {
                    let happened = "NdisRegisterDeviceEx was given a routine for PnP or power IRPs";
                    return Some(Finding::new(&rule::DEV_NO_PNP_POWER, happened));
                }
                (!with_sddl).then(|| {
                    Finding::new(
                        &rule::DEV_SDDL,
                        "a device was created without DefaultSDDLString",
                    )
                })
            }
            Kind::Device(DeviceEvent::TimerAgain { device }) => {
                let happened =
                    format!("IoInitializeTimer was given device {device:#x}, which has a timer");
                let finding = Finding::new(&rule::IO_TIMER_ONCE, happened);
                Some(finding.with(BugCheck::new(0xC9, &[0x0A, device])))
            }
            Kind::Device(DeviceEvent::LockNotHeld { lock, tag }) => {
                let happened = format!(
                    "remove lock {lock:#x} was released with tag {tag:#x}, and not acquired with it"
                );
                Some(Finding::new(&rule::REMOVE_LOCK_BALANCED, happened))
            }
            Kind::Device(DeviceEvent::NotAttached { device }) => {
                let happened = format!(
                    "IoDetachDevice was given device {device:#x}, which nothing is attached to"
                );
                let finding = Finding::new(&rule::DEV_DETACH_FIRST, happened);
                Some(finding.with(BugCheck::new(0xC9, &[0x202, 0, device])))
            }
            Kind::Device(DeviceEvent::Deleted {
                device,
                is_attached: true,
                ..
            }) => {
                self.alive.remove(&device);
                let happened =
                    format!("device {device:#x} was deleted and is attached to another one still");
                let finding = Finding::new(&rule::DEV_DETACH_FIRST, happened);
                Some(finding.with(BugCheck::new(0xC9, &[0x201])))
            }
            Kind::Device(DeviceEvent::Deleted { device, known, .. }) => {
                self.alive.remove(&device);
                (!known).then(|| {
                    let happened =
                        format!("device handle {device:#x} was deregistered and is not alive");
                    Finding::new(&rule::DEV_DEREGISTER_ONCE, happened)
                })
            }
            Kind::Device(DeviceEvent::WmiLeft { device }) => {
                let happened =
                    format!("device {device:#x} was deleted and is still registered with WMI");
                let stop = BugCheck::new(0xC4, &[0xDB, device]);
                Some(Finding::new(&rule::DEV_WMI_DEREGISTERED, happened).with(stop))
            }
            Kind::Left(_) => {
                let device = self.alive.first()?;
                let happened = format!("device {device:#x} is left after unload");
                let finding = Finding::new(&rule::UNLOAD_DEVICES_GONE, happened);
                Some(finding.since(Origin::Allocated(*device)))
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
    fn devices_are_not_for_pnp() {
        for (with_pnp_or_power, expected) in [(false, None), (true, Some("dev-no-pnp-power"))] {
            let created = at(Kind::Device(DeviceEvent::Created {
                device: 1,
                with_driver_handle: true,
                with_sddl: true,
                with_pnp_or_power,
            }));
            assert_eq!(broken::<DeviceMonitor>([created]), Vec::from_iter(expected));
        }
    }

    #[test]
    fn devices_are_followed() {
        let created = |with_driver_handle, with_sddl| {
            at(Kind::Device(DeviceEvent::Created {
                device: 1,
                with_driver_handle,
                with_sddl,
                with_pnp_or_power: false,
            }))
        };
        let deleted_as = |known, is_attached| {
            at(Kind::Device(DeviceEvent::Deleted {
                device: 1,
                known,
                is_attached,
            }))
        };
        let deleted = |known| deleted_as(known, false);
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
                "attached",
                vec![created(true, true), deleted_as(true, true), left()],
                vec!["dev-detach-first"],
            ),
            (
                "second timer",
                vec![at(Kind::Device(DeviceEvent::TimerAgain { device: 1 }))],
                vec!["io-timer-once"],
            ),
            (
                "lock not acquired",
                vec![at(Kind::Device(DeviceEvent::LockNotHeld {
                    lock: 1,
                    tag: 2,
                }))],
                vec!["remove-lock-balanced"],
            ),
            (
                "detached twice",
                vec![at(Kind::Device(DeviceEvent::NotAttached { device: 1 }))],
                vec!["dev-detach-first"],
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

    #[test]
    fn wmi_lets_go_of_a_device_first() {
        let left = at(Kind::Device(DeviceEvent::WmiLeft { device: 1 }));
        assert_eq!(broken::<DeviceMonitor>([left]), ["dev-wmi-deregistered"]);
    }
}
