//! Dependencies between rooms, and of rooms on others' packages, against the table.

use anyhow::{Context, Result};
use cargo_metadata::{MetadataCommand, Package};

use super::{Finding, git, room};
use crate::repository::Repository;

pub(super) fn check(repository: &Repository) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in repository.packages() {
        findings.extend(of_package(&repository.folder_of(package), package));
    }
    for folder in strangers(repository)? {
        let metadata = MetadataCommand::new()
            .manifest_path(repository.root().join(&folder).join("Cargo.toml"))
            .no_deps()
            .exec()
            .with_context(|| format!("cargo metadata of {folder}"))?;
        for package in metadata.workspace_packages() {
            findings.extend(of_package(&folder, package));
        }
    }
    Ok(findings)
}

/// Folders of manifests that are no members of the workspace: workspaces of their own.
fn strangers(repository: &Repository) -> Result<Vec<String>> {
    let listing = git(repository.root(), &["ls-files", "-z", "*Cargo.toml"])?;
    let members: Vec<_> = repository
        .packages()
        .map(|package| repository.folder_of(package))
        .collect();
    let text = String::from_utf8_lossy(&listing);
    let folders = text
        .split_terminator('\0')
        .filter(|name| repository.root().join(name).is_file())
        .map(|name| name.trim_end_matches("Cargo.toml").trim_end_matches('/'));
    Ok(folders
        .filter(|folder| !members.iter().any(|member| member == folder))
        .map(str::to_owned)
        .collect())
}

fn of_package(folder: &str, package: &Package) -> Vec<Finding> {
    let place = format!("{folder}/Cargo.toml");
    let place = place.trim_start_matches('/');
    let Some(room) = room::in_folder(folder) else {
        let what = format!(
            "package `{}` is in no room of xtask/src/lint/room.rs",
            package.name
        );
        return vec![Finding::new(place, what)];
    };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        let (allowed, whose) = match dependency.path {
            Some(_) => (room.ours, "ours"),
            None => (room.others, "others"),
        };
        if !allowed.contains(&name) {
            let what = format!("`{}` must not depend on `{name}` ({whose})", package.name);
            findings.push(Finding::new(place, what));
        }
    }
    let registries = package.publish.as_ref();
    if registries.is_none_or(|registries| !registries.is_empty()) {
        findings.push(Finding::new(place, "no `publish = false`"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found about a package in `folder` with these dependencies: name, and whether it is one of ours.
    fn findings(folder: &str, dependencies: &[(&str, bool)]) -> Vec<String> {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, is_ours)| {
                let mut dependency = serde_json::json!({
                    "name": name, "req": "*", "kind": null, "optional": false,
                    "uses_default_features": true, "features": [],
                });
                if *is_ours {
                    dependency["path"] = format!("/repository/{name}").into();
                }
                dependency
            })
            .collect();
        let package = serde_json::from_value(serde_json::json!({
            "name": "x", "version": "0.1.0", "id": "x", "dependencies": dependencies,
            "targets": [], "features": {}, "manifest_path": "/repository/x/Cargo.toml", "publish": [],
        }));
        let found = of_package(folder, &package.expect("a package")).into_iter();
        found
            .map(|finding| format!("{}: {}", finding.place, finding.what))
            .collect()
    }

    #[test]
    fn arrows_of_the_design_are_allowed() {
        assert_eq!(
            findings("fuzz", &[("inspect", true), ("libfuzzer-sys", false)]),
            [""; 0]
        );
        assert_eq!(
            findings("", &[("ndis", true), ("wdk-build", false)]),
            [""; 0]
        );
    }

    #[test]
    fn other_arrows_are_found() {
        for (folder, dependency, what) in [
            (
                "fuzz",
                ("lab-kernel", true),
                "must not depend on `lab-kernel` (ours)",
            ),
            (
                "fuzz",
                ("libc", false),
                "fuzz/Cargo.toml: `x` must not depend on `libc` (others)",
            ),
            // One of ours by name, from a registry.
            (
                "fuzz",
                ("inspect", false),
                "must not depend on `inspect` (others)",
            ),
            (
                "lab/rules",
                ("ndis", true),
                "lab/rules/Cargo.toml: `x` must not depend on `ndis`",
            ),
            ("elsewhere", ("inspect", true), "package `x` is in no room"),
        ] {
            let found = findings(folder, &[dependency]);
            assert!(
                matches!(&found[..], [one] if one.contains(what)),
                "{what}: {found:?}"
            );
        }
    }
}
