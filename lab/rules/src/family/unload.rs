//! What is left when the unload routine has returned.

use crate::event::{Event, Kind, Left, ModuleEvent};
use crate::{BugCheck, Finding, Monitor, Rule, Severity, Strength};

const UNLOAD_DEREGISTER: Rule = Rule {
    id: "unload-deregister",
    official_name: Some("NdisFDeregisterFilterDriver"),
    statement: "NdisFDeregisterFilterDriver is called from the unload routine.",
    page: "devtest/ndis-ndisfderegisterfilterdriver.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const DV_UNLOAD_SCAN: Rule = Rule {
    id: "dv-unload-scan",
    official_name: Some("Driver Verifier: Automatic Checks"),
    statement: "Right after unload no timer, DPC, lookaside list, worker thread, queue or similar resource of the driver remains.",
    page: "devtest/automatic-checks.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const UNLOAD_NOTHING_PENDING: Rule = Rule {
    id: "unload-nothing-pending",
    official_name: None,
    statement: "No timer, DPC, work item, thread or lookaside list of the driver is active when Unload returns.",
    page: "kernel/releasing-driver-allocated-resources.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const UNLOAD_WMI_ETW: Rule = Rule {
    id: "unload-wmi-etw",
    official_name: Some("Driver Verifier: Miscellaneous Checks"),
    statement: "WMI callbacks and ETW providers are unregistered before unload.",
    page: "devtest/miscellaneous-checks.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const CONFIG_ALTERNATE: Rule = Rule {
    id: "config-alternate",
    official_name: Some("NdisOpenConfigurationEx"),
    statement: "Configuration handles are closed; none is open when the instance ends.",
    page: "devtest/ndis-ndisopenconfigurationex.md",
    severity: Severity::Leak,
    strength: Strength::Must,
};

const DETACH_FREES_EVERYTHING: Rule = Rule {
    id: "detach-frees-everything",
    official_name: None,
    statement: "FilterDetach frees the module context, pools and every other per-module resource.",
    page: "network/detaching-a-filter-module.md",
    severity: Severity::Leak,
    strength: Strength::Must,
};

const REG_FAIL_UNDO: Rule = Rule {
    id: "reg-fail-undo",
    official_name: None,
    statement: "If DriverEntry fails after registering, it deregisters and frees everything, since Unload is not called.",
    page: "kernel/unload-routine-environment.md",
    severity: Severity::Leak,
    strength: Strength::Must,
};

/// Scans what is left, beside what other monitors count themselves.
#[derive(Debug, Default)]
pub(crate) struct UnloadMonitor;

impl Monitor for UnloadMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &UNLOAD_DEREGISTER,
            &DV_UNLOAD_SCAN,
            &UNLOAD_NOTHING_PENDING,
            &UNLOAD_WMI_ETW,
            &CONFIG_ALTERNATE,
            &DETACH_FREES_EVERYTHING,
            &REG_FAIL_UNDO,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Module(ModuleEvent::Deregistered {
                in_unload_or_entry: false,
                ..
            }) => {
                let happened = "NdisFDeregisterFilterDriver was called outside the unload routine";
                Some(Finding::new(&UNLOAD_DEREGISTER, happened))
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
            &REG_FAIL_UNDO
        } else {
            rule
        }
    };
    if left.registered {
        let happened = format!("the filter driver is still registered {after}");
        return Some(Finding::new(rule(&UNLOAD_DEREGISTER), happened));
    }
    if left.timers_set > 0 {
        let happened = format!("{} timers are still set {after}", left.timers_set);
        return Some(Finding::new(rule(&DV_UNLOAD_SCAN), happened).with(BugCheck::new(0xC7, &[0])));
    }
    if left.threads > 0 {
        let happened = format!(
            "{} system threads of the driver still run {after}",
            left.threads
        );
        return Some(
            Finding::new(rule(&UNLOAD_NOTHING_PENDING), happened).with(BugCheck::new(0xCE, &[])),
        );
    }
    if left.etw_providers > 0 {
        let happened = format!(
            "{} ETW providers are still registered {after}",
            left.etw_providers
        );
        return Some(
            Finding::new(rule(&UNLOAD_WMI_ETW), happened).with(BugCheck::new(0xC4, &[0xDD])),
        );
    }
    if left.configurations > 0 {
        let happened = format!(
            "{} configuration handles are still open {after}",
            left.configurations
        );
        return Some(Finding::new(rule(&CONFIG_ALTERNATE), happened));
    }
    for (count, what) in [
        (left.nbl_pools, "NBL pools"),
        (left.rw_locks, "reader-writer locks"),
        (left.timers_allocated, "timer objects"),
    ] {
        if count > 0 {
            return Some(Finding::new(
                rule(&DETACH_FREES_EVERYTHING),
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
