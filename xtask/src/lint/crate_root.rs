//! What the root file of each crate has to say: no unsafe code outside the opted-in rooms, no panic in the kernel.

use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::{Package, Target};

use super::{Finding, room};
use crate::repository::Repository;

/// The lints that a kernel crate denies.
const KERNEL_LINTS: &[&str] = &[
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
];

pub(super) fn check(repository: &Repository) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in repository.packages() {
        // A package without a room is a finding of the arrow check.
        let Ok(room) = room::of(package, repository) else {
            continue;
        };
        for target in package
            .targets
            .iter()
            .filter(|target| !target.is_custom_build())
        {
            let text = fs::read_to_string(&target.src_path)
                .with_context(|| format!("cannot read {}", target.src_path))?;
            let path = target.src_path.as_std_path();
            let place = path
                .strip_prefix(repository.root())
                .unwrap_or(path)
                .display()
                .to_string();
            for what in missing(&text, package, target, room) {
                findings.push(Finding::new(&place, what));
            }
        }
    }
    Ok(findings)
}

fn missing(text: &str, package: &Package, target: &Target, room: &room::Room) -> Vec<String> {
    let mut missing = Vec::new();
    let is_library = target.is_lib() || target.is_cdylib();
    if !room.has_unsafe && is_library | target.is_bin() && !text.contains("#![forbid(unsafe_code)]")
    {
        missing.push("no `#![forbid(unsafe_code)]`".to_owned());
    }
    if !room.kernel || !is_library {
        return missing;
    }
    if !text.contains("#![no_std]") {
        missing.push("no `#![no_std]` in a kernel crate".to_owned());
    }
    // The raw drivers of the tests misbehave on request, and theirs is the panic handler.
    let manifest = package.manifest_path.as_str().replace('\\', "/");
    if !manifest.contains("/tests/drivers/") {
        let lints = KERNEL_LINTS.iter().filter(|lint| !text.contains(*lint));
        missing.extend(lints.map(|lint| format!("`{lint}` is not denied in a kernel crate")));
    }
    missing
}
