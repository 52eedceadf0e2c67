//! What a call must not be given, whatever went before: one row per function and rule.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::event::{Arguments, Callback, DISPATCH_LEVEL, Event, Import, Kind};
use crate::family::irql::level_name;
use crate::family::running::Running;
use crate::family::state::PENDING;
use crate::{BugCheck, Finding, Monitor, Rule, catalogue as rule};

/// One thing that a function must not be given.
struct Check {
    functions: &'static [&'static str],
    rule: &'static Rule,
    is_broken: fn(&Arguments, u8) -> bool,
    what: &'static str,
    stop: Option<(u32, u64)>,
}

const POOL_FLAG_USE_QUOTA: u64 = 1;
const POOL_FLAG_NON_PAGED_EXECUTE: u64 = 0x80;
/// Bits of a `POOL_TYPE`: paged, must succeed, no-execute.
const PAGED: u32 = 1;
const MUST_SUCCEED: u32 = 2;
const NX: u32 = 0x200;
const POOL_BASE_TYPE: u32 = 7;
/// `DelayedWorkQueue`; `CustomPriorityWorkQueue` and what is above it.
const DELAYED: u32 = 1;
const CUSTOM_PRIORITY: u32 = 32;
/// `MdlMappingNoExecute`.
const NO_EXECUTE: u32 = 0x4000_0000;
const SEND: u32 = 0x37;
const SEND_SWITCH: u32 = 0x30;
const RECEIVE: u32 = 0xFF03;
const RECEIVE_SWITCH: u32 = 0xC000;
const RECEIVE_MORE: u32 = 0x2000;
const SETTLE: u32 = 7;
const SETTLE_SWITCH: u32 = 4;
const AT_DISPATCH: u32 = 1;

/// The checks of each function, in their order: most calls have none.
static BY_FUNCTION: LazyLock<BTreeMap<&str, Vec<&Check>>> = LazyLock::new(|| {
    let mut checks: BTreeMap<&str, Vec<&Check>> = BTreeMap::new();
    for check in CHECKS {
        for function in check.functions {
            checks.entry(function).or_default().push(check);
        }
    }
    checks
});

