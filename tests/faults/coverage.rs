//! Which rules have a monitor, and in which family it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/rules")
}

/// The rules that a monitor watches, from `coverage.toml`.
///
/// # Panics
///
/// When it cannot be read.
pub(crate) fn monitors() -> BTreeSet<String> {
    let text = fs::read_to_string(rules().join("coverage.toml")).expect("coverage.toml");
    text.lines()
        .filter_map(|line| line.strip_suffix(" = \"monitor\""))
        .map(str::to_owned)
        .collect()
}

/// The monitored rules by family: the file whose monitor lists them, the first of several.
///
/// # Panics
///
/// When the source cannot be read, or lists no monitor for a rule.
pub(crate) fn families() -> BTreeMap<String, BTreeSet<String>> {
    let mut left = monitors();
    let mut families = BTreeMap::new();
    let folder = fs::read_dir(rules().join("src/family")).expect("the families");
    let mut paths: Vec<PathBuf> = folder
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    paths.sort();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source file");
        // Long lists are in files of their own.
        let watched = fs::read_to_string(path.with_extension("").join("watched.rs"));
        let of_family: BTreeSet<String> = constants(own_list(&text))
            .chain(constants(&watched.unwrap_or_default()))
            .filter(|rule| left.remove(rule))
            .collect();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if !of_family.is_empty() {
            families.insert(name.into_owned(), of_family);
        }
    }
    assert!(left.is_empty(), "in no family: {left:?}");
    families
}

/// The body of a monitor's `rules`.
fn own_list(text: &str) -> &str {
    let (_, after) = text.split_once("fn rules(&self)").unwrap_or_default();
    after
        .split_once("\n    }\n")
        .map_or(after, |(body, _)| body)
}

/// The rules in a list; a constant is named as its rule.
fn constants(list: &str) -> impl Iterator<Item = String> {
    list.split("&rule::").skip(1).map(|rest| {
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let name: String = rest.chars().take_while(is_name).collect();
        name.to_ascii_lowercase().replace('_', "-")
    })
}
