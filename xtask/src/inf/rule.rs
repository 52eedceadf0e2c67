//! The rules of the documentation that `check-inf` holds an INF against.

mod directive;
mod field;
mod filter;
mod package;
mod parameter;
mod reference;
mod registry;
mod service;
mod version;

use super::{document::Document, driver::Driver, install::Map};

/// What a rule looks at.
pub(super) struct Subject<'a> {
    pub(super) document: &'a Document,
    pub(super) map: Map<'a>,
    /// What the driver's source says, unless it is another driver's INF.
    pub(super) driver: Option<&'a Driver>,
    /// Whether it is the template, in which `$ARCH$` and DriverVer are still to be filled in.
    pub(super) is_template: bool,
    /// The oldest Windows build that the driver's image loads on.
    pub(super) floor: u32,
}

/// Something that breaks a rule.
#[derive(Debug)]
pub(super) struct Finding {
    /// From 1; 0 for the file as a whole.
    pub(super) line: usize,
    pub(super) what: String,
}

impl Finding {
    fn new(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
        }
    }
}

/// A rule: its name, the page that it rests on (of windows-driver-docs), and its check.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) page: &'static str,
    pub(super) check: fn(&Subject<'_>) -> Vec<Finding>,
}

/// Every rule.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [
        version::RULES,
        reference::RULES,
        directive::RULES,
        field::RULES,
        package::RULES,
        filter::RULES,
        service::RULES,
        registry::RULES,
        parameter::RULES,
    ]
    .into_iter()
    .flatten()
}
