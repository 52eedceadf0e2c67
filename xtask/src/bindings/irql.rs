//! The IRQL at which each function may be called: the header's annotation, else the page; the page where it says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::fact::{Facts, Irql};
use super::generated::header;

/// The highest IRQL on x64.
const HIGH_LEVEL: u8 = 15;

/// Lowest and highest legal IRQL, both included.
type Range = (u8, u8);

pub(super) fn table(facts: &Facts) -> String {
    let mut ranges: BTreeMap<&str, Range> = BTreeMap::new();
    let mut cases: Vec<(&str, &str, Range)> = Vec::new();
    for (name, page) in &facts.pages {
        ranges.insert(name, (page.min, page.max));
    }
    for (name, function) in facts.nt.functions.iter().chain(&facts.ndis.functions) {
        let Some(irql) = &function.irql else { continue };
        if facts.pages.get(name).is_some_and(|page| page.wins) {
            continue;
        }
        if let Some(range) = range(irql, facts) {
            ranges.insert(name, range);
        }
        if irql.raises.is_some()
            && let Some((min, _)) = ranges.get_mut(name.as_str())
        {
            *min = 0;
        }
        let conditional: Vec<(&str, Range)> = irql
            .when
            .iter()
            .filter_map(|w| Some((w.condition.as_deref()?, range_within(w, irql, facts)?)))
            .collect();
        if !conditional.is_empty() {
            let lowest = conditional.iter().map(|c| c.1.0).min().unwrap_or(0);
            let highest = conditional
                .iter()
                .map(|c| c.1.1)
                .max()
                .unwrap_or(HIGH_LEVEL);
            ranges.insert(name, (lowest, highest));
            cases.extend(
                conditional
                    .into_iter()
                    .map(|(condition, range)| (name.as_str(), condition, range)),
            );
        }
    }
    let mut out = header("The IRQL at which each function may be called");
    out.push_str("/// Function, lowest and highest legal IRQL, sorted by name. A conditional range is the widest of\n/// its cases.\npub(crate) const IRQL: &[(&str, u8, u8)] = &[\n");
    for (name, (min, max)) in &ranges {
        let _ = writeln!(out, "(\"{name}\", {min}, {max}),");
    }
    out.push_str("];\n\n/// Function, condition as the header has it, lowest and highest legal IRQL when it holds.\npub(crate) const IRQL_CASES: &[(&str, &str, u8, u8)] = &[\n");
    for (name, condition, (min, max)) in cases {
        let _ = writeln!(out, "(\"{name}\", {condition:?}, {min}, {max}),");
    }
    out.push_str("];\n");
    out
}

/// The range of a conditional annotation, which inherits what it does not say.
fn range_within(case: &Irql, outer: &Irql, facts: &Facts) -> Option<Range> {
    let inherited = Irql {
        max: case.max.clone().or_else(|| outer.max.clone()),
        min: case.min.clone().or_else(|| outer.min.clone()),
        requires: case.requires.clone().or_else(|| outer.requires.clone()),
        ..Irql::default()
    };
    range(&inherited, facts)
}

fn range(irql: &Irql, facts: &Facts) -> Option<Range> {
    if let Some(only) = &irql.requires {
        let only = level(only, facts)?;
        return Some((only, only));
    }
    match (&irql.min, &irql.max) {
        (None, None) => None,
        (min, max) => Some((
            min.as_ref().map_or(Some(0), |m| level(m, facts))?,
            max.as_ref().map_or(Some(HIGH_LEVEL), |m| level(m, facts))?,
        )),
    }
}

fn level(name: &str, facts: &Facts) -> Option<u8> {
    let (_, value, _) = facts.nt.constants.get(name)?.parts();
    u8::try_from(value).ok()
}