/// Checks in the order in which they count: what fails a run before what warns.
const CHECKS: &[Check] = &[
    Check {
        functions: &["NdisMSleep"],
        rule: &rule::SLEEP_LIMITS,
        is_broken: |given, _| given.dword(0) > 30_000_000,
        what: "for more than 30 seconds",
        stop: None,
    },
    Check {
        functions: &["ExAllocatePoolWithTag", "ExAllocatePool"],
        rule: &rule::DV_MUST_SUCCEED,
        is_broken: |given, _| given.dword(0) & POOL_BASE_TYPE & !4 == MUST_SUCCEED,
        what: "for a must-succeed pool type",
        stop: Some((0xC4, 3)),
    },
    Check {
        functions: &["ExAllocatePoolWithTag", "ExAllocatePool"],
        rule: &rule::MEM_NX_POOL,
        is_broken: |given, _| given.dword(0) & (PAGED | NX) == 0,
        what: "for executable pool",
        stop: Some((0xC4, 0x2000)),
    },
    Check {
        functions: &["ExAllocatePool2"],
        rule: &rule::MEM_NX_POOL,
        is_broken: |given, _| given.word(0) & POOL_FLAG_NON_PAGED_EXECUTE != 0,
        what: "for executable pool",
        stop: Some((0xC4, 0x2000)),
    },
    Check {
        functions: &["ExAllocatePool2"],
        rule: &rule::DV_QUOTA_DPC,
        is_broken: |given, irql| irql >= DISPATCH_LEVEL && given.word(0) & POOL_FLAG_USE_QUOTA != 0,
        what: "for pool that is charged to a process",
        stop: Some((0xC4, 0x10A)),
    },
    Check {
        functions: &["ExAllocatePoolWithQuotaTag", "ExAllocatePoolWithQuota"],
        rule: &rule::DV_QUOTA_DPC,
        is_broken: |_, irql| irql >= DISPATCH_LEVEL,
        what: "at DISPATCH_LEVEL, where there is no process to charge",
        stop: Some((0xC4, 0x10A)),
    },
    Check {
        functions: &["MmMapLockedPages"],
        rule: &rule::MDL_MAP_LEGACY,
        is_broken: |_, _| true,
        what: "though it stops the system when it fails",
        stop: Some((0xC4, 0x81)),
    },
    Check {
        functions: &["MmMapLockedPagesSpecifyCache"],
        rule: &rule::MDL_MAP_LEGACY,
        is_broken: |given, _| given.dword(4) != 0,
        what: "with BugCheckOnFailure",
        stop: Some((0xC4, 0x82)),
    },
    Check {
        functions: &[
            "NdisAllocateNetBufferListContext",
            "NdisAllocateNetBufferList",
            "NdisAllocateNetBufferAndNetBufferList",
        ],
        rule: &rule::NBL_CONTEXT_SIZE_MULTIPLE,
        is_broken: |given, _| (given.dword(1) | given.dword(2)) & 7 != 0,
        what: "with a context size or backfill that is no multiple of 8",
        stop: None,
    },
    Check {
        functions: &["NdisFOidRequestComplete", "NdisFDirectOidRequestComplete"],
        rule: &rule::OID_COMPLETE_STATUS,
        is_broken: |given, _| given.dword(2) == PENDING,
        what: "with NDIS_STATUS_PENDING",
        stop: None,
    },
    Check {
        functions: &["RtlCopyMemory", "RtlCopyMemoryNonTemporal", "memcpy"],
        rule: &rule::DV_MEMCPY_OVERLAP,
        is_broken: |given, _| {
            let (to, from, length) = (given.word(0), given.word(1), given.word(2));
            to != from && to.abs_diff(from) < length
        },
        what: "with source and destination that overlap",
        stop: Some((0xC4, 0xF0)),
    },
    Check {
        functions: &[
            "NdisScheduleWorkItem",
            "NdisAllocatePacketPool",
            "NdisMSetTimer",
        ],
        rule: &rule::NDIS5_WORKITEM_OBSOLETE,
        is_broken: |_, _| true,
        what: "which NDIS 6 no longer has for drivers",
        stop: Some((0x7C, 0x15)),
    },
    Check {
        functions: &["NdisFSendNetBufferLists"],
        rule: &rule::FLAGS_SWITCH_ONLY,
        is_broken: |given, _| given.dword(3) & SEND_SWITCH != 0,
        what: "with a flag of extensible switches; this stack is none",
        stop: Some((0xC4, 0xA00C)),
    },
    Check {
        functions: &["NdisFIndicateReceiveNetBufferLists"],
        rule: &rule::FLAGS_SWITCH_ONLY,
        is_broken: |given, _| given.dword(4) & RECEIVE_SWITCH != 0,
        what: "with a flag of extensible switches; this stack is none",
        stop: Some((0xC4, 0xA00D)),
    },
    Check {
        functions: &[
            "NdisFSendNetBufferListsComplete",
            "NdisFReturnNetBufferLists",
        ],
        rule: &rule::FLAGS_SWITCH_ONLY,
        is_broken: |given, _| given.dword(2) & SETTLE_SWITCH != 0,
        what: "with a flag of extensible switches; this stack is none",
        stop: Some((0xC4, 0xA00C)),
    },
    Check {
        functions: &["NdisFIndicateReceiveNetBufferLists"],
        rule: &rule::FLAGS_MORE_NBLS_RESERVED,
        is_broken: |given, _| given.dword(4) & RECEIVE_MORE != 0,
        what: "with NDIS_RECEIVE_FLAGS_MORE_NBLS, which is for NDIS alone",
        stop: None,
    },
    Check {
        functions: &["NdisFSendNetBufferLists"],
        rule: &rule::FLAGS_UNDEFINED_BITS,
        is_broken: |given, _| given.dword(3) & !SEND != 0,
        what: "with flag bits that mean nothing",
        stop: None,
    },
    Check {
        functions: &["NdisFIndicateReceiveNetBufferLists"],
        rule: &rule::FLAGS_UNDEFINED_BITS,
        is_broken: |given, _| given.dword(4) & !RECEIVE != 0,
        what: "with flag bits that mean nothing",
        stop: None,
    },
    Check {
        functions: &[
            "NdisFSendNetBufferListsComplete",
            "NdisFReturnNetBufferLists",
        ],
        rule: &rule::FLAGS_UNDEFINED_BITS,
        is_broken: |given, _| given.dword(2) & !SETTLE != 0,
        what: "with flag bits that mean nothing",
        stop: None,
    },
    Check {
        functions: &["NdisFSendNetBufferLists"],
        rule: &rule::FLAGS_DISPATCH_USED,
        is_broken: |given, irql| irql == DISPATCH_LEVEL && given.dword(3) & AT_DISPATCH == 0,
        what: "without its dispatch-level flag",
        stop: None,
    },
    Check {
        functions: &["NdisFIndicateReceiveNetBufferLists"],
        rule: &rule::FLAGS_DISPATCH_USED,
        is_broken: |given, irql| irql == DISPATCH_LEVEL && given.dword(4) & AT_DISPATCH == 0,
        what: "without its dispatch-level flag",
        stop: None,
    },
    Check {
        functions: &[
            "NdisFSendNetBufferListsComplete",
            "NdisFReturnNetBufferLists",
        ],
        rule: &rule::FLAGS_DISPATCH_USED,
        is_broken: |given, irql| irql == DISPATCH_LEVEL && given.dword(2) & AT_DISPATCH == 0,
        what: "without its dispatch-level flag",
        stop: None,
    },
    Check {
        functions: &["NdisStallExecution", "KeStallExecutionProcessor"],
        rule: &rule::STALL_LIMIT,
        is_broken: |given, _| given.dword(0) > 50,
        what: "for more than 50 microseconds",
        stop: None,
    },
    Check {
        functions: &["NdisSetTimerObject", "NdisSetCoalescableTimerObject"],
        rule: &rule::TIMER_PERIOD_RANGE,
        is_broken: |given, _| given.dword(2) > 0x7FFF_FFFF,
        what: "with a period above MAXLONG",
        stop: None,
    },
    Check {
        functions: &["IoQueueWorkItem", "IoQueueWorkItemEx", "IoTryQueueWorkItem"],
        rule: &rule::WI_QUEUE_TYPE,
        is_broken: |given, _| given.dword(2) != DELAYED && given.dword(2) < CUSTOM_PRIORITY,
        what: "with a queue other than DelayedWorkQueue",
        stop: None,
    },
    Check {
        functions: &[
            "ExAllocatePool",
            "ExAllocatePoolWithTag",
            "ExAllocatePoolWithQuota",
            "ExAllocatePoolWithQuotaTag",
            "ExAllocatePoolWithTagPriority",
        ],
        rule: &rule::MEM_DEPRECATED_API,
        is_broken: |_, _| true,
        what: "which ExAllocatePool2 and ExAllocatePool3 replace",
        stop: None,
    },
    Check {
        functions: &["ExQueueWorkItem"],
        rule: &rule::EXQUEUE_NOT_FOR_DEVICES,
        is_broken: |_, _| true,
        what: "which does not hold the driver's image",
        stop: None,
    },
    Check {
        functions: &["MmMapLockedPagesSpecifyCache"],
        rule: &rule::MDL_MAP_NOEXECUTE,
        is_broken: |given, _| given.byte(1) == 0 && given.dword(5) & NO_EXECUTE == 0,
        what: "without MdlMappingNoExecute",
        stop: None,
    },
    Check {
        functions: &["NdisGetDataBuffer"],
        rule: &rule::GETDATABUFFER_ARGS,
        is_broken: |given, _| !given.dword(3).is_power_of_two(),
        what: "with an AlignMultiple that is no power of two",
        stop: None,
    },
];

