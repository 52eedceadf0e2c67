//! The documented IRQL of every import, and of what callbacks leave behind.

use crate::event::{Call, Callback, DISPATCH_LEVEL, Event, Import, Kind, PASSIVE_LEVEL};
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// Which rule an import's level belongs to: the first matching prefix decides.
const RULE_BY_PREFIX: &[(&str, &Rule)] = &[
    ("NdisFRegisterFilterDriver", &rule::REG_PASSIVE),
    ("NdisFDeregisterFilterDriver", &rule::UNLOAD_DEREGISTER_ONCE),
    ("NdisFRestartComplete", &rule::RESTART_COMPLETE_PASSIVE),
    ("NdisFRestartFilter", &rule::RESTART_FILTER_IRQL),
    ("NdisFNetPnPEvent", &rule::NETPNP_FORWARD_CONTEXT),
    (
        "NdisFDevicePnPEventNotify",
        &rule::DEVPNP_FORWARD_BEFORE_RETURN,
    ),
    ("NdisIf", &rule::SDV_IRQL_INTERFACES_FUNCTION),
    ("MmMapLockedPages", &rule::MDL_MAP_IRQL),
    ("MmUnmapLockedPages", &rule::MDL_MAP_IRQL),
    ("ExAcquireFastMutex", &rule::DV_FAST_MUTEX_IRQL),
    ("ExReleaseFastMutex", &rule::DV_FAST_MUTEX_IRQL),
    ("KeEnterCriticalRegion", &rule::DV_CRITICAL_REGION_IRQL),
    ("KeLeaveCriticalRegion", &rule::DV_CRITICAL_REGION_IRQL),
    ("NdisFIndicateStatus", &rule::STATUS_IRQL),
    ("NdisFOid", &rule::OID_REQUEST_IRQL),
    ("NdisFCancelOid", &rule::OID_REQUEST_IRQL),
    ("NdisFDirectOid", &rule::OID_REQUEST_IRQL),
    ("NdisFCancelDirectOid", &rule::OID_REQUEST_IRQL),
    ("NdisFSynchronousOid", &rule::OID_REQUEST_IRQL),
    ("NdisF", &rule::IRQL_FILTER_DRIVER),
    ("NdisAllocateCloneOid", &rule::OID_REQUEST_IRQL),
    ("NdisAllocateNetBuffer", &rule::IRQL_NETBUFFER),
    ("NdisAllocateCloneNetBuffer", &rule::IRQL_NETBUFFER),
    ("NdisFreeNetBuffer", &rule::IRQL_NETBUFFER),
    ("NdisFreeCloneNetBuffer", &rule::IRQL_NETBUFFER),
    ("NdisGetDataBuffer", &rule::IRQL_NETBUFFER),
    ("NdisCopy", &rule::IRQL_NETBUFFER),
    ("NdisAdvanceNetBuffer", &rule::IRQL_NETBUFFER),
    ("NdisRetreatNetBuffer", &rule::IRQL_NETBUFFER),
    ("NdisAllocateMdl", &rule::IRQL_NETBUFFER),
    ("NdisFreeMdl", &rule::IRQL_NETBUFFER),
    ("NdisAllocateIoWorkItem", &rule::WI_IRQL),
    ("NdisQueueIoWorkItem", &rule::WI_IRQL),
    ("NdisFreeIoWorkItem", &rule::WI_IRQL),
    ("IoAllocateWorkItem", &rule::WI_IRQL),
    ("IoQueueWorkItem", &rule::WI_IRQL),
    ("IoTryQueueWorkItem", &rule::WI_IRQL),
    ("IoFreeWorkItem", &rule::WI_IRQL),
    ("NdisAllocateTimerObject", &rule::TIMER_IRQL),
    ("NdisSetTimerObject", &rule::TIMER_IRQL),
    ("NdisSetCoalescableTimerObject", &rule::TIMER_IRQL),
    ("NdisCancelTimerObject", &rule::TIMER_IRQL),
    ("NdisFreeTimerObject", &rule::TIMER_IRQL),
    ("NdisOpenConfiguration", &rule::CONFIG_PASSIVE),
    ("NdisReadConfiguration", &rule::CONFIG_PASSIVE),
    ("NdisWriteConfiguration", &rule::CONFIG_PASSIVE),
    ("NdisCloseConfiguration", &rule::CONFIG_PASSIVE),
    ("NdisWaitEvent", &rule::EVENT_WAIT_PASSIVE),
    ("NdisM", &rule::SDV_IRQL_MINIPORT_DRIVER_FUNCTION),
    ("NdisAllocateMemory", &rule::MEM_IRQL_ALLOC),
    ("NdisFreeMemory", &rule::MEM_IRQL_FREE),
    ("KeWaitFor", &rule::EVENT_WAIT_KERNEL),
    ("KeDelayExecutionThread", &rule::EVENT_WAIT_KERNEL),
    ("KeSetEvent", &rule::EVENT_SET_IRQL),
    ("NdisSetEvent", &rule::EVENT_SET_IRQL),
    ("NdisResetEvent", &rule::EVENT_SET_IRQL),
    ("KfRaiseIrql", &rule::DV_RAISE_LOWER_DIRECTION),
    ("KeRaiseIrql", &rule::DV_RAISE_LOWER_DIRECTION),
    ("KeLowerIrql", &rule::DV_RAISE_LOWER_DIRECTION),
    ("KeAcquireSpinLockAtDpcLevel", &rule::IRQL_DPC_LOCK_BELOW),
    ("KeReleaseSpinLockFromDpcLevel", &rule::IRQL_DPC_LOCK_BELOW),
    ("NdisDprAcquire", &rule::IRQL_DPC_LOCK_BELOW),
    ("NdisDprRelease", &rule::IRQL_DPC_LOCK_BELOW),
    ("KeAcquire", &rule::SYNC_IRQL),
    ("KeRelease", &rule::SYNC_IRQL),
    ("NdisAcquire", &rule::SYNC_IRQL),
    ("NdisRelease", &rule::SYNC_IRQL),
    ("NdisAllocateSpinLock", &rule::SYNC_IRQL),
    ("NdisFreeSpinLock", &rule::SYNC_IRQL),
    ("NdisAllocateRWLock", &rule::SYNC_IRQL),
    ("NdisFreeRWLock", &rule::SYNC_IRQL),
    ("ExAllocatePool", &rule::MEM_IRQL_ALLOC),
    ("ExFreePool", &rule::MEM_IRQL_FREE),
    ("IofCompleteRequest", &rule::IRP_COMPLETE_IRQL),
    ("ExDeleteTimer", &rule::EX_TIMER_DELETE),
    ("Zw", &rule::ZW_IRQL_PASSIVE),
    ("Rtl", &rule::ZW_IRQL_PASSIVE),
    ("PsCreateSystemThread", &rule::ZW_IRQL_PASSIVE),
    ("", &rule::IRQL_MISC),
];

