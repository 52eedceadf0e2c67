//! Calls that are made to fail: which imports can, how they do, and the driver's call stacks that
//! reach them.
//!
//! [`instead`] runs in place of an import's body when the configuration asks for it. A stack fails
//! once, the first time that it is seen; the schedule up to then is that of a run without it, so a
//! stack that was seen once is met again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::abi::constant::{
    NDIS_STATUS_FAILURE, NDIS_STATUS_RESOURCES, POOL_FLAG_RAISE_ON_FAILURE,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_MEMORY,
};
use crate::nt::{SUCCESS, lookaside, status};
use crate::per_image::per_image;
use crate::rt::trace::{self, StackId};
use crate::rt::{Call, mem};
use crate::watch::{OrFault, stack_frame};
use crate::{CallSite, CallSiteReport};

/// How a call fails.
#[derive(Clone, Copy)]
enum How {
    /// It gives NULL or FALSE.
    Null,
    /// It gives a status.
    Status(i32),
    /// It writes a status where this argument points.
    StatusAt(usize, i32),
}

/// An import that can fail through no fault of the caller.
struct CanFail {
    name: &'static str,
    /// For want of memory, rather than for another reason.
    is_allocation: bool,
    how: How,
}

const fn allocation(name: &'static str, how: How) -> CanFail {
    CanFail {
        name,
        is_allocation: true,
        how,
    }
}

const fn other(name: &'static str, how: How) -> CanFail {
    CanFail {
        name,
        is_allocation: false,
        how,
    }
}

const NO_MEMORY: How = How::Status(STATUS_INSUFFICIENT_RESOURCES);
/// No buffer of the session is free.
const NO_BUFFER: How = How::Status(STATUS_NO_MEMORY);
const NDIS_NO_MEMORY: How = How::Status(NDIS_STATUS_RESOURCES);

