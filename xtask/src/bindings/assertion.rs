//! `crates/ndis-sys/src/assertion`: what the compiler must find true, from the facts alone.
//!
//! Declarations are made from the types as C spells them; the assertions from sizes, offsets and ABI
//! classes, which the facts hold beside them. So a type that was translated wrongly does not compile.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::declare;
use super::fact::{Facts, Family, Field, Function, Record};
use super::generated::{Output, header};
use super::ndis_sys::{NT_CONSTANTS, NT_ENUMERATORS, NT_FUNCTIONS};
use super::record;

/// NDIS minor versions that drivers are built for.
const MINORS: std::ops::RangeInclusive<u8> = 84..=89;

/// The wdk-sys types that NDIS declarations and our drivers use.
pub(super) const WDK_TYPES: &[&str] = &[
    "CLIENT_ID",
    "DEVICE_OBJECT",
    "DISPATCHER_HEADER",
    "DRIVER_OBJECT",
    "EVENT_DATA_DESCRIPTOR",
    "EVENT_DESCRIPTOR",
    "EVENT_FILTER_DESCRIPTOR",
    "FILE_OBJECT",
    "GENERAL_LOOKASIDE_POOL",
    "GROUP_AFFINITY",
    "GUID",
    "IO_STACK_LOCATION",
    "IO_STATUS_BLOCK",
    "IRP",
    "KDPC",
    "KEVENT",
    "KLOCK_QUEUE_HANDLE",
    "KTIMER",
    "LARGE_INTEGER",
    "LIST_ENTRY",
    "LOOKASIDE_LIST_EX",
    "MDL",
    "OBJECT_ATTRIBUTES",
    "PROCESSOR_NUMBER",
    "SLIST_ENTRY",
    "SLIST_HEADER",
    "STRING",
    "UNICODE_STRING",
];

/// Those of [`WDK_TYPES`] that exist behind pointers only, where mingw's headers leave out the
/// declared 16-byte alignment: their offsets are asserted, size and alignment are not.
const BEHIND_POINTERS: &[&str] = &["DEVICE_OBJECT", "IRP"];

/// Members that mingw's headers do not have; what follows them is where it should be.
const NOT_IN_MINGW: &[(&str, &str)] = &[("KDPC", "ProcessorHistory"), ("KTIMER", "TimerType")];

/// Inner members that our drivers use: record, member, and its path in bindgen's declaration, which
/// numbers unnamed unions.
const INNER: &[(&str, &str, &str)] = &[
    (
        "GENERAL_LOOKASIDE_POOL",
        "ListHead",
        "__bindgen_anon_1.ListHead",
    ),
    (
        "GENERAL_LOOKASIDE_POOL",
        "AllocateMisses",
        "__bindgen_anon_2.AllocateMisses",
    ),
    (
        "GENERAL_LOOKASIDE_POOL",
        "FreeMisses",
        "__bindgen_anon_3.FreeMisses",
    ),
    (
        "GENERAL_LOOKASIDE_POOL",
        "AllocateEx",
        "__bindgen_anon_4.AllocateEx",
    ),
    (
        "GENERAL_LOOKASIDE_POOL",
        "FreeEx",
        "__bindgen_anon_5.FreeEx",
    ),
    (
        "IO_STACK_LOCATION",
        "Parameters.DeviceIoControl.InputBufferLength",
        "",
    ),
    (
        "IO_STACK_LOCATION",
        "Parameters.DeviceIoControl.IoControlCode",
        "",
    ),
    (
        "IO_STACK_LOCATION",
        "Parameters.DeviceIoControl.OutputBufferLength",
        "",
    ),
    ("IO_STATUS_BLOCK", "Status", "__bindgen_anon_1.Status"),
    ("IRP", "AssociatedIrp.SystemBuffer", ""),
    (
        "IRP",
        "Tail.Overlay.CurrentStackLocation",
        "Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation",
    ),
];

/// The wdk-sys functions that our drivers call.
pub(super) const WDK_FUNCTIONS: &[&str] = &[
    "DbgPrint",
    "EtwRegister",
    "EtwUnregister",
    "EtwWriteTransfer",
    "ExAllocatePool2",
    "ExDeleteLookasideListEx",
    "ExFreePoolWithTag",
    "ExInitializeLookasideListEx",
    "ExQueryDepthSList",
    "ExpInterlockedPopEntrySList",
    "ExpInterlockedPushEntrySList",
    "IoAllocateWorkItem",
    "IoFreeWorkItem",
    "IoInitializeWorkItem",
    "IoQueueWorkItem",
    "IoQueueWorkItemEx",
    "IoReleaseCancelSpinLock",
    "IoSizeofWorkItem",
    "IoUninitializeWorkItem",
    "KeFlushQueuedDpcs",
    "KeInitializeDpc",
    "KeInsertQueueDpc",
    "KeRemoveQueueDpc",
    "MmGetSystemRoutineAddress",
    "MmMapLockedPagesSpecifyCache",
    "PsCreateSystemThread",
    "PsTerminateSystemThread",
    "ZwClose",
    "ZwWaitForSingleObject",
];