/// Compares the level of every import call with its documented range, and of every callback's end
/// with its beginning.
#[derive(Debug, Default)]
pub(crate) struct IrqlMonitor {
    /// Callbacks that are running: thread, level at entry, and which.
    entered: Vec<(u32, u8, Call)>,
    /// Levels to go back to after a raise: thread and level.
    raised: Vec<(u32, u8)>,
}

impl Monitor for IrqlMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::IRQL_FILTER_DRIVER,
            &rule::IRQL_NETBUFFER,
            &rule::IRQL_MISC,
            &rule::IRQL_RAISE_LOWER,
            &rule::SYNC_IRQL,
            &rule::TIMER_IRQL,
            &rule::STATUS_IRQL,
            &rule::OID_REQUEST_IRQL,
            &rule::WI_IRQL,
            &rule::CONFIG_PASSIVE,
            &rule::EVENT_WAIT_PASSIVE,
            &rule::EVENT_WAIT_KERNEL,
            &rule::EVENT_SET_IRQL,
            &rule::MEM_IRQL_ALLOC,
            &rule::MEM_IRQL_FREE,
            &rule::ZW_IRQL_PASSIVE,
            &rule::EX_TIMER_DELETE,
            &rule::RESTART_COMPLETE_PASSIVE,
            &rule::REG_PASSIVE,
            &rule::IRP_COMPLETE_IRQL,
            &rule::UNLOAD_DEREGISTER_ONCE,
            &rule::RESTART_FILTER_IRQL,
            &rule::NETPNP_FORWARD_CONTEXT,
            &rule::DEVPNP_FORWARD_BEFORE_RETURN,
            &rule::SDV_IRQL_INTERFACES_FUNCTION,
            &rule::SDV_IRQL_MINIPORT_DRIVER_FUNCTION,
            &rule::MDL_MAP_IRQL,
            &rule::DV_FAST_MUTEX_IRQL,
            &rule::DV_CRITICAL_REGION_IRQL,
            &rule::DV_RAISE_LOWER_DIRECTION,
            &rule::IRQL_SETTING_MACROS,
            &rule::TIMER_CALLBACK_DISPATCH,
            &rule::OID_HANDLER_NO_PASSIVE_ASSUMPTION,
            &rule::SYNC_OID_IRQL_RESTORED,
            &rule::IRP_DISPATCH_IRQL,
            &rule::CALLBACK_IRQL_RESTORED,
            &rule::WI_ROUTINE_RETURNS_PASSIVE,
            &rule::IRQL_DPC_LOCK_BELOW,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Import(import) => {
                let inside = self
                    .entered
                    .iter()
                    .rfind(|(thread, ..)| *thread == event.thread);
                let callback = inside.map(|(.., call)| call.callback);
                check_import(import, event.irql, callback)
                    .or_else(|| self.check_lower(event, import))
            }
            Kind::Enter(call) => {
                self.entered.push((event.thread, event.irql, *call));
                None
            }
            Kind::Leave { call, .. } => {
                let index = self
                    .entered
                    .iter()
                    .rposition(|(thread, ..)| *thread == event.thread)?;
                let (_, before, _) = self.entered.remove(index);
                if !self
                    .entered
                    .iter()
                    .any(|(thread, ..)| *thread == event.thread)
                {
                    self.raised.retain(|(thread, _)| *thread != event.thread);
                }
                // A cancel routine releases the lock that it is called with, and goes back to where its caller was.
                let is_right = match call.callback {
                    Callback::Cancel => event.irql == PASSIVE_LEVEL,
                    _ => event.irql == before,
                };
                if is_right {
                    return None;
                }
                let happened = format!(
                    "{} was called at {} and returned at {}",
                    call.callback.name(),
                    level_name(before),
                    level_name(event.irql)
                );
                if call.callback.is_work_item() && event.irql > PASSIVE_LEVEL {
                    let bug_check = BugCheck::new(0xE1, &[0, event.irql.into()]);
                    return Some(
                        Finding::new(&rule::WI_ROUTINE_RETURNS_PASSIVE, happened).with(bug_check),
                    );
                }
                let rule = match call.callback {
                    Callback::Dispatch => &rule::IRP_DISPATCH_IRQL,
                    callback if callback.is_synchronous_oid() => &rule::SYNC_OID_IRQL_RESTORED,
                    _ => &rule::CALLBACK_IRQL_RESTORED,
                };
                let unique = u64::from(event.irql) << 16 | u64::from(before) << 8;
                Some(Finding::new(rule, happened).with(BugCheck::new(0xC8, &[unique])))
            }
            _ => None,
        }
    }
}