/// Looks at the arguments of every call.
#[derive(Debug, Default)]
pub(crate) struct ArgumentMonitor {
    running: Running,
}

impl Monitor for ArgumentMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[
            &rule::SLEEP_LIMITS,
            &rule::DV_MUST_SUCCEED,
            &rule::MEM_NX_POOL,
            &rule::DV_QUOTA_DPC,
            &rule::MDL_MAP_LEGACY,
            &rule::NBL_CONTEXT_SIZE_MULTIPLE,
            &rule::OID_COMPLETE_STATUS,
            &rule::DV_MEMCPY_OVERLAP,
            &rule::NDIS5_WORKITEM_OBSOLETE,
            &rule::FLAGS_SWITCH_ONLY,
            &rule::FLAGS_MORE_NBLS_RESERVED,
            &rule::FLAGS_UNDEFINED_BITS,
            &rule::FLAGS_DISPATCH_USED,
            &rule::STALL_LIMIT,
            &rule::TIMER_PERIOD_RANGE,
            &rule::WI_QUEUE_TYPE,
            &rule::MEM_DEPRECATED_API,
            &rule::EXQUEUE_NOT_FOR_DEVICES,
            &rule::MDL_MAP_NOEXECUTE,
            &rule::GETDATABUFFER_ARGS,
        ]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let finding = match &event.kind {
            Kind::Import(import) => self.check(event, import),
            _ => None,
        };
        self.running.observe(event);
        finding
    }
}

