//! `crates/ndis-sys`: NDIS declarations on top of wdk-sys, and the NT functions that wdk-sys lacks.

use std::fmt::Write as _;

use super::declare;
use super::fact::{Facts, Family};
use super::generated::{Output, header};
use super::record::{self, Writer};
use super::spelling::Names;

/// NT functions that the kit made from mingw's headers does not declare, or has inline only.
///
/// `IoTryQueueWorkItem` is not among them: no page promises its export, it is looked up at run time.
pub(super) const NT_FUNCTIONS: &[&str] = &[
    "EtwSetInformation",
    "ExAcquireSpinLockExclusive",
    "ExAcquireSpinLockExclusiveAtDpcLevel",
    "ExAcquireSpinLockShared",
    "ExAcquireSpinLockSharedAtDpcLevel",
    "ExReleaseSpinLockExclusive",
    "ExReleaseSpinLockExclusiveFromDpcLevel",
    "ExReleaseSpinLockShared",
    "ExReleaseSpinLockSharedFromDpcLevel",
    "KeAcquireSpinLockAtDpcLevel",
    "KeAcquireSpinLockRaiseToDpc",
    "KeGetCurrentIrql",
    "KeQueryInterruptTimePrecise",
    "KeQuerySystemTimePrecise",
    "KeReleaseSpinLock",
    "KeReleaseSpinLockFromDpcLevel",
    "KeShouldYieldProcessor",
    "IofCompleteRequest",
    "WmiTraceMessage",
];

/// NT constants that the kit made from mingw's headers does not declare, and our drivers use.
pub(super) const NT_CONSTANTS: &[&str] = &[
    "EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA",
    "EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA",
    "MdlMappingNoExecute",
];

/// The same for enumerators: enumeration and name.
pub(super) const NT_ENUMERATORS: &[(&str, &str)] =
    &[("EVENT_INFO_CLASS", "EventProviderSetTraits")];

/// Names as ndis-sys sees them.
fn names(facts: &Facts) -> Names {
    let mut names = Names::default();
    for (name, record) in &facts.nt.structs {
        let path = format!("wdk_sys::{name}");
        for alias in record.aliases.iter().chain([name]) {
            names.records.insert(alias.clone(), path.clone());
        }
    }
    names
        .records
        .insert("NDIS_STRING".into(), "wdk_sys::UNICODE_STRING".into());
    names
        .records
        .insert("IO_WORKITEM".into(), "wdk_sys::IO_WORKITEM".into());
    names.add_callbacks(&facts.nt, "wdk_sys::");
    names.add_family(&facts.ndis);
    names
}

pub(super) fn outputs(facts: &Facts) -> Vec<Output> {
    let names = names(facts);
    vec![
        Output::new(
            "crates/ndis-sys/src/types.rs",
            types(&facts.ndis, facts, &names),
        ),
        Output::new("crates/ndis-sys/src/constant.rs", constants(&facts.ndis)),
        Output::new(
            "crates/ndis-sys/src/callback.rs",
            callbacks(&facts.ndis, &names),
        ),
        Output::new("crates/ndis-sys/src/function.rs", functions(facts, &names)),
        Output::new("crates/ndis-sys/src/nt.rs", nt(facts, &names)),
    ]
}

fn types(family: &Family, facts: &Facts, names: &Names) -> String {
    let align = |name: &str| facts.align_of(name);
    let mut writer = Writer {
        names,
        record_align: &align,
        out: header("NDIS structures and scalar types, at the NDIS 6.89 shape"),
    };
    writer
        .out
        .push_str("use core::ffi::c_void;\n\nuse crate::callback::*;\nuse crate::constant::*;\n\n");
    scalars(&mut writer.out, family);
    writer.out.push_str(OPAQUE);
    for (name, record) in &family.structs {
        writer.declare(name, record);
        for alias in &record.aliases {
            let _ = writeln!(writer.out, "/// `{alias}`.\npub type {alias} = {name};\n");
        }
    }
    writer.out
}

/// What NDIS declares and never defines.
pub(super) const OPAQUE: &str = "/// `NDIS_RW_LOCK_EX`: known to NDIS only.\n#[repr(C)]\npub struct NDIS_RW_LOCK_EX {\n    _opaque: [u8; 0],\n}\n\n";

/// Aliases of a family's scalar types.
pub(super) fn scalars(out: &mut String, family: &Family) {
    for (name, abi) in family
        .scalars
        .iter()
        .filter(|(name, _)| !name.starts_with('P'))
    {
        let rust = if abi == "ptr" { "*mut c_void" } else { abi };
        let _ = writeln!(out, "/// `{name}`.\npub type {name} = {rust};");
    }
}