impl IrqlMonitor {
    /// Follows raises, and compares each lowering with them.
    fn check_lower(&mut self, event: &Event, import: &Import) -> Option<Finding> {
        let thread = event.thread;
        match import.name {
            "KfRaiseIrql" | "KeRaiseIrqlToDpcLevel" => {
                self.raised.push((thread, event.irql));
                None
            }
            "KeLowerIrql" => {
                let to = import.arguments.byte(0);
                let mut mine = self.raised.iter().filter(|(raised, _)| *raised == thread);
                let (rule, why) = match mine.any(|(_, level)| *level == to) {
                    true => {
                        let is_it = |(raised, level): &(u32, u8)| (*raised, *level) == (thread, to);
                        let index = self.raised.iter().rposition(is_it)?;
                        let mut place = 0;
                        self.raised.retain(|(raised, _)| {
                            place += 1;
                            *raised != thread || place <= index
                        });
                        return None;
                    }
                    false if self.raised.iter().any(|(raised, _)| *raised == thread) => {
                        (&rule::IRQL_SETTING_MACROS, "which no raise came from")
                    }
                    false => (&rule::IRQL_RAISE_LOWER, "and nothing had raised it"),
                };
                let happened = format!("KeLowerIrql went to {}, {why}", level_name(to));
                let bug_check = BugCheck::new(0xC4, &[0x31, event.irql.into(), to.into()]);
                Some(Finding::new(rule, happened).with(bug_check))
            }
            _ => None,
        }
    }
}

