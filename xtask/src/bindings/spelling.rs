//! C types as the headers spell them, to Rust types.

use std::collections::{BTreeMap, BTreeSet};

/// The names that a generated file can refer to.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Structures, unions and opaque types: C name to Rust path.
    pub(super) records: BTreeMap<String, String>,
    /// Types of function pointers, nullable: C name to Rust path.
    pub(super) callbacks: BTreeMap<String, String>,
    /// Function types, which C uses through pointers: C name to the Rust path of the pointer type.
    pub(super) functions: BTreeMap<String, String>,
    /// Type aliases of the generated file: enumerations and NDIS's own scalars.
    pub(super) aliases: BTreeSet<String>,
}

/// C scalar names that pointer types are spelled with, and their Rust type.
const SCALARS: &[(&str, &str)] = &[
    ("BOOLEAN", "u8"),
    ("BYTE", "u8"),
    ("CCHAR", "i8"),
    ("CHAR", "i8"),
    ("CSHORT", "i16"),
    ("DEVICE_TYPE", "u32"),
    ("EX_SPIN_LOCK", "i32"),
    ("HANDLE", "*mut c_void"),
    ("INT", "i32"),
    ("KAFFINITY", "u64"),
    ("KIRQL", "u8"),
    ("KPRIORITY", "i32"),
    ("KSPIN_LOCK", "u64"),
    ("LOGICAL", "u32"),
    ("LONG", "i32"),
    ("LONG64", "i64"),
    ("LONGLONG", "i64"),
    ("NDIS_STATUS", "i32"),
    ("NTSTATUS", "i32"),
    ("PVOID", "*mut c_void"),
    ("REGHANDLE", "u64"),
    ("SHORT", "i16"),
    ("SIZE_T", "u64"),
    ("STR", "i8"),
    ("UCHAR", "u8"),
    ("UINT", "u32"),
    ("UINT32", "u32"),
    ("ULONG", "u32"),
    ("ULONG64", "u64"),
    ("ULONGLONG", "u64"),
    ("ULONG_PTR", "u64"),
    ("USHORT", "u16"),
    ("VOID", "c_void"),
    ("WCH", "u16"),
    ("WCHAR", "u16"),
    ("WSTR", "u16"),
    ("char", "i8"),
    ("int", "i32"),
    ("unsigned char", "u8"),
    ("unsigned int", "u32"),
    ("unsigned long", "u32"),
    ("unsigned short", "u16"),
    ("void", "c_void"),
    ("wchar_t", "u16"),
];

impl Names {
    /// The Rust type of `spelled`, whose ABI class is `abi`.
    pub(super) fn rust(&self, spelled: &str, abi: &str) -> String {
        if let Some(array) = abi.strip_prefix('[') {
            let (element, count) = array
                .trim_end_matches(']')
                .rsplit_once(';')
                .unwrap_or((array, "0"));
            let bare = spelled.split('[').next().unwrap_or(spelled).trim();
            return format!("[{}; {count}]", self.rust(bare, element));
        }
        let constant = spelled.starts_with("const ");
        let bare = spelled
            .replace("const ", "")
            .replace("volatile ", "")
            .replace("struct ", "");
        let bare = bare.trim();
        match abi {
            "void" => "()".into(),
            "ptr" => self.pointer(bare, constant),
            _ if abi.starts_with("record:") => self
                .records
                .get(bare)
                .cloned()
                .unwrap_or_else(|| bare.into()),
            _ if self.aliases.contains(bare) => bare.into(),
            _ => abi.strip_prefix("enum:").unwrap_or(abi).into(),
        }
    }

    fn pointer(&self, bare: &str, constant: bool) -> String {
        if self.aliases.contains(bare) {
            return bare.into();
        }
        let function = bare.strip_suffix('*').unwrap_or(bare).trim();
        if let Some(path) = self
            .callbacks
            .get(bare)
            .or_else(|| self.functions.get(function))
        {
            return path.clone();
        }
        let (pointee, constant) = if let Some(pointee) = bare.strip_suffix('*') {
            (pointee.trim(), constant)
        } else if let Some(pointee) = bare.strip_prefix("LPC").or_else(|| bare.strip_prefix("PC")) {
            if self.pointee(pointee).is_some() {
                (pointee, true)
            } else {
                (bare.strip_prefix('P').unwrap_or(bare), constant)
            }
        } else if bare == "HANDLE" {
            ("void", false)
        } else {
            (bare.strip_prefix('P').unwrap_or(bare), constant)
        };
        let target = if pointee.ends_with('*') {
            self.pointer(pointee, false)
        } else {
            self.pointee(pointee).unwrap_or_else(|| "c_void".into())
        };
        let kind = if constant { "const" } else { "mut" };
        format!("*{kind} {target}")
    }

    fn pointee(&self, name: &str) -> Option<String> {
        if let Some(path) = self.records.get(name) {
            return Some(path.clone());
        }
        if self.aliases.contains(name) {
            return Some(name.into());
        }
        if let Some(path) = self.callbacks.get(name) {
            return Some(path.clone());
        }
        if let Some(path) = name
            .strip_prefix('P')
            .and_then(|inner| self.records.get(inner))
        {
            return Some(format!("*mut {path}"));
        }
        SCALARS
            .iter()
            .find(|(c, _)| *c == name)
            .map(|(_, rust)| (*rust).into())
    }
}
