//! Compile-time assertions: size, alignment and offsets of every record, from the facts alone.

use std::fmt::Write as _;

use super::fact::{Family, Record};
use super::generated::header;
use super::record;

/// Assertions over ndis-sys's own types on one architecture.
pub(super) fn ndis_sys(family: &Family, arch: &str) -> String {
    let mut out = header(&format!(
        "NDIS layouts on {arch}, asserted when the crate is compiled"
    ));
    out.push_str("use core::mem::{align_of, offset_of, size_of};\n\nuse crate::types::*;\n\n");
    for (name, record) in &family.structs {
        assertions(&mut out, name, record);
    }
    out
}

fn assertions(out: &mut String, path: &str, record: &Record) {
    let _ = writeln!(
        out,
        "const _: () = {{\nassert!(size_of::<{path}>() == {});\nassert!(align_of::<{path}>() == {});",
        record.size, record.align
    );
    for (member, offset) in record::reachable(&record.fields) {
        let _ = writeln!(out, "assert!(offset_of!({path}, {member}) == {offset});");
    }
    out.push_str("};\n\n");
}
