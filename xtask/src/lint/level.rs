//! Lint levels: every member takes the root's, and the root's are not below these.

use std::fs;

use anyhow::{Context, Result};
use toml_edit::{DocumentMut, Item};

use super::Finding;
use crate::repository::Repository;

/// How much a lint says, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Allow,
    Warn,
    Deny,
    Forbid,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "allow" => Self::Allow,
            "warn" => Self::Warn,
            "deny" => Self::Deny,
            "forbid" => Self::Forbid,
            _ => return None,
        })
    }
}

use Level::{Deny, Forbid, Warn};

/// The lowest level of each lint, by tool. `cargo xtask lint` makes errors of warnings.
const LOWEST: &[(&str, &str, Level)] = &[
    ("rust", "unsafe_code", Deny),
    ("rust", "unsafe_op_in_unsafe_fn", Forbid),
    ("rust", "missing_docs", Warn),
    ("rust", "unreachable_pub", Warn),
    ("rust", "unused_qualifications", Warn),
    ("rust", "elided_lifetimes_in_paths", Warn),
    ("rust", "non_ascii_idents", Deny),
    ("clippy", "all", Warn),
    ("clippy", "multiple_unsafe_ops_per_block", Deny),
    ("clippy", "undocumented_unsafe_blocks", Deny),
    ("clippy", "unnecessary_safety_comment", Deny),
    ("clippy", "unnecessary_safety_doc", Deny),
    ("clippy", "allow_attributes", Warn),
    ("clippy", "allow_attributes_without_reason", Warn),
    ("clippy", "as_underscore", Warn),
    ("clippy", "cast_lossless", Warn),
    ("clippy", "dbg_macro", Deny),
    ("clippy", "manual_let_else", Warn),
    ("clippy", "ptr_as_ptr", Warn),
    ("clippy", "ptr_cast_constness", Warn),
    ("clippy", "ref_as_ptr", Warn),
    ("clippy", "todo", Deny),
    ("clippy", "unimplemented", Deny),
    ("clippy", "use_self", Warn),
    ("rustdoc", "broken_intra_doc_links", Deny),
    ("rustdoc", "private_intra_doc_links", Warn),
    ("rustdoc", "bare_urls", Warn),
];

pub(super) fn check(repository: &Repository) -> Result<Vec<Finding>> {
    let root = repository.root().join("Cargo.toml");
    let mut findings = lowered("Cargo.toml", &manifest(&root)?);
    for package in repository.packages() {
        let document = manifest(package.manifest_path.as_std_path())?;
        if !inherits(&document) {
            let place = format!("{}/Cargo.toml", repository.folder_of(package));
            findings.push(Finding::new(
                place.trim_start_matches('/'),
                "no `[lints] workspace = true`",
            ));
        }
    }
    Ok(findings)
}

fn manifest(path: &std::path::Path) -> Result<DocumentMut> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse()
        .with_context(|| format!("{} is no manifest", path.display()))
}

/// Whether a member's manifest takes the root's levels; beside that, it can say nothing of its own.
fn inherits(document: &DocumentMut) -> bool {
    let value = document
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    value.and_then(Item::as_bool) == Some(true)
}

/// What the root's manifest has below the table, or not at all.
fn lowered(place: &str, document: &DocumentMut) -> Vec<Finding> {
    let lints = document
        .get("workspace")
        .and_then(|workspace| workspace.get("lints"));
    let mut findings = Vec::new();
    for (tool, name, lowest) in LOWEST {
        let entry = lints.and_then(|lints| lints.get(tool)?.get(name));
        // Either `"deny"`, or a table with a level and a priority.
        let text = entry.and_then(|entry| entry.as_str().or_else(|| entry.get("level")?.as_str()));
        let level = text.and_then(Level::parse);
        if level.is_none_or(|level| level < *lowest) {
            let found = text.unwrap_or("not set");
            findings.push(Finding::new(
                place,
                format!("lint {tool}::{name} is {found}, and is to be {lowest:?} at least"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = include_str!("../../../Cargo.toml");

    fn findings(text: &str) -> Vec<String> {
        let document = text.parse().expect("a manifest");
        let findings = lowered("Cargo.toml", &document).into_iter();
        findings.map(|finding| finding.what).collect()
    }

    #[test]
    fn the_root_has_what_the_table_asks_for_and_more_is_allowed() {
        assert_eq!(findings(ROOT), [""; 0]);
        assert_eq!(
            findings(&ROOT.replace("= \"warn\"", "= \"forbid\"")),
            [""; 0]
        );
    }

    #[test]
    fn a_lowered_a_missing_and_a_misspelt_level_are_found() {
        for (from, to, what) in [
            (
                "unsafe_code = \"deny\"",
                "unsafe_code = \"warn\"",
                "rust::unsafe_code is warn",
            ),
            (
                "unsafe_op_in_unsafe_fn = \"forbid\"",
                "unsafe_op_in_unsafe_fn = \"deny\"",
                "rust::unsafe_op_in_unsafe_fn is deny",
            ),
            ("todo = \"deny\"\n", "", "clippy::todo is not set"),
            (
                "all = { level = \"warn\"",
                "all = { level = \"allow\"",
                "clippy::all is allow",
            ),
            (
                "bare_urls = \"warn\"",
                "bare_urls = \"wran\"",
                "rustdoc::bare_urls is wran",
            ),
        ] {
            let found = findings(&ROOT.replace(from, to));
            assert!(
                matches!(&found[..], [one] if one.contains(what)),
                "{what}: {found:?}"
            );
        }
        assert_eq!(findings("[workspace]\n").len(), LOWEST.len());
    }

    #[test]
    fn a_member_without_the_roots_levels_is_found() {
        for (text, is_fine) in [
            ("[lints]\nworkspace = true\n", true),
            ("lints.workspace = true\n", true),
            ("[package]\nname = \"x\"\n", false),
            ("[lints]\nworkspace = false\n", false),
            ("[lints.rust]\nunsafe_code = \"allow\"\n", false),
        ] {
            assert_eq!(
                inherits(&text.parse().expect("a manifest")),
                is_fine,
                "{text}"
            );
        }
    }
}
