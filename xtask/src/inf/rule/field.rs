//! How many fields a line has, and what Setup would make of the ones it knows.

use super::{Finding, Rule, Subject};
use crate::inf::{
    document::{Entry, Section},
    install::{Kind, MULTI_SZ, number},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-fields",
        page: "devtest/inf-validation-errors-and-warnings.md, 1006, 1078, 2403; install/inf-addreg-directive.md",
        check: counts,
    },
    Rule {
        name: "inf-same-line-twice",
        page: "devtest/inf-validation-errors-and-warnings.md, 1086, 1294",
        check: same,
    },
    Rule {
        name: "inf-copy-flags",
        page: "install/inf-copyfiles-directive.md",
        check: copy_flags,
    },
    Rule {
        name: "inf-listed-not-copied",
        page: "install/inf-sourcedisksfiles-section.md",
        check: not_copied,
    },
];

/// The least and most fields of a line of a section that has a name of its own, by its directive.
fn of_named(section: &Section, entry: &Entry) -> Option<(usize, usize)> {
    let is = |name: &str| section.name.eq_ignore_ascii_case(name);
    if is("Version") {
        // The template's is empty; the rule for it says what it has to be.
        return (!entry.is("DriverVer")).then_some((1, 1));
    }
    if is("DestinationDirs") {
        return Some((1, 2));
    }
    if is("SourceDisksFiles") {
        return Some((1, 3));
    }
    is("SourceDisksNames").then_some((1, 6))
}

/// The same of a section by what it is.
fn of_kind(kind: Kind, entry: &Entry) -> Option<(usize, usize)> {
    let is_list = ["AddReg", "CopyFiles", "Dependencies", "Include", "Needs"]
        .iter()
        .any(|name| entry.is(name));
    if is_list {
        return Some((1, usize::MAX));
    }
    match kind {
        Kind::Services if entry.is("AddService") => Some((3, 6)),
        Kind::RemoveServices if entry.is("DelService") => Some((1, 4)),
        Kind::Install | Kind::Service => Some((1, 1)),
        _ => None,
    }
}

fn counts(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for section in &subject.document.sections {
        let kind = subject.map.kinds.get(&section.name.to_lowercase());
        for entry in &section.entries {
            let Some(name) = entry.key.as_deref() else {
                let has_own_name = of_named(section, entry).is_some();
                if has_own_name || section.name.eq_ignore_ascii_case("Strings") {
                    let what = format!("\"{}\" has no `=`", entry.field(0));
                    findings.push(Finding::new(entry.line, what));
                }
                continue;
            };
            let wanted =
                of_named(section, entry).or_else(|| kind.and_then(|kind| of_kind(*kind, entry)));
            let Some((least, most)) = wanted else {
                continue;
            };
            let count = entry.fields.len();
            if count < least || count > most {
                let what = format!("{name} has {count} fields, not {}", range(least, most));
                findings.push(Finding::new(entry.line, what));
            }
        }
    }
    for install in &subject.map.installs {
        if install.fields != 2 {
            let what = format!("[Models]: {} fields, not section and id", install.fields);
            findings.push(Finding::new(install.line, what));
        }
        let services = install.services.iter();
        let values = install
            .registry
            .iter()
            .chain(services.flat_map(|service| &service.registry));
        for value in values {
            let is_one = value.flags != Some(MULTI_SZ);
            if is_one && value.data.len() != 1 {
                let what = format!("{} has {} data, not one", value.name, value.data.len());
                findings.push(Finding::new(value.line, what));
            }
        }
    }
    findings
}

fn range(least: usize, most: usize) -> String {
    match most {
        usize::MAX => format!("{least} or more"),
        most if most == least => least.to_string(),
        most => format!("{least} to {most}"),
    }
}

/// Lines that say once more what one before says: of `[Manufacturer]`, `[Models]`, services and files.
fn same(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for section in &subject.document.sections {
        let name = section.name.to_lowercase();
        let is_models = subject
            .map
            .models
            .iter()
            .any(|(_, models)| models.eq_ignore_ascii_case(&name));
        let is_watched = name == "manufacturer"
            || is_models
            || subject.map.file_lists.contains(&name)
            || subject.map.kinds.contains_key(&name);
        if !is_watched {
            continue;
        }
        let text = |entry: &Entry| {
            let fields = entry.fields.join(",");
            format!("{}={fields}", entry.key.as_deref().unwrap_or("")).to_lowercase()
        };
        for (index, entry) in section.entries.iter().enumerate() {
            let mut before = section.entries.iter().take(index);
            if let Some(first) = before.find(|first| text(first) == text(entry)) {
                let what = format!("the same as line {}", first.line);
                findings.push(Finding::new(entry.line, what));
            }
        }
    }
    findings
}

fn file_lists<'a>(subject: &'a Subject<'_>) -> impl Iterator<Item = &'a Section> {
    let sections = subject.document.sections.iter();
    sections.filter(|section| {
        let lists = &subject.map.file_lists;
        lists.contains(&section.name.to_lowercase())
    })
}

fn copy_flags(subject: &Subject<'_>) -> Vec<Finding> {
    let entries = file_lists(subject).flat_map(|section| &section.entries);
    entries
        .filter(|entry| {
            let flags = entry.field(3);
            let has_more = entry.fields.len() > 4 || !entry.field(2).is_empty();
            has_more || !flags.is_empty() && number(flags).is_none()
        })
        .map(|entry| {
            let what = "a file's line is: destination, source, nothing, flags as a number";
            Finding::new(entry.line, what)
        })
        .collect()
}

fn not_copied(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(listed) = subject.document.section("SourceDisksFiles") else {
        return Vec::new();
    };
    let copied = |name: &str| {
        let mut files = subject
            .map
            .installs
            .iter()
            .flat_map(|install| &install.files);
        files.any(|file| file.source.eq_ignore_ascii_case(name))
    };
    listed
        .entries
        .iter()
        .filter_map(|entry| Some((entry.line, entry.key.as_deref()?)))
        // The catalog has a rule of its own.
        .filter(|(_, name)| !copied(name) && !name.to_lowercase().ends_with(".cat"))
        .map(|(line, name)| Finding::new(line, format!("nothing copies {name}")))
        .collect()
}