impl ArgumentMonitor {
    fn check(&self, event: &Event, import: &Import) -> Option<Finding> {
        let checks = BY_FUNCTION.get(import.name)?;
        // Nobody tells this handler its level.
        let is_untold = self
            .running
            .innermost(event.thread)
            .is_some_and(|call| call.callback == Callback::FilterCancelSendNetBufferLists);
        let check = checks.iter().find(|check| {
            (check.is_broken)(&import.arguments, event.irql)
                && !(is_untold && check.rule == &rule::FLAGS_DISPATCH_USED)
        })?;
        Some(finding(check, import, event.irql))
    }
}

fn finding(check: &Check, import: &Import, irql: u8) -> Finding {
    let comma = if check.what.starts_with("which") {
        ","
    } else {
        ""
    };
    let happened = format!(
        "{} was called{comma} {} (at {})",
        import.name,
        check.what,
        level_name(irql)
    );
    let finding = Finding::new(check.rule, happened);
    match check.stop {
        Some((code, first)) => finding.with(BugCheck::new(code, &[first])),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::ArgumentMonitor;
    use crate::event::{Callback, Event};
    use crate::table::{broken, enter, import};

    fn at_dispatch(name: &'static str, given: &[u64]) -> Event {
        Event {
            irql: 2,
            ..import(name, given)
        }
    }

    #[test]
    fn arguments_have_their_limits() {
        let table: Vec<(Event, Option<&str>)> = vec![
            (import("NdisMSleep", &[30_000_000]), None),
            (import("NdisMSleep", &[30_000_001]), Some("sleep-limits")),
            (import("KeStallExecutionProcessor", &[50]), None),
            (
                import("KeStallExecutionProcessor", &[51]),
                Some("stall-limit"),
            ),
            (
                import("ExAllocatePoolWithTag", &[2, 8, 1]),
                Some("dv-must-succeed"),
            ),
            (
                import("ExAllocatePoolWithTag", &[0, 8, 1]),
                Some("mem-nx-pool"),
            ),
            (
                import("ExAllocatePoolWithTag", &[0x200, 8, 1]),
                Some("mem-deprecated-api"),
            ),
            (import("ExAllocatePool2", &[0x40, 8, 1]), None),
            (
                import("ExAllocatePool2", &[0x80, 8, 1]),
                Some("mem-nx-pool"),
            ),
            (import("ExAllocatePool2", &[0x41, 8, 1]), None),
            (
                at_dispatch("ExAllocatePool2", &[0x41, 8, 1]),
                Some("dv-quota-dpc"),
            ),
            (
                import(
                    "MmMapLockedPagesSpecifyCache",
                    &[1, 0, 1, 0, 0, 0x4000_0010],
                ),
                None,
            ),
            (
                import(
                    "MmMapLockedPagesSpecifyCache",
                    &[1, 0, 1, 0, 1, 0x4000_0010],
                ),
                Some("mdl-map-legacy"),
            ),
            (
                import("MmMapLockedPagesSpecifyCache", &[1, 0, 1, 0, 0, 0x10]),
                Some("mdl-map-noexecute"),
            ),
            (import("NdisAllocateNetBufferList", &[1, 16, 0]), None),
            (
                import("NdisAllocateNetBufferList", &[1, 12, 0]),
                Some("nbl-context-size-multiple"),
            ),
            (import("NdisFOidRequestComplete", &[1, 2, 0]), None),
            (
                import("NdisFOidRequestComplete", &[1, 2, 0x103]),
                Some("oid-complete-status"),
            ),
            (import("RtlCopyMemory", &[100, 200, 100]), None),
            (
                import("RtlCopyMemory", &[100, 199, 100]),
                Some("dv-memcpy-overlap"),
            ),
            (import("RtlMoveMemory", &[100, 150, 100]), None),
            (
                import("NdisScheduleWorkItem", &[1]),
                Some("ndis5-workitem-obsolete"),
            ),
            (import("NdisQueueIoWorkItem", &[1]), None),
            (
                import("ExQueueWorkItem", &[1]),
                Some("exqueue-not-for-devices"),
            ),
            (import("NdisFSendNetBufferLists", &[1, 2, 0, 2]), None),
            (
                import("NdisFSendNetBufferLists", &[1, 2, 0, 0x20]),
                Some("flags-switch-only"),
            ),
            (
                import("NdisFSendNetBufferLists", &[1, 2, 0, 8]),
                Some("flags-undefined-bits"),
            ),
            (
                import("NdisFIndicateReceiveNetBufferLists", &[1, 2, 0, 1, 0x100]),
                None,
            ),
            (
                import("NdisFIndicateReceiveNetBufferLists", &[1, 2, 0, 1, 0x2000]),
                Some("flags-more-nbls-reserved"),
            ),
            (at_dispatch("NdisFReturnNetBufferLists", &[1, 2, 1]), None),
            (
                at_dispatch("NdisFReturnNetBufferLists", &[1, 2, 0]),
                Some("flags-dispatch-used"),
            ),
            (import("NdisSetTimerObject", &[1, 0, 0x7FFF_FFFF]), None),
            (
                import("NdisSetTimerObject", &[1, 0, 0x8000_0000]),
                Some("timer-period-range"),
            ),
            (import("IoQueueWorkItem", &[1, 2, 1]), None),
            (import("IoQueueWorkItem", &[1, 2, 0]), Some("wi-queue-type")),
            (import("NdisGetDataBuffer", &[1, 14, 0, 1]), None),
            (
                import("NdisGetDataBuffer", &[1, 14, 0, 0]),
                Some("getdatabuffer-args"),
            ),
        ];
        for (event, expected) in table {
            let name = format!("{:?}", event.kind);
            assert_eq!(
                broken::<ArgumentMonitor>([event]),
                Vec::from_iter(expected),
                "{name}"
            );
        }
    }

    #[test]
    fn a_handler_that_is_not_told_its_level_need_not_know_it() {
        let complete = || at_dispatch("NdisFSendNetBufferListsComplete", &[1, 2, 0]);
        let cancel = Callback::FilterCancelSendNetBufferLists;
        assert_eq!(
            broken::<ArgumentMonitor>([complete()]),
            ["flags-dispatch-used"]
        );
        assert!(broken::<ArgumentMonitor>([enter(cancel, Some(0)), complete()]).is_empty());
    }
}
