//! `cargo xtask sdv`: the table of docs/sdv.md, of every official rule and what holds it here.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, InlineTable, Value};

use crate::{
    failure::Failed,
    repository::{Repository, write_if_changed},
    rules::{self, Holder},
};

/// Microsoft's rules.
const OFFICIAL: &str = "lab/rules/official.toml";
/// Where the table stands, between these lines.
const DOCUMENT: &str = "docs/sdv.md";
const BEGIN: &str = "<!-- begin: made by cargo xtask sdv -->\n";
const END: &str = "<!-- end -->\n";
/// Where a driver's calls are wrapped.
const WRAPPERS: &str = "crates/ndis/src";
/// Tasks that a check may be one of.
const TASKS: &[&str] = &["check-image", "check-inf", "lint"];
const PAGES: &str = "https://learn.microsoft.com/windows-hardware/drivers/devtest/";

/// Write the table of official rules in docs/sdv.md.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only say whether it is as it should be.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let root = repository.root();
    let text = document(root)?;
    let path = root.join(DOCUMENT);
    if !arguments.check {
        return write_if_changed(&path, text);
    }
    let old = fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    if old != text {
        bail!(Failed(format!(
            "{DOCUMENT} is not up to date: run `cargo xtask sdv`"
        )));
    }
    Ok(())
}

/// The document with the table as it has to be; fails when what the table would say is not true.
fn document(root: &Path) -> Result<String> {
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"))
    };
    let rules = parse(&read(OFFICIAL)?).with_context(|| OFFICIAL.to_owned())?;
    let holders = rules::holders(root)?;
    let mut sources = String::new();
    append_sources(&root.join(WRAPPERS), &mut sources)?;
    let wrong = untruths(&rules, &holders, &sources, |case| {
        rules::case_path(root, case).exists()
    });
    if !wrong.is_empty() {
        bail!(Failed(format!("{OFFICIAL}: {}", wrong.join("; "))));
    }
    let old = read(DOCUMENT)?;
    let parts = old
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        parts.with_context(|| format!("{DOCUMENT} has no place for the table"))?;
    Ok(format!(
        "{before}{BEGIN}{}{END}{after}",
        table(&rules, &holders)
    ))
}

/// One of Microsoft's rules.
#[derive(Default)]
struct Official {
    /// `ndis` or `wdm`.
    model: String,
    set: String,
    name: String,
    page: String,
    /// The option of Driver Verifier that checks it.
    verifier: Option<String>,
    is_static: bool,
    /// Rules of the catalogue that say the same.
    rules: Vec<String>,
    /// Compile-fail tests.
    cases: Vec<String>,
    uncalled: Option<String>,
    check: Option<String>,
    no: Option<String>,
}

fn parse(text: &str) -> Result<Vec<Official>> {
    let document: DocumentMut = text.parse()?;
    let mut rules = Vec::new();
    for (model, sets) in document.iter() {
        let sets = sets.as_table().context("a model is a table")?;
        for (set, entries) in sets {
            let entries = entries.as_table().context("a rule set is a table")?;
            for (name, entry) in entries {
                let table = entry
                    .as_inline_table()
                    .with_context(|| format!("{name} is no inline table"))?;
                let mut rule = official(table).with_context(|| name.to_owned())?;
                (rule.model, rule.set, rule.name) = (model.into(), set.into(), name.into());
                rules.push(rule);
            }
        }
    }
    Ok(rules)
}

fn official(table: &InlineTable) -> Result<Official> {
    let mut rule = Official {
        is_static: true,
        ..Official::default()
    };
    for (key, value) in table {
        let text = || {
            let text = value.as_str().map(str::to_owned);
            text.with_context(|| format!("{key} is no string"))
        };
        match key {
            "page" => rule.page = text()?,
            "verifier" => rule.verifier = Some(text()?),
            "static" => rule.is_static = value.as_bool().context("static is true or false")?,
            "rules" => rule.rules = list(value)?,
            "cases" => rule.cases = list(value)?,
            "uncalled" => rule.uncalled = Some(text()?),
            "check" => rule.check = Some(text()?),
            "no" => rule.no = Some(text()?),
            _ => bail!("there is no key {key}"),
        }
    }
    Ok(rule)
}

