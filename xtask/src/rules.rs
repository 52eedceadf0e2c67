//! `cargo xtask rules`: what holds each documented rule, and the totals.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use toml_edit::DocumentMut;

use crate::{failure::Failed, output::say, program, repository::Repository};

/// Where it is written down.
const COVERAGE: &str = "lab/rules/coverage.toml";
/// Where compile-fail tests lie.
const CASES: &str = "crates/ndis/tests/compile_fail";
/// The kinds in the order of the totals.
const KINDS: [&str; 5] = ["monitor", "type", "lint", "inf", "no"];

/// Print what holds each documented rule: a monitor, a type, a lint, the INF check, or nothing.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the rules that this holds: monitor, type, lint, inf, no, or open (a type whose test is still to come).
    #[arg(long)]
    only: Option<String>,
    /// Only the totals.
    #[arg(long)]
    totals: bool,
}

/// A rule as the catalogue has it.
struct Rule {
    id: String,
    severity: String,
    strength: String,
    is_watched: bool,
}

/// What holds a rule, and its name or reason.
pub(crate) struct Holder {
    /// One of `KINDS`.
    pub(crate) kind: String,
    pub(crate) detail: String,
    /// The test is still to come.
    pub(crate) is_open: bool,
}

/// Prints the table; fails when it and the code do not agree.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let holders = holders(repository.root())?;
    let rules = catalogue(repository.root())?;
    if let Some(only) = &arguments.only
        && !KINDS.contains(&only.as_str())
        && only != "open"
    {
        bail!("--only {only}: there is no such kind");
    }
    let mut totals: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut disagreements = Vec::new();
    for rule in &rules {
        let Some(holder) = holders.get(&rule.id) else {
            disagreements.push(format!("{}: no line in {COVERAGE}", rule.id));
            continue;
        };
        if rule.is_watched != (holder.kind == "monitor") {
            disagreements.push(format!("{}: {}, says {COVERAGE}", rule.id, holder.kind));
        }
        let is_must = usize::from(rule.strength == "must");
        let counted = if holder.is_open { "open" } else { &holder.kind };
        let total = totals.entry(counted).or_default();
        (total.0, total.1) = (total.0 + 1, total.1 + is_must);
        let is_wanted = arguments
            .only
            .as_ref()
            .is_none_or(|only| only == &holder.kind || only == counted);
        if is_wanted && !arguments.totals {
            let open = if holder.is_open { " (open)" } else { "" };
            let line = format!(
                "{:<36} {:<8} {:<8} {:<11} {}{open}",
                rule.id, holder.kind, rule.strength, rule.severity, holder.detail
            );
            say!("{}", line.trim_end())?;
        }
    }
    let known: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    let strangers = holders.keys().filter(|id| !known.contains(id.as_str()));
    disagreements.extend(strangers.map(|id| format!("{id}: no such rule")));
    let of = |kind| totals.get(kind).copied().unwrap_or_default();
    say!(
        "{} rules: {} monitor, {} type ({} more open), {} lint, {} inf, {} no ({} of them must)",
        rules.len(),
        of("monitor").0,
        of("type").0,
        of("open").0,
        of("lint").0,
        of("inf").0,
        of("no").0,
        of("no").1
    )?;
    if disagreements.is_empty() {
        return Ok(());
    }
    for disagreement in &disagreements {
        eprintln!("{disagreement}");
    }
    bail!(Failed(format!("{COVERAGE} and the code do not agree")))
}

/// Reads what holds each rule.
pub(crate) fn holders(root: &Path) -> Result<BTreeMap<String, Holder>> {
    let path = root.join(COVERAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {COVERAGE}"))?;
    let document: DocumentMut = text.parse().with_context(|| COVERAGE.to_owned())?;
    let mut holders = BTreeMap::new();
    for (id, item) in document.iter() {
        let value = item
            .as_str()
            .with_context(|| format!("{COVERAGE}: {id} is no string"))?;
        let (kind, detail) = value.split_once(": ").unwrap_or((value, ""));
        if !KINDS.contains(&kind) {
            bail!("{COVERAGE}: {id} = {value:?}: there is no kind {kind:?}");
        }
        let is_open = kind == "type" && !case_path(root, detail).exists();
        let holder = Holder {
            kind: kind.to_owned(),
            detail: detail.to_owned(),
            is_open,
        };
        holders.insert(id.to_owned(), holder);
    }
    Ok(holders)
}

/// The file of a compile-fail test.
pub(crate) fn case_path(root: &Path, case: &str) -> PathBuf {
    root.join(CASES).join(format!("{case}.rs"))
}

/// Asks the lab's own program for its rules. Those that only the lab has stand on no page.
fn catalogue(root: &Path) -> Result<Vec<Rule>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["run", "--quiet", "--package", "lab-rules"])
        .args(["--example", "catalogue"]);
    let text = program::run(&mut command)?;
    let mut rules = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, severity, strength, watched, ..] = fields.as_slice() else {
            bail!("the catalogue's line {line:?} has too few fields");
        };
        if !id.starts_with("lab-") {
            rules.push(Rule {
                id: (*id).to_owned(),
                severity: (*severity).to_owned(),
                strength: (*strength).to_owned(),
                is_watched: *watched == "monitor",
            });
        }
    }
    Ok(rules)
}
