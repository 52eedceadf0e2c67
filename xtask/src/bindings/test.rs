//! The generated files are what the facts say, read back as text by other means than they were written with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::assertion::{WDK_CONSTANTS, WDK_ENUMERATORS, WDK_FUNCTIONS, WDK_TYPES};
use super::fact::{Facts, Family, Record};
use super::outputs;

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("xtask lies below the root")
        .to_path_buf()
}

fn facts() -> Facts {
    Facts::read(&root()).expect("the facts table")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

#[test]
fn generating_again_changes_nothing() {
    for output in outputs(&facts()) {
        let text = output.formatted(&root()).expect("rustfmt");
        assert!(
            read(output.path) == text,
            "{}: run `cargo xtask bindings`",
            output.path
        );
    }
}

/// One declaration serves both architectures, so the facts behind it must agree.
#[test]
fn architectures_agree_on_what_is_declared_once() {
    let facts = facts();
    let (x64, arm64) = (&facts.ndis, &facts.ndis_arm64);
    assert_eq!(x64.structs, arm64.structs);
    assert_eq!(x64.enums, arm64.enums);
    assert_eq!(x64.scalars, arm64.scalars);
    assert_eq!(x64.functions, arm64.functions);
    assert_eq!(x64.callbacks, arm64.callbacks);
    assert_eq!(x64.constants, arm64.constants);
    for name in WDK_FUNCTIONS.iter().chain(super::ndis_sys::NT_FUNCTIONS) {
        assert_eq!(
            facts.nt.functions.get(*name),
            facts.nt_arm64.functions.get(*name),
            "{name}"
        );
    }
    for name in WDK_CONSTANTS.iter().chain(super::ndis_sys::NT_CONSTANTS) {
        assert_eq!(
            facts.nt.constants.get(*name),
            facts.nt_arm64.constants.get(*name),
            "{name}"
        );
    }
}

/// What a revision's `NDIS_SIZEOF_...` says is where a member of that structure ends.
#[test]
fn revision_sizes_end_at_a_member() {
    let facts = facts();
    let mut checked = 0;
    for (name, constant) in &facts.ndis.constants {
        let Some(object) = name
            .strip_prefix("NDIS_SIZEOF_")
            .and_then(|n| n.split_once("_REVISION_"))
        else {
            continue;
        };
        let object = object.0.trim_start_matches('_').trim_start_matches("NDIS_");
        let record = [object.to_string(), format!("NDIS_{object}")];
        let Some(record) = record.iter().find_map(|r| facts.ndis.structs.get(r)) else {
            continue;
        };
        let size = usize::try_from(constant.parts().1).expect("a size");
        let ends = record.fields.iter().map(|f| f.offset + f.size);
        let ends: BTreeSet<usize> = ends
            .chain([record.size])
            .chain(record.sizes.iter().map(|s| s.1))
            .collect();
        assert!(ends.contains(&size), "{name} = {size}: {ends:?}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

/// Without comments, and with single spaces only.
fn one_line(text: &str) -> String {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    words.join(" ").replace("< ", "<").replace(", >", ">")
}

/// Module of `lab/kernel/src/abi`, its constants: name to type and value.
fn lab_modules(path: &str) -> BTreeMap<String, BTreeMap<String, (String, String)>> {
    let text = one_line(&read(path));
    let mut modules = BTreeMap::new();
    for module in text.split("pub(crate) mod ").skip(1) {
        let (name, body) = module.split_once(" {").expect("a module");
        let mut constants = BTreeMap::new();
        for item in body
            .split("pub(crate) const ")
            .skip(1)
            .filter(|i| !i.starts_with("fn "))
        {
            let item = item.split(';').next().expect("a constant");
            let (name, rest) = item.split_once(": ").expect("a type");
            let (kind, value) = rest.split_once(" = ").expect("a value");
            let old = constants.insert(
                name.to_string(),
                (kind.to_string(), value.trim().to_string()),
            );
            assert_eq!(old, None, "{name} twice");
        }
        modules.insert(name.to_string(), constants);
    }
    modules
}

fn check_lab(path: &str, family: &Family) {
    let modules = lab_modules(path);
    assert!(modules.keys().eq(family.structs.keys()), "{path}");
    for (name, record) in &family.structs {
        check_lab_record(name, record, &modules[name]);
    }
}

fn check_lab_record(name: &str, record: &Record, constants: &BTreeMap<String, (String, String)>) {
    assert_eq!(constants["SIZE"].1, record.size.to_string(), "{name}");
    assert_eq!(constants["ALIGN"].1, record.align.to_string(), "{name}");
    let mut known = 2;
    for field in &record.fields {
        let path = field.name.replace('.', "_");
        let (kind, value) = &constants[&path];
        known += 1;
        let (count, element) = match field.abi.strip_prefix('[') {
            Some(array) => {
                let (element, count) = array
                    .trim_end_matches(']')
                    .rsplit_once(';')
                    .expect("a count");
                assert_eq!(
                    constants[&format!("{path}_COUNT")].1,
                    count,
                    "{name}.{path}"
                );
                known += 1;
                (count.parse::<usize>().expect("a count"), element)
            }
            None => (1, field.abi.as_str()),
        };
        if let Some((shift, width)) = field.bits {
            assert_eq!(
                *value,
                format!("({}, {shift}, {width})", field.offset),
                "{name}.{path}"
            );
        } else if let Some(scalar) = kind.strip_prefix("Field<") {
            assert_eq!(
                *value,
                format!("Field::at({})", field.offset),
                "{name}.{path}"
            );
            let bits: usize = scalar[1..]
                .trim_end_matches('>')
                .parse()
                .unwrap_or_else(|_| panic!("{name}.{path}: {kind}"));
            assert_eq!(bits / 8 * count, field.size, "{name}.{path}");
            let signed = match element {
                "i8" | "i16" | "i32" | "i64" | "enum:i32" => true,
                record if record.starts_with("record:") => !field.spelled.starts_with(['U', 'N']),
                _ => false,
            };
            assert_eq!(scalar.starts_with('i'), signed, "{name}.{path}");
        } else {
            assert_eq!(
                (kind.as_str(), value.clone()),
                ("u64", field.offset.to_string()),
                "{name}.{path}"
            );
            assert!(element.starts_with("record:"), "{name}.{path}");
        }
    }
    assert_eq!(
        known,
        constants.len(),
        "{name} has constants without a fact"
    );
}

#[test]
fn the_lab_has_every_layout_as_the_facts_have_it() {
    let facts = facts();
    check_lab("lab/kernel/src/abi/ndis.rs", &facts.ndis);
    check_lab("lab/kernel/src/abi/nt.rs", &facts.nt);
}

#[test]
fn the_lab_knows_the_sizes_at_every_version() {
    let text = read("lab/kernel/src/abi/ndis.rs");
    let facts = facts();
    let varying: Vec<&str> = facts
        .ndis
        .structs
        .iter()
        .filter(|(_, r)| !r.sizes.is_empty())
        .map(|(n, _)| n.as_str())
        .collect();
    assert_eq!(
        varying,
        [
            "NET_BUFFER_LIST_POOL_PARAMETERS",
            "NET_BUFFER_POOL_PARAMETERS"
        ]
    );
    assert_eq!(
        text.matches("const fn size(minor: u8)").count(),
        varying.len()
    );
    for (earlier, later) in [
        ("..87 => 16,", "87.. => 20,"),
        ("..87 => 12,", "87.. => 16,"),
    ] {
        assert!(
            text.contains(earlier) && text.contains(later),
            "{earlier} {later}"
        );
    }
}

#[test]
fn the_lab_has_every_constant_as_the_facts_have_it() {
    let text = read("lab/kernel/src/abi/constant.rs");
    let facts = facts();
    let mut values = BTreeMap::new();
    for item in one_line(&text).split("pub(crate) const ").skip(1) {
        let (name, rest) = item.split_once(": ").expect("a type");
        let value = rest
            .split_once(" = ")
            .expect("a value")
            .1
            .split(';')
            .next()
            .expect("an end");
        values.insert(name.to_string(), number(value.trim()));
    }
    for family in [&facts.nt, &facts.ndis] {
        for (name, constant) in &family.constants {
            let (_, value, _) = constant.parts();
            let found = values[name];
            assert!(
                found == value || found == value & 0xffff_ffff,
                "{name}: {found} for {value}"
            );
        }
        for (name, value) in family.enums.values().flatten() {
            assert_eq!(values[name], i128::from(*value), "{name}");
        }
    }
}

/// A literal as the generator writes it.
fn number(text: &str) -> i128 {
    let (text, signed) = text
        .strip_suffix("_u32.cast_signed()")
        .map_or((text, false), |t| (t, true));
    let value = text
        .strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| i128::from_str_radix(hex, 16));
    let value = value.unwrap_or_else(|_| panic!("{text}"));
    if signed { value - (1 << 32) } else { value }
}

#[test]
fn the_irql_table_is_sorted_and_the_header_wins() {
    let text = read("lab/kernel/src/abi/irql.rs");
    let table = text.split("IRQL_CASES").next().expect("the first table");
    let rows: Vec<(&str, u8, u8)> = table
        .lines()
        .filter_map(|line| {
            let mut parts = line
                .trim()
                .strip_prefix("(\"")?
                .strip_suffix("),")?
                .split(", ");
            let name = parts.next()?.strip_suffix('"')?;
            Some((
                name,
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
            ))
        })
        .collect();
    assert!(rows.len() > 700, "{}", rows.len());
    assert!(rows.is_sorted_by(|a, b| a.0 < b.0));
    assert!(rows.iter().all(|(_, min, max)| min <= max && *max <= 15));
    let range = |name: &str| rows.iter().find(|r| r.0 == name).map(|r| (r.1, r.2));
    assert_eq!(range("NdisQueueIoWorkItem"), Some((0, 2)));
    assert_eq!(range("NdisWaitEvent"), Some((0, 0)));
    assert_eq!(range("NdisOpenConfigurationEx"), Some((0, 0)));
    assert_eq!(range("KeAcquireSpinLockAtDpcLevel"), Some((2, 15)));
    assert_eq!(range("KeAcquireSpinLockRaiseToDpc"), Some((0, 2)));
    assert_eq!(range("NdisFRegisterFilterDriver"), Some((0, 0)));
    // Paged pool at most at APC_LEVEL, the rest at DISPATCH_LEVEL.
    assert_eq!(range("ExAllocatePool2"), Some((0, 2)));
}

/// Every wdk-sys name in the kernel crates is one that ndis-sys asserts, so that a type that
/// mingw's headers have wrong cannot be used unnoticed.
#[test]
fn what_the_driver_takes_from_wdk_sys_is_asserted() {
    let mut used = BTreeSet::new();
    for folder in ["crates/ndis/src", "crates/ndis-sys/src", "src", "examples"] {
        names(&root().join(folder), &mut used);
    }
    // Integers, and pointers: to what is asserted, to functions, and to what only NT looks into.
    let plain = [
        "IO_WORKITEM_ROUTINE_EX",
        "PDRIVER_DISPATCH",
        "PDRIVER_OBJECT",
        "PIO_WORKITEM",
        "PUNICODE_STRING",
        "PCUNICODE_STRING",
        "NTSTATUS",
        "WORK_QUEUE_TYPE",
        "ntddk",
    ];
    let asserted = [WDK_TYPES, WDK_FUNCTIONS, WDK_CONSTANTS, &plain].concat();
    let is_enumeration = |name: &str| {
        name.strip_prefix('_')
            .is_some_and(|kind| WDK_ENUMERATORS.iter().any(|(of, _)| *of == kind))
    };
    let unknown: Vec<&String> = used
        .iter()
        .filter(|n| !asserted.contains(&n.as_str()) && !is_enumeration(n))
        .collect();
    assert!(
        unknown.is_empty(),
        "add to WDK_TYPES, WDK_FUNCTIONS, WDK_CONSTANTS or WDK_ENUMERATORS: {unknown:?}"
    );
}

/// The names after `wdk_sys::` and `ntddk::` in the sources below `folder`.
fn names(folder: &Path, used: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            names(&path, used);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for prefix in ["wdk_sys::", "ntddk::"] {
            for rest in text.split(prefix).skip(1) {
                let list = rest
                    .strip_prefix('{')
                    .map_or(rest, |l| l.split('}').next().unwrap_or(l));
                let end = if rest.starts_with('{') {
                    list.len()
                } else {
                    word(list)
                };
                let words = list[..end].split(|c: char| !(c.is_alphanumeric() || c == '_'));
                used.extend(words.filter(|w| !w.is_empty()).map(String::from));
            }
        }
    }
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

/// serde keeps the last of two entries, so that the first would be a line that nobody reads.
#[test]
fn no_fact_stands_twice() {
    for (name, text) in [
        ("x64/ndis", include_str!("../../../abi/x64/ndis.json")),
        ("x64/nt", include_str!("../../../abi/x64/nt.json")),
        ("arm64/ndis", include_str!("../../../abi/arm64/ndis.json")),
        ("arm64/nt", include_str!("../../../abi/arm64/nt.json")),
    ] {
        let mut section = "";
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            let key = line.split_once(':').map_or(line, |(key, _)| key);
            if key.starts_with(" \"") {
                section = key;
            }
            if key.starts_with("  \"") {
                assert!(seen.insert((section, key)), "{name}: {section}: {key}");
            }
        }
        assert!(seen.len() > 500, "{name}");
    }
}
