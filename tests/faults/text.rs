//! Reports speak to driver engineers: nothing in them is written as the lab's own source is.

use std::fs;
use std::path::Path;

use lab_cli::summary::Finding;

/// What derived `Debug` texts have and sentences have not.
const FORMS: &[&str] = &["Some(", "Ok(", "Err(", "None", " { ", " }"];

/// Whether a finding has such a text among its words.
pub(crate) fn shows_program(finding: &Finding) -> bool {
    // Functions, which have colons in their names, are told of a block's history alone.
    let happened = finding.happened.split("; it was allocated by ").next();
    let happened = happened.unwrap_or_default();
    let objects = finding.objects.iter().flat_map(|object| {
        let steps = object.steps.iter().map(|step| &step.what);
        steps.chain([&object.kind, &object.holder])
    });
    let mut lines = finding.history.iter().chain(objects);
    let is_program = |line: &str| line.contains("::") || FORMS.iter().any(|it| line.contains(it));
    is_program(happened)
        || is_program(&finding.context)
        || finding.consequence.as_deref().is_some_and(is_program)
        || lines.any(|line| is_program(line))
}

/// A derived text may be one word, which looks like any other: no sentence is made with one.
#[test]
fn no_sentence_is_made_of_debug_texts() {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab");
    for folder in ["rules/src/event", "rules/src/family", "kernel/src/watch"] {
        look_into(&lab.join(folder));
    }
}

fn look_into(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() {
            look_into(&path);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        // What tests say, no report does.
        let shipped = text.split("#[cfg(test)]\nmod tests {").next();
        let is_test = path
            .iter()
            .any(|part| part == "tests" || part == "tests.rs");
        let is_plain = is_test || !shipped.unwrap_or_default().contains(":?}");
        assert!(is_plain, "a debug text in {}", path.display());
    }
}
