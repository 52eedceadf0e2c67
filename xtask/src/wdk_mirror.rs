//! A WDK on a case-sensitive file system: a folder of symbolic links under the names that its headers use.
//!
//! The headers include each other in other letter cases than the files have, about 110 times, and libraries are asked for
//! in wdk-build's spelling. Nothing is written into the WDK itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{architecture::Architecture, header_kit::link, repository::create_folder};

/// The libraries that a driver's link asks for, as wdk-build spells them.
const LIBRARIES: &[&str] = &[
    "BufferOverflowFastFailK",
    "ntoskrnl",
    "hal",
    "wmilib",
    "ndis",
    "fwpkclnt",
    "arm64rt",
];

/// Folders below `Include/<version>` that are searched for headers.
const SEARCHED: &[&str] = &["km/crt", "km", "shared"];

/// Lays links to the WDK at `wdk` out in `kit` and returns the version whose headers they are.
pub(crate) fn lay_out(wdk: &Path, kit: &Path, architecture: Architecture) -> Result<String> {
    let version = version(wdk)?;
    let include = wdk.join("Include").join(&version);
    let mirror = kit.join("Include").join(&version);
    let mut files = BTreeMap::new();
    for folder in ["km", "shared"] {
        collect(&include, Path::new(folder), &mut files)?;
    }
    for path in files.values() {
        link_below(&include, path, &mirror, path)?;
    }
    for (alias, path) in aliases(&include, &files) {
        link_below(&include, &path, &mirror, &alias)?;
    }

    let libraries = Path::new("Lib")
        .join(&version)
        .join("km")
        .join(architecture.library_folder());
    let folder = kit.join(&libraries);
    create_folder(&folder)?;
    for name in LIBRARIES {
        let name = format!("{name}.lib");
        if let Some(found) = find_ignoring_case(&wdk.join(&libraries), &name) {
            link(&found, &folder.join(name))?;
        }
    }
    Ok(version)
}

/// The version to use: `Version_Number`, as an eWDK sets it, else the newest with kernel-mode headers.
fn version(wdk: &Path) -> Result<String> {
    let include = wdk.join("Include");
    if let Some(version) = env::var("Version_Number")
        .ok()
        .filter(|version| include.join(version).join("km").is_dir())
    {
        return Ok(version);
    }
    let entries = fs::read_dir(&include)
        .with_context(|| format!("WDKContentRoot: cannot read {}", include.display()))?;
    let newest = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("10.") && include.join(name).join("km").is_dir())
        .max_by_key(|name| {
            name.split('.')
                .map(|part| part.parse().unwrap_or(0_u32))
                .collect::<Vec<_>>()
        });
    match newest {
        Some(version) => Ok(version),
        None => bail!("WDKContentRoot: no folder 10.*/km in {}", include.display()),
    }
}

/// Lists the files below `folder`, by their lower-case path.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let path = root.join(folder);
    let entries = fs::read_dir(&path)
        .with_context(|| format!("WDKContentRoot: cannot read {}", path.display()))?;
    for entry in entries {
        let entry = entry?;
        let below = folder.join(entry.file_name());
        if entry.path().is_dir() {
            collect(root, &below, files)?;
        } else if let Some(name) = below.to_str() {
            files.insert(name.to_lowercase(), below);
        }
    }
    Ok(())
}

/// The names by which headers include files that are spelled otherwise, and those files.
fn aliases(include: &Path, files: &BTreeMap<String, PathBuf>) -> BTreeSet<(PathBuf, PathBuf)> {
    let mut aliases = BTreeSet::new();
    for header in files.values() {
        let Ok(bytes) = fs::read(include.join(header)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        let folder = header.parent().unwrap_or(Path::new(""));
        for name in text.lines().filter_map(included) {
            let name = name.replace('\\', "/");
            for base in SEARCHED.iter().map(Path::new).chain([folder]) {
                let wanted = base.join(&name);
                let Some(lower) = wanted.to_str().map(str::to_lowercase) else {
                    continue;
                };
                if let Some(found) = files.get(&lower).filter(|found| **found != wanted) {
                    aliases.insert((wanted, found.clone()));
                }
            }
        }
    }
    aliases
}

/// The name in an `#include` line.
fn included(line: &str) -> Option<&str> {
    let rest = line
        .trim_start()
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("include")?
        .trim_start();
    let rest = rest.strip_prefix(['"', '<'])?;
    Some(&rest[..rest.find(['"', '>'])?])
}

fn link_below(from: &Path, path: &Path, to: &Path, alias: &Path) -> Result<()> {
    let destination = to.join(alias);
    if let Some(parent) = destination.parent() {
        create_folder(parent)?;
    }
    link(&from.join(path), &destination)
}

fn find_ignoring_case(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|found| found.eq_ignore_ascii_case(name))
        })
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_include_line_names_a_file() {
        assert_eq!(included("#include <ntddk.h>"), Some("ntddk.h"));
        assert_eq!(
            included("  # include \"ndis\\nbl.h\" // why"),
            Some("ndis\\nbl.h")
        );
        assert_eq!(included("#define include <x>"), None);
        assert_eq!(included("#include NAME"), None);
    }
}
