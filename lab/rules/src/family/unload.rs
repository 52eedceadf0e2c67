//! What is left when the unload routine has returned.

use crate::event::{Event, Kind, Left, ModuleEvent};
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
    if left.etw_providers > 0 {
        let happened = format!(
            "{} ETW providers are still registered {after}",
            left.etw_providers
        );
        return Some(
            Finding::new(rule(&rule::UNLOAD_WMI_ETW), happened).with(BugCheck::new(0xC4, &[0xDD])),
        );
    }
    if left.configurations > 0 {
        let happened = format!(
            "{} configuration handles are still open {after}",
            left.configurations
        );
        return Some(Finding::new(rule(&rule::CONFIG_ALTERNATE), happened));
    }
    for (count, what) in [
        (left.nbl_pools, "NBL pools"),
        (left.rw_locks, "reader-writer locks"),
        (left.timers_allocated, "timer objects"),
    ] {
        if count > 0 {
            return Some(Finding::new(
                rule(&rule::DETACH_FREES_EVERYTHING),
                format!("{count} {what} are left {after}"),
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::UnloadMonitor;
    use crate::event::{Kind, Left, ModuleEvent};
    use crate::table::{at, broken};

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
                    etw_providers: 1,
                    ..none
                },
                Some("unload-wmi-etw"),
            ),
            (
                Left {
                    configurations: 1,
                    ..none
                },
                Some("config-alternate"),
            ),
            (
                Left {
                    nbl_pools: 1,
                    ..none
                },
                Some("detach-frees-everything"),
            ),
            (
                Left {
                    rw_locks: 1,
                    ..none
                },
                Some("detach-frees-everything"),
            ),
            (
                Left {
                    timers_allocated: 1,
                    ..none
                },
                Some("detach-frees-everything"),
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