/// The wdk-sys constants that our drivers use.
pub(super) const WDK_CONSTANTS: &[&str] = &[
    "IO_NO_INCREMENT",
    "IRP_MJ_CLEANUP",
    "IRP_MJ_CLOSE",
    "IRP_MJ_CREATE",
    "IRP_MJ_DEVICE_CONTROL",
    "IRP_MJ_MAXIMUM_FUNCTION",
    "MDL_MAPPED_TO_SYSTEM_VA",
    "MDL_SOURCE_IS_NONPAGED_POOL",
    "MEMORY_ALLOCATION_ALIGNMENT",
    "METHOD_BUFFERED",
    "METHOD_NEITHER",
    "OBJ_KERNEL_HANDLE",
    "POOL_FLAG_NON_PAGED",
    "SL_PENDING_RETURNED",
    "STATUS_BUFFER_TOO_SMALL",
    "STATUS_CANCELLED",
    "STATUS_DEVICE_BUSY",
    "STATUS_DEVICE_NOT_READY",
    "STATUS_INVALID_DEVICE_REQUEST",
    "STATUS_INVALID_PARAMETER",
    "STATUS_IO_TIMEOUT",
    "STATUS_NOT_FOUND",
    "STATUS_OBJECT_NAME_INVALID",
    "STATUS_PENDING",
    "STATUS_SUCCESS",
    "SYNCHRONIZE",
];

/// The wdk-sys enumerators that our drivers use: enumeration and name.
pub(super) const WDK_ENUMERATORS: &[(&str, &str)] = &[
    ("MEMORY_CACHING_TYPE", "MmCached"),
    ("MM_PAGE_PRIORITY", "NormalPagePriority"),
    ("MODE", "KernelMode"),
    ("POOL_TYPE", "NonPagedPoolNx"),
    ("WORK_QUEUE_TYPE", "DelayedWorkQueue"),
];

pub(super) fn outputs(facts: &Facts) -> Vec<Output> {
    vec![
        Output::new(
            "crates/ndis-sys/src/assertion/x64.rs",
            layouts(&facts.ndis, &facts.nt, "x64"),
        ),
        Output::new(
            "crates/ndis-sys/src/assertion/arm64.rs",
            layouts(&facts.ndis_arm64, &facts.nt_arm64, "ARM64"),
        ),
        Output::new(
            "crates/ndis-sys/src/assertion/constant.rs",
            constants(&facts.ndis, &facts.nt),
        ),
        Output::new(
            "crates/ndis-sys/src/assertion/function.rs",
            functions(facts),
        ),
    ]
}

fn layouts(ndis: &Family, nt: &Family, arch: &str) -> String {
    let mut out = header(&format!("NDIS and wdk-sys layouts on {arch}"));
    out.push_str("use core::mem::{align_of, offset_of, size_of};\n\nuse crate::types::*;\n\n");
    for (name, record) in &ndis.structs {
        layout(&mut out, name, record, &record::reachable(&record.fields));
        versions(&mut out, name, record);
    }
    for name in WDK_TYPES {
        let record = nt
            .structs
            .get(*name)
            .unwrap_or_else(|| panic!("no facts of {name}"));
        let mut members = named(&record.fields);
        members.retain(|(member, _)| !NOT_IN_MINGW.contains(&(name, member)));
        for (_, member, path) in INNER.iter().filter(|(record, ..)| record == name) {
            let field = record.fields.iter().find(|f| f.name == *member);
            let field = field.unwrap_or_else(|| panic!("no facts of {name}.{member}"));
            let path = if path.is_empty() { member } else { path };
            members.push((path.to_string(), field.offset));
        }
        layout(&mut out, &format!("wdk_sys::{name}"), record, &members);
    }
    out
}

fn layout(out: &mut String, path: &str, record: &Record, members: &[(String, usize)]) {
    out.push_str("const _: () = {\n");
    if !BEHIND_POINTERS
        .iter()
        .any(|name| path.strip_prefix("wdk_sys::") == Some(name))
    {
        let _ = writeln!(
            out,
            "assert!(size_of::<{path}>() == {});\nassert!(align_of::<{path}>() == {});",
            record.size, record.align
        );
    }
    for (member, offset) in members {
        let _ = writeln!(out, "assert!(offset_of!({path}, {member}) == {offset});");
    }
    out.push_str("};\n\n");
}

/// Members that have a name of their own in bindgen's declaration too: those of unnamed unions
/// overlap others, and are left out.
fn named(fields: &[Field]) -> Vec<(String, usize)> {
    let top: Vec<&Field> = fields.iter().filter(|f| !f.name.contains('.')).collect();
    let alone = |field: &Field| {
        let end = field.offset + field.size;
        let overlaps = |f: &&&Field| f.offset < end && field.offset < f.offset + f.size;
        field.bits.is_none() && top.iter().filter(overlaps).count() == 1
    };
    top.iter()
        .filter(|f| alone(f))
        .map(|f| (record::identifier(&f.name), f.offset))
        .collect()
}

