//! What is left when the unload routine has returned.

use crate::event::{Event, Kind, Left, ModuleEvent, Registered, Remaining};
use crate::family::count_text;
use crate::{BugCheck, Finding, Monitor, Origin, Rule, catalogue as rule};

/// Scans what is left, beside what other monitors count themselves.
#[derive(Debug, Default)]
pub(crate) struct UnloadMonitor;

impl Monitor for UnloadMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::UNLOAD_DEREGISTER,
            &rule::DV_UNLOAD_SCAN,
            &rule::UNLOAD_NOTHING_PENDING,
            &rule::UNLOAD_WMI_ETW,
            &rule::UNLOAD_HANDLES_CLOSED,
            &rule::UNLOAD_WFP_GONE,
            &rule::UNLOAD_IRPS_GONE,
            &rule::UNLOAD_NOTIFICATIONS_GONE,
            &rule::REMOVE_LOCK_BALANCED,
            &rule::UNLOAD_CALLBACKS_GONE,
            &rule::CONFIG_ALTERNATE,
            &rule::DETACH_FREES_EVERYTHING,
            &rule::REG_FAIL_UNDO,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Module(ModuleEvent::Deregistered {
                in_unload_or_entry: false,
                ..
            }) => {
                let happened = "NdisFDeregisterFilterDriver was called outside the unload routine";
                Some(Finding::new(&rule::UNLOAD_DEREGISTER, happened))
            }
            Kind::Left(left) => scan(left),
            _ => None,
        }
    }
}

fn scan(left: &Left) -> Option<Finding> {
    let after = if left.entry_failed {
        "after DriverEntry failed"
    } else {
        "after unload"
    };
    let rule = |rule| {
        if left.entry_failed {
            &rule::REG_FAIL_UNDO
        } else {
            rule
        }
    };
    if left.registered {
        let happened = format!("the filter driver is still registered {after}");
        return Some(Finding::new(rule(&rule::UNLOAD_DEREGISTER), happened));
    }
    if left.timers_set > 0 {
        let happened = format!("{} timers are still set {after}", left.timers_set);
        return Some(
            Finding::new(rule(&rule::DV_UNLOAD_SCAN), happened).with(BugCheck::new(0xC7, &[0])),
        );
    }
    if left.threads > 0 {
        let happened = format!(
            "{} system threads of the driver still run {after}",
            left.threads
        );
        return Some(
            Finding::new(rule(&rule::UNLOAD_NOTHING_PENDING), happened)
                .with(BugCheck::new(0xCE, &[]))
                .since(Origin::Started(left.first_thread)),
        );
    }
    let (registered, noun) = match left.registration {
        Some((kind, first)) => {
            let count = left.registrations;
            (Remaining { count, first }, kind.noun())
        }
        None => (Remaining::default(), ""),
    };
    let is_wmi = left
        .registration
        .is_some_and(|(kind, _)| kind == Registered::Wmi);
    let frees = &rule::DETACH_FREES_EVERYTHING;
    let kinds = [
        (
            left.etw_providers,
            "ETW registration",
            &rule::UNLOAD_WMI_ETW,
        ),
        (
            left.configurations,
            "open configuration handle",
            &rule::CONFIG_ALTERNATE,
        ),
        (left.nbl_pools, "NET_BUFFER_LIST or NET_BUFFER pool", frees),
        (left.rw_locks, "reader-writer lock", frees),
        (left.timers_allocated, "timer object", frees),
        (left.handles, "open handle", &rule::UNLOAD_HANDLES_CLOSED),
        (left.irps, "IRP", &rule::UNLOAD_IRPS_GONE),
        (
            left.notifications,
            "registration for notification",
            &rule::UNLOAD_NOTIFICATIONS_GONE,
        ),
        (
            left.remove_locks,
            "acquired remove lock",
            &rule::REMOVE_LOCK_BALANCED,
        ),
        (
            left.platform,
            "object of the filtering platform",
            &rule::UNLOAD_WFP_GONE,
        ),
        (
            registered,
            noun,
            if is_wmi {
                &rule::UNLOAD_WMI_ETW
            } else {
                &rule::UNLOAD_CALLBACKS_GONE
            },
        ),
    ];
    let (remaining, noun, broken) = kinds
        .into_iter()
        .find(|(remaining, ..)| remaining.count > 0)?;
    let count = usize::try_from(remaining.count).unwrap_or(usize::MAX);
    let verb = if count == 1 { "is" } else { "are" };
    let happened = format!("{} {verb} left {after}", count_text(count, noun));
    let finding = Finding::new(rule(broken), happened).since(Origin::Allocated(remaining.first));
    Some(if broken.id == rule::UNLOAD_WMI_ETW.id {
        let kind = if is_wmi { 0xDA } else { 0xDD };
        finding.with(BugCheck::new(0xC4, &[kind]))
    } else if broken.id == rule::UNLOAD_CALLBACKS_GONE.id {
        finding.with(BugCheck::new(0xCE, &[]))
    } else {
        finding
    })
}

