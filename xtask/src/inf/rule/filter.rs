//! What makes the component a lightweight filter: `[DDInstall]` and the Ndi key.

use super::{Finding, Rule, Subject, package::each};
use crate::inf::install::{DWORD, Install, MULTI_SZ, number};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-characteristics",
        page: "network/configuring-an-inf-file-for-a-modifying-filter-driver.md; network/ddinstall-section-in-a-network-inf-file.md",
        check: characteristics,
    },
    Rule {
        name: "inf-netcfginstanceid",
        page: "network/configuring-an-inf-file-for-a-modifying-filter-driver.md; ddi ndis/ns-ndis-_ndis_filter_driver_characteristics.md",
        check: instance_id,
    },
    Rule {
        name: "inf-filtertype",
        page: "network/types-of-filter-drivers.md",
        check: filter_type,
    },
    Rule {
        name: "inf-filterruntype",
        page: "network/mandatory-filter-drivers.md",
        check: run_type,
    },
    Rule {
        name: "inf-optional",
        page: "network/mandatory-filter-drivers.md",
        check: optional,
    },
    Rule {
        name: "inf-ndi-choice",
        page: "Windows-driver-samples network/ndis/filter/netlwf.inf",
        check: choices,
    },
    Rule {
        name: "inf-filterclass",
        page: "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        check: filter_class,
    },
    Rule {
        name: "inf-monitoring-not-mandatory",
        page: "network/configuring-an-inf-file-for-a-monitoring-filter-driver.md",
        check: mandatory_monitoring,
    },
    Rule {
        name: "inf-ranges",
        page: "network/specifying-filter-driver-binding-relationships.md",
        check: ranges,
    },
    Rule {
        name: "inf-mediatypes",
        page: "network/specifying-binding-interfaces.md",
        check: media_types,
    },
    Rule {
        name: "inf-helptext",
        page: "network/adding-a-helptext-value.md",
        check: help_text,
    },
    Rule {
        name: "inf-ndi-types",
        page: "devtest/inf-validation-errors-and-warnings.md, 1431; network/adding-service-related-values-to-the-ndi-key.md",
        check: value_types,
    },
];

/// NCF_LW_FILTER.
const LIGHTWEIGHT_FILTER: u32 = 0x40000;
/// NCF_FILTER, of the intermediate drivers that are gone.
const INTERMEDIATE_FILTER: u32 = 0x400;
/// NCF_VIRTUAL, NCF_SOFTWARE_ENUMERATED, NCF_PHYSICAL: of adapters' drivers.
const OF_ADAPTERS: u32 = 0x7;
/// NCF_NO_SERVICE.
const NO_SERVICE: u32 = 0x10;
/// NCF_HIDDEN.
const HIDDEN: u32 = 0x8;

const CLASSES: &[&str] = &[
    "scheduler",
    "encryption",
    "compression",
    "vpn",
    "loadbalance",
    "failover",
    "diagnostic",
    "custom",
    "provider_address",
];

const MEDIA: &[&str] = &[
    "ethernet",
    "atm",
    "tokenring",
    "serial",
    "fddi",
    "baseband",
    "broadband",
    "bluetooth",
    "arcnet",
    "isdn",
    "localtalk",
    "wan",
    "wlan",
    "ppip",
    "vwifi",
];

fn flags(install: &Install<'_>) -> Option<u32> {
    number(install.section.first("Characteristics")?.field(0))
}

/// The value of the Ndi key that counts: where it is, and its number.
fn ndi(install: &Install<'_>, name: &str) -> (usize, Option<u32>) {
    let value = install.value("Ndi", name);
    let line = value.map_or(install.section.line, |value| value.line);
    (line, value.and_then(|value| value.dword()))
}

fn characteristics(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let flags = flags(install).unwrap_or(0);
        let what = if flags & LIGHTWEIGHT_FILTER == 0 || flags & INTERMEDIATE_FILTER != 0 {
            "Characteristics has to hold 0x40000 (NCF_LW_FILTER), and not 0x400"
        } else if flags & OF_ADAPTERS != 0 {
            "Characteristics 0x1, 0x2 and 0x4 are for adapters"
        } else if flags & NO_SERVICE != 0 {
            "Characteristics 0x10 says that it has no service"
        } else {
            return None;
        };
        let line = install
            .section
            .first("Characteristics")
            .map_or(install.section.line, |entry| entry.line);
        Some((line, what.to_owned()))
    })
}

fn instance_id(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let Some(entry) = install.section.first("NetCfgInstanceId") else {
            let what = "no NetCfgInstanceId".to_owned();
            return Some((install.section.line, what));
        };
        let name = entry.field(0);
        if !is_guid(name) {
            return Some((entry.line, format!("\"{name}\" is no GUID in braces")));
        }
        let registered = &subject.driver?.unique_name;
        (!registered.eq_ignore_ascii_case(name)).then(|| {
            let what = format!("NetCfgInstanceId is {name}, the driver registers {registered}");
            (entry.line, what)
        })
    })
}

fn is_guid(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return false;
    };
    let lengths: Vec<_> = inner.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12]
        && inner
            .chars()
            .all(|character| character.is_ascii_hexdigit() || character == '-')
}

fn filter_type(subject: &Subject<'_>) -> Vec<Finding> {
    one_or_two(subject, "FilterType", "1 (monitoring) or 2 (modifying)")
}

