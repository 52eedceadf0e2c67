//! `docs/why.md` names tests, types and rules that are there; each failure has a type that excludes it, an end-to-end test
//! with its name, or a reason why it cannot happen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many rows each letter of the table has.
const ROWS: [(char, usize); 4] = [('S', 12), ('N', 29), ('X', 19), ('O', 13)];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the repository")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows: name, and what stands against the failure.
fn rows(page: &str) -> Vec<(&str, &str)> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (name, _) = (cells.next()?, cells.next()?);
            let has_number = name.get(1..)?.parse::<u32>().is_ok();
            let answer = cells.next()?.trim_end_matches(" |");
            has_number.then_some((name, answer))
        })
        .collect()
}

/// What stands behind `kind` in backticks.
fn named<'a>(answer: &'a str, kind: &str) -> Vec<&'a str> {
    let start = format!("{kind} `");
    answer
        .split(start.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once('`').map(|(name, _)| name))
        .collect()
}

#[test]
fn every_failure_has_one_row() {
    let page = read("docs/why.md");
    let names: Vec<&str> = rows(&page).into_iter().map(|(name, _)| name).collect();
    let expected: Vec<String> = ROWS
        .iter()
        .flat_map(|(letter, rows)| (1..=*rows).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn every_test_of_a_failure_stands_in_its_row() {
    let (page, tests) = (read("docs/why.md"), read("tests/pitfall.rs"));
    let rows = rows(&page);
    let names = tests.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("fn ")?.split_once('(')?;
        (rest == ") {").then_some(name)
    });
    for name in names {
        let (row, _) = name.split_once('_').unwrap_or((name, ""));
        let row = row.to_uppercase();
        let is_named = |(of, answer): &(&str, &str)| {
            *of == row
                && named(answer, "test").contains(&format!("tests/pitfall.rs::{name}").as_str())
        };
        assert!(rows.iter().any(is_named), "{name} is in no row");
    }
}

#[test]
fn something_stands_against_each_and_is_there() {
    let page = read("docs/why.md");
    let coverage = read("lab/rules/coverage.toml");
    let monitored: BTreeSet<&str> = coverage
        .lines()
        .filter_map(|line| line.strip_suffix(" = \"monitor\""))
        .collect();
    let mut wrong = Vec::new();
    for (row, answer) in rows(&page) {
        let (types, tests, rules) = (
            named(answer, "type"),
            named(answer, "test"),
            named(answer, "rule"),
        );
        let own = format!("::{}_", row.to_lowercase());
        let is_own = |test: &&str| test.starts_with("tests/") && test.contains(&own);
        if types.is_empty() && !tests.iter().any(is_own) && !answer.starts_with("no: ") {
            wrong.push(format!(
                "{row}: no type, no test with its name, and no reason"
            ));
        }
        for case in types {
            let path = format!("crates/ndis/tests/compile_fail/{case}.rs");
            if !repository().join(&path).is_file() {
                wrong.push(format!("{row}: there is no {path}"));
            }
        }
        for rule in rules {
            if !monitored.contains(rule) {
                wrong.push(format!("{row}: no monitor watches {rule}"));
            }
        }
        for test in tests {
            let (path, function) = test.split_once("::").unwrap_or((test, ""));
            let is_there = fs::read_to_string(repository().join(path)).is_ok_and(|text| {
                function.is_empty() || text.contains(&format!("fn {function}()"))
            });
            if !is_there {
                wrong.push(format!("{row}: there is no test {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
