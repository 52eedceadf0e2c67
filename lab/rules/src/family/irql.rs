//! The documented IRQL of every import, and of what callbacks leave behind.

use crate::event::{Event, Import, Kind, PASSIVE_LEVEL};
use crate::{BugCheck, Finding, Monitor, Rule, Severity, Strength};

const IRQL_FILTER_DRIVER: Rule = Rule {
    id: "irql-filter-driver",
    official_name: Some("Irql_Filter_Driver_Function"),
    statement: "The fourteen filter functions of the rule are called at the documented IRQL (PASSIVE: register, deregister, set attributes, restart complete, net and device PnP, enumerate; others <= DISPATCH).",
    page: "devtest/ndis-irql-filter-driver-function.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const IRQL_NETBUFFER: Rule = Rule {
    id: "irql-netbuffer",
    official_name: Some("Irql_NetBuffer_Function"),
    statement: "NET_BUFFER functions are called at or below DISPATCH_LEVEL.",
    page: "devtest/ndis-irql-netbuffer-function.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const IRQL_MISC: Rule = Rule {
    id: "irql-misc",
    official_name: Some("Irql_Miscellaneous_Function"),
    statement: "The listed miscellaneous NDIS functions are called at the documented IRQL.",
    page: "devtest/ndis-irql-miscellaneous-function.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const IRQL_RAISE_LOWER: Rule = Rule {
    id: "irql-raise-lower",
    official_name: Some("IrqlKeRaiseLower"),
    statement: "IRQL is raised only upward and lowered only after a raise.",
    page: "devtest/wdm-irqlkeraiselower.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const SYNC_IRQL: Rule = Rule {
    id: "sync-irql",
    official_name: Some("Irql_Synch_Function"),
    statement: "Synchronization functions are called at the documented IRQL.",
    page: "devtest/ndis-irql-synch-function.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const TIMER_IRQL: Rule = Rule {
    id: "timer-irql",
    official_name: Some("Irql_Timer_Function"),
    statement: "Timer functions are called at the documented IRQL.",
    page: "devtest/ndis-irql-timer-function.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const STATUS_IRQL: Rule = Rule {
    id: "status-irql",
    official_name: Some("Irql_StatusIndication_Function"),
    statement: "NdisFIndicateStatus is called at or below DISPATCH_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisfindicatestatus.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const OID_REQUEST_IRQL: Rule = Rule {
    id: "oid-request-irql",
    official_name: Some("Irql_OID_Function"),
    statement: "OID functions are called at or below DISPATCH_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisfoidrequest.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const WI_IRQL: Rule = Rule {
    id: "wi-irql",
    official_name: Some("Irql_Miscellaneous_Function"),
    statement: "Work item allocate, queue and free are called at or below DISPATCH_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisqueueioworkitem.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const CONFIG_PASSIVE: Rule = Rule {
    id: "config-passive",
    official_name: None,
    statement: "Configuration open, read, write and close run at PASSIVE_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisopenconfigurationex.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const EVENT_WAIT_PASSIVE: Rule = Rule {
    id: "event-wait-passive",
    official_name: None,
    statement: "NdisWaitEvent is called only at PASSIVE_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisinitializeevent.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const EVENT_WAIT_KERNEL: Rule = Rule {
    id: "event-wait-kernel",
    official_name: Some("IrqlKeWaitForMutexObject / IrqlKeWaitForMultipleObjects"),
    statement: "KeWait with a nonzero or NULL timeout is called at or below APC_LEVEL.",
    page: "ddi wdm/nf-wdm-kewaitforsingleobject.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const EVENT_SET_IRQL: Rule = Rule {
    id: "event-set-irql",
    official_name: Some("IrqlKeSetEvent"),
    statement: "KeSetEvent is called at or below DISPATCH_LEVEL with Wait FALSE, at or below APC_LEVEL with Wait TRUE.",
    page: "devtest/wdm-irqlkesetevent.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const MEM_IRQL_ALLOC: Rule = Rule {
    id: "mem-irql-alloc",
    official_name: Some("IrqlExAllocatePool"),
    statement: "Pool is allocated at or below DISPATCH_LEVEL and paged pool at or below APC_LEVEL.",
    page: "devtest/wdm-irqlexallocatepool.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const MEM_IRQL_FREE: Rule = Rule {
    id: "mem-irql-free",
    official_name: Some("IrqlExFree1/2/3"),
    statement: "Pool is freed at a legal IRQL for its type.",
    page: "devtest/wdm-irqlexfree1.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const ZW_IRQL_PASSIVE: Rule = Rule {
    id: "zw-irql-passive",
    official_name: Some("IrqlZwPassive / IrqlIoRtlZwPassive"),
    statement: "ZwClose and the listed Rtl/Zw/Io routines run at PASSIVE_LEVEL.",
    page: "devtest/wdm-irqlzwpassive.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const RESTART_COMPLETE_PASSIVE: Rule = Rule {
    id: "restart-complete-passive",
    official_name: Some("Irql_Filter_Driver_Function"),
    statement: "NdisFRestartComplete is called at PASSIVE_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisfrestartcomplete.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const REG_PASSIVE: Rule = Rule {
    id: "reg-passive",
    official_name: Some("Irql_Filter_Driver_Function"),
    statement: "NdisFRegisterFilterDriver is called at PASSIVE_LEVEL.",
    page: "ddi ndis/nf-ndis-ndisfregisterfilterdriver.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const IRP_COMPLETE_IRQL: Rule = Rule {
    id: "irp-complete-irql",
    official_name: None,
    statement: "IoCompleteRequest is called at or below DISPATCH_LEVEL.",
    page: "ddi wdm/nf-wdm-iocompleterequest.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const SLEEP_LIMITS: Rule = Rule {
    id: "sleep-limits",
    official_name: None,
    statement: "NdisMSleep is called below DISPATCH_LEVEL and for at most 30 seconds.",
    page: "ddi ndis/nf-ndis-ndismsleep.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const CALLBACK_IRQL_RESTORED: Rule = Rule {
    id: "callback-irql-restored",
    official_name: None,
    statement: "Every callback returns at the IRQL it was called at.",
    page: "debugger/bug-check-0xc8",
    severity: Severity::BugCheck,
    strength: Strength::Derived,
};