pub(super) fn constants(family: &Family) -> String {
    let mut out = header("NDIS constants and enumerations");
    out.push_str("use crate::types::NDIS_STATUS;\n\n");
    for (name, values) in &family.enums {
        declare::enumeration(&mut out, name, values);
    }
    for (name, constant) in &family.constants {
        let (kind, ..) = constant.parts();
        declare::constant(
            &mut out,
            name,
            constant,
            Some(declare::constant_type(name, kind)),
        );
    }
    out
}

fn callbacks(family: &Family, names: &Names) -> String {
    let mut out = header("Types of NDIS callbacks");
    out.push_str("use core::ffi::c_void;\n\nuse crate::types::*;\n\n");
    for (name, callback) in family.callbacks.iter().filter(|(_, c)| c.pointer) {
        declare::callback(&mut out, name, callback, names);
    }
    out
}

fn functions(facts: &Facts, names: &Names) -> String {
    let mut out = header("Functions that `ndis.sys` exports");
    out.push_str("use core::ffi::c_void;\n\nuse crate::callback::*;\nuse crate::constant::*;\nuse crate::types::*;\n\n");
    out.push_str("#[link(name = \"ndis\")]\nunsafe extern \"system\" {\n");
    for (name, function) in &facts.ndis.functions {
        declare::function(&mut out, name, function, names, facts.pages.get(name));
    }
    out.push_str("}\n");
    out
}

fn nt(facts: &Facts, names: &Names) -> String {
    let mut out = header(
        "Functions and constants of NT that wdk-sys lacks when it is built from mingw's headers",
    );
    out.push_str("use core::ffi::c_void;\n\n");
    for name in NT_CONSTANTS {
        if let Some(constant) = facts.nt.constants.get(*name) {
            let (kind, ..) = constant.parts();
            let typed = declare::constant_type(name, kind);
            declare::constant(&mut out, name, constant, Some(typed));
        }
    }
    for (kind, name) in NT_ENUMERATORS {
        let value = facts.nt.enums.get(*kind).and_then(|all| all.get(*name));
        if let Some(value) = value {
            let _ = writeln!(
                out,
                "/// `{name}` (`{kind}`).\npub const {name}: i32 = {value};"
            );
        }
    }
    out.push('\n');
    let mut sets = [("system", String::new()), ("C", String::new())];
    for name in NT_FUNCTIONS {
        if let Some(function) = facts.nt.functions.get(*name) {
            let set = &mut sets[usize::from(function.variadic)].1;
            declare::function(set, name, function, names, facts.pages.get(*name));
        }
    }
    for (abi, set) in sets {
        let _ = writeln!(out, "unsafe extern \"{abi}\" {{\n{set}}}\n");
    }
    out
}

impl Facts {
    /// The alignment of a named record.
    pub(super) fn align_of(&self, name: &str) -> usize {
        let families = [&self.ndis, &self.nt];
        let named = |f: &Family| {
            f.structs
                .iter()
                .find(|(n, r)| *n == name || r.aliases.iter().any(|a| a == name))
                .map(|(_, r)| r.align)
        };
        let known = families.into_iter().find_map(named);
        known.unwrap_or(match name {
            "NDIS_STRING" => 8,
            _ => record::UNKNOWN_ALIGNMENT,
        })
    }
}

impl Names {
    /// Adds the callback types of `family`, which are found below `prefix`.
    pub(super) fn add_callbacks(&mut self, family: &Family, prefix: &str) {
        for (name, callback) in family.callbacks.iter().filter(|(_, c)| c.pointer) {
            let path = format!("{prefix}{name}");
            if let Some(function) = &callback.points_to {
                self.functions.insert(function.clone(), path.clone());
            }
            self.callbacks.insert(name.clone(), path);
        }
    }

    /// Of a file that declares both families itself.
    pub(super) fn of_all(facts: &Facts) -> Self {
        let mut names = Self::default();
        names
            .records
            .insert("NDIS_STRING".into(), "UNICODE_STRING".into());
        names.add_family(&facts.nt);
        names.add_family(&facts.ndis);
        names
    }

    /// Adds what `family` declares under its own names.
    fn add_family(&mut self, family: &Family) {
        for (name, record) in &family.structs {
            for alias in record.aliases.iter().chain([name]) {
                self.records.insert(alias.clone(), name.clone());
            }
        }
        self.records
            .insert("NDIS_RW_LOCK_EX".into(), "NDIS_RW_LOCK_EX".into());
        self.add_callbacks(family, "");
        self.aliases.extend(family.enums.keys().cloned());
        self.aliases.extend(
            family
                .scalars
                .keys()
                .filter(|n| !n.starts_with('P'))
                .cloned(),
        );
    }
}
