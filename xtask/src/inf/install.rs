//! What an INF installs, followed from `[Manufacturer]` to files, registry values and services.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Document, Entry, Section};

/// A section that is named where it should be, and whether it is there.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    pub(crate) directive: String,
    pub(crate) section: String,
}

/// `[DDInstall]` as one `[Models]` line reaches it.
#[derive(Debug)]
pub(crate) struct Install<'a> {
    /// The line in `[Models]`.
    pub(crate) line: usize,
    /// Behind the name of `[Models]`: `NTamd64.10.0...25319`.
    pub(crate) decoration: String,
    pub(crate) component: String,
    /// How many fields that line has.
    pub(crate) fields: usize,
    pub(crate) section: &'a Section,
    /// What its AddReg sections hold.
    pub(crate) registry: Vec<Value>,
    pub(crate) files: Vec<File>,
    pub(crate) services: Vec<Service<'a>>,
    /// Services that `[DDInstall.Remove.Services]` deletes: line, name, flags.
    pub(crate) removed: Vec<(usize, String, u32)>,
}

/// A line of an AddReg section.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) line: usize,
    pub(crate) root: String,
    pub(crate) key: String,
    pub(crate) name: String,
    /// FLG_ADDREG_*; `None` when it is no number.
    pub(crate) flags: Option<u32>,
    pub(crate) data: Vec<String>,
}

/// A line of a CopyFiles section.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) line: usize,
    /// The section, for its line of `[DestinationDirs]`.
    pub(crate) section: String,
    pub(crate) destination: String,
    pub(crate) source: String,
}

/// An AddService line.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// SPSVCINST_*; `None` when it is no number.
    pub(crate) flags: Option<u32>,
    pub(crate) section: &'a Section,
    pub(crate) registry: Vec<Value>,
}

/// Everything that is reached, and what is named without being there.
#[derive(Debug, Default)]
pub(crate) struct Map<'a> {
    pub(crate) installs: Vec<Install<'a>>,
    /// `[Models]` that `[Manufacturer]` names: line and name with its decoration.
    pub(crate) models: Vec<(usize, String)>,
    pub(crate) missing: Vec<Reference>,
    /// Lower-case names of the sections that something names.
    pub(crate) reached: BTreeSet<String>,
    /// Lower-case names of those that a CopyFiles names.
    pub(crate) file_lists: BTreeSet<String>,
    /// What kind of section each reached one is, by its lower-case name.
    pub(crate) kinds: BTreeMap<String, Kind>,
}

/// What a section is to Setup, which decides what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[DDInstall]`.
    Install,
    /// `[DDInstall.Services]`.
    Services,
    /// `[DDInstall.Remove]`.
    Remove,
    /// `[DDInstall.Remove.Services]`.
    RemoveServices,
    /// What AddService names.
    Service,
    /// What AddService names for the event log.
    EventLog,
}

/// REG_DWORD as FLG_ADDREG_TYPE_DWORD.
pub(crate) const DWORD: u32 = 0x0001_0001;
/// REG_MULTI_SZ as FLG_ADDREG_TYPE_MULTI_SZ.
pub(crate) const MULTI_SZ: u32 = 0x0001_0000;

impl Value {
    /// Whether it is `key\name` relative to the key that the section writes to.
    pub(crate) fn is(&self, key: &str, name: &str) -> bool {
        self.root.eq_ignore_ascii_case("HKR")
            && self.key.eq_ignore_ascii_case(key)
            && self.name.eq_ignore_ascii_case(name)
    }

    /// The first datum.
    pub(crate) fn text(&self) -> &str {
        self.data.first().map_or("", String::as_str)
    }

    /// The first datum as a number, if the value is a DWORD.
    pub(crate) fn dword(&self) -> Option<u32> {
        (self.flags == Some(DWORD))
            .then(|| number(self.text()))
            .flatten()
    }
}

impl Install<'_> {
    /// The value `key\name` of the component's key.
    pub(crate) fn value(&self, key: &str, name: &str) -> Option<&Value> {
        self.registry.iter().find(|value| value.is(key, name))
    }

    /// The oldest Windows build that it is for, if the decoration names one.
    pub(crate) fn build(&self) -> Option<u32> {
        self.decoration.split('.').nth(5)?.parse().ok()
    }
}

impl<'a> Map<'a> {
    /// Follows every reference of `document`.
    pub(crate) fn of(document: &'a Document) -> Self {
        let mut map = Self::default();
        let Some(manufacturers) = document.section("Manufacturer") else {
            return map;
        };
        for entry in &manufacturers.entries {
            let base = document.expand(entry.field(0));
            let decorations: Vec<_> = entry.fields.iter().skip(1).collect();
            if decorations.is_empty() {
                map.model(document, entry, &base, "");
            }
            for decoration in decorations {
                map.model(document, entry, &base, decoration);
            }
        }
        map
    }

    fn model(&mut self, document: &'a Document, entry: &Entry, base: &str, decoration: &str) {
        let name = [base, decoration].join(".");
        let name = name.trim_end_matches('.');
        self.models.push((entry.line, name.to_owned()));
        let Some(models) = self.reach(document, entry, "Manufacturer", name) else {
            return;
        };
        for model in &models.entries {
            let section = self.reach(document, model, "Models", &document.expand(model.field(0)));
            if let Some(section) = section {
                let install = self.install(document, model, decoration, section);
                self.installs.push(install);
            }
        }
    }