fn check_import(import: &Import, irql: u8, callback: Option<Callback>) -> Option<Finding> {
    if (import.irql_min..=import.irql_max).contains(&irql) {
        return None;
    }
    let (_, rule) = RULE_BY_PREFIX
        .iter()
        .find(|(prefix, _)| import.name.starts_with(prefix))?;
    let rule = match callback {
        Some(Callback::TimerFunction) if irql == DISPATCH_LEVEL => &rule::TIMER_CALLBACK_DISPATCH,
        Some(Callback::FilterOidRequest) if irql == DISPATCH_LEVEL => {
            &rule::OID_HANDLER_NO_PASSIVE_ASSUMPTION
        }
        _ => rule,
    };
    let allowed = match (import.irql_min, import.irql_max) {
        (low, high) if low == high => format!("at {} only", level_name(low)),
        (PASSIVE_LEVEL, high) => format!("up to {}", level_name(high)),
        (low, high) => format!("from {} to {}", level_name(low), level_name(high)),
    };
    let happened = format!(
        "{} was called at {}; it is legal {allowed}",
        import.name,
        level_name(irql)
    );
    let finding = Finding::new(rule, happened);
    let level = u64::from(irql);
    let bug_check = match rule.id {
        "event-wait-passive" => BugCheck::new(0x7C, &[0x14, level]),
        "event-wait-kernel" => BugCheck::new(0xC4, &[0x3B, level]),
        "event-set-irql" => BugCheck::new(0xC4, &[0x80, level]),
        "mem-irql-alloc" => BugCheck::new(0xC2, &[0x08, level]),
        "mem-irql-free" => BugCheck::new(0xC2, &[0x09, level]),
        "dv-raise-lower-direction" if import.name == "KeLowerIrql" => {
            BugCheck::new(0xC4, &[0x31, level])
        }
        "dv-raise-lower-direction" => BugCheck::new(0xC4, &[0x30, level]),
        "dv-fast-mutex-irql" => BugCheck::new(0xC4, &[0x33, level]),
        "dv-critical-region-irql" => BugCheck::new(0xC4, &[0x11A, level]),
        "mdl-map-irql" => BugCheck::new(0xC4, &[0x74, level]),
        "irql-dpc-lock-below" if import.name.contains("Acquire") => {
            BugCheck::new(0xC4, &[0x40, level])
        }
        "irql-dpc-lock-below" => BugCheck::new(0xC4, &[0x41, level]),
        "irp-complete-irql" => BugCheck::new(0xC9, &[0x0E, level]),
        "zw-irql-passive" => BugCheck::new(0xC4, &[0x0002_0023]),
        _ => return Some(finding),
    };
    Some(finding.with(bug_check))
}

