//! A record as facts (flat fields with offsets) to a Rust declaration.
//!
//! Members of C's anonymous unions overlap. The first declared member of each place becomes the
//! Rust field; the others become functions from the record's address to theirs. A record whose
//! members all start at 0 becomes a Rust union.

use std::fmt::Write as _;

use super::fact::{Field, Record};
use super::spelling::Names;

/// Alignment of a type by its ABI class, with `record_align` for named records.
pub(super) fn alignment(spelled: &str, abi: &str, record_align: &dyn Fn(&str) -> usize) -> usize {
    let element = abi
        .strip_prefix('[')
        .map_or(abi, |a| a.split(';').next().unwrap_or(a));
    match element {
        "u8" | "i8" => 1,
        "u16" | "i16" => 2,
        "u32" | "i32" | "enum:i32" => 4,
        "u64" | "i64" | "ptr" => 8,
        _ => record_align(spelled.split('[').next().unwrap_or(spelled).trim()),
    }
}

struct Member<'a> {
    field: &'a Field,
    children: Vec<Field>,
}

/// Groups dotted members below the member they belong to.
fn members(fields: &[Field]) -> Vec<Member<'_>> {
    fields
        .iter()
        .filter(|f| !f.name.contains('.'))
        .map(|field| {
            let prefix = format!("{}.", field.name);
            let inner = fields.iter().filter_map(|f| {
                let name = f.name.strip_prefix(&prefix)?;
                Some(Field {
                    name: name.into(),
                    offset: f.offset - field.offset,
                    ..f.clone()
                })
            });
            Member {
                field,
                children: inner.collect(),
            }
        })
        .collect()
}

/// The members of `fields` that have a Rust field of their own: path and offset from the record's
/// address, nested ones included.
pub(super) fn reachable(fields: &[Field]) -> Vec<(String, usize)> {
    let members = members(fields);
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut paths = Vec::new();
    let union = is_union(&members);
    for member in &members {
        let field = member.field;
        let (start, end) = (field.offset, field.offset + field.size.max(1));
        if !union && taken.iter().any(|t| t.0 < end && start < t.1) {
            continue;
        }
        taken.push((start, end));
        if field.bits.is_some() {
            paths.push((format!("bits_{start}"), start));
            continue;
        }
        let path = identifier(&field.name);
        let inner = reachable(&member.children).into_iter();
        paths.push((path.clone(), start));
        paths.extend(inner.map(|(name, offset)| (format!("{path}.{name}"), start + offset)));
    }
    paths
}

/// All members of the record overlap at its start, and each can be named.
fn is_union(members: &[Member<'_>]) -> bool {
    let at_start =
        |m: &Member<'_>| m.field.offset == 0 && m.field.size > 0 && m.field.bits.is_none();
    members.len() > 1 && members.iter().all(at_start)
}

/// Rust names that are keywords get a trailing underscore.
pub(super) fn identifier(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "type", "in", "ref", "use", "move", "loop", "match", "Self", "self",
    ];
    if KEYWORDS.contains(&name) {
        format!("{name}_")
    } else {
        name.into()
    }
}

/// Where a member of the C record ends up in the Rust one.
struct Slot<'a> {
    member: &'a Member<'a>,
    rust_type: String,
    align: usize,
    /// Holds the place in the Rust record; otherwise it overlaps one that does.
    primary: bool,
}

impl Slot<'_> {
    fn place(&self) -> (usize, usize) {
        (
            self.member.field.offset,
            self.member.field.offset + self.member.field.size,
        )
    }

    fn identifier(&self) -> String {
        match self.member.field.bits {
            Some(_) => format!("bits_{}", self.member.field.offset),
            None => identifier(&self.member.field.name),
        }
    }
}

/// For names that no table holds: a build with this alignment fails its layout assertion.
pub(super) const UNKNOWN_ALIGNMENT: usize = 1;

pub(super) struct Writer<'a> {
    pub(super) names: &'a Names,
    pub(super) record_align: &'a dyn Fn(&str) -> usize,
    pub(super) out: String,
}

