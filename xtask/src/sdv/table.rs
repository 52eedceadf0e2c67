//! The table, as it stands in docs/sdv.md.

use std::{collections::BTreeMap, fmt::Write};

use super::official::Official;
use crate::rules::Holder;

const PAGES: &str = "https://learn.microsoft.com/windows-hardware/drivers/devtest/";

/// The table, with its totals.
pub(super) fn table(rules: &[Official], holders: &BTreeMap<String, Holder>) -> String {
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rows = String::new();
    let mut section = String::new();
    for rule in rules {
        let model = rule.model.to_uppercase();
        let title = format!("{model}: {}", rule.set);
        if title != section {
            let head = "| Rule | Driver Verifier | Held by |\n|---|---|---|";
            let _ = write!(rows, "\n### {title}\n\n{head}\n");
            section = title;
        }
        *totals.entry(kind(rule, holders)).or_default() += 1;
        let page = rule.page.trim_end_matches(".md");
        let star = if rule.is_static { "" } else { " \\*" };
        let verifier = match (&rule.verifier, &rule.stop) {
            (Some(option), Some(stop)) => format!("{option}, {stop}"),
            (option, _) => option.as_deref().unwrap_or("-").to_owned(),
        };
        let held = held(rule, holders);
        let _ = writeln!(
            rows,
            "| [{}]({PAGES}{page}){star} | {verifier} | {held} |",
            rule.name
        );
    }
    let count = |kind| totals.get(kind).copied().unwrap_or_default();
    format!(
        "{} rules: {} watched by the lab, {} of them refused by types as well; {} refused by types alone; {} about functions that `ndis` has no call of; \
         {} by a check; {} by nothing yet; {} for drivers that are no filters, or about nothing that a page names.\n{rows}",
        rules.len(),
        count("monitor") + count("both"),
        count("both"),
        count("type"),
        count("uncalled"),
        count("check"),
        count("nothing"),
        count("no"),
    )
}

/// The strongest of what holds a rule.
fn kind(rule: &Official, holders: &BTreeMap<String, Holder>) -> &'static str {
    let has = |kind: &str| {
        let mut of_rule = rule.rules.iter().filter_map(|id| holders.get(id));
        of_rule.any(|holder| holder.kind == kind && !holder.is_open)
    };
    let has_type = !rule.cases.is_empty() || has("type");
    match (has("monitor"), has_type) {
        (true, true) => "both",
        (true, false) => "monitor",
        (false, true) => "type",
        _ if rule.uncalled.is_some() => "uncalled",
        _ if rule.check.is_some() || has("lint") || has("inf") => "check",
        _ if rule.no.is_some() => "no",
        _ => "nothing",
    }
}

/// The last column.
pub(super) fn held(rule: &Official, holders: &BTreeMap<String, Holder>) -> String {
    let (mut monitors, mut cases, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for id in &rule.rules {
        let Some(holder) = holders.get(id) else {
            continue;
        };
        match holder.kind.as_str() {
            "monitor" => monitors.push(format!("`{id}`")),
            "type" if holder.is_open => rest.push(format!("`{id}`: open")),
            "type" => cases.push(format!("`{}`", holder.detail)),
            "lint" => rest.push(format!("lint `{}`", holder.detail)),
            "inf" => rest.push(format!("`check-inf` (`{id}`)")),
            _ => rest.push(format!("`{id}`: {}", holder.detail)),
        }
    }
    cases.extend(rule.cases.iter().map(|case| format!("`{case}`")));
    let mut parts = Vec::new();
    if !monitors.is_empty() {
        parts.push(format!("monitor {}", monitors.join(", ")));
    }
    if !cases.is_empty() {
        parts.push(format!("type {}", cases.join(", ")));
    }
    parts.extend(rest);
    let uncalled = rule.uncalled.iter();
    parts.extend(uncalled.map(|name| format!("`ndis` has no call of `{name}`")));
    parts.extend(rule.check.iter().cloned());
    parts.extend(rule.no.iter().cloned());
    parts.join("; ")
}
