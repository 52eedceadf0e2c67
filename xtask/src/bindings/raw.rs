//! `tests/drivers`: everything that a raw driver needs, in one file that depends on nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::declare;
use super::fact::{Facts, Function, Page};
use super::generated::{Output, header};
use super::ndis_sys;
use super::record::{self, Writer};
use super::spelling::Names;

pub(super) fn outputs(facts: &Facts) -> Vec<Output> {
    let names = Names::of_all(facts);
    let align = |name: &str| facts.align_of(name);
    let mut writer = Writer {
        names: &names,
        record_align: &align,
        out: header("Raw NT and NDIS declarations for drivers without any crate"),
    };
    writer.out.push_str("use core::ffi::c_void;\n\n");
    for family in [&facts.nt, &facts.ndis] {
        ndis_sys::scalars(&mut writer.out, family);
        for (name, record) in &family.structs {
            writer.declare(name, record);
            for alias in record.aliases.iter().filter(|a| *a != name) {
                let _ = writeln!(writer.out, "/// `{alias}`.\npub type {alias} = {name};\n");
            }
        }
        for (name, callback) in family.callbacks.iter().filter(|(_, c)| c.pointer) {
            declare::callback(&mut writer.out, name, callback, &names);
        }
        for (name, values) in &family.enums {
            declare::enumeration(&mut writer.out, name, values);
        }
        for (name, constant) in &family.constants {
            let (kind, ..) = constant.parts();
            declare::constant(
                &mut writer.out,
                name,
                constant,
                Some(declare::constant_type(name, kind)),
            );
        }
    }
    let mut out = writer.out;
    out.push_str(ndis_sys::OPAQUE);
    externs(
        &mut out,
        "ntoskrnl",
        &facts.nt.functions,
        &names,
        &facts.pages,
    );
    externs(
        &mut out,
        "ndis",
        &facts.ndis.functions,
        &names,
        &facts.pages,
    );
    sizes(&mut out, facts);
    vec![Output::new("tests/drivers/abi.rs", without_docs(&out))]
}

/// Assertions of every size and alignment, and of NT's offsets; those of NDIS are asserted in ndis-sys.
fn sizes(out: &mut String, facts: &Facts) {
    out.push_str("#[cfg(target_arch = \"x86_64\")]\nconst _: () = {\nuse core::mem::offset_of;\n");
    for (name, record) in facts.nt.structs.iter().chain(&facts.ndis.structs) {
        let _ = writeln!(
            out,
            "assert!(size_of::<{name}>() == {} && align_of::<{name}>() == {});",
            record.size, record.align
        );
    }
    for (name, record) in &facts.nt.structs {
        for (member, offset) in record::reachable(&record.fields) {
            let _ = writeln!(out, "assert!(offset_of!({name}, {member}) == {offset});");
        }
    }
    out.push_str("};\n");
}

/// The documentation is in ndis-sys; here it would only double the file.
fn without_docs(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("///"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The functions of one import library.
fn externs(
    out: &mut String,
    library: &str,
    functions: &BTreeMap<String, Function>,
    names: &Names,
    pages: &BTreeMap<String, Page>,
) {
    for (abi, variadic) in [("system", false), ("C", true)] {
        let _ = writeln!(
            out,
            "#[link(name = \"{library}\")]\nunsafe extern \"{abi}\" {{"
        );
        for (name, function) in functions.iter().filter(|(_, f)| f.variadic == variadic) {
            // The compiler brings these itself.
            if !matches!(
                name.as_str(),
                "memcpy" | "memmove" | "memset" | "memcmp" | "strlen"
            ) {
                declare::function(out, name, function, names, pages.get(name));
            }
        }
        out.push_str("}\n\n");
    }
}