impl Writer<'_> {
    /// Writes the declaration of `name` and of the types nested in it.
    pub(super) fn declare(&mut self, name: &str, record: &Record) {
        let members = members(&record.fields);
        let is_union = is_union(&members);
        let slots = self.slots(name, &members, is_union);
        let natural_align = slots
            .iter()
            .filter(|s| s.primary)
            .map(|s| s.align)
            .max()
            .unwrap_or(1);
        let repr = if record.align > natural_align {
            format!("C, align({})", record.align)
        } else {
            "C".into()
        };
        let keyword = if is_union { "union" } else { "struct" };
        let _ = writeln!(
            self.out,
            "/// `{name}`: {} bytes, aligned to {}.\n#[repr({repr})]\n#[derive(Clone, Copy)]\npub {keyword} {name} {{",
            record.size, record.align
        );
        let mut end = 0_usize;
        let mut primary: Vec<_> = slots.iter().filter(|s| s.primary).collect();
        primary.sort_by_key(|s| s.member.field.offset);
        for slot in primary {
            let field = slot.member.field;
            if !is_union && end.next_multiple_of(slot.align) != field.offset {
                let _ = writeln!(
                    self.out,
                    "/// Keeps the next member at its offset.\npub padding_{end}: [u8; {}],",
                    field.offset - end
                );
            }
            let what = if field.bits.is_some() {
                "Bit-fields".into()
            } else {
                format!("`{}`", field.name)
            };
            let _ = writeln!(
                self.out,
                "/// {what} at offset {}{}.\npub {}: {},",
                field.offset,
                since(field),
                slot.identifier(),
                slot.rust_type
            );
            end = slot.place().1.max(end);
        }
        if end.next_multiple_of(record.align.max(natural_align)) != record.size {
            let _ = writeln!(
                self.out,
                "/// Up to the C size.\npub padding_{end}: [u8; {}],",
                record.size - end
            );
        }
        self.out.push_str("}\n\n");
        self.methods(name, &slots);
        for member in members.iter().filter(|m| !m.children.is_empty()) {
            let field = member.field;
            let inner = Record {
                kind: field.spelled.trim_matches(['<', '>']).into(),
                size: field.size,
                align: nested_align(&member.children, self.record_align),
                aliases: Vec::new(),
                sizes: Vec::new(),
                fields: member.children.clone(),
            };
            self.declare(&format!("{name}_{}", field.name), &inner);
        }
    }

    fn slots<'m>(&self, name: &str, members: &'m [Member<'m>], is_union: bool) -> Vec<Slot<'m>> {
        let mut slots: Vec<Slot<'m>> = Vec::new();
        for member in members {
            let field = member.field;
            let (rust_type, align) = if member.children.is_empty() {
                (
                    of_self(&self.names.rust(&field.spelled, &field.abi), name),
                    alignment(&field.spelled, &field.abi, self.record_align),
                )
            } else {
                (
                    format!("{name}_{}", field.name),
                    nested_align(&member.children, self.record_align),
                )
            };
            let mut slot = Slot {
                member,
                rust_type,
                align,
                primary: false,
            };
            let (start, end) = slot.place();
            // A flexible array overlaps what it begins in.
            let end = end.max(start + 1);
            slot.primary = is_union
                || !slots
                    .iter()
                    .any(|s| s.primary && s.place().0 < end && start < s.place().1);
            slots.push(slot);
        }
        slots
    }

    /// Functions for the members that have no Rust field of their own.
    fn methods(&mut self, name: &str, slots: &[Slot<'_>]) {
        let mut out = String::new();
        for slot in slots {
            let field = slot.member.field;
            let (rust_name, rust_type) = (identifier(&field.name), &slot.rust_type);
            if let Some(bits) = field.bits {
                let storage = slots
                    .iter()
                    .find(|s| s.primary && s.place() == slot.place());
                if let Some(storage) = storage {
                    bit_methods(&mut out, field, bits, &storage.identifier(), rust_type);
                }
            } else if !slot.primary {
                let _ = writeln!(
                    out,
                    "/// Address of `{}`, at offset {2}, which shares its place with other members{3}.\n#[must_use]\npub const fn {1}(this: *mut Self) -> *mut {rust_type} {{ this.wrapping_byte_add({2}).cast() }}\n",
                    field.name,
                    rust_name,
                    field.offset,
                    since(field)
                );
            }
        }
        if !out.is_empty() {
            let _ = writeln!(self.out, "impl {name} {{\n{out}}}\n");
        }
    }
}

/// A pointer to the record itself is written as such.
fn of_self(rust_type: &str, record: &str) -> String {
    match rust_type.strip_prefix("*mut ") {
        Some(target) if target == record => "*mut Self".into(),
        _ => rust_type.into(),
    }
}

/// The getter and setter of a bit-field in the member `storage`.
fn bit_methods(
    out: &mut String,
    field: &Field,
    (shift, width): (u32, u32),
    storage: &str,
    rust_type: &str,
) {
    let (name, since) = (&field.name, since(field));
    let mask = if width == 64 {
        u64::MAX
    } else {
        (1 << width) - 1
    };
    let (get, kept, put) = if shift == 0 {
        (
            format!("self.{storage}"),
            format!("!{mask:#x}"),
            format!("(value & {mask:#x})"),
        )
    } else {
        (
            format!("(self.{storage} >> {shift})"),
            format!("!({mask:#x} << {shift})"),
            format!("((value & {mask:#x}) << {shift})"),
        )
    };
    let _ = writeln!(
        out,
        "/// The {width} bits of `{name}`, from bit {shift} of `{storage}`{since}.\n#[must_use]\npub const fn {}(&self) -> {rust_type} {{ {get} & {mask:#x} }}\n\n/// Sets the {width} bits of `{name}`; higher bits of `value` are ignored.\npub const fn set_{name}(&mut self, value: {rust_type}) {{ self.{storage} = (self.{storage} & {kept}) | {put}; }}\n",
        identifier(name)
    );
}

fn since(field: &Field) -> String {
    field
        .since
        .map(|minor| format!(", since NDIS 6.{minor}"))
        .unwrap_or_default()
}

fn nested_align(children: &[Field], record_align: &dyn Fn(&str) -> usize) -> usize {
    children
        .iter()
        .filter(|c| !c.spelled.starts_with('<'))
        .map(|c| alignment(&c.spelled, &c.abi, record_align))
        .max()
        .unwrap_or(1)
}
