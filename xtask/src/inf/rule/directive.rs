//! What may stand in which section, and how often.

use std::collections::BTreeMap;

use super::{Finding, Rule, Subject};
use crate::inf::{
    document::{Entry, Section},
    install::Kind,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-directive",
        page: "network/ddinstall-section-in-a-network-inf-file.md; install/inf-addservice-directive.md; devtest/inf-validation-errors-and-warnings.md, 1290",
        check: unknown,
    },
    Rule {
        name: "inf-reboot",
        page: "install/avoiding-system-restarts-during-device-installations.md",
        check: restart,
    },
    Rule {
        name: "inf-service-security",
        page: "install/creating-secure-device-installations.md",
        check: security,
    },
    Rule {
        name: "inf-entry-twice",
        page: "devtest/inf-validation-errors-and-warnings.md, 1088, 1294; install/inf-strings-section.md",
        check: twice,
    },
];

/// Of a section that only lists what others look up, by name.
const LISTS: &[&str] = &[
    "DestinationDirs",
    "SourceDisksFiles",
    "SourceDisksNames",
    "Strings",
    "Version",
];
/// What may stand more than once: each adds to the one before.
const REPEATED: &[&str] = &[
    "AddReg",
    "AddService",
    "CopyFiles",
    "DelService",
    "Include",
    "Needs",
];

/// What the pages show in `[Version]`; CatalogFile has decorated forms.
const VERSION: &[&str] = &[
    "CatalogFile",
    "Class",
    "ClassGuid",
    "DriverVer",
    "PnpLockdown",
    "Provider",
    "Signature",
];

/// What the pages have for a section of this kind, of what a filter can use.
fn allowed(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Install => &[
            "AddReg",
            "Characteristics",
            "CopyFiles",
            "Include",
            "Needs",
            "NetCfgInstanceId",
        ],
        Kind::Services => &["AddService", "Include", "Needs"],
        // A NetService's removal has nothing to take back but its service.
        Kind::Remove => &[],
        Kind::RemoveServices => &["DelService"],
        Kind::Service => &[
            "AddReg",
            "Dependencies",
            "Description",
            "DisplayName",
            "ErrorControl",
            "LoadOrderGroup",
            "ServiceBinary",
            "ServiceType",
            "StartType",
        ],
        Kind::EventLog => &["AddReg"],
    }
}

/// The directive of a line: its key, or what stands alone.
fn directive(entry: &Entry) -> &str {
    entry.key.as_deref().unwrap_or_else(|| entry.field(0))
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Each section of a known kind with what it may hold.
fn sections<'a>(
    subject: &'a Subject<'_>,
) -> impl Iterator<Item = (&'a Section, &'static [&'static str])> {
    let sections = subject.document.sections.iter();
    sections.filter_map(|section| {
        if section.name.eq_ignore_ascii_case("Version") {
            return Some((section, VERSION));
        }
        let kind = subject.map.kinds.get(&section.name.to_lowercase())?;
        Some((section, allowed(*kind)))
    })
}

fn unknown(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (section, allowed) in sections(subject) {
        for entry in &section.entries {
            let name = directive(entry);
            let undecorated = match name.split_once('.') {
                Some((name, _)) if name.eq_ignore_ascii_case("CatalogFile") => name,
                _ => name,
            };
            // Others have a rule of their own.
            if is_one_of(undecorated, allowed)
                || is_restart(name)
                || name.eq_ignore_ascii_case("Security")
                || is_one_of(name, super::package::FORBIDDEN)
            {
                continue;
            }
            findings.push(Finding::new(
                entry.line,
                format!("{name} is nothing for [{}]", section.name),
            ));
        }
    }
    findings
}

fn is_restart(name: &str) -> bool {
    is_one_of(name, &["Reboot", "Restart"])
}

fn restart(subject: &Subject<'_>) -> Vec<Finding> {
    sections(subject)
        .flat_map(|(section, _)| &section.entries)
        .filter(|entry| is_restart(directive(entry)))
        .map(|entry| {
            let what = format!("{}: Windows sees itself when to restart", directive(entry));
            Finding::new(entry.line, what)
        })
        .collect()
}

fn security(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for section in &subject.document.sections {
        if section.name.to_lowercase().ends_with(".security") {
            let what = format!("[{}] replaces the system's descriptor", section.name);
            findings.push(Finding::new(section.line, what));
        }
    }
    findings.extend(
        sections(subject)
            .flat_map(|(section, _)| section.all("Security"))
            .map(|entry| {
                let what = "Security: the system's descriptor leaves the service to administrators";
                Finding::new(entry.line, what)
            }),
    );
    findings
}

fn twice(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lists = subject.document.sections.iter().filter(|section| {
        is_one_of(&section.name, LISTS)
            || subject.map.kinds.contains_key(&section.name.to_lowercase())
    });
    for section in lists {
        let mut seen = BTreeMap::new();
        for entry in &section.entries {
            let name = directive(entry).to_lowercase();
            if is_one_of(&name, REPEATED) && !is_one_of(&section.name, LISTS) {
                continue;
            }
            if let Some(line) = seen.insert(name, entry.line) {
                let what = format!("{} stands on line {line} already", directive(entry));
                findings.push(Finding::new(entry.line, what));
            }
        }
    }
    for install in &subject.map.installs {
        let mut of_component = BTreeMap::new();
        for value in &install.registry {
            findings.extend(again(&mut of_component, value));
        }
        for service in &install.services {
            let mut of_service = BTreeMap::new();
            for value in &service.registry {
                findings.extend(again(&mut of_service, value));
            }
        }
    }
    findings
}

/// A value that an earlier line has set.
fn again(
    seen: &mut BTreeMap<String, usize>,
    value: &crate::inf::install::Value,
) -> Option<Finding> {
    let place = format!("{}\\{}\\{}", value.root, value.key, value.name).to_lowercase();
    let line = seen.insert(place, value.line)?;
    let what = format!(
        "{}\\{} is set on line {line} already",
        value.key, value.name
    );
    Some(Finding::new(value.line, what))
}
