//! `Makefile.toml`: the tasks that are promised are there, and every script is somebody's.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use toml_edit::{DocumentMut, Item};

use super::files;

/// What a driver engineer finds.
const PROMISED: &[&str] = &[
    "bind",
    "build",
    "clean",
    "install",
    "package",
    "sdv",
    "trace-decode",
    "trace-start",
    "trace-stop",
    "unbind",
    "uninstall",
    "verifier-faults",
    "verifier-off",
    "verifier-on",
    "verifier-status",
];

/// Lists what is wrong with the makefile of the repository at `root`.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let path = root.join("Makefile.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let document: DocumentMut = text.parse().context("Makefile.toml")?;
    let tasks = document.get("tasks").and_then(Item::as_table_like);
    let tasks = tasks.context("Makefile.toml has no [tasks]")?;
    let mut wrong = Vec::new();
    for name in PROMISED {
        let description = tasks.get(name).and_then(|task| task.get("description"));
        if description.is_none() {
            wrong.push(format!("Makefile.toml: no task {name} with a description"));
        }
    }
    let mut users = text.clone();
    for workflow in files(&root.join(".github/workflows"), &["yml"])? {
        users += &fs::read_to_string(workflow)?;
    }
    let scripts = files(&root.join("scripts"), &["ps1"])?;
    let names: Vec<_> = scripts
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    for name in &names {
        if !users.contains(&format!("scripts/{name}")) {
            wrong.push(format!("scripts/{name}: no task and no workflow runs it"));
        }
    }
    for word in users.split(['"', ' ', '\n']) {
        if let Some(name) = word.strip_prefix("scripts/")
            && !names.iter().any(|known| known == name)
        {
            wrong.push(format!("{word} is run, and is not there"));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_and_script_is_there() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        assert_eq!(check(root).expect("a makefile"), Vec::<String>::new());
    }
}
