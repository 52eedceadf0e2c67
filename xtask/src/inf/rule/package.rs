//! Models, Windows builds, files and what a driver package may do at all.

use super::{Finding, Rule, Subject};
use crate::inf::install::{File, Install};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-models",
        page: "install/inf-manufacturer-section.md",
        check: models,
    },
    Rule {
        name: "inf-arch-token",
        page: "devtest/inf-validation-errors-and-warnings.md, 1274",
        check: architecture_token,
    },
    Rule {
        name: "inf-os-floor",
        page: "ddi wdm/nf-wdm-exallocatepool2.md",
        check: floor,
    },
    Rule {
        name: "inf-build-25319",
        page: "network/ndis-filter-driver-installation.md",
        check: driver_store_build,
    },
    Rule {
        name: "inf-component-id",
        page: "network/models-section-in-a-network-inf-file.md; devtest/inf-validation-errors-and-warnings.md, 2412, 2415",
        check: component,
    },
    Rule {
        name: "inf-dirid13",
        page: "devtest/infverif_h.md; develop/run-from-driver-store.md",
        check: directory,
    },
    Rule {
        name: "inf-driver-store-copy",
        page: "devtest/inf-validation-errors-and-warnings.md, 1100",
        check: renamed,
    },
    Rule {
        name: "inf-source-files",
        page: "devtest/inf-validation-errors-and-warnings.md, 1230",
        check: source_files,
    },
    Rule {
        name: "inf-additive",
        page: "install/using-a-universal-inf-file.md",
        check: additive,
    },
];

/// What Windows says of itself since Windows 10.
const LATEST_VERSION: (u32, u32) = (10, 0);
/// The first build whose INetCfg installs to the driver store.
const DRIVER_STORE_BUILD: u32 = 25319;

/// What may not be in an INF that only adds.
pub(super) const FORBIDDEN: &[&str] = &[
    "BitReg",
    "DelFiles",
    "DelProperty",
    "DelReg",
    "DelService",
    "Ini2Reg",
    "LogConfig",
    "ProfileItems",
    "RegisterDlls",
    "RenFiles",
    "UnregisterDlls",
    "UpdateIniFields",
    "UpdateInis",
];

fn models(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, name) in &subject.map.models {
        let Some((_, decoration)) = name.split_once('.') else {
            findings.push(Finding::new(
                *line,
                format!("[{name}] names no architecture, which means x86"),
            ));
            continue;
        };
        let parts: Vec<_> = decoration.split('.').collect();
        let architecture = parts[0].to_lowercase();
        let allowed: &[&str] = if subject.is_template {
            &["nt$arch$"]
        } else {
            &["ntamd64", "ntarm64"]
        };
        if !allowed.contains(&architecture.as_str()) {
            findings.push(Finding::new(
                *line,
                format!("[{name}] is for {architecture}, the driver for x64 and ARM64"),
            ));
        }
        let numbers = parts.iter().skip(1).filter(|part| !part.is_empty());
        if parts.len() > 6 || numbers.clone().any(|part| part.parse::<u32>().is_err()) {
            findings.push(Finding::new(
                *line,
                format!("[{name}] is not NT<architecture>.major.minor.type.suite.build"),
            ));
        }
        let version = |index: usize| parts.get(index).and_then(|part| part.parse().ok());
        if (version(1).unwrap_or(0), version(2).unwrap_or(0)) > LATEST_VERSION {
            findings.push(Finding::new(
                *line,
                format!("[{name}] is for a version that no Windows has: 10.0 and a build"),
            ));
        }
        if parts.iter().skip(3).take(2).any(|part| !part.is_empty()) {
            findings.push(Finding::new(
                *line,
                format!("[{name}] asks for a product type or suite"),
            ));
        }
    }
    if subject.map.models.is_empty() {
        findings.push(Finding::new(0, "[Manufacturer] names no models"));
    }
    findings
}

fn architecture_token(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.is_template {
        return Vec::new();
    }
    let entries = subject.document.sections.iter().flat_map(|section| {
        let entries = section.entries.iter();
        let texts = entries.flat_map(|entry| {
            let texts = entry.key.iter().chain(&entry.fields);
            texts.map(|text| (entry.line, text.as_str()))
        });
        texts.chain([(section.line, section.name.as_str())])
    });
    entries
        .filter(|(_, text)| text.to_lowercase().contains("$arch$"))
        .map(|(line, text)| Finding::new(line, format!("\"{text}\" is not filled in")))
        .collect()
}

fn floor(subject: &Subject<'_>) -> Vec<Finding> {
    // Another driver's image is not known.
    if subject.driver.is_none() {
        return Vec::new();
    }
    each(subject, |install| {
        let what = match install.build() {
            Some(build) if build >= subject.floor => return None,
            Some(build) => format!("is for builds from {build}"),
            None => "names no build".to_owned(),
        };
        Some((
            install.line,
            format!(
                "[{}] {what}; the image loads from {} on",
                install.section.name, subject.floor
            ),
        ))
    })
}

