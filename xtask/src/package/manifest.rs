//! `manifest.json`: what is in a package, with hashes, and what of it can be made again.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::digest::sha256_hex;
use crate::failure::Failed;

/// The file's name.
pub(super) const NAME: &str = "manifest.json";

/// The whole file.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    /// As stamped into the INF.
    pub(super) driver_version: String,
    /// Of each file.
    pub(super) files: Vec<Entry>,
    /// SHA-256 of what is signed, before it is: the same for the same sources.
    pub(super) unsigned: Vec<Entry>,
}

/// A file.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: usize,
    pub(super) sha256: String,
}

impl Entry {
    /// Hashes the file `name` of `folder`.
    pub(super) fn of(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            bytes: bytes.len(),
            sha256: sha256_hex(&bytes),
        })
    }
}

impl Manifest {
    /// Reads the manifest of the package in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let text = fs::read(&path)
            .with_context(|| format!("{} is no package: cannot read {NAME}", folder.display()))?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Writes it into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails when a file is not what the manifest says.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        for entry in &self.files {
            if Entry::of(folder, &entry.name)?.sha256 != entry.sha256 {
                bail!(Failed(format!(
                    "{} is not the file that the manifest describes",
                    entry.name
                )));
            }
        }
        Ok(())
    }
}