fn run_type(subject: &Subject<'_>) -> Vec<Finding> {
    one_or_two(subject, "FilterRunType", "1 (mandatory) or 2 (optional)")
}

/// deferlwf refuses media that its FilterMediaTypes do not rule out, and attach can run out of memory: where a mandatory
/// filter does not attach, the adapter has no protocols.
fn optional(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.driver.is_none() {
        return Vec::new();
    }
    each(subject, |install| {
        let (line, value) = ndi(install, "FilterRunType");
        (value == Some(1)).then(|| {
            let what = "FilterRunType 1: where this filter refuses to attach, the adapter would go without protocols";
            (line, what.to_owned())
        })
    })
}

fn choices(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["NdisBootStart", "UnbindOnAttach", "UnbindOnDetach"] {
        findings.extend(each(subject, |install| {
            let value = install.value("Ndi", name)?;
            (value.flags == Some(DWORD) && !matches!(value.dword(), Some(0 | 1)))
                .then(|| (value.line, format!("Ndi\\{name} has to be 0 or 1")))
        }));
    }
    findings.extend(each(subject, |install| {
        let value = install.value("Ndi", "NdisBootStart")?;
        (ndi(install, "FilterRunType").1 == Some(1)).then(|| {
            let what = "NDIS waits for a mandatory filter whatever NdisBootStart says";
            (value.line, what.to_owned())
        })
    }));
    findings
}

fn one_or_two(subject: &Subject<'_>, name: &str, choice: &str) -> Vec<Finding> {
    each(subject, |install| {
        let (line, value) = ndi(install, name);
        (!matches!(value, Some(1 | 2)))
            .then(|| (line, format!("Ndi\\{name} has to be the DWORD {choice}")))
    })
}

fn filter_class(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let class = install.value("Ndi", "FilterClass");
        let is_modifying = match ndi(install, "FilterType").1 {
            Some(1) => false,
            Some(2) => true,
            _ => return None,
        };
        match class {
            Some(class) if !is_modifying => {
                let what = "a monitoring filter has no FilterClass";
                Some((class.line, what.to_owned()))
            }
            Some(class) if !CLASSES.contains(&class.text()) => {
                let what = format!("FilterClass \"{}\" is none of the listed", class.text());
                Some((class.line, what))
            }
            None if is_modifying => {
                let what = "a modifying filter needs a FilterClass";
                Some((install.section.line, what.to_owned()))
            }
            _ => None,
        }
    })
}

fn mandatory_monitoring(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let (line, run_type) = ndi(install, "FilterRunType");
        let is_monitoring = ndi(install, "FilterType").1 == Some(1);
        (is_monitoring && run_type == Some(1)).then(|| {
            let what = "a mandatory monitoring filter can leave an adapter without protocols";
            (line, what.to_owned())
        })
    })
}

fn ranges(subject: &Subject<'_>) -> Vec<Finding> {
    [("UpperRange", "noupper"), ("LowerRange", "nolower")]
        .iter()
        .flat_map(|(name, wanted)| {
            each(subject, |install| {
                let value = install.value("Ndi\\Interfaces", name);
                let is_right = value.is_some_and(|value| value.text() == *wanted);
                let line = value.map_or(install.section.line, |value| value.line);
                (!is_right).then(|| (line, format!("Ndi\\Interfaces\\{name} has to be {wanted}")))
            })
        })
        .collect()
}

fn media_types(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let Some(value) = install.value("Ndi\\Interfaces", "FilterMediaTypes") else {
            let what = "no Ndi\\Interfaces\\FilterMediaTypes";
            return Some((install.section.line, what.to_owned()));
        };
        let media: Vec<_> = value.text().split(',').map(str::trim).collect();
        if subject.driver.is_some() && !media.contains(&"ethernet") {
            let what = "the driver is for ethernet, which FilterMediaTypes leaves out";
            return Some((value.line, what.to_owned()));
        }
        let unknown = media.iter().filter(|medium| !MEDIA.contains(medium));
        let unknown: Vec<_> = unknown.copied().collect();
        (!unknown.is_empty()).then(|| {
            let what = "is not for a filter's FilterMediaTypes";
            (value.line, format!("\"{}\" {what}", unknown.join(", ")))
        })
    })
}

fn help_text(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let is_hidden = flags(install).is_some_and(|flags| flags & HIDDEN != 0);
        let text = install.value("Ndi", "HelpText");
        let is_there = text.is_some_and(|value| !value.text().is_empty());
        (!is_hidden && !is_there).then(|| {
            let what = "the component is visible and has no Ndi\\HelpText";
            (install.section.line, what.to_owned())
        })
    })
}

fn value_types(subject: &Subject<'_>) -> Vec<Finding> {
    let wanted = |name: &str| match name.to_lowercase().as_str() {
        "filtertype" | "filterruntype" | "ndisbootstart" | "unbindonattach" | "unbindondetach" => {
            Some((DWORD, "REG_DWORD"))
        }
        "coservices" => Some((MULTI_SZ, "REG_MULTI_SZ")),
        "service" | "helptext" | "filterclass" | "upperrange" | "lowerrange"
        | "filtermediatypes" => Some((0, "REG_SZ")),
        _ => None,
    };
    each(subject, |install| {
        install.registry.iter().find_map(|value| {
            let (flags, name) = wanted(&value.name)?;
            (value.flags != Some(flags))
                .then(|| (value.line, format!("{} has to be {name}", value.name)))
        })
    })
}
