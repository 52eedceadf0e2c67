//! Sections and strings: what is named is there, what is there is named.

use std::collections::BTreeSet;

use super::{Finding, Rule, Subject};
use crate::inf::document;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-section-missing",
        page: "devtest/inf-validation-errors-and-warnings.md, 1203, 1315, 2006",
        check: missing,
    },
    Rule {
        name: "inf-section-twice",
        page: "devtest/inf-validation-errors-and-warnings.md, 1209",
        check: sections_twice,
    },
    Rule {
        name: "inf-destination",
        page: "install/inf-destinationdirs-section.md",
        check: destinations,
    },
    Rule {
        name: "inf-section-unused",
        page: "devtest/inf-validation-errors-and-warnings.md, 2083",
        check: unused,
    },
    Rule {
        name: "inf-section-required",
        page: "network/installation-requirements-for-network-filter-drivers.md",
        check: required,
    },
    Rule {
        name: "inf-string-missing",
        page: "install/inf-strings-section.md",
        check: undefined_strings,
    },
    Rule {
        name: "inf-string-unused",
        page: "install/inf-strings-section.md",
        check: unused_strings,
    },
];

/// Sections that Setup looks for by their own names.
const SYSTEM: &[&str] = &[
    "Version",
    "Manufacturer",
    "SourceDisksNames",
    "SourceDisksFiles",
    "DestinationDirs",
    "ControlFlags",
    "Strings",
];

fn missing(subject: &Subject<'_>) -> Vec<Finding> {
    let references = subject.map.missing.iter();
    references
        .map(|reference| {
            Finding::new(
                reference.line,
                format!(
                    "{} names [{}], which is not there",
                    reference.directive, reference.section
                ),
            )
        })
        .collect()
}

fn sections_twice(subject: &Subject<'_>) -> Vec<Finding> {
    let sections = subject.document.sections.iter();
    sections
        .flat_map(|section| section.again.iter().map(move |line| (line, section)))
        .map(|(line, section)| {
            let what = format!("[{}] began on line {} already", section.name, section.line);
            Finding::new(*line, what)
        })
        .collect()
}

fn destinations(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(directories) = subject.document.section("DestinationDirs") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for entry in &directories.entries {
        let name = entry.key.as_deref().unwrap_or("");
        let is_list = subject.map.file_lists.contains(&name.to_lowercase());
        if !is_list && !entry.is("DefaultDestDir") {
            let what = format!("[DestinationDirs] names [{name}], which no CopyFiles names");
            findings.push(Finding::new(entry.line, what));
        }
    }
    findings
}

fn unused(subject: &Subject<'_>) -> Vec<Finding> {
    let sections = subject.document.sections.iter();
    sections
        .filter(|section| {
            !SYSTEM
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&section.name))
                && !subject.map.reached.contains(&section.name.to_lowercase())
        })
        .map(|section| {
            Finding::new(
                section.line,
                format!("nothing names section [{}]", section.name),
            )
        })
        .collect()
}

fn required(subject: &Subject<'_>) -> Vec<Finding> {
    ["Version", "Manufacturer", "DestinationDirs", "Strings"]
        .iter()
        .filter(|name| subject.document.section(name).is_none())
        .map(|name| Finding::new(0, format!("no section [{name}]")))
        .collect()
}

/// Every text of the file with its line, those of `[Strings]` apart.
fn texts<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (usize, &'a str)> {
    let sections = subject.document.sections.iter();
    sections
        .filter(|section| !section.name.eq_ignore_ascii_case("Strings"))
        .flat_map(|section| &section.entries)
        .flat_map(|entry| {
            let texts = entry.key.iter().chain(&entry.fields);
            texts.map(|text| (entry.line, text.as_str()))
        })
}

fn undefined_strings(subject: &Subject<'_>) -> Vec<Finding> {
    let defined: BTreeSet<_> = subject.document.string_names().collect();
    texts(subject)
        .flat_map(|(line, text)| document::tokens(text).into_iter().map(move |name| (line, name)))
        // A number stands for a directory.
        .filter(|(_, name)| name.parse::<u32>().is_err())
        .filter(|(_, name)| !defined.contains(name.to_lowercase().as_str()))
        .map(|(line, name)| Finding::new(line, format!("[Strings] does not define %{name}%")))
        .collect()
}

fn unused_strings(subject: &Subject<'_>) -> Vec<Finding> {
    let used: BTreeSet<_> = texts(subject)
        .flat_map(|(_, text)| document::tokens(text))
        .map(str::to_lowercase)
        .collect();
    let Some(strings) = subject.document.section("Strings") else {
        return Vec::new();
    };
    let entries = strings.entries.iter();
    entries
        .filter_map(|entry| Some((entry.line, entry.key.as_deref()?)))
        .filter(|(_, name)| !used.contains(&name.to_lowercase()))
        .map(|(line, name)| Finding::new(line, format!("nothing uses the string {name}")))
        .collect()
}
