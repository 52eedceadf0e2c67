//! The service: its names, how it starts, how it goes.

use super::{Finding, Rule, Subject, package::each};
use crate::inf::install::{Install, Service, number};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-service-names",
        page: "network/adding-service-related-values-to-the-ndi-key.md; ddi ndis/ns-ndis-_ndis_filter_driver_characteristics.md",
        check: names,
    },
    Rule {
        name: "inf-service-type",
        page: "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        check: kind,
    },
    Rule {
        name: "inf-service-flags",
        page: "install/inf-addservice-directive.md",
        check: flags,
    },
    Rule {
        name: "inf-service-binary",
        page: "devtest/inf-validation-errors-and-warnings.md, 2084, 2085",
        check: binary,
    },
    Rule {
        name: "inf-optional-demand-start",
        page: "Windows-driver-samples network/ndis/filter/netlwf.inf",
        check: demand_start,
    },
    Rule {
        name: "inf-remove",
        page: "network/remove-section-in-a-network-inf-file.md; Windows-driver-samples network/ndis/filter/netlwf.inf",
        check: removal,
    },
];

/// SPSVCINST_STOPSERVICE.
const STOP_SERVICE: u32 = 0x200;
/// SPSVCINST_TAGTOFRONT.
const TAG_TO_FRONT: u32 = 0x1;
/// SPSVCINST_ASSOCSERVICE.
const ASSOCIATED: u32 = 0x2;
/// SPSVCINST_CLOBBER_SECURITY.
const CLOBBER_SECURITY: u32 = 0x400;
/// Every flag that the page has for AddService.
const ADD_FLAGS: u32 = 0x6_FDFB;

/// The service that Ndi\Service names.
fn primary<'a>(install: &'a Install<'_>) -> Option<&'a Service<'a>> {
    let name = install.value("Ndi", "Service")?.text();
    install
        .services
        .iter()
        .find(|service| service.name.eq_ignore_ascii_case(name))
}

fn names(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let Some(service) = install.value("Ndi", "Service") else {
            let what = "no Ndi\\Service".to_owned();
            return Some((install.section.line, what));
        };
        let name = service.text();
        if primary(install).is_none() {
            let what = format!(
                "no AddService of [{}.Services] adds it",
                install.section.name
            );
            return Some((service.line, format!("Ndi\\Service is {name}: {what}")));
        }
        let services = install.value("Ndi", "CoServices");
        let is_listed = services.is_some_and(|value| {
            let mut names = value.data.iter();
            names.any(|listed| listed.eq_ignore_ascii_case(name))
        });
        if !is_listed {
            let line = services.map_or(install.section.line, |value| value.line);
            return Some((line, format!("Ndi\\CoServices has to list {name}")));
        }
        let registered = &subject.driver?.service_name;
        (!registered.eq_ignore_ascii_case(name)).then(|| {
            let what = format!("Ndi\\Service is {name}, the driver registers {registered}");
            (service.line, what)
        })
    })
}

fn kind(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        install.services.iter().find_map(|service| {
            let is = |name: &str, wanted: &[u32]| {
                let value = service
                    .section
                    .first(name)
                    .and_then(|entry| number(entry.field(0)));
                value.is_some_and(|value| wanted.contains(&value))
            };
            let group = service.section.first("LoadOrderGroup");
            let what = if !is("ServiceType", &[1]) {
                "ServiceType has to be 1 (a kernel driver)"
            } else if !is("ErrorControl", &[1]) {
                "ErrorControl has to be 1 (the system starts without it)"
            } else if !is("StartType", &[1, 3]) {
                "StartType has to be 1 (system), or 3 (demand) for an optional filter"
            } else if is("StartType", &[3])
                && install
                    .value("Ndi", "FilterRunType")
                    .and_then(|value| value.dword())
                    == Some(1)
            {
                "StartType 3 is for optional filters"
            } else if group.is_none_or(|group| !group.field(0).eq_ignore_ascii_case("NDIS")) {
                "LoadOrderGroup has to be NDIS"
            } else {
                return None;
            };
            let name = &service.section.name;
            Some((service.section.line, format!("[{name}]: {what}")))
        })
    })
}

fn flags(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        install.services.iter().find_map(|service| {
            let what = match service.flags {
                None => "the flags are no number",
                Some(flags) if flags & ASSOCIATED != 0 => {
                    "0x2 makes it a device's function driver, which a filter is not"
                }
                Some(flags) if flags & TAG_TO_FRONT != 0 => {
                    "0x1 would load it first of its group, before NDIS"
                }
                Some(flags) if flags & CLOBBER_SECURITY != 0 => {
                    "0x400 overwrites the service's security settings"
                }
                Some(flags) if flags & !ADD_FLAGS != 0 => "flags that AddService does not have",
                Some(_) => return None,
            };
            Some((service.line, format!("AddService {}: {what}", service.name)))
        })
    })
}

fn binary(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        install.services.iter().find_map(|service| {
            let entry = service.section.first("ServiceBinary");
            let path = entry.map_or("", |entry| entry.field(0));
            let line = entry.map_or(service.section.line, |entry| entry.line);
            let Some((directory, file)) = path
                .strip_prefix('%')
                .and_then(|rest| rest.split_once("%\\"))
                .filter(|(directory, _)| directory.parse::<u32>().is_ok())
            else {
                let what = format!("ServiceBinary \"{path}\" is not below a DIRID");
                return Some((line, what));
            };
            let directories = subject.document.section("DestinationDirs");
            let is_copied = install.files.iter().any(|copied| {
                copied.destination.eq_ignore_ascii_case(file)
                    && directories
                        .and_then(|directories| directories.first(&copied.section))
                        .is_some_and(|entry| {
                            let below = entry.field(1);
                            entry.field(0) == directory && below.is_empty()
                        })
            });
            (!is_copied).then(|| {
                let what = format!("[{}] does not copy \"{path}\"", install.section.name);
                (line, what)
            })
        })
    })
}

fn demand_start(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let service = primary(install)?;
        let start = service.section.first("StartType")?;
        let says = |name: &str| {
            let value = install.value("Ndi", name);
            value.and_then(|value| value.dword())
        };
        let waits = says("FilterRunType") == Some(2) && says("NdisBootStart") != Some(0);
        (number(start.field(0)) == Some(3) && waits).then(|| {
            let what =
                "an optional filter that starts on demand needs Ndi\\NdisBootStart 0, or NDIS waits for it at boot";
            (start.line, what.to_owned())
        })
    })
}

fn removal(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = each(subject, |install| {
        let mut removed = install.removed.iter();
        let (line, name, _) = removed.find(|(_, name, _)| {
            let mut services = install.services.iter();
            !services.any(|service| service.name.eq_ignore_ascii_case(name))
        })?;
        let what = format!("[{}] did not add {name}", install.section.name);
        Some((*line, format!("DelService: {what}")))
    });
    findings.extend(left_behind(subject));
    findings
}

fn left_behind(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        install.services.iter().find_map(|service| {
            let mut removed = install.removed.iter();
            let is_removed = removed.any(|(_, name, flags)| {
                name.eq_ignore_ascii_case(&service.name) && flags & STOP_SERVICE != 0
            });
            (!is_removed).then(|| {
                let what = format!(
                    "[{}.Remove.Services] does not stop and delete {}",
                    install.section.name, service.name
                );
                (service.line, what)
            })
        })
    })
}
