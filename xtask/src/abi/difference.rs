//! Two tables, fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a comparison gives.
pub(super) struct Comparison {
    /// How many facts the first table has.
    pub(super) facts: usize,
    /// How many declarations it has.
    pub(super) declarations: usize,
    /// How many of them the second one lacks.
    pub(super) missing: usize,
    /// A line for each that differs.
    pub(super) differences: Vec<String>,
}

/// Compares what is known with what the headers say now.
pub(super) fn compare(known: &Value, now: &Value) -> Comparison {
    let (old, new) = (flatten(known), flatten(now));
    let mut differences = Vec::new();
    let mut missing: Option<&str> = None;
    let mut gone = 0;
    for (path, value) in &old {
        // A declaration that is not there at all is one line, not one for each of its facts.
        if missing.is_some_and(|name| name.ends_with('.') && path.starts_with(name)) {
            continue;
        }
        missing = declaration(path).filter(|name| !holds(now, name));
        if let Some(name) = missing {
            gone += 1;
            differences.push(format!(
                "{}: not in the headers",
                name.trim_end_matches('.')
            ));
        } else if new.get(path) != Some(value) {
            differences.push(line(path, Some(value), new.get(path)));
        }
    }
    let more = new.iter().filter(|(path, _)| !old.contains_key(*path));
    differences.extend(more.map(|(path, value)| line(path, None, Some(value))));
    let declarations: BTreeSet<_> = old.keys().filter_map(|path| declaration(path)).collect();
    Comparison {
        facts: old.len(),
        declarations: declarations.len(),
        missing: gone,
        differences,
    }
}

fn line(path: &str, known: Option<&Value>, now: Option<&Value>) -> String {
    let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    format!("{path}: abi {}, headers {}", show(known), show(now))
}

/// `structs.NAME.` of a path below it.
fn declaration(path: &str) -> Option<&str> {
    let (kind, rest) = path.split_once('.')?;
    let name = rest.split('.').next()?;
    path.get(..kind.len() + name.len() + 2).or(Some(path))
}

/// Whether a table has the declaration `kind.name.`.
fn holds(table: &Value, declaration: &str) -> bool {
    let mut parts = declaration.trim_end_matches('.').splitn(2, '.');
    let kind = parts.next().and_then(|kind| table.get(kind));
    let name = parts.next();
    kind.zip(name)
        .is_some_and(|(kind, name)| kind.get(name).is_some())
}

/// Each fact by its path.
fn flatten(table: &Value) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    collect("", table, &mut facts);
    facts
}

fn collect(path: &str, value: &Value, facts: &mut BTreeMap<String, Value>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                collect(&below(name), value, facts);
            }
        }
        Value::Array(fields) if path.ends_with(".fields") => {
            for field in fields {
                let name = field.get("name").and_then(Value::as_str).unwrap_or("?");
                // Members of unnamed records may share a name.
                let mut place = below(name);
                while facts.contains_key(&format!("{place}.name")) {
                    place.push('\'');
                }
                collect(&place, field, facts);
            }
        }
        // In which order they are declared is no fact.
        Value::Array(names) if path.ends_with(".aliases") => {
            let mut names = names.clone();
            names.sort_by_key(Value::to_string);
            facts.insert(path.to_owned(), Value::Array(names));
        }
        Value::Array(entries) if path.contains(".irql.") => {
            for (index, entry) in entries.iter().enumerate() {
                collect(&below(&index.to_string()), entry, facts);
            }
        }
        // Nor are blanks in a condition.
        Value::String(text) if path.contains(".irql.") => {
            let text: String = text.split_whitespace().collect();
            facts.insert(path.to_owned(), Value::String(text));
        }
        _ => {
            facts.insert(path.to_owned(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Value {
        json!({
            "structs": {"X": {"size": 8, "aliases": ["B", "A"], "fields": [
                {"name": "a", "offset": 0}, {"name": "a", "offset": 4}]}},
            "constants": {"ONE": ["i32", 1], "ONE_MORE": ["i32", 2]},
            "functions": {"F": {"ret": "void", "irql": {"when": [{"if": "a==0", "max": "APC_LEVEL"}]}}},
        })
    }

    fn differences(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut now = table();
        change(&mut now);
        compare(&table(), &now).differences
    }

    #[test]
    fn order_of_aliases_and_blanks_are_no_difference() {
        let found = differences(|now| {
            now["structs"]["X"]["aliases"] = json!(["A", "B"]);
            now["functions"]["F"]["irql"]["when"][0]["if"] = json!("a == 0");
        });
        assert_eq!(found, [""; 0]);
        assert_eq!(compare(&table(), &table()).facts, 11);
    }

    #[test]
    fn each_fact_that_differs_is_a_line() {
        let found = differences(|now| {
            now["structs"]["X"]["fields"][1]["offset"] = json!(6);
            now["constants"]["ONE"][1] = json!(2);
            now["functions"]["F"]["irql"]["max"] = json!("HIGH_LEVEL");
        });
        let lines = [
            "constants.ONE: abi [\"i32\",1], headers [\"i32\",2]",
            "structs.X.fields.a'.offset: abi 4, headers 6",
            "functions.F.irql.max: abi nothing, headers \"HIGH_LEVEL\"",
        ];
        assert_eq!(found, lines);
    }

    #[test]
    fn what_is_gone_is_one_line() {
        let empty = |now: &mut Value| {
            now["structs"] = json!({});
            now["constants"] = json!({});
        };
        let mut now = table();
        empty(&mut now);
        let comparison = compare(&table(), &now);
        assert_eq!((comparison.declarations, comparison.missing), (4, 3));
        let found = differences(empty);
        let lines = [
            "constants.ONE: not in the headers",
            "constants.ONE_MORE: not in the headers",
            "structs.X: not in the headers",
        ];
        assert_eq!(found, lines);
    }
}
