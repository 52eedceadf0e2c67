//! `[Version]`.

use super::{Finding, Rule, Subject};
use crate::inf::{document::Entry, install::number};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-signature",
        page: "network/version-section-in-a-network-inf-file.md",
        check: signature,
    },
    Rule {
        name: "inf-class",
        page: "network/installation-requirements-for-network-filter-drivers.md",
        check: class,
    },
    Rule {
        name: "inf-provider",
        page: "devtest/inf-validation-errors-and-warnings.md, 1204",
        check: provider,
    },
    Rule {
        name: "inf-pnplockdown",
        page: "install/inf-version-section.md",
        check: lockdown,
    },
    Rule {
        name: "inf-catalog",
        page: "install/inf-version-section.md; devtest/inf-validation-errors-and-warnings.md, 1213, 1214",
        check: catalog,
    },
    Rule {
        name: "inf-driverver",
        page: "install/inf-driverver-directive.md",
        check: driver_version,
    },
];

/// The class of network services.
const NET_SERVICE: &str = "{4D36E974-E325-11CE-BFC1-08002BE10318}";

fn entry<'a>(subject: &Subject<'a>, name: &str) -> Option<&'a Entry> {
    subject.document.section("Version")?.first(name)
}

/// What is wrong when an entry's expanded text does not hold.
fn require(
    subject: &Subject<'_>,
    name: &str,
    holds: impl Fn(&str) -> bool,
    what: &str,
) -> Vec<Finding> {
    let Some(entry) = entry(subject, name) else {
        return vec![Finding::new(0, format!("[Version] has no {name}: {what}"))];
    };
    let text = subject.document.expand(entry.field(0));
    if holds(&text) {
        return Vec::new();
    }
    vec![Finding::new(
        entry.line,
        format!("{name} is \"{text}\": {what}"),
    )]
}

fn signature(subject: &Subject<'_>) -> Vec<Finding> {
    require(
        subject,
        "Signature",
        |text| text.eq_ignore_ascii_case("$Windows NT$"),
        "it has to be $Windows NT$",
    )
}

fn class(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = require(
        subject,
        "Class",
        |text| text.eq_ignore_ascii_case("NetService"),
        "a filter is a NetService",
    );
    findings.extend(require(
        subject,
        "ClassGUID",
        |text| text.eq_ignore_ascii_case(NET_SERVICE),
        &format!("that of NetService is {NET_SERVICE}"),
    ));
    findings
}

fn provider(subject: &Subject<'_>) -> Vec<Finding> {
    require(
        subject,
        "Provider",
        |text| !text.is_empty() && !text.to_lowercase().contains("microsoft"),
        "it names who made the package, and that is not Microsoft",
    )
}

fn lockdown(subject: &Subject<'_>) -> Vec<Finding> {
    require(
        subject,
        "PnpLockdown",
        |text| number(text) == Some(1),
        "1 keeps programs from changing the files",
    )
}

fn catalog(subject: &Subject<'_>) -> Vec<Finding> {
    let version = subject.document.section("Version");
    let catalogs: Vec<_> = version
        .iter()
        .flat_map(|version| &version.entries)
        .filter(|entry| {
            let key = entry.key.as_deref().unwrap_or("");
            let name = key.split('.').next().unwrap_or(key);
            name.eq_ignore_ascii_case("CatalogFile")
        })
        .collect();
    if catalogs.is_empty() {
        let what = "[Version] has no CatalogFile: it names the catalog that the signature is in";
        return vec![Finding::new(0, what)];
    }
    let mut findings = Vec::new();
    // One with a decoration is for that architecture only, `.nt` for all.
    let keys = catalogs.iter().filter_map(|entry| entry.key.as_deref());
    let keys: Vec<_> = keys.collect();
    for (line, models) in &subject.map.models {
        let architecture = models.split('.').nth(1).unwrap_or("");
        let is_for = |key: &&str| {
            let decoration = key
                .split_once('.')
                .map_or("nt", |(_, decoration)| decoration);
            decoration.eq_ignore_ascii_case("nt") || decoration.eq_ignore_ascii_case(architecture)
        };
        if !keys.iter().any(is_for) {
            let what = format!("[Version] has no CatalogFile for [{models}]");
            findings.push(Finding::new(*line, what));
        }
    }
    for entry in catalogs {
        let name = subject.document.expand(entry.field(0));
        let is_file = name
            .to_lowercase()
            .strip_suffix(".cat")
            .is_some_and(|stem| !stem.is_empty() && !stem.contains(['\\', '/', ':']));
        let wanted = subject
            .driver
            .map(|driver| format!("{}.cat", driver.service_name));
        if !is_file {
            let what = format!("CatalogFile is \"{name}\": it has to be filename.cat");
            findings.push(Finding::new(entry.line, what));
        } else if let Some(wanted) = wanted
            && !wanted.eq_ignore_ascii_case(&name)
        {
            let what = format!("CatalogFile is \"{name}\", the package has {wanted}");
            findings.push(Finding::new(entry.line, what));
        }
        let files = subject.document.section("SourceDisksFiles");
        if let Some(listed) = files.and_then(|files| files.first(&name)) {
            let what = "the catalog is no source file";
            findings.push(Finding::new(listed.line, what));
        }
    }
    findings
}

fn driver_version(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(entry) = entry(subject, "DriverVer") else {
        return vec![Finding::new(0, "[Version] has no DriverVer")];
    };
    if subject.is_template && entry.fields.is_empty() {
        return Vec::new();
    }
    let is_right = is_date(entry.field(0)) && is_version(entry.field(1)) && entry.fields.len() == 2;
    if is_right {
        return Vec::new();
    }
    let text = entry.fields.join(",");
    vec![Finding::new(
        entry.line,
        format!("DriverVer is \"{text}\": it has to be mm/dd/yyyy,w.x.y.z"),
    )]
}

fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split(['/', '-']).collect();
    let [month, day, year] = parts.as_slice() else {
        return false;
    };
    let within = |text: &str, digits: usize, most: u32| {
        text.len() == digits
            && text
                .parse::<u32>()
                .is_ok_and(|value| (1..=most).contains(&value))
    };
    // A day that there is: the 31st of February is none.
    let date = format!("{year}-{month}-{day}T00:00:00Z");
    within(month, 2, 12)
        && within(day, 2, 31)
        && within(year, 4, 9999)
        && date.parse::<der::DateTime>().is_ok()
}

fn is_version(text: &str) -> bool {
    if !text
        .chars()
        .all(|character| character.is_ascii_digit() || character == '.')
    {
        return false;
    }
    let parts: Vec<_> = text.split('.').map(str::parse::<u32>).collect();
    parts.len() == 4
        && parts
            .iter()
            .all(|part| part.as_ref().is_ok_and(|value| *value < 65535))
        && parts.iter().any(|part| *part != Ok(0))
}