const WI_ROUTINE_RETURNS_PASSIVE: Rule = Rule {
    id: "wi-routine-returns-passive",
    official_name: None,
    statement: "A work item routine returns at PASSIVE_LEVEL.",
    page: "debugger/bug-check-0xe1",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

const IRQL_DPC_LOCK_BELOW: Rule = Rule {
    id: "irql-dpc-lock-below",
    official_name: Some("IrqlDispatch"),
    statement: "AtDpcLevel lock routines are called at DISPATCH_LEVEL.",
    page: "ddi wdm/nf-wdm-keacquirespinlockatdpclevel.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

/// Which rule an import's level belongs to: the first matching prefix decides.
const RULE_BY_PREFIX: &[(&str, &Rule)] = &[
    ("NdisFRegisterFilterDriver", &REG_PASSIVE),
    ("NdisFRestartComplete", &RESTART_COMPLETE_PASSIVE),
    ("NdisFIndicateStatus", &STATUS_IRQL),
    ("NdisFOid", &OID_REQUEST_IRQL),
    ("NdisFCancelOid", &OID_REQUEST_IRQL),
    ("NdisFDirectOid", &OID_REQUEST_IRQL),
    ("NdisFCancelDirectOid", &OID_REQUEST_IRQL),
    ("NdisFSynchronousOid", &OID_REQUEST_IRQL),
    ("NdisF", &IRQL_FILTER_DRIVER),
    ("NdisAllocateCloneOid", &OID_REQUEST_IRQL),
    ("NdisAllocateNetBuffer", &IRQL_NETBUFFER),
    ("NdisAllocateCloneNetBuffer", &IRQL_NETBUFFER),
    ("NdisFreeNetBuffer", &IRQL_NETBUFFER),
    ("NdisFreeCloneNetBuffer", &IRQL_NETBUFFER),
    ("NdisGetDataBuffer", &IRQL_NETBUFFER),
    ("NdisCopy", &IRQL_NETBUFFER),
    ("NdisAdvanceNetBuffer", &IRQL_NETBUFFER),
    ("NdisRetreatNetBuffer", &IRQL_NETBUFFER),
    ("NdisAllocateMdl", &IRQL_NETBUFFER),
    ("NdisFreeMdl", &IRQL_NETBUFFER),
    ("NdisAllocateIoWorkItem", &WI_IRQL),
    ("NdisQueueIoWorkItem", &WI_IRQL),
    ("NdisFreeIoWorkItem", &WI_IRQL),
    ("IoAllocateWorkItem", &WI_IRQL),
    ("IoQueueWorkItem", &WI_IRQL),
    ("IoTryQueueWorkItem", &WI_IRQL),
    ("IoFreeWorkItem", &WI_IRQL),
    ("NdisAllocateTimerObject", &TIMER_IRQL),
    ("NdisSetTimerObject", &TIMER_IRQL),
    ("NdisSetCoalescableTimerObject", &TIMER_IRQL),
    ("NdisCancelTimerObject", &TIMER_IRQL),
    ("NdisFreeTimerObject", &TIMER_IRQL),
    ("NdisOpenConfiguration", &CONFIG_PASSIVE),
    ("NdisReadConfiguration", &CONFIG_PASSIVE),
    ("NdisWriteConfiguration", &CONFIG_PASSIVE),
    ("NdisCloseConfiguration", &CONFIG_PASSIVE),
    ("NdisWaitEvent", &EVENT_WAIT_PASSIVE),
    ("NdisMSleep", &SLEEP_LIMITS),
    ("NdisAllocateMemory", &MEM_IRQL_ALLOC),
    ("NdisFreeMemory", &MEM_IRQL_FREE),
    ("KeWaitFor", &EVENT_WAIT_KERNEL),
    ("KeDelayExecutionThread", &EVENT_WAIT_KERNEL),
    ("KeSetEvent", &EVENT_SET_IRQL),
    ("NdisSetEvent", &EVENT_SET_IRQL),
    ("NdisResetEvent", &EVENT_SET_IRQL),
    ("KfRaiseIrql", &IRQL_RAISE_LOWER),
    ("KeRaiseIrql", &IRQL_RAISE_LOWER),
    ("KeLowerIrql", &IRQL_RAISE_LOWER),
    ("KeAcquireSpinLockAtDpcLevel", &IRQL_DPC_LOCK_BELOW),
    ("KeReleaseSpinLockFromDpcLevel", &IRQL_DPC_LOCK_BELOW),
    ("NdisDprAcquire", &IRQL_DPC_LOCK_BELOW),
    ("NdisDprRelease", &IRQL_DPC_LOCK_BELOW),
    ("KeAcquire", &SYNC_IRQL),
    ("KeRelease", &SYNC_IRQL),
    ("NdisAcquire", &SYNC_IRQL),
    ("NdisRelease", &SYNC_IRQL),
    ("NdisAllocateSpinLock", &SYNC_IRQL),
    ("NdisFreeSpinLock", &SYNC_IRQL),
    ("NdisAllocateRWLock", &SYNC_IRQL),
    ("NdisFreeRWLock", &SYNC_IRQL),
    ("ExAllocatePool", &MEM_IRQL_ALLOC),
    ("ExFreePool", &MEM_IRQL_FREE),
    ("IofCompleteRequest", &IRP_COMPLETE_IRQL),
    ("Zw", &ZW_IRQL_PASSIVE),
    ("Rtl", &ZW_IRQL_PASSIVE),
    ("PsCreateSystemThread", &ZW_IRQL_PASSIVE),
    ("", &IRQL_MISC),
];

/// Compares the level of every import call with its documented range, and of every callback's end
/// with its beginning.
#[derive(Debug, Default)]
pub(crate) struct IrqlMonitor {
    /// Callbacks that are running: thread and level at entry.
    entered: Vec<(u32, u8)>,
}

impl Monitor for IrqlMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &IRQL_FILTER_DRIVER,
            &IRQL_NETBUFFER,
            &IRQL_MISC,
            &IRQL_RAISE_LOWER,
            &SYNC_IRQL,
            &TIMER_IRQL,
            &STATUS_IRQL,
            &OID_REQUEST_IRQL,
            &WI_IRQL,
            &CONFIG_PASSIVE,
            &EVENT_WAIT_PASSIVE,
            &EVENT_WAIT_KERNEL,
            &EVENT_SET_IRQL,
            &MEM_IRQL_ALLOC,
            &MEM_IRQL_FREE,
            &ZW_IRQL_PASSIVE,
            &RESTART_COMPLETE_PASSIVE,
            &REG_PASSIVE,
            &IRP_COMPLETE_IRQL,
            &SLEEP_LIMITS,
            &CALLBACK_IRQL_RESTORED,
            &WI_ROUTINE_RETURNS_PASSIVE,
            &IRQL_DPC_LOCK_BELOW,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        match &event.kind {
            Kind::Import(import) => check_import(import, event.irql),
            Kind::Enter(_) => {
                self.entered.push((event.thread, event.irql));
                None
            }
            Kind::Leave { call, .. } => {
                let index = self
                    .entered
                    .iter()
                    .rposition(|(thread, _)| *thread == event.thread)?;
                let (_, before) = self.entered.remove(index);
                if event.irql == before {
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
                        Finding::new(&WI_ROUTINE_RETURNS_PASSIVE, happened).with(bug_check),
                    );
                }
                let unique = u64::from(event.irql) << 16 | u64::from(before) << 8;
                Some(
                    Finding::new(&CALLBACK_IRQL_RESTORED, happened)
                        .with(BugCheck::new(0xC8, &[unique])),
                )
            }
            _ => None,
        }
    }
}

fn check_import(import: &Import, irql: u8) -> Option<Finding> {
    if (import.irql_min..=import.irql_max).contains(&irql) {
        return None;
    }
    let (_, rule) = RULE_BY_PREFIX
        .iter()
        .find(|(prefix, _)| import.name.starts_with(prefix))?;
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
    use crate::event::{Call, Callback, Import, Kind};
    use crate::table::{broken, enter, leave, level};

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
            ("NdisRegisterDeviceEx", 0, 0, 2, Some("irql-misc")),
        ] {
            let import = Import {
                module: "ndis.sys",
                name,
                irql_min: min,
                irql_max: max,
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