    fn install(
        &mut self,
        document: &'a Document,
        model: &Entry,
        decoration: &str,
        section: &'a Section,
    ) -> Install<'a> {
        let mut install = Install {
            line: model.line,
            decoration: decoration.to_owned(),
            component: document.expand(model.field(1)),
            fields: model.fields.len(),
            section,
            registry: Vec::new(),
            files: Vec::new(),
            services: Vec::new(),
            removed: Vec::new(),
        };
        self.is_a(section, Kind::Install);
        for part in self.with_needed(document, section) {
            install.registry.extend(self.registry(document, part));
            install.files.extend(self.files(document, part));
        }
        if let Some(services) = self.optional(document, &format!("{}.Services", section.name)) {
            self.is_a(services, Kind::Services);
            for part in self.with_needed(document, services) {
                for entry in part.all("AddService") {
                    let service = self.service(document, entry);
                    install.services.extend(service);
                }
            }
        }
        if let Some(remove) = self.optional(document, &format!("{}.Remove", section.name)) {
            self.is_a(remove, Kind::Remove);
        }
        if let Some(services) =
            self.optional(document, &format!("{}.Remove.Services", section.name))
        {
            self.is_a(services, Kind::RemoveServices);
            install.removed = services
                .all("DelService")
                .map(|entry| {
                    let flags = number(entry.field(1)).unwrap_or(0);
                    (entry.line, document.expand(entry.field(0)), flags)
                })
                .collect();
        }
        install
    }

    fn service(&mut self, document: &'a Document, entry: &Entry) -> Option<Service<'a>> {
        let log = document.expand(entry.field(3));
        if !log.is_empty()
            && let Some(log) = self.reach(document, entry, "AddService", &log)
        {
            self.is_a(log, Kind::EventLog);
            self.registry(document, log);
        }
        let name = document.expand(entry.field(2));
        let section = self.reach(document, entry, "AddService", &name)?;
        self.is_a(section, Kind::Service);
        Some(Service {
            line: entry.line,
            name: document.expand(entry.field(0)),
            flags: match entry.field(1) {
                "" => Some(0),
                flags => number(flags),
            },
            section,
            registry: self.registry(document, section),
        })
    }

    /// A section, and those of this file that its Needs names. With Include they may be in Microsoft's.
    fn with_needed(&mut self, document: &'a Document, section: &'a Section) -> Vec<&'a Section> {
        let mut sections = vec![section];
        let is_here = section.first("Include").is_none();
        for entry in section.all("Needs") {
            for name in &entry.fields {
                let name = document.expand(name);
                let needed = if is_here {
                    self.reach(document, entry, "Needs", &name)
                } else {
                    self.optional(document, &name)
                };
                if let Some(needed) = needed
                    && needed.line != section.line
                {
                    let kind = self.kinds.get(&section.name.to_lowercase()).copied();
                    if let Some(kind) = kind {
                        self.is_a(needed, kind);
                    }
                    sections.push(needed);
                }
            }
        }
        sections
    }

    fn is_a(&mut self, section: &Section, kind: Kind) {
        self.kinds.insert(section.name.to_lowercase(), kind);
    }

    fn registry(&mut self, document: &'a Document, section: &'a Section) -> Vec<Value> {
        let sections = self.named(document, section, "AddReg");
        sections
            .iter()
            .flat_map(|section| &section.entries)
            .map(|entry| {
                let field = |index| document.expand(entry.field(index));
                Value {
                    line: entry.line,
                    root: field(0),
                    key: field(1),
                    name: field(2),
                    flags: match entry.field(3) {
                        "" => Some(0),
                        flags => number(flags),
                    },
                    data: entry
                        .fields
                        .iter()
                        .skip(4)
                        .map(|datum| document.expand(datum))
                        .collect(),
                }
            })
            .collect()
    }

    fn files(&mut self, document: &'a Document, section: &'a Section) -> Vec<File> {
        let sections = self.named(document, section, "CopyFiles");
        let names = sections.iter().map(|section| section.name.to_lowercase());
        self.file_lists.extend(names);
        sections
            .iter()
            .flat_map(|section| section.entries.iter().map(move |entry| (section, entry)))
            .map(|(section, entry)| {
                let destination = document.expand(entry.field(0));
                let source = match document.expand(entry.field(1)) {
                    same if same.is_empty() => destination.clone(),
                    other => other,
                };
                File {
                    line: entry.line,
                    section: section.name.clone(),
                    destination,
                    source,
                }
            })
            .collect()
    }

    /// The sections that `directive` in `section` names.
    fn named(
        &mut self,
        document: &'a Document,
        section: &Section,
        directive: &str,
    ) -> Vec<&'a Section> {
        section
            .all(directive)
            .flat_map(|entry| entry.fields.iter().map(move |name| (entry, name)))
            .filter_map(|(entry, name)| {
                self.reach(document, entry, directive, &document.expand(name))
            })
            .collect()
    }

    fn optional(&mut self, document: &'a Document, name: &str) -> Option<&'a Section> {
        self.reached.insert(name.to_lowercase());
        document.section(name)
    }

    fn reach(
        &mut self,
        document: &'a Document,
        entry: &Entry,
        directive: &str,
        name: &str,
    ) -> Option<&'a Section> {
        let section = self.optional(document, name);
        if section.is_none() {
            self.missing.push(Reference {
                line: entry.line,
                directive: directive.to_owned(),
                section: name.to_owned(),
            });
        }
        section
    }
}

/// A number as INF files write it.
pub(crate) fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
