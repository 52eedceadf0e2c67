//! What shows that a rule is held, and what would show that it is not.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{WRAPPERS, official::Official};
use crate::rules::Holder;

/// Tasks that a check may be one of.
const TASKS: &[&str] = &["check-image", "check-inf", "lint"];

/// A file.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

pub(super) fn collect_sources(folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                text: fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            });
        }
    }
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(())
}

/// What the table would say and is not so.
pub(super) fn untruths(
    rules: &[Official],
    holders: &BTreeMap<String, Holder>,
    wrappers: &[Source],
    has_case: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for rule in rules {
        let mut note = |what: String| wrong.push(format!("{} ({}): {what}", rule.name, rule.model));
        for id in rule.rules.iter().filter(|id| !holders.contains_key(*id)) {
            note(format!("there is no rule {id}"));
        }
        for case in rule.cases.iter().filter(|case| !has_case(case)) {
            note(format!("there is no compile-fail test {case}"));
        }
        let calling = rule.uncalled.as_ref().and_then(|name| {
            let mut files = wrappers.iter();
            Some((name, files.find(|file| file.text.contains(name))?))
        });
        if let Some((name, file)) = calling {
            note(format!("{WRAPPERS} does have {name}, in {}", file.name));
        }
        if let Some(check) = &rule.check
            && !TASKS.iter().any(|task| check.starts_with(task))
        {
            note(format!("no task does {check:?}"));
        }
        let is_held = !rule.rules.is_empty() || !rule.cases.is_empty();
        if !is_held && rule.uncalled.is_none() && rule.check.is_none() && rule.no.is_none() {
            note("nothing is said of what holds it".to_owned());
        }
    }
    wrong
}

/// Where a rule of the catalogue is tried: files with rows of it, and plays that break it.
pub(super) fn tests_of(id: &str, tables: &[Source], plays: &[Source]) -> Vec<String> {
    let quoted = format!("\"{id}\"");
    let rows = tables.iter().filter(|source| source.text.contains(&quoted));
    let mut found: Vec<_> = rows
        .map(|source| format!("table in {}", source.name))
        .collect();
    for line in plays.iter().flat_map(|source| source.text.lines()) {
        let mark = line.rsplit_once("// ").map_or("", |(_, mark)| mark);
        let words: Vec<_> = mark.split_whitespace().collect();
        if let ["caught:" | "warned:", play, "by", rule] = words[..]
            && rule == id
        {
            found.push(format!("play {play}"));
        }
    }
    found
}
