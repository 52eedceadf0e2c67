//! `lab/kernel/src/abi`: offsets, sizes and constants for a lab that sees a driver's memory as bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::declare;
use super::fact::{Facts, Family, Field, Record};
use super::generated::{Output, header};
use super::irql;

/// NDIS minor versions that the lab offers.
const MINORS: std::ops::RangeInclusive<u8> = 84..=89;

pub(super) fn outputs(facts: &Facts) -> Vec<Output> {
    vec![
        Output::new(
            "lab/kernel/src/abi/ndis.rs",
            records(&facts.ndis, facts, "NDIS"),
        ),
        Output::new("lab/kernel/src/abi/nt.rs", records(&facts.nt, facts, "NT")),
        Output::new("lab/kernel/src/abi/constant.rs", constants(facts)),
        Output::new("lab/kernel/src/abi/irql.rs", irql::table(facts)),
        Output::new("lab/kernel/src/abi/name.rs", names(facts)),
    ]
}

fn records(family: &Family, facts: &Facts, what: &str) -> String {
    let mut out = header(&format!(
        "Layouts of {what} records on x64: a module each, under its C name"
    ));
    for (name, record) in &family.structs {
        let _ = writeln!(out, "/// `{name}`.\npub(crate) mod {name} {{");
        let mut body = String::new();
        members(&mut body, record, facts);
        if body.contains("Field") {
            out.push_str("use crate::rt::mem::Field;\n\n");
        }
        sizes(&mut out, record);
        out.push_str(&body);
        out.push_str("}\n\n");
    }
    out
}

fn sizes(out: &mut String, record: &Record) {
    let _ = writeln!(
        out,
        "/// Size in bytes.\npub(crate) const SIZE: usize = {};\n/// Alignment in bytes.\npub(crate) const ALIGN: usize = {};",
        record.size, record.align
    );
    if record.sizes.is_empty() {
        return;
    }
    out.push_str("/// Size in bytes as a driver built for NDIS 6.`minor` sees it.\npub(crate) const fn size(minor: u8) -> usize {\nmatch minor {\n");
    let mut steps: Vec<(u8, usize)> = Vec::new();
    for minor in MINORS {
        let size = record.size_at(minor);
        if steps.last().is_none_or(|(_, last)| *last != size) {
            steps.push((minor, size));
        }
    }
    for (index, (minor, size)) in steps.iter().enumerate() {
        let _ = match steps.get(index + 1) {
            Some((next, _)) => writeln!(out, "..{next} => {size},"),
            None => writeln!(out, "{minor}.. => {size},"),
        };
    }
    out.push_str("}\n}\n");
}

fn members(out: &mut String, record: &Record, facts: &Facts) {
    for field in &record.fields {
        let name = field.name.replace('.', "_");
        let since = field
            .since
            .map(|m| format!(", since NDIS 6.{m}"))
            .unwrap_or_default();
        let offset = field.offset;
        if let Some((shift, width)) = field.bits {
            let _ = writeln!(
                out,
                "/// Bit-field `{0}`{since}: offset of its {1}-byte unit, shift, width.\npub(crate) const {name}: (u64, u32, u32) = ({offset}, {shift}, {width});",
                field.name, field.size
            );
            continue;
        }
        let (element, count) = match field
            .abi
            .strip_prefix('[')
            .and_then(|a| a.strip_suffix(']'))
        {
            Some(array) => array.rsplit_once(';').unwrap_or((array, "0")),
            None => (field.abi.as_str(), ""),
        };
        let _ = match scalar(field, element, facts) {
            Some(scalar) => writeln!(
                out,
                "/// `{}`{since}.\npub(crate) const {name}: Field<{scalar}> = Field::at({offset});",
                field.name
            ),
            None => writeln!(
                out,
                "/// Offset of the record `{}`{since}.\npub(crate) const {name}: u64 = {offset};",
                field.name
            ),
        };
        if !count.is_empty() {
            let _ = writeln!(
                out,
                "/// Elements of `{}`.\npub(crate) const {name}_COUNT: u64 = {count};",
                field.name
            );
        }
    }
}

/// The integer type of a member; `None` for records, but for those that are one integer.
fn scalar(field: &Field, element: &str, facts: &Facts) -> Option<&'static str> {
    Some(match element {
        "u8" => "u8",
        "i8" => "i8",
        "u16" => "u16",
        "i16" => "i16",
        "u32" => "u32",
        "i32" | "enum:i32" => "i32",
        "u64" | "ptr" => "u64",
        "i64" => "i64",
        _ => {
            let named = |r: &(&String, &Record)| {
                *r.0 == field.spelled || r.1.aliases.contains(&field.spelled)
            };
            let (name, _) = facts
                .nt
                .structs
                .iter()
                .chain(&facts.ndis.structs)
                .find(named)?;
            match name.as_str() {
                "LARGE_INTEGER" => "i64",
                "NET_LUID_LH" | "ULARGE_INTEGER" => "u64",
                _ => return None,
            }
        }
    })
}

fn constants(facts: &Facts) -> String {
    let mut out = header("NT and NDIS constants and enumerators on x64");
    out.push_str("/// `NDIS_STATUS`.\npub(crate) type NDIS_STATUS = i32;\n/// `NTSTATUS`.\npub(crate) type NTSTATUS = i32;\n\n");
    let mut seen = BTreeSet::new();
    for family in [&facts.nt, &facts.ndis] {
        let mut text = String::new();
        for (name, values) in &family.enums {
            declare::enumeration(&mut text, name, values);
        }
        for (name, constant) in &family.constants {
            if seen.insert(name) {
                let (kind, ..) = constant.parts();
                declare::constant(
                    &mut text,
                    name,
                    constant,
                    Some(declare::constant_type(name, kind)),
                );
            }
        }
        out.push_str(
            &text
                .replace("\npub const", "\npub(crate) const")
                .replace("\npub type", "\npub(crate) type"),
        );
    }
    out
}

/// What people call by name in a script: what its C name begins with.
const NAMED: [&str; 5] = [
    "NDIS_STATUS_",
    "NdisDevicePnPEvent",
    "NetEvent",
    "OID_",
    "STATUS_",
];

fn names(facts: &Facts) -> String {
    let mut values: BTreeMap<&str, i128> = BTreeMap::new();
    for family in [&facts.nt, &facts.ndis] {
        let enumerators = family.enums.values().flatten();
        values.extend(enumerators.map(|(name, value)| (name.as_str(), i128::from(*value))));
        let constants = family.constants.iter();
        values.extend(constants.map(|(name, constant)| (name.as_str(), constant.parts().1)));
    }
    let mut out = header("OIDs, statuses and events by their C names");
    out.push_str(
        "/// Name and value, sorted by name.\npub(crate) const NAMES: &[(&str, u32)] = &[\n",
    );
    for (name, value) in values {
        let is_named = NAMED.iter().any(|prefix| name.starts_with(prefix));
        // Where an enumeration ends is no value of it.
        if is_named && !name.ends_with("Maximum") {
            let _ = writeln!(out, "(\"{name}\", {:#x}),", value & 0xffff_ffff);
        }
    }
    out.push_str("];\n");
    out
}
