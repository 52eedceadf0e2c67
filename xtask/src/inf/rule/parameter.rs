//! What an administrator may set: complete, in range, and as the driver reads it.

use std::collections::BTreeMap;

use super::{Finding, Rule, Subject};
use crate::inf::{
    driver::Parameter,
    install::{Install, Value},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-parameter",
        page: "network/specifying-configuration-parameters-for-the-advanced-properties-page.md",
        check: complete,
    },
    Rule {
        name: "inf-parameter-type",
        page: "network/configuring-an-inf-file-for-a-modifying-filter-driver.md",
        check: strings,
    },
    Rule {
        name: "inf-instance-parameter",
        page: "network/configuring-an-inf-file-for-a-monitoring-filter-driver.md",
        check: instance,
    },
    Rule {
        name: "inf-parameter-driver",
        page: "src/parameter.rs",
        check: as_the_driver_reads,
    },
];

/// Whose parameters are below a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Driver,
    Adapter,
}

impl Group {
    fn of(key: &str) -> Option<Self> {
        match key.to_lowercase().as_str() {
            "filterdriverparams" => Some(Self::Driver),
            "filteradapterparams" => Some(Self::Adapter),
            _ => None,
        }
    }
}

/// The values of a parameter's key.
const DESCRIBING: &[&str] = &[
    "default",
    "max",
    "min",
    "optional",
    "paramdesc",
    "step",
    "type",
];
const NUMBERS: &[&str] = &["int", "long", "word", "dword"];

/// One parameter's values by lower-case name, and where it begins.
struct Described<'a> {
    group: Group,
    name: &'a str,
    /// The key above the group's.
    above: &'a str,
    /// How many texts an enum has to choose from.
    choices: usize,
    line: usize,
    values: BTreeMap<String, &'a str>,
}

impl Described<'_> {
    fn number(&self, name: &str) -> Option<u32> {
        self.values.get(name)?.parse().ok()
    }
}

fn values<'a>(install: &'a Install<'_>) -> impl Iterator<Item = &'a Value> {
    let services = install.services.iter();
    install
        .registry
        .iter()
        .chain(services.flat_map(|service| &service.registry))
}

