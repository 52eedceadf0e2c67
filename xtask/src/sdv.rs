//! `cargo xtask sdv`: the table of docs/sdv.md, of every official rule and what holds it here.

mod evidence;
mod official;
mod table;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use self::{
    evidence::{collect_sources, tests_of, untruths},
    official::parse,
    table::{held, table},
};
use crate::{
    failure::Failed,
    output::say,
    repository::{Repository, write_if_changed},
    rules,
};

/// Microsoft's rules.
const OFFICIAL: &str = "lab/rules/official.toml";
/// Where the table stands, between these lines.
const DOCUMENT: &str = "docs/sdv.md";
const BEGIN: &str = "<!-- begin: made by cargo xtask sdv -->\n";
const END: &str = "<!-- end -->\n";
/// Where a driver's calls are wrapped.
const WRAPPERS: &str = "crates/ndis/src";
/// Where monitors have their tables of tests, and where the plays are that break rules.
const TABLES: &str = "lab/rules/src/family";
const PLAYS: &str = "tests/drivers/faulty/src";

/// Write the table of official rules in docs/sdv.md.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only say whether it is as it should be.
    #[arg(long, conflicts_with = "list")]
    check: bool,
    /// Print each rule with its tests: compile-fail tests, rows in the tables of monitors, plays of the faulty driver.
    #[arg(long)]
    list: bool,
}

/// Writes or checks the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let root = repository.root();
    if arguments.list {
        return list(root);
    }
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

/// Prints each rule that something holds, and the tests that show it.
fn list(root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join(OFFICIAL))
        .with_context(|| format!("cannot read {OFFICIAL}"))?;
    let holders = rules::holders(root)?;
    let (mut tables, mut plays) = (Vec::new(), Vec::new());
    collect_sources(&root.join(TABLES), &mut tables)?;
    collect_sources(&root.join(PLAYS), &mut plays)?;
    for rule in parse(&text).with_context(|| OFFICIAL.to_owned())? {
        let model = rule.model.to_uppercase();
        say!("{model} {}: {}", rule.name, held(&rule, &holders))?;
        for id in &rule.rules {
            for test in tests_of(id, &tables, &plays) {
                say!("    {id}: {test}")?;
            }
        }
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
    let mut sources = Vec::new();
    collect_sources(&root.join(WRAPPERS), &mut sources)?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{evidence::Source, *};
    use crate::rules::Holder;

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
        A = { page = \"a.md\", rules = [\"one\", \"two\"], cases = [\"c\"], verifier = \"DDI compliance\", stop = \"0xC4/0x1\" }
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

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn tests_are_rows_and_plays_with_the_rules_name() {
        let tables = [
            source("a.rs", "(\"one\", 1)"),
            source("b.rs", "(\"one-more\", 1)"),
        ];
        let plays = [source(
            "p.rs",
            "f(); // caught: first by one\ng(); // caught: other by one-more\nh(); // legal: last near one\n",
        )];
        let found = tests_of("one", &tables, &plays);
        assert_eq!(found, ["table in a.rs", "play first"]);
    }

    #[test]
    fn a_row_says_what_holds() {
        let table = table(&parse(GOOD).expect("rules"), &holders());
        for line in [
            "3 rules: 1 watched by the lab, 1 of them refused by types as well; 0 refused",
            "### NDIS: Locking",
            "devtest/a) | DDI compliance, 0xC4/0x1 | monitor `one`; type `c`; `two`: it cannot be seen |",
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
                "B (ndis): crates/ndis/src does have IoY, in x.rs",
            ),
            (", no = \"for miniports\"", "", "C (wdm): nothing is said"),
            (
                "no = \"for",
                "check = \"for",
                "no task does \"for miniports\"",
            ),
        ] {
            let rules = parse(&GOOD.replace(from, to)).expect("rules");
            let wrappers = [source("x.rs", "calls IoY")];
            let wrong = untruths(&rules, &holders(), &wrappers, |case| case == "c");
            assert!(
                matches!(&wrong[..], [one] if one.contains(what)),
                "{what}: {wrong:?}"
            );
        }
        assert!(parse(&GOOD.replace("uncalled", "uncaled")).is_err());
    }
}