#[cfg(test)]
mod tests {
    use super::UnloadMonitor;
    use crate::event::{Kind, Left, ModuleEvent, Registered, Remaining};
    use crate::table::{at, broken};

    const ONE: Remaining = Remaining {
        count: 1,
        first: 16,
    };

    #[test]
    fn everything_left_is_named() {
        let none = Left::default();
        for (left, expected) in [
            (none, None),
            (
                Left {
                    registered: true,
                    ..none
                },
                Some("unload-deregister"),
            ),
            (
                Left {
                    timers_set: 1,
                    ..none
                },
                Some("dv-unload-scan"),
            ),
            (Left { threads: 1, ..none }, Some("unload-nothing-pending")),
            (
                Left {
                    etw_providers: ONE,
                    ..none
                },
                Some("unload-wmi-etw"),
            ),
            (
                Left {
                    configurations: ONE,
                    ..none
                },
                Some("config-alternate"),
            ),
            (
                Left {
                    nbl_pools: ONE,
                    ..none
                },
                Some("detach-frees-everything"),
            ),
            (
                Left {
                    rw_locks: ONE,
                    ..none
                },
                Some("detach-frees-everything"),
            ),
            (
                Left {
                    timers_allocated: ONE,
                    ..none
                },
                Some("detach-frees-everything"),
            ),
            (
                Left {
                    handles: ONE,
                    ..none
                },
                Some("unload-handles-closed"),
            ),
            (
                Left {
                    notifications: ONE,
                    ..none
                },
                Some("unload-notifications-gone"),
            ),
            (
                Left {
                    remove_locks: ONE,
                    ..none
                },
                Some("remove-lock-balanced"),
            ),
            (Left { irps: ONE, ..none }, Some("unload-irps-gone")),
            (
                Left {
                    platform: ONE,
                    ..none
                },
                Some("unload-wfp-gone"),
            ),
            (
                Left {
                    registrations: 1,
                    registration: Some((Registered::BugCheck, 16)),
                    ..none
                },
                Some("unload-callbacks-gone"),
            ),
            (
                Left {
                    registrations: 2,
                    registration: Some((Registered::Wmi, 16)),
                    ..none
                },
                Some("unload-wmi-etw"),
            ),
            (
                Left {
                    entry_failed: true,
                    registered: true,
                    ..none
                },
                Some("reg-fail-undo"),
            ),
        ] {
            assert_eq!(
                broken::<UnloadMonitor>([at(Kind::Left(left))]),
                Vec::from_iter(expected)
            );
        }
    }

    #[test]
    fn deregistration_has_its_place() {
        for (in_unload_or_entry, expected) in [(true, None), (false, Some("unload-deregister"))] {
            let event = ModuleEvent::Deregistered {
                in_unload_or_entry,
                known: true,
            };
            assert_eq!(
                broken::<UnloadMonitor>([at(Kind::Module(event))]),
                Vec::from_iter(expected)
            );
        }
    }
}
