//! A copy of wdk-build that compiles on hosts other than Windows.
//!
//! The registry's own source, with three places edited: the environment setters, which end in `compile_error!` off
//! Windows; the two symbolic links of the cargo-make support; and the registry reads, whose crate `windows` does not
//! compile off Windows and becomes a dependency of Windows only. Each edit must find its place, so a new wdk-build that
//! looks different is refused rather than half patched.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::repository::{create_folder, write_if_changed};

/// Copies the package at `source` to `destination` and edits the copy.
pub(crate) fn write(source: &Path, destination: &Path) -> Result<()> {
    copy(source, destination, Path::new(""))
}

fn copy(source: &Path, destination: &Path, below: &Path) -> Result<()> {
    let folder = source.join(below);
    create_folder(&destination.join(below))?;
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(source, destination, &path)?;
            continue;
        }
        // Cargo would take the package's own lock for that of the workspace above it.
        if matches!(
            path.to_str(),
            Some("Cargo.lock" | "Cargo.toml.orig" | ".cargo-ok")
        ) {
            continue;
        }
        let bytes = fs::read(entry.path())?;
        let bytes = match path.to_str() {
            Some("Cargo.toml") => manifest(&text(bytes)?)?.into_bytes(),
            Some("src/utils.rs") => utilities(&text(bytes)?)?.into_bytes(),
            Some("src/cargo_make.rs") => cargo_make(&text(bytes)?)?.into_bytes(),
            _ => bytes,
        };
        write_if_changed(&destination.join(&path), bytes)?;
    }
    Ok(())
}

fn text(bytes: Vec<u8>) -> Result<String> {
    // The registry's archive may have been packed on Windows.
    Ok(String::from_utf8(bytes)?.replace("\r\n", "\n"))
}

/// `windows` for Windows hosts only: the lock does not change, because it lists every host's dependencies.
fn manifest(text: &str) -> Result<String> {
    replace(
        text,
        "[dependencies.windows]",
        "[target.'cfg(windows)'.dependencies.windows]",
        1,
    )
}

fn utilities(text: &str) -> Result<String> {
    let text = replace(text, "use windows::{", "#[cfg(windows)]\nuse windows::{", 1)?;
    let text = replace(&text, "    ffi::{CStr, OsStr},", "    ffi::OsStr,", 1)?;
    let text = replace(
        &text,
        "    // Check HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows Kits",
        "    #[cfg(windows)]\n    // Check HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows Kits",
        1,
    )?;
    let text = replace(
        &text,
        "    // Check HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node",
        "    #[cfg(windows)]\n    // Check HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node",
        1,
    )?;
    let text = replace(
        &text,
        "fn read_registry_key_string_value(",
        "#[cfg(windows)]\nuse std::ffi::CStr;\n#[cfg(windows)]\nfn read_registry_key_string_value(",
        1,
    )?;
    // A build script sets no variable; the cargo-make support that does is for Windows.
    replace_between(
        &text,
        "    compile_error!(",
        "    );\n",
        "    unreachable!(\"for Windows hosts only\");\n",
        2,
    )
}

fn cargo_make(text: &str) -> Result<String> {
    replace(
        text,
        "std::os::windows::fs::symlink_file(",
        "std::fs::hard_link(",
        2,
    )
}

fn replace(text: &str, from: &str, to: &str, times: usize) -> Result<String> {
    let found = text.matches(from).count();
    if found != times {
        bail!(
            "wdk-build has changed: `{}` is there {found} times, not {times}",
            from.trim()
        );
    }
    Ok(text.replace(from, to))
}

fn replace_between(text: &str, start: &str, end: &str, to: &str, times: usize) -> Result<String> {
    let mut pieces = text.split(start);
    let mut result = pieces.next().unwrap_or_default().to_owned();
    let mut found = 0;
    for piece in pieces {
        let (_, rest) = piece
            .split_once(end)
            .context("wdk-build has changed: no end of a statement")?;
        result.push_str(to);
        result.push_str(rest);
        found += 1;
    }
    if found != times {
        bail!(
            "wdk-build has changed: `{}` is there {found} times, not {times}",
            start.trim()
        );
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edit_finds_its_place_or_is_refused() {
        let text = "a {\n    compile_error!(\n        \"no\"\n    );\n}\n";
        let edited =
            replace_between(text, "    compile_error!(", "    );\n", "    x\n", 1).unwrap();
        assert_eq!(edited, "a {\n    x\n}\n");
        assert!(replace_between(text, "    compile_error!(", "    );\n", "", 2).is_err());
        assert!(replace("abc", "x", "y", 1).is_err());
        assert!(utilities("something else").is_err());
        assert!(manifest("[dependencies]\n").is_err());
    }

    #[test]
    fn only_the_platform_of_windows_changes_in_the_manifest() {
        let text = "[dependencies.windows]\nversion = \"0.62.2\"\n";
        let edited = manifest(text).unwrap();
        assert!(edited.starts_with("[target.'cfg(windows)'.dependencies.windows]\nversion"));
    }
}
