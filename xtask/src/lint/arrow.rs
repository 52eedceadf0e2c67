//! Dependencies between rooms, and of rooms on others' packages, against the table.

use anyhow::Result;

use super::{Finding, room};
use crate::repository::Repository;

pub(super) fn check(repository: &Repository) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in repository.packages() {
        let place = format!("{}/Cargo.toml", repository.folder_of(package));
        let place = place.trim_start_matches('/');
        let room = match room::of(package, repository) {
            Ok(room) => room,
            Err(error) => {
                findings.push(Finding::new(place, error.to_string()));
                continue;
            }
        };
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
        if package
            .publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
        {
            findings.push(Finding::new(place, "no `publish = false`"));
        }
    }
    Ok(findings)
}