/// Every import of the lab that its page allows to fail.
const CAN_FAIL: &[CanFail] = &[
    // What headers call by a list's member, in place of the three below.
    allocation(lookaside::ALLOCATE, How::Null),
    allocation("ExAllocateFromLookasideListEx", How::Null),
    allocation("ExAllocateFromNPagedLookasideList", How::Null),
    allocation("ExAllocateFromPagedLookasideList", How::Null),
    allocation("ExAllocatePool", How::Null),
    allocation("ExAllocateCacheAwareRundownProtection", How::Null),
    allocation("ExAllocatePool2", How::Null),
    allocation("ExAllocatePool3", How::Null),
    allocation("ExAllocatePoolWithTag", How::Null),
    allocation("ExAllocatePoolWithTagPriority", How::Null),
    allocation("ExInitializeLookasideListEx", NO_MEMORY),
    allocation("IoAllocateIrp", How::Null),
    allocation("IoAllocateMdl", How::Null),
    allocation("IoBuildAsynchronousFsdRequest", How::Null),
    allocation("IoBuildDeviceIoControlRequest", How::Null),
    allocation("IoBuildSynchronousFsdRequest", How::Null),
    allocation("IoSetCompletionRoutineEx", NO_MEMORY),
    allocation("IoAllocateWorkItem", How::Null),
    allocation("MmAllocateContiguousMemory", How::Null),
    allocation("MmAllocateContiguousMemorySpecifyCache", How::Null),
    allocation("MmAllocateMappingAddress", How::Null),
    allocation("MmAllocateNonCachedMemory", How::Null),
    allocation("MmAllocatePagesForMdl", How::Null),
    allocation("MmAllocatePagesForMdlEx", How::Null),
    allocation("MmMapLockedPagesSpecifyCache", How::Null),
    allocation("KeExpandKernelStackAndCallout", NO_BUFFER),
    allocation("KeExpandKernelStackAndCalloutEx", NO_BUFFER),
    other("ExCreateCallback", NO_MEMORY),
    other("ExRegisterCallback", How::Null),
    other("IoWMIRegistrationControl", NO_MEMORY),
    other("IoWMIWriteEvent", NO_MEMORY),
    other("KeRegisterNmiCallback", How::Null),
    other("KeRegisterProcessorChangeCallback", How::Null),
    other("NdisIfAddIfStackEntry", NDIS_NO_MEMORY),
    other("NdisIfAllocateNetLuidIndex", NDIS_NO_MEMORY),
    other("NdisIfRegisterInterface", NDIS_NO_MEMORY),
    other("NdisIfRegisterProvider", NDIS_NO_MEMORY),
    other(
        "NdisOpenConfigurationKeyByIndex",
        How::StatusAt(0, NDIS_STATUS_FAILURE),
    ),
    other(
        "NdisOpenConfigurationKeyByName",
        How::StatusAt(0, NDIS_STATUS_FAILURE),
    ),
    other("NdisWriteEventLogEntry", NDIS_NO_MEMORY),
    other("PoRegisterPowerSettingCallback", NO_MEMORY),
    other("PsSetLoadImageNotifyRoutine", NO_MEMORY),
    allocation("NdisAllocateCloneOidRequest", NDIS_NO_MEMORY),
    allocation("NdisAllocateGenericObject", How::Null),
    allocation("NdisAllocateIoWorkItem", How::Null),
    allocation("NdisAllocateMdl", How::Null),
    allocation("NdisAllocateMemoryWithTagPriority", How::Null),
    allocation("NdisAllocateCloneNetBufferList", How::Null),
    allocation("NdisAllocateFragmentNetBufferList", How::Null),
    allocation("NdisAllocateNetBuffer", How::Null),
    allocation("NdisAllocateNetBufferAndNetBufferList", How::Null),
    allocation("NdisAllocateNetBufferList", How::Null),
    allocation("NdisAllocateNetBufferListContext", NDIS_NO_MEMORY),
    allocation("NdisAllocateNetBufferListPool", How::Null),
    allocation("NdisAllocateNetBufferMdlAndData", How::Null),
    allocation("NdisAllocateNetBufferPool", How::Null),
    allocation("NdisAllocateReassembledNetBufferList", How::Null),
    allocation("NdisGetDataBuffer", How::Null),
    allocation("NdisRetreatNetBufferDataStart", NDIS_NO_MEMORY),
    allocation("NdisRetreatNetBufferListDataStart", NDIS_NO_MEMORY),
    allocation("NdisAllocateRWLock", How::Null),
    allocation("NdisAllocateTimerObject", NDIS_NO_MEMORY),
    allocation("ObGetObjectSecurity", NO_MEMORY),
    allocation("RtlAllocateAndInitializeSid", How::Status(STATUS_NO_MEMORY)),
    allocation("RtlCreateHashTable", How::Null),
    allocation("RtlCreateHashTableEx", How::Null),
    allocation("RtlCreateUnicodeString", How::Null),
    allocation("RtlDuplicateUnicodeString", NO_MEMORY),
    allocation("RtlStringFromGUID", NO_MEMORY),
    other("EtwRegister", NO_MEMORY),
    other("EtwRegisterClassicProvider", NO_MEMORY),
    other("EtwSetInformation", NO_MEMORY),
    other("EtwWrite", NO_BUFFER),
    other("EtwWriteEx", NO_BUFFER),
    other("EtwWriteString", NO_BUFFER),
    other("EtwWriteTransfer", NO_BUFFER),
    other("WmiTraceMessage", NO_BUFFER),
    other("WmiTraceMessageVa", NO_BUFFER),
    allocation("IoCreateDevice", NO_MEMORY),
    allocation("IoCreateSymbolicLink", NO_MEMORY),
    allocation("ExAllocateTimer", How::Null),
    allocation("FwpsAllocateNetBufferAndNetBufferList0", NO_MEMORY),
    allocation("FwpsInjectionHandleCreate0", NO_MEMORY),
    other("FwpmEngineOpen0", NO_MEMORY),
    other("FwpmTransactionBegin0", NO_MEMORY),
    other("FwpmProviderAdd0", NO_MEMORY),
    other("FwpmSubLayerAdd0", NO_MEMORY),
    other("FwpmCalloutAdd0", NO_MEMORY),
    other("FwpmFilterAdd0", NO_MEMORY),
    other("FwpsCalloutRegister0", NO_MEMORY),
    other("FwpsCalloutRegister1", NO_MEMORY),
    other("FwpsCalloutRegister2", NO_MEMORY),
    other("FwpsCalloutRegister3", NO_MEMORY),
    other("FwpmBfeStateSubscribeChanges0", NO_MEMORY),
    other("FwpmProviderContextAdd0", NO_MEMORY),
    other("FwpmProviderContextAdd1", NO_MEMORY),
    other("FwpmProviderContextAdd2", NO_MEMORY),
    other("FwpmProviderContextAdd3", NO_MEMORY),
    other("FwpsRedirectHandleCreate0", NO_MEMORY),
    other("FwpsInjectNetworkSendAsync0", NO_MEMORY),
    allocation("IoAllocateDriverObjectExtension", NO_MEMORY),
    allocation("IoAllocateErrorLogEntry", How::Null),
    allocation("IoCreateNotificationEvent", How::Null),
    allocation("IoCreateSynchronizationEvent", How::Null),
    other("IoInitializeTimer", NO_MEMORY),
    other("IoRegisterPlugPlayNotification", NO_MEMORY),
    other("IoRegisterShutdownNotification", NO_MEMORY),
    other("ObOpenObjectByPointer", NO_MEMORY),
    other("ZwCreateDirectoryObject", NO_MEMORY),
    other("ZwCreateEvent", NO_MEMORY),
    other("ZwCreateSymbolicLinkObject", NO_MEMORY),
    other("ZwDuplicateObject", NO_MEMORY),
    other("IoCreateFile", NO_MEMORY),
    other("NtCreateFile", NO_MEMORY),
    other("ZwDeviceIoControlFile", NO_MEMORY),
    other("ZwQueryDirectoryFile", NO_MEMORY),
    other("ZwQueryVolumeInformationFile", NO_MEMORY),
    other("IoAttachDeviceToDeviceStack", How::Null),
    other("IoGetDeviceObjectPointer", NO_MEMORY),
    other("IoTryQueueWorkItem", How::Null),
    other("MmGetSystemRoutineAddress", How::Null),
    other("NdisGetRoutineAddress", How::Null),
    other("NdisFRegisterFilterDriver", NDIS_NO_MEMORY),
    other("NdisFRestartFilter", How::Status(NDIS_STATUS_FAILURE)),
    other("NdisFSetAttributes", How::Status(NDIS_STATUS_FAILURE)),
    other("NdisOpenConfigurationEx", NDIS_NO_MEMORY),
    other(
        "NdisReadConfiguration",
        // With NDIS_STATUS_FAILURE it says that there is no such value.
        How::StatusAt(0, NDIS_STATUS_RESOURCES),
    ),
    other("NdisRegisterDeviceEx", NDIS_NO_MEMORY),
    other("NdisSetOptionalHandlers", NDIS_NO_MEMORY),
    other(
        "NdisWriteConfiguration",
        How::StatusAt(0, NDIS_STATUS_RESOURCES),
    ),
    other("PsCreateSystemThread", NO_MEMORY),
    other("PsImpersonateClient", NO_MEMORY),
    other("RtlCreateRegistryKey", NO_MEMORY),
    other("RtlDeleteRegistryValue", NO_MEMORY),
    other("RtlQueryRegistryValues", NO_MEMORY),
    other("RtlWriteRegistryValue", NO_MEMORY),
    other("ZwCreateFile", NO_MEMORY),
    other("ZwCreateKey", NO_MEMORY),
    other("ZwDeleteFile", NO_MEMORY),
    other("ZwDeleteKey", NO_MEMORY),
    other("ZwDeleteValueKey", NO_MEMORY),
    other("ZwEnumerateKey", NO_MEMORY),
    other("ZwEnumerateValueKey", NO_MEMORY),
    other("ZwFlushBuffersFile", NO_MEMORY),
    other("ZwFlushKey", NO_MEMORY),
    other("ZwOpenFile", NO_MEMORY),
    other("ZwOpenKey", NO_MEMORY),
    other("ZwOpenKeyEx", NO_MEMORY),
    other("ZwQueryFullAttributesFile", NO_MEMORY),
    other("ZwQueryInformationFile", NO_MEMORY),
    other("ZwQueryKey", NO_MEMORY),
    other("ZwQuerySecurityObject", NO_MEMORY),
    other("ZwQueryValueKey", NO_MEMORY),
    other("ZwReadFile", NO_MEMORY),
    other("ZwSetInformationFile", NO_MEMORY),
    other("ZwSetSecurityObject", NO_MEMORY),
    other("ZwSetValueKey", NO_MEMORY),
    other("ZwWriteFile", NO_MEMORY),
];

