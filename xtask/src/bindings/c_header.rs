//! The facts table as one C header, for the drivers in `tests/drivers/c`.
//!
//! Every member of a record stands at its offset in an anonymous structure of its own inside a union,
//! so that C's anonymous unions need not be known: `net_buffer->DataLength` is spelled as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::declare;
use super::fact::{Facts, Family, Field, Function, Record};
use super::spelling::Names;

/// Writes the header's text.
pub(super) fn text(facts: &Facts) -> String {
    let names = Names::of_all(facts);
    let families = [&facts.nt, &facts.ndis];
    let mut header = Header {
        names: &names,
        records: families
            .iter()
            .flat_map(|family| family.structs.iter().map(|(name, record)| (name.as_str(), record)))
            .collect(),
        done: BTreeSet::new(),
        out: "/* NT and NDIS declarations, generated from abi/; do not edit. */\n#pragma once\n\ntypedef struct NDIS_RW_LOCK_EX NDIS_RW_LOCK_EX;\n".to_owned(),
    };
    for family in families {
        header.names(family);
    }
    for family in families {
        header.callbacks(family);
    }
    for family in families {
        for name in family.structs.keys() {
            header.record(name);
        }
    }
    for family in families {
        header.constants(family);
        header.functions(family);
    }
    header.out
}

struct Header<'a> {
    names: &'a Names,
    records: BTreeMap<&'a str, &'a Record>,
    done: BTreeSet<String>,
    out: String,
}

