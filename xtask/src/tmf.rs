//! The TMF files of a driver's WPP messages, beside its image: the image has no texts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use wpp_format::Package;

use crate::repository::{Repository, create_folder, write_if_changed};

/// Writes a TMF for each source file whose messages are in `image`, into `tmf/<package>` below `output`, and all of them as
/// `<package>.tmf`. What an earlier build has left there goes.
pub(crate) fn write(
    repository: &Repository,
    package: &str,
    image: &Path,
    output: &Path,
) -> Result<()> {
    let content = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let folder = output.join("tmf").join(package);
    let joined_path = output.join(format!("{package}.tmf"));
    let mut joined = String::new();
    let mut kept = Vec::new();
    for package in tracing_packages(repository)? {
        let is_in_image = |file: &&wpp_format::File| {
            let id = file.id.in_memory();
            content.windows(id.len()).any(|window| window == id)
        };
        let files: Vec<_> = package.files().iter().filter(is_in_image).collect();
        for file in &files {
            let path = folder.join(format!("{}.tmf", file.id));
            write_if_changed(&path, package.tmf(file))?;
            kept.push(path);
        }
        if !files.is_empty() {
            joined += &package.joined_tmf(files);
        }
    }
    forget(&folder, &kept)?;
    if joined.is_empty() {
        return remove(&joined_path);
    }
    write_if_changed(&joined_path, joined)
}

/// What the sources of each package say that has messages: a driver's may be in libraries.
fn tracing_packages(repository: &Repository) -> Result<Vec<Package>> {
    let mut found = Vec::new();
    for package in repository.packages() {
        let uses_wpp = package
            .dependencies
            .iter()
            .any(|dependency| dependency.name == "wpp");
        if !uses_wpp {
            continue;
        }
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest without a folder")?;
        let package = Package::read(&package.name, folder.as_std_path())?;
        if let Some(problem) = package.as_ref().and_then(Package::problem) {
            bail!("{problem}");
        }
        found.extend(package);
    }
    Ok(found)
}

/// Removes the TMFs of `folder` but for those that are `kept`.
fn forget(folder: &Path, kept: &[PathBuf]) -> Result<()> {
    if kept.is_empty() && !folder.exists() {
        return Ok(());
    }
    create_folder(folder)?;
    let refuse = || format!("cannot read folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(refuse)? {
        let path = entry.with_context(refuse)?.path();
        let is_tmf = path.extension().is_some_and(|extension| extension == "tmf");
        if is_tmf && !kept.contains(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