/// What a driver built for an earlier version passes as the size is where its last member ends.
fn versions(out: &mut String, name: &str, record: &Record) {
    if record.sizes.is_empty() {
        return;
    }
    let _ = writeln!(out, "const _: () = {{");
    for minor in MINORS {
        let size = record.size_at(minor);
        let later = record
            .fields
            .iter()
            .find(|f| f.since.is_some_and(|since| since > minor));
        let _ = match later {
            Some(field) => writeln!(
                out,
                "// NDIS 6.{minor}\nassert!(offset_of!({name}, {}) == {size});",
                record::identifier(&field.name)
            ),
            None => writeln!(
                out,
                "// NDIS 6.{minor}\nassert!(size_of::<{name}>() == {size});"
            ),
        };
    }
    out.push_str("};\n\n");
}

fn constants(ndis: &Family, nt: &Family) -> String {
    let mut out = header("Values of constants and enumerators");
    out.push_str("use crate::constant::*;\n\nconst _: () = {\n");
    for (name, constant) in &ndis.constants {
        let (kind, value, _) = constant.parts();
        // An unsigned constant of which C has a negative `int`.
        let unsigned = declare::constant_type(name, kind) != "NDIS_STATUS";
        let cast = if unsigned && value < 0 { " as i32" } else { "" };
        let _ = writeln!(out, "assert!({name}{cast} == {value});");
    }
    out.push_str("};\n\nconst _: () = {\n");
    for (name, value) in ndis.enums.values().flatten() {
        let _ = writeln!(out, "assert!({name} == {value});");
    }
    out.push_str("};\n\nconst _: () = {\n");
    let own = NT_CONSTANTS.iter().map(|name| ("crate::nt", *name));
    let wdk = WDK_CONSTANTS.iter().map(|name| ("wdk_sys", *name));
    for (path, name) in own.chain(wdk) {
        let constant = nt
            .constants
            .get(name)
            .unwrap_or_else(|| panic!("no facts of {name}"));
        let (_, value, _) = constant.parts();
        let _ = writeln!(out, "assert!({path}::{name} == {value});");
    }
    let own = NT_ENUMERATORS
        .iter()
        .map(|(kind, name)| (String::from("crate::nt"), kind, name));
    let wdk = WDK_ENUMERATORS
        .iter()
        .map(|(kind, name)| (format!("wdk_sys::_{kind}"), kind, name));
    for (path, kind, name) in own.chain(wdk) {
        let value = nt
            .enums
            .get(*kind)
            .and_then(|values| values.get(*name))
            .unwrap_or_else(|| panic!("no facts of {name}"));
        let _ = writeln!(out, "assert!({path}::{name} == {value});");
    }
    out.push_str("};\n");
    out
}

fn functions(facts: &Facts) -> String {
    let mut out = header("Signatures of functions and callbacks as ABI classes, the result first");
    out.push_str("use super::signature::{of, same};\nuse crate::callback::*;\nuse crate::function::*;\nuse crate::nt::*;\nuse wdk_sys::ntddk;\n\nconst _: () = {\n");
    let nt = NT_FUNCTIONS.iter().map(|name| (String::from(*name), *name));
    let wdk = WDK_FUNCTIONS
        .iter()
        .map(|name| (format!("ntddk::{name}"), *name));
    for (path, name) in nt.chain(wdk) {
        function(&mut out, &path, name, &facts.nt.functions);
    }
    for name in facts.ndis.functions.keys() {
        function(&mut out, name, name, &facts.ndis.functions);
    }
    out.push_str("};\n\nconst _: () = {\n");
    for (name, callback) in facts.ndis.callbacks.iter().filter(|(_, c)| c.pointer) {
        let _ = writeln!(
            out,
            "assert!(same(of::<{name}>(), &[{}]));",
            classes(callback, false)
        );
    }
    out.push_str("};\n");
    out
}

fn function(out: &mut String, path: &str, name: &str, functions: &BTreeMap<String, Function>) {
    let function = functions
        .get(name)
        .unwrap_or_else(|| panic!("no facts of {name}"));
    // A variadic function has no type that a trait could be implemented for in general.
    if function.variadic {
        return;
    }
    let holes = vec!["_"; function.params.len()].join(", ");
    let is_wdk = path.starts_with("ntddk");
    let abi = if is_wdk { "C" } else { "system" };
    let _ = writeln!(
        out,
        "assert!(same(super::signature::function({path} as unsafe extern \"{abi}\" fn({holes}) -> _), &[{}]));",
        classes(function, is_wdk)
    );
}

/// The classes of the result and the parameters; an array parameter is a pointer. Of an enumeration wdk-sys has the sign
/// that its kit's compiler gives it.
fn classes(function: &Function, is_wdk: bool) -> String {
    let class = |abi: &str| {
        let abi = match abi.strip_prefix("enum:") {
            Some(_) if is_wdk => "enum",
            Some(class) => class,
            None => abi,
        };
        format!("\"{}\"", if abi.starts_with('[') { "ptr" } else { abi })
    };
    let all =
        std::iter::once(&function.ret_abi).chain(function.params.iter().map(|(_, _, abi)| abi));
    all.map(|abi| class(abi)).collect::<Vec<_>>().join(", ")
}