fn driver_store_build(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = each(subject, |install| {
        let is_old = install.build().unwrap_or(0) < DRIVER_STORE_BUILD;
        let file = install
            .files
            .iter()
            .find(|file| is_old == (directory_of(subject, file) == Some(13)))?;
        let what = if is_old {
            format!(
                "INetCfg cannot install it to the driver store before build {DRIVER_STORE_BUILD}"
            )
        } else {
            format!("from build {DRIVER_STORE_BUILD} on it runs from the driver store (13)")
        };
        Some((file.line, format!("{}: {what}", file.destination)))
    });
    let has_new = |install: &Install<'_>| install.build() >= Some(DRIVER_STORE_BUILD);
    if !subject.map.installs.is_empty() && !subject.map.installs.iter().any(has_new) {
        findings.push(Finding::new(
            0,
            format!("no models for builds from {DRIVER_STORE_BUILD} on"),
        ));
    }
    findings
}

fn component(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = each(subject, |install| {
        // What installs and binds this driver's package knows one.
        let first = &subject.map.installs.first()?.component;
        (subject.driver.is_some() && *first != install.component).then(|| {
            let what = format!("\"{}\" here, \"{first}\" before", install.component);
            (install.line, format!("two component ids: {what}"))
        })
    });
    findings.extend(component_name(subject));
    findings
}

fn component_name(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let name = &install.component;
        let is_plain = name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_');
        let lower = name.to_lowercase();
        let is_ours = !lower.starts_with("ms_") && !lower.starts_with("vms_");
        let has_provider = name
            .split_once('_')
            .is_some_and(|(provider, product)| !provider.is_empty() && !product.is_empty());
        (!(is_plain && is_ours && has_provider)).then(|| {
            let what = "it has to be provider_product, the provider not ms or vms";
            (install.line, format!("component id \"{name}\": {what}"))
        })
    })
}

fn directory(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let file = install
            .files
            .iter()
            .find(|file| !matches!(directory_of(subject, file), Some(12 | 13)))?;
        let what = format!(
            "[DestinationDirs] sends [{}] to neither 13 nor 12",
            file.section
        );
        Some((file.line, what))
    })
}

fn renamed(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let file = install.files.iter().find(|file| {
            directory_of(subject, file) == Some(13)
                && !file.source.eq_ignore_ascii_case(&file.destination)
        })?;
        let what = format!(
            "{} cannot be renamed to {} in the driver store",
            file.source, file.destination
        );
        Some((file.line, what))
    })
}

fn source_files(subject: &Subject<'_>) -> Vec<Finding> {
    let document = subject.document;
    each(subject, |install| {
        if install.files.is_empty() {
            return Some((install.section.line, "no file is copied".to_owned()));
        }
        install.files.iter().find_map(|file| {
            let listed = document
                .section("SourceDisksFiles")
                .and_then(|files| files.first(&file.source));
            let Some(listed) = listed else {
                let what = format!("[SourceDisksFiles] does not list {}", file.source);
                return Some((file.line, what));
            };
            let disk = listed.field(0);
            let disks = document.section("SourceDisksNames");
            disks
                .is_none_or(|disks| disks.first(disk).is_none())
                .then(|| {
                    let what = format!("[SourceDisksNames] has no disk {disk}");
                    (listed.line, what)
                })
        })
    })
}

fn additive(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for section in &subject.document.sections {
        let name = section.name.to_lowercase();
        if name.starts_with("classinstall32") || name.ends_with(".coinstallers") {
            findings.push(Finding::new(
                section.line,
                format!("[{}] is not for a package that only adds", section.name),
            ));
        }
        // A network service's own service goes with it: network/remove-section-in-a-network-inf-file.md.
        let is_removal = name.ends_with(".remove.services");
        for entry in &section.entries {
            let forbidden = FORBIDDEN.iter().find(|directive| entry.is(directive));
            if let Some(directive) = forbidden
                && !(is_removal && *directive == "DelService")
                && name != "strings"
            {
                findings.push(Finding::new(
                    entry.line,
                    format!("{directive} is not for a package that only adds"),
                ));
            }
        }
    }
    findings
}

/// The DIRID that `[DestinationDirs]` gives for a file.
fn directory_of(subject: &Subject<'_>, file: &File) -> Option<u32> {
    let directories = subject.document.section("DestinationDirs")?;
    let entry = directories
        .first(&file.section)
        .or_else(|| directories.first("DefaultDestDir"))?;
    entry.field(0).parse().ok()
}

/// What `check` finds in each install section.
pub(super) fn each(
    subject: &Subject<'_>,
    check: impl Fn(&Install<'_>) -> Option<(usize, String)>,
) -> Vec<Finding> {
    let installs = subject.map.installs.iter();
    installs
        .filter_map(check)
        .map(|(line, what)| Finding::new(line, what))
        .collect()
}