/// A call stack that was seen.
struct Seen {
    import: &'static CanFail,
    stack: StackId,
    calls: u64,
    has_failed: bool,
}

/// What is to fail, and what was seen in the order in which it came.
struct Injection {
    wanted: Vec<CallSite>,
    seen: Vec<Seen>,
    by_stack: BTreeMap<(&'static str, StackId), usize>,
}

per_image! {
    static INJECTION: RefCell<Option<Injection>> = const { RefCell::new(None) };
}

/// Whether the lab can make an import fail.
pub(crate) fn can_fail(import: &str) -> bool {
    look_up(import).is_some()
}

/// A run begins, in which these call stacks fail; without a list no stack is looked at.
pub(crate) fn configure(wanted: Option<Vec<CallSite>>) {
    INJECTION.set(wanted.map(|wanted| Injection {
        wanted,
        seen: Vec::new(),
        by_stack: BTreeMap::new(),
    }));
}

/// Whether a call was made to fail.
pub(crate) fn has_failed_any() -> bool {
    INJECTION.with_borrow(|injection| {
        injection
            .as_ref()
            .is_some_and(|injection| injection.seen.iter().any(|seen| seen.has_failed))
    })
}

/// Every call stack that was seen, and what became of it.
pub(crate) fn take_report() -> Vec<CallSiteReport> {
    let Some(injection) = INJECTION.take() else {
        return Vec::new();
    };
    let report = |seen: Seen| CallSiteReport {
        site: CallSite {
            import: seen.import.name.to_owned(),
            stack: trace::offsets(seen.stack),
        },
        is_allocation: seen.import.is_allocation,
        calls: seen.calls,
        has_failed: seen.has_failed,
        frames: trace::frames(seen.stack)
            .into_iter()
            .map(stack_frame)
            .collect(),
    };
    injection.seen.into_iter().map(report).collect()
}

/// What the import gives if it is to fail now.
pub(crate) fn instead(call: &Call<'_>) -> Option<u64> {
    let is_on = INJECTION.with_borrow(Option::is_some);
    let can_fail = is_on.then(|| look_up(call.import().name)).flatten()?;
    if raises(call) {
        return None;
    }
    let stack = trace::innermost_image(trace::capture());
    let fails = INJECTION.with_borrow_mut(|injection| {
        let injection = injection.as_mut()?;
        let next = injection.seen.len();
        let at = *injection
            .by_stack
            .entry((can_fail.name, stack))
            .or_insert(next);
        if at < next {
            injection.seen[at].calls += 1;
            return Some(false);
        }
        let offsets = trace::offsets(stack);
        let has_failed = injection
            .wanted
            .iter()
            .filter(|site| site.import == can_fail.name)
            .any(|site| site.stack.is_empty() || site.stack == offsets);
        injection.seen.push(Seen {
            import: can_fail,
            stack,
            calls: 1,
            has_failed,
        });
        Some(has_failed)
    });
    (fails == Some(true)).then(|| fail(call, can_fail.how))
}

fn look_up(name: &str) -> Option<&'static CanFail> {
    CAN_FAIL.iter().find(|can_fail| can_fail.name == name)
}

/// Whether the caller asked for an exception in place of NULL, which the lab cannot raise.
fn raises(call: &Call<'_>) -> bool {
    ["ExAllocatePool2", "ExAllocatePool3"].contains(&call.import().name)
        && call.arg(0) & POOL_FLAG_RAISE_ON_FAILURE != 0
}

fn fail(call: &Call<'_>, how: How) -> u64 {
    match how {
        How::Null => 0,
        How::Status(code) => status(code),
        How::StatusAt(argument, code) => {
            mem::write(call.arg(argument), code).or_fault();
            SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CAN_FAIL;
    use crate::life::IMPORTS;

    #[test]
    fn every_name_is_an_import() {
        let known: Vec<&str> = IMPORTS
            .iter()
            .flat_map(|imports| imports.iter().map(|import| import.name))
            .collect();
        for can_fail in CAN_FAIL {
            assert!(known.contains(&can_fail.name), "{}", can_fail.name);
        }
    }
}
