//! `coverage.toml` says truly what holds each rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lab_rules::{Monitors, Strength, catalogue};

/// Rules that apply to a filter.
const RULES: usize = 453;
/// The fewest monitors.
const MONITORS: usize = 260;
/// The most `must` rules that nothing holds.
const MUST_WITHOUT: usize = 15;

/// The file's lines: identifier and what holds the rule, in order.
fn coverage() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("coverage.toml")).expect("coverage.toml");
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (id, rest) = line.split_once(" = ").expect("identifier = \"kind\"");
            let kind = rest
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            (id.to_owned(), kind.expect("a quoted kind").to_owned())
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rules of the lab's own stand beside Microsoft's.
fn is_documented(id: &str) -> bool {
    !id.starts_with("lab-")
}

#[test]
fn every_rule_has_one_line() {
    let listed: Vec<String> = coverage().into_iter().map(|(id, _)| id).collect();
    let known: Vec<&str> = catalogue()
        .map(|rule| rule.id)
        .filter(|id| is_documented(id))
        .collect();
    assert_eq!(listed, known);
    assert_eq!(known.len(), RULES);
    assert_eq!(BTreeSet::from_iter(&known).len(), RULES);
}

#[test]
fn monitors_are_those_of_the_code() {
    let listed: BTreeSet<String> = coverage()
        .into_iter()
        .filter(|(_, kind)| kind == "monitor")
        .map(|(id, _)| id)
        .collect();
    let watched: BTreeSet<String> = Monitors::default()
        .rules()
        .iter()
        .map(|rule| rule.id.to_owned())
        .filter(|id| is_documented(id))
        .collect();
    assert_eq!(listed, watched);
    assert!(watched.len() >= MONITORS, "{} monitors", watched.len());
}

#[test]
fn what_holds_a_rule_is_named() {
    let strengths: BTreeMap<&str, Strength> =
        catalogue().map(|rule| (rule.id, rule.strength)).collect();
    let mut without = Vec::new();
    for (id, kind) in coverage() {
        match kind.split_once(": ") {
            None => assert!(matches!(kind.as_str(), "monitor" | "inf"), "{id}: {kind}"),
            Some(("type" | "lint", name)) => assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte)),
                "{id}: {name}"
            ),
            Some(("no", reason)) => {
                assert!(!reason.is_empty(), "{id}");
                if strengths[id.as_str()] == Strength::Must {
                    without.push(id);
                }
            }
            Some(_) => panic!("{id}: {kind}"),
        }
    }
    assert!(without.len() <= MUST_WITHOUT, "{without:?}");
}

#[test]
fn the_readme_quotes_the_totals() {
    let of = |wanted: &str| {
        let is_it = |kind: &str| kind.split(": ").next() == Some(wanted);
        coverage().iter().filter(|(_, kind)| is_it(kind)).count()
    };
    let cases = root().join("../../crates/ndis/tests/compile_fail");
    let is_open = |kind: &str| {
        kind.strip_prefix("type: ")
            .is_some_and(|case| !cases.join(format!("{case}.rs")).exists())
    };
    let open = coverage().iter().filter(|(_, kind)| is_open(kind)).count();
    let quoted = format!(
        "{RULES} documented rules that apply to a filter, {} have a monitor, {} a type ({open} of them open), {} are for the INF check and {} are held by nothing",
        of("monitor"),
        of("type"),
        of("inf"),
        of("no")
    );
    let readme = fs::read_to_string(root().join("../../README.md")).expect("README.md");
    assert!(readme.contains(&quoted), "README.md should say: {quoted}");
}

/// Monitors name their rules by constant, so an identifier in quotes is a row of a table test.
#[test]
fn every_monitor_has_a_row_in_a_table() {
    let sources: String = files(&root().join("src/family"))
        .iter()
        .map(|path| fs::read_to_string(path).expect("a source file"))
        .collect();
    let missing: Vec<&str> = Monitors::default()
        .rules()
        .iter()
        .map(|rule| rule.id)
        .filter(|id| !sources.contains(&format!("\"{id}\"")))
        .collect();
    assert!(missing.is_empty(), "no table test: {missing:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
