//! Functions, callbacks, enumerations and constants as Rust declarations.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::fact::{Constant, Function, Irql, Page};
use super::record::identifier;
use super::spelling::Names;

const DDI: &str = "https://learn.microsoft.com/windows-hardware/drivers/ddi/";

fn level(irql: &Irql) -> Option<String> {
    let short = |name: &String| name.trim_end_matches("_LEVEL").to_string();
    if let Some(only) = &irql.requires {
        return Some(short(only));
    }
    match (&irql.min, &irql.max) {
        (Some(min), Some(max)) if min == max => Some(short(max)),
        (Some(min), Some(max)) if min != "PASSIVE_LEVEL" => {
            Some(format!("{} to {}", short(min), short(max)))
        }
        (_, Some(max)) if max == "PASSIVE_LEVEL" => Some("PASSIVE".into()),
        (_, Some(max)) => Some(format!("<= {}", short(max))),
        (Some(min), None) => Some(format!(">= {}", short(min))),
        (None, None) => None,
    }
}

fn irql_text(irql: Option<&Irql>) -> String {
    let Some(irql) = irql else {
        return String::new();
    };
    let mut parts: Vec<String> = level(irql).into_iter().collect();
    for case in &irql.when {
        if let (Some(level), Some(condition)) = (level(case), &case.condition) {
            parts.push(format!("{level} if `{condition}`"));
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" IRQL: {}.", parts.join(", "))
    }
}

fn params(function: &Function, names: &Names) -> String {
    let mut list: Vec<String> = function
        .params
        .iter()
        .map(|(name, spelled, abi)| {
            format!("{}: {}", identifier(name), parameter(spelled, abi, names))
        })
        .collect();
    if function.variadic {
        list.push("...".into());
    }
    list.join(", ")
}

/// An array parameter is a pointer to its first element.
fn parameter(spelled: &str, abi: &str, names: &Names) -> String {
    let rust = names.rust(spelled, abi);
    match rust.strip_prefix('[').and_then(|r| r.rsplit_once(';')) {
        Some((element, _)) => format!("*mut {element}"),
        None => rust,
    }
}

fn returns(function: &Function, names: &Names) -> String {
    match names.rust(&function.ret, &function.ret_abi).as_str() {
        "()" => String::new(),
        other => format!(" -> {other}"),
    }
}

/// A function of an `extern` block.
pub(super) fn function(
    out: &mut String,
    name: &str,
    function: &Function,
    names: &Names,
    page: Option<&Page>,
) {
    let link = page.map_or_else(
        || format!("`{name}`."),
        |p| format!("[`{name}`]({DDI}{}).", p.page.trim_end_matches(".md")),
    );
    let since = function
        .since
        .as_ref()
        .map(|s| format!(" Since {}.", since_text(s)))
        .unwrap_or_default();
    let _ = writeln!(
        out,
        "/// {link}{}{since}\npub fn {name}({}){};",
        irql_text(function.irql.as_ref()),
        params(function, names),
        returns(function, names)
    );
}

fn since_text(since: &serde_json::Value) -> String {
    match since {
        serde_json::Value::Number(minor) => format!("NDIS 6.{minor}"),
        serde_json::Value::String(release) => format!("`NTDDI_{release}`"),
        other => other.to_string(),
    }
}

/// The nullable pointer type of a callback.
pub(super) fn callback(out: &mut String, name: &str, function: &Function, names: &Names) {
    let abi = if function.variadic { "C" } else { "system" };
    let _ = writeln!(
        out,
        "/// `{name}`: address of a callback, or null.{}\npub type {name} = Option<unsafe extern \"{abi}\" fn({}){}>;\n",
        irql_text(function.irql.as_ref()),
        params(function, names),
        returns(function, names)
    );
}

/// An enumeration: an alias of its integer type and a constant per enumerator.
pub(super) fn enumeration(out: &mut String, name: &str, values: &BTreeMap<String, i64>) {
    let _ = writeln!(out, "/// `{name}`.\npub type {name} = i32;");
    let mut values: Vec<_> = values.iter().collect();
    values.sort_by_key(|(name, value)| (**value, *name));
    for (value_name, value) in values {
        let _ = writeln!(
            out,
            "/// `{value_name}` of [`{name}`].\npub const {value_name}: {name} = {value};"
        );
    }
    out.push('\n');
}

/// An integer constant; `typed` overrides the C type.
pub(super) fn constant(out: &mut String, name: &str, constant: &Constant, typed: Option<&str>) {
    let (kind, value, since) = constant.parts();
    let since = since
        .map(|m| format!(", since NDIS 6.{m}"))
        .unwrap_or_default();
    let rust_type = typed.unwrap_or(kind);
    let literal = literal(rust_type, value);
    let _ = writeln!(
        out,
        "/// `{name}`{since}.\npub const {name}: {rust_type} = {literal};"
    );
}

fn literal(rust_type: &str, value: i128) -> String {
    let signed =
        rust_type.starts_with('i') || rust_type == "NDIS_STATUS" || rust_type == "NTSTATUS";
    match (signed, value < 0) {
        (true, true) => format!("{:#010x}_u32.cast_signed()", value & 0xffff_ffff),
        (false, true) => format!("{:#010x}", value & 0xffff_ffff),
        _ if value > 9 => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

/// Constants that are a `KIRQL`.
const IRQLS: &[&str] = &[
    "APC_LEVEL",
    "CLOCK_LEVEL",
    "DISPATCH_LEVEL",
    "HIGH_LEVEL",
    "IPI_LEVEL",
    "LOW_LEVEL",
    "PASSIVE_LEVEL",
    "POWER_LEVEL",
    "PROFILE_LEVEL",
];

/// The Rust type a C constant is best used with.
///
/// C's integer literals are `int` where they fit; what they are stored in is not.
pub(super) fn constant_type(name: &str, kind: &str) -> &'static str {
    if name.starts_with("NDIS_SIZEOF") {
        return "u16";
    }
    if name.starts_with('N') && name.contains("_REVISION_") {
        return "u8";
    }
    if name.starts_with("NDIS_STATUS") {
        return "NDIS_STATUS";
    }
    if name.starts_with("STATUS_") {
        return "NTSTATUS";
    }
    if IRQLS.contains(&name) {
        return "u8";
    }
    if name.starts_with("NDIS_OBJECT_TYPE") {
        return "u8";
    }
    match kind {
        "u64" | "i64" => "u64",
        _ => "u32",
    }
}