/// The parameters below FilterDriverParams and FilterAdapterParams, in the order of the file.
fn described<'a>(install: &'a Install<'_>) -> Vec<Described<'a>> {
    let mut all: Vec<Described<'a>> = Vec::new();
    for value in values(install) {
        let (key, is_choice) = match value.key.rsplit_once('\\') {
            Some((key, last)) if last.eq_ignore_ascii_case("enum") => (key, true),
            _ => (value.key.as_str(), false),
        };
        let mut parts = key.rsplitn(3, '\\');
        let (Some(name), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let above = parts.next().unwrap_or("");
        let Some(group) = Group::of(group) else {
            continue;
        };
        let index = all
            .iter()
            .position(|known| {
                known.group == group
                    && known.name.eq_ignore_ascii_case(name)
                    && known.above.eq_ignore_ascii_case(above)
            })
            .unwrap_or_else(|| {
                all.push(Described {
                    group,
                    name,
                    above,
                    choices: 0,
                    line: value.line,
                    values: BTreeMap::new(),
                });
                all.len() - 1
            });
        if is_choice {
            all[index].choices += 1;
            continue;
        }
        all[index]
            .values
            .insert(value.name.to_lowercase(), value.text());
    }
    all
}

fn each_described(
    subject: &Subject<'_>,
    check: impl Fn(&Described<'_>) -> Option<String>,
) -> Vec<Finding> {
    let installs = subject.map.installs.iter();
    installs
        .flat_map(described)
        .filter_map(|parameter| {
            let what = check(&parameter)?;
            Some(Finding::new(
                parameter.line,
                format!("parameter {}: {what}", parameter.name),
            ))
        })
        .collect()
}

fn complete(subject: &Subject<'_>) -> Vec<Finding> {
    each_described(subject, |parameter| {
        // Directly below the service's key is another rule's.
        if !matches!(parameter.above.to_lowercase().as_str(), "" | "parameters") {
            return Some(format!(
                "is below {}, where nobody reads it",
                parameter.above
            ));
        }
        let mut names = parameter.values.keys();
        if let Some(name) = names.find(|name| !DESCRIBING.contains(&name.as_str())) {
            return Some(format!("{name} is nothing that describes a parameter"));
        }
        // What may be left out needs no default.
        let is_optional = parameter.values.get("optional") == Some(&"1");
        for name in ["paramdesc", "type", "default"] {
            let text = parameter.values.get(name);
            if text.is_none_or(|text| text.is_empty()) && !(is_optional && name == "default") {
                return Some(format!("no {name}"));
            }
        }
        let kind = parameter.values.get("type").copied().unwrap_or("");
        if kind == "enum" && parameter.choices == 0 {
            return Some("type enum, and no key enum with its texts".to_owned());
        }
        if matches!(kind, "edit" | "enum") {
            return None;
        }
        if !NUMBERS.contains(&kind) {
            return Some(format!("type \"{kind}\" is none of the listed"));
        }
        let bounds = (
            parameter.number("min"),
            parameter.number("default"),
            parameter.number("max"),
        );
        let (Some(least), Some(default), Some(most)) = bounds else {
            return Some("min, default and max have to be numbers".to_owned());
        };
        if kind == "word" && most > u32::from(u16::MAX) {
            return Some(format!("max {most} is more than a word holds"));
        }
        let is_ordered = least <= default && default <= most;
        (!is_ordered).then(|| format!("the default {default} is not in {least} to {most}"))
    })
}

/// Every value that describes a parameter is a REG_SZ, of numbers as well.
fn strings(subject: &Subject<'_>) -> Vec<Finding> {
    let installs = subject.map.installs.iter();
    installs
        .flat_map(|install| values(install))
        .filter(|value| {
            let group = value.key.rsplit('\\').nth(1);
            group.is_some_and(|group| Group::of(group).is_some()) && value.flags != Some(0)
        })
        .map(|value| {
            let what = format!("{}\\{} has to be REG_SZ", value.key, value.name);
            Finding::new(value.line, what)
        })
        .collect()
}

fn instance(subject: &Subject<'_>) -> Vec<Finding> {
    let installs = subject.map.installs.iter();
    installs
        .filter(|install| {
            let kind = install.value("Ndi", "FilterType");
            kind.and_then(|value| value.dword()) != Some(1)
        })
        .flat_map(|install| values(install))
        .filter(|value| value.key.to_lowercase().contains("filterinstanceparams"))
        .map(|value| {
            let what = "FilterInstanceParams are for monitoring filters";
            Finding::new(value.line, what)
        })
        .collect()
}

fn as_the_driver_reads(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(driver) = subject.driver else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for install in &subject.map.installs {
        let described = described(install);
        let is_text = |parameter: &&Described<'_>| parameter.values.get("type") == Some(&"edit");
        let texts: Vec<_> = described.iter().filter(is_text).collect();
        let missing = driver.texts.iter().filter(|name| {
            let mut names = texts.iter();
            !names.any(|parameter| parameter.name == name.as_str())
        });
        findings.extend(missing.map(|name| {
            let what = format!("the driver reads the text {name}, which is not described");
            Finding::new(install.section.line, what)
        }));
        let read = [
            (Group::Driver, &driver.driver_wide, &[][..]),
            (Group::Adapter, &driver.parameters, &driver.texts[..]),
        ];
        for (group, parameters, texts) in read {
            let described = described
                .iter()
                .filter(|parameter| parameter.group == group);
            let known: Vec<_> = described.clone().map(as_read).collect();
            let missing = parameters.iter().filter(|read| !known.contains(read));
            findings.extend(missing.map(|read| {
                let what = format!("the driver reads {read:?}, which is not described so");
                Finding::new(install.section.line, what)
            }));
            let unread = described.filter(|parameter| {
                let mut names = parameters.iter().map(|read| &read.name).chain(texts);
                !names.any(|name| name == parameter.name)
            });
            findings.extend(unread.map(|parameter| {
                let what = format!("the driver does not read {}", parameter.name);
                Finding::new(parameter.line, what)
            }));
        }
    }
    findings
}

fn as_read(described: &Described<'_>) -> Parameter {
    Parameter {
        name: described.name.to_owned(),
        least: described.number("min").unwrap_or(0),
        most: described.number("max").unwrap_or(0),
        default: described.number("default").unwrap_or(0),
    }
}