/// The name of a level.
pub(crate) fn level_name(irql: u8) -> String {
    match irql {
        0 => "PASSIVE_LEVEL".into(),
        1 => "APC_LEVEL".into(),
        2 => "DISPATCH_LEVEL".into(),
        15 => "HIGH_LEVEL".into(),
        other => format!("IRQL {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::IrqlMonitor;
    use crate::event::{Call, Callback, Event, Import, Kind};
    use crate::table::{broken, check, enter, import, leave, level};

    #[test]
    fn imports_have_their_range_and_their_rule() {
        for (name, min, max, irql, expected) in [
            ("NdisFRegisterFilterDriver", 0, 0, 0, None),
            ("NdisFRegisterFilterDriver", 0, 0, 2, Some("reg-passive")),
            ("NdisFSetAttributes", 0, 0, 2, Some("irql-filter-driver")),
            ("NdisFSendNetBufferLists", 0, 2, 2, None),
            (
                "NdisFRestartComplete",
                0,
                0,
                2,
                Some("restart-complete-passive"),
            ),
            ("NdisWaitEvent", 0, 0, 1, Some("event-wait-passive")),
            ("KeWaitForSingleObject", 0, 1, 2, Some("event-wait-kernel")),
            ("NdisQueueIoWorkItem", 0, 2, 2, None),
            ("NdisQueueIoWorkItem", 0, 2, 5, Some("wi-irql")),
            ("NdisReadConfiguration", 0, 0, 2, Some("config-passive")),
            (
                "KeReleaseSpinLockFromDpcLevel",
                2,
                2,
                0,
                Some("irql-dpc-lock-below"),
            ),
            ("ExAllocatePool2", 0, 2, 3, Some("mem-irql-alloc")),
            ("ZwClose", 0, 0, 1, Some("zw-irql-passive")),
            ("ExDeleteTimer", 0, 1, 2, Some("ex-timer-delete")),
            ("NdisRegisterDeviceEx", 0, 0, 2, Some("irql-misc")),
            (
                "NdisFDeregisterFilterDriver",
                0,
                0,
                2,
                Some("unload-deregister-once"),
            ),
            ("NdisFRestartFilter", 0, 2, 2, None),
            ("NdisFRestartFilter", 0, 2, 3, Some("restart-filter-irql")),
            ("NdisFNetPnPEvent", 0, 0, 2, Some("netpnp-forward-context")),
            (
                "NdisFDevicePnPEventNotify",
                0,
                0,
                2,
                Some("devpnp-forward-before-return"),
            ),
            (
                "NdisIfRegisterInterface",
                0,
                1,
                2,
                Some("sdv-irql-interfaces-function"),
            ),
            ("NdisMSleep", 0, 1, 1, None),
            (
                "NdisMSleep",
                0,
                1,
                2,
                Some("sdv-irql-miniport-driver-function"),
            ),
            ("MmMapLockedPagesSpecifyCache", 0, 2, 2, None),
            (
                "MmMapLockedPagesSpecifyCache",
                0,
                2,
                3,
                Some("mdl-map-irql"),
            ),
            ("ExAcquireFastMutex", 0, 1, 2, Some("dv-fast-mutex-irql")),
            (
                "KeEnterCriticalRegion",
                0,
                1,
                2,
                Some("dv-critical-region-irql"),
            ),
            ("KfRaiseIrql", 0, 1, 2, Some("dv-raise-lower-direction")),
            (
                "NdisFSendNetBufferLists",
                0,
                2,
                3,
                Some("irql-filter-driver"),
            ),
            ("NdisAllocateMdl", 0, 2, 3, Some("irql-netbuffer")),
            ("NdisAcquireSpinLock", 0, 2, 3, Some("sync-irql")),
            ("NdisCancelTimerObject", 0, 2, 3, Some("timer-irql")),
            ("NdisFIndicateStatus", 0, 2, 3, Some("status-irql")),
            ("NdisFOidRequest", 0, 2, 3, Some("oid-request-irql")),
            ("KeSetEvent", 0, 2, 3, Some("event-set-irql")),
            ("ExFreePoolWithTag", 0, 2, 3, Some("mem-irql-free")),
            ("IofCompleteRequest", 0, 2, 3, Some("irp-complete-irql")),
        ] {
            let import = Import {
                module: "ndis.sys",
                name,
                irql_min: min,
                irql_max: max,
                adapter: None,
                arguments: Default::default(),
            };
            let found = broken::<IrqlMonitor>([level(irql, Kind::Import(import))]);
            assert_eq!(found, Vec::from_iter(expected), "{name} at {irql}");
        }
    }

    #[test]
    fn callbacks_return_at_the_level_they_were_called_at() {
        let call = Call {
            callback: Callback::FilterSendNetBufferLists,
            adapter: Some(0),
        };
        let up = level(2, Kind::Leave { call, status: None });
        assert_eq!(
            broken::<IrqlMonitor>([enter(call.callback, Some(0)), up.clone()]),
            ["callback-irql-restored"]
        );
        assert!(
            broken::<IrqlMonitor>([
                enter(call.callback, Some(0)),
                leave(call.callback, Some(0), None)
            ])
            .is_empty()
        );
        let call = Call {
            callback: Callback::NdisIoWorkItemRoutine,
            adapter: None,
        };
        let up = level(2, Kind::Leave { call, status: None });
        assert_eq!(
            broken::<IrqlMonitor>([enter(call.callback, None), up]),
            ["wi-routine-returns-passive"]
        );
    }

    #[test]
    fn some_callbacks_have_rules_of_their_own() {
        for (callback, expected) in [
            (Callback::FilterPause, "callback-irql-restored"),
            (Callback::Dispatch, "irp-dispatch-irql"),
            // It is called with the cancel spin lock held, and has to leave that.
            (Callback::Cancel, "callback-irql-restored"),
            (
                Callback::FilterSynchronousOidRequest,
                "sync-oid-irql-restored",
            ),
        ] {
            let call = Call {
                callback,
                adapter: None,
            };
            let up = level(2, Kind::Leave { call, status: None });
            assert_eq!(
                broken::<IrqlMonitor>([enter(callback, None), up]),
                [expected]
            );
        }
        for (callback, expected) in [
            (Callback::FilterPause, "event-wait-passive"),
            (Callback::TimerFunction, "timer-callback-dispatch"),
            (
                Callback::FilterOidRequest,
                "oid-handler-no-passive-assumption",
            ),
        ] {
            let wait = Import {
                module: "ndis.sys",
                name: "NdisWaitEvent",
                irql_min: 0,
                irql_max: 0,
                adapter: None,
                arguments: Default::default(),
            };
            let found =
                broken::<IrqlMonitor>([enter(callback, None), level(2, Kind::Import(wait))]);
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn levels_go_down_where_they_came_from() {
        let raise = || import("KfRaiseIrql", &[2]);
        let lower = |to| Event {
            irql: 2,
            ..import("KeLowerIrql", &[to])
        };
        check::<IrqlMonitor>(vec![
            ("paired", vec![raise(), lower(0)], vec![]),
            ("never raised", vec![lower(0)], vec!["irql-raise-lower"]),
            (
                "another level",
                vec![raise(), lower(1)],
                vec!["irql-setting-macros"],
            ),
            (
                "lowered twice",
                vec![raise(), lower(0), lower(0)],
                vec!["irql-raise-lower"],
            ),
        ]);
    }

    #[test]
    fn nested_callbacks_are_told_apart_by_thread() {
        let send = Call {
            callback: Callback::FilterSendNetBufferLists,
            adapter: Some(0),
        };
        let mut other = level(2, Kind::Enter(send));
        other.thread = 2;
        let mut other_end = level(
            2,
            Kind::Leave {
                call: send,
                status: None,
            },
        );
        other_end.thread = 2;
        let found = broken::<IrqlMonitor>([
            enter(Callback::FilterPause, Some(0)),
            other,
            leave(Callback::FilterPause, Some(0), Some(0)),
            other_end,
        ]);
        assert!(found.is_empty());
    }
}