fn list(value: &Value) -> Result<Vec<String>> {
    let entries = value.as_array().context("no list")?.iter();
    entries
        .map(|entry| entry.as_str().map(str::to_owned).context("no string"))
        .collect()
}

fn append_sources(folder: &Path, sources: &mut String) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            append_sources(&path, sources)?;
        } else {
            *sources += &fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
    }
    Ok(())
}

/// What the table would say and is not so.
fn untruths(
    rules: &[Official],
    holders: &BTreeMap<String, Holder>,
    wrappers: &str,
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
        if let Some(name) = rule
            .uncalled
            .as_ref()
            .filter(|name| wrappers.contains(*name))
        {
            note(format!("{WRAPPERS} does have {name}"));
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

/// The table, with its totals.
fn table(rules: &[Official], holders: &BTreeMap<String, Holder>) -> String {
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
        let verifier = rule.verifier.as_deref().unwrap_or("-");
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
         {} by a check; {} by nothing yet; {} for drivers that are no filters.\n{rows}",
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
fn held(rule: &Official, holders: &BTreeMap<String, Holder>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let old = fs::read_to_string(root.join(DOCUMENT)).expect("docs/sdv.md");
        let new = document(root).expect("a table");
        assert!(old == new, "run `cargo xtask sdv`");
    }

    #[test]
    fn every_page_is_named_once() {
        let text = include_str!("../../lab/rules/official.toml");
        let rules = parse(text).expect("rules");
        let mut pages: Vec<_> = rules.iter().map(|rule| rule.page.as_str()).collect();
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(pages.len(), rules.len());
        // As many as the pages of the rule sets link to.
        let of = |model| rules.iter().filter(|rule| rule.model == model).count();
        assert_eq!((of("ndis"), of("wdm")), (69, 169));
    }

    const GOOD: &str = "
        [ndis.Locking]
        A = { page = \"a.md\", rules = [\"one\", \"two\"], cases = [\"c\"], verifier = \"DDI compliance\" }
        B = { page = \"b.md\", uncalled = \"IoX\", static = false }
        [wdm.Other]
        C = { page = \"c.md\", no = \"for miniports\" }";

    fn holders() -> BTreeMap<String, Holder> {
        let holder = |kind: &str, detail: &str| Holder {
            kind: kind.to_owned(),
            detail: detail.to_owned(),
            is_open: false,
        };
        BTreeMap::from([
            ("one".to_owned(), holder("monitor", "")),
            ("two".to_owned(), holder("no", "it cannot be seen")),
        ])
    }

    #[test]
    fn a_row_says_what_holds() {
        let table = table(&parse(GOOD).expect("rules"), &holders());
        for line in [
            "3 rules: 1 watched by the lab, 1 of them refused by types as well; 0 refused",
            "### NDIS: Locking",
            "devtest/a) | DDI compliance | monitor `one`; type `c`; `two`: it cannot be seen |",
            "devtest/b) \\* | - | `ndis` has no call of `IoX` |",
            "devtest/c) | - | for miniports |",
        ] {
            assert!(table.contains(line), "{line}: {table}");
        }
    }

    #[test]
    fn what_is_not_so_is_found() {
        for (from, to, what) in [
            ("\"two\"", "\"three\"", "A (ndis): there is no rule three"),
            (
                "cases = [\"c\"]",
                "cases = [\"d\"]",
                "there is no compile-fail test d",
            ),
            (
                "\"IoX\"",
                "\"IoY\"",
                "B (ndis): crates/ndis/src does have IoY",
            ),
            (", no = \"for miniports\"", "", "C (wdm): nothing is said"),
            (
                "no = \"for",
                "check = \"for",
                "no task does \"for miniports\"",
            ),
        ] {
            let rules = parse(&GOOD.replace(from, to)).expect("rules");
            let wrong = untruths(&rules, &holders(), "calls IoY", |case| case == "c");
            assert!(
                matches!(&wrong[..], [one] if one.contains(what)),
                "{what}: {wrong:?}"
            );
        }
        assert!(parse(&GOOD.replace("uncalled", "uncaled")).is_err());
    }
}
