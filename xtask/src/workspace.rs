//! The workspace that a cross build runs in: the repository's own, with wdk-build patched.
//!
//! A patch on the command line would rewrite the committed lock on every build, and wdk-build's own `cargo metadata`
//! would write it back; and wdk-build takes the nearest Cargo.lock above its output for the workspace. So the build has a
//! workspace of its own under the target folder: the root manifest plus a patch, a lock that differs from the committed
//! one in wdk-build's source alone, and symbolic links to everything else.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::{
    header_kit,
    repository::{Repository, create_folder, write_if_changed},
    wdk_build_patch,
};

/// The package that is patched.
const PATCHED: &str = "wdk-build";

/// Top-level entries that the generated workspace must not see.
const NOT_LINKED: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "target",
    ".git",
    ".cargo",
    ".ci",
];

/// A generated workspace, held for one process while it exists.
pub(crate) struct Workspace {
    root: PathBuf,
    _lock: File,
}

impl Workspace {
    /// Brings the workspace below `cross` up to date; waits while another xtask has it.
    pub(crate) fn prepare(repository: &Repository, cross: &Path) -> Result<Self> {
        create_folder(cross)?;
        let root = cross.join("workspace");
        create_folder(&root)?;
        let lock_path = cross.join("lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("cannot create {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another build in {}", cross.display());
            lock.lock()
                .with_context(|| format!("cannot lock {}", lock_path.display()))?;
        }

        // Inside the workspace: Cargo names what lies in it by its path from there, so that the folder is not in the image.
        let patched = root.join(PATCHED);
        wdk_build_patch::write(&registry_source(repository)?, &patched)?;
        let manifest = read(&repository.root().join("Cargo.toml"))?;
        write_if_changed(
            &root.join("Cargo.toml"),
            patched_manifest(&manifest, &patched)?,
        )?;
        let lock_text = read(&repository.root().join("Cargo.lock"))?;
        write_if_changed(&root.join("Cargo.lock"), patched_lock(&lock_text)?)?;
        link_entries(repository.root(), &root)?;
        Ok(Self { root, _lock: lock })
    }

    /// The folder of the generated root manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The target folder of builds in this workspace: below the generated lock, where wdk-build looks for it.
    pub(crate) fn target_folder(&self) -> PathBuf {
        self.root.join("target")
    }
}

/// Where Cargo has unpacked the locked wdk-build.
fn registry_source(repository: &Repository) -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(repository.root().join("Cargo.toml"))
        .exec()
        .context("cargo metadata")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == PATCHED)
        .with_context(|| format!("{PATCHED} is no dependency of this workspace"))?;
    let folder = package
        .manifest_path
        .parent()
        .context("a manifest without a folder")?;
    Ok(folder.as_std_path().to_path_buf())
}

/// The root manifest with wdk-build taken from `patched`.
fn patched_manifest(text: &str, patched: &Path) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("Cargo.toml")?;
    let patch = document.entry("patch").or_insert_with(implicit_table);
    let registry = patch
        .as_table_mut()
        .context("[patch] is no table")?
        .entry("crates-io")
        .or_insert_with(implicit_table);
    let path = patched
        .to_str()
        .with_context(|| format!("{} is not UTF-8", patched.display()))?;
    registry[PATCHED]["path"] = value(path);
    Ok(document.to_string())
}

fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// The lock with wdk-build's source and checksum gone, as Cargo writes a package that is patched with a path.
fn patched_lock(text: &str) -> Result<String> {
    let name = format!("name = \"{PATCHED}\"");
    let mut is_patched = false;
    let mut found = 0;
    let mut result = String::with_capacity(text.len());
    for line in text.lines() {
        if line == "[[package]]" {
            is_patched = false;
        } else if line == name {
            is_patched = true;
            found += 1;
        }
        if is_patched && (line.starts_with("source = ") || line.starts_with("checksum = ")) {
            continue;
        }
        result.push_str(line);
        result.push('\n');
    }
    if found != 1 {
        bail!("Cargo.lock has {found} packages {PATCHED}, not one");
    }
    Ok(result)
}

/// Links the repository's top-level entries, and removes links to what is gone.
fn link_entries(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(to).with_context(|| format!("cannot read {}", to.display()))? {
        let entry = entry?;
        if entry.path().is_symlink() && !from.join(entry.file_name()).exists() {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| NOT_LINKED.contains(&name)) {
            header_kit::link(&entry.path(), &to.join(name))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_differs_in_the_source_of_wdk_build_only() {
        let committed = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
        let patched = patched_lock(&committed).unwrap();
        let removed: Vec<_> = difference(&committed, &patched);
        assert_eq!(removed.len(), 2, "{removed:?}");
        assert!(removed[0].starts_with("source = \"registry+"));
        assert!(removed[1].starts_with("checksum = "));
    }

    /// The lines of `long` that `short` lacks; every line of `short` must be in `long`, in order.
    fn difference<'a>(long: &'a str, short: &str) -> Vec<&'a str> {
        let mut short = short.lines().peekable();
        let removed = long
            .lines()
            .filter(|line| short.next_if_eq(line).is_none())
            .collect();
        assert_eq!(short.next(), None);
        removed
    }
}