impl Header<'_> {
    /// Every type that can be named before it is known.
    fn names(&mut self, family: &Family) {
        for (name, abi) in &family.scalars {
            let _ = writeln!(self.out, "typedef {} {name};", scalar(abi));
        }
        for name in family.enums.keys() {
            let _ = writeln!(self.out, "typedef int {name};");
        }
        for (name, record) in &family.structs {
            let _ = writeln!(self.out, "typedef union {name} {name};");
            for alias in record.aliases.iter().filter(|alias| *alias != name) {
                let _ = writeln!(self.out, "typedef union {name} {alias};");
            }
        }
    }

    fn callbacks(&mut self, family: &Family) {
        for (name, callback) in family.callbacks.iter().filter(|(_, c)| c.pointer) {
            let (returned, parameters) = self.signature(callback);
            let _ = writeln!(self.out, "typedef {returned} (*{name})({parameters});");
        }
    }

    fn functions(&mut self, family: &Family) {
        for (name, function) in &family.functions {
            let (returned, parameters) = self.signature(function);
            let _ = writeln!(
                self.out,
                "__declspec(dllimport) {returned} {name}({parameters});"
            );
        }
    }

    fn signature(&self, function: &Function) -> (String, String) {
        let mut parameters: Vec<String> = function
            .params
            .iter()
            .map(|(name, spelled, abi)| match self.spell(spelled, abi) {
                // C passes an array as the address of its first element.
                (element, array) if !array.is_empty() => format!("{element} *{name}"),
                (spelled, _) => format!("{spelled} {name}"),
            })
            .collect();
        if function.variadic {
            parameters.push("...".to_owned());
        } else if parameters.is_empty() {
            parameters.push("void".to_owned());
        }
        let (returned, _) = self.spell(&function.ret, &function.ret_abi);
        (returned, parameters.join(", "))
    }

    /// Declares a record after those that it contains.
    fn record(&mut self, name: &str) {
        let Some(record) = self.records.get(name).copied() else {
            return;
        };
        if !self.done.insert(name.to_owned()) {
            return;
        }
        for field in record.fields.iter().filter(|f| f.abi.contains("record:")) {
            let element = field.spelled.split('[').next().unwrap_or_default().trim();
            if let Some(inner) = self.names.records.get(element).cloned() {
                self.record(&inner);
            }
        }
        let members = self.members(&record.fields, 1);
        let _ = writeln!(
            self.out,
            "union __declspec(align({})) {name} {{\n\tunsigned char bytes_[{}];\n{members}}};\n_Static_assert(sizeof({name}) == {}, \"{name}\");",
            record.align,
            record.size.max(1),
            record.size.max(1),
        );
    }

    fn members(&self, fields: &[Field], depth: usize) -> String {
        let mut text = String::new();
        for field in fields.iter().filter(|field| !field.name.contains('.')) {
            let indent = "\t".repeat(depth);
            let padding = match field.offset {
                0 => String::new(),
                offset => format!("unsigned char before_{}_[{offset}]; ", field.name),
            };
            let member = if let Some((shift, width)) = field.bits {
                let unit = scalar(&field.abi);
                let skipped = if shift == 0 {
                    String::new()
                } else {
                    format!("{unit} : {shift}; ")
                };
                format!("{skipped}{unit} {} : {width};", field.name)
            } else if field.spelled.starts_with('<') {
                let prefix = format!("{}.", field.name);
                let inner: Vec<Field> = fields
                    .iter()
                    .filter_map(|inner| {
                        Some(Field {
                            name: inner.name.strip_prefix(&prefix)?.to_owned(),
                            offset: inner.offset - field.offset,
                            ..inner.clone()
                        })
                    })
                    .collect();
                let inner = self.members(&inner, depth + 1);
                format!(
                    "union {{\n{indent}\tunsigned char bytes_[{}];\n{inner}{indent}}} {};",
                    field.size, field.name
                )
            } else {
                let (spelled, array) = self.spell(&field.spelled, &field.abi);
                if spelled.is_empty() {
                    format!("unsigned char {}[{}];", field.name, field.size)
                } else {
                    format!("{spelled} {}{array};", field.name)
                }
            };
            let _ = writeln!(text, "{indent}struct {{ {padding}{member} }};");
        }
        text
    }

    fn constants(&mut self, family: &Family) {
        for values in family.enums.values() {
            for (name, value) in values {
                let _ = writeln!(self.out, "#define {name} ({value})");
            }
        }
        for (name, constant) in &family.constants {
            let (kind, value, _) = constant.parts();
            let literal = match declare::constant_type(name, kind) {
                "NTSTATUS" | "NDIS_STATUS" => format!("((int)0x{:x}u)", value & 0xffff_ffff),
                "u64" => format!("0x{:x}ull", value & i128::from(u64::MAX)),
                _ => format!("0x{:x}u", value & 0xffff_ffff),
            };
            let _ = writeln!(self.out, "#define {name} {literal}");
        }
    }

    /// A type's C text before a name and after it; nothing for a record that the table does not have.
    fn spell(&self, spelled: &str, abi: &str) -> (String, String) {
        let rust = self.names.rust(spelled, abi);
        if let Some(array) = rust.strip_prefix('[') {
            let (element, count) = array
                .trim_end_matches(']')
                .rsplit_once(';')
                .unwrap_or((array, "1"));
            return (self.of_rust(element), format!("[{}]", count.trim()));
        }
        (self.of_rust(&rust), String::new())
    }

    /// The C spelling of what a binding in Rust is spelled as.
    fn of_rust(&self, rust: &str) -> String {
        if let Some(pointee) = rust.strip_prefix("*mut ") {
            return format!("{} *", self.of_rust(pointee));
        }
        if let Some(pointee) = rust.strip_prefix("*const ") {
            return format!("const {} *", self.of_rust(pointee));
        }
        let known = rust == "NDIS_RW_LOCK_EX"
            || self.records.contains_key(rust)
            || self.names.aliases.contains(rust)
            || self.names.callbacks.contains_key(rust);
        if known {
            rust.to_owned()
        } else {
            scalar(rust).to_owned()
        }
    }
}

/// C's own type for an ABI class; empty where there is none.
fn scalar(abi: &str) -> &'static str {
    match abi {
        "u8" => "unsigned char",
        "i8" => "signed char",
        "u16" => "unsigned short",
        "i16" => "short",
        "u32" => "unsigned long",
        "i32" | "enum:i32" => "long",
        "u64" => "unsigned long long",
        "i64" => "long long",
        "ptr" => "void *",
        "()" | "void" | "c_void" => "void",
        _ => "",
    }
}
