//! `manifest.json`: what is in a package, with hashes, and what of it can be made again.

use std::{collections::BTreeSet, fs, path::Path};

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
        let manifest: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        if !is_plain(&manifest.name) {
            bail!(
                "{}: \"{}\" is no driver's name",
                path.display(),
                manifest.name
            );
        }
        Ok(manifest)
    }

    /// Writes it into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails unless the files of `folder` are those that are listed, each as it is described, and every file that makes a
    /// package is among them.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        let mut wrong = Vec::new();
        let mut listed = BTreeSet::new();
        for entry in &self.files {
            if !is_plain(&entry.name) {
                wrong.push(format!(
                    "it lists \"{}\", which is no file's name",
                    entry.name
                ));
                continue;
            }
            if !listed.insert(entry.name.as_str()) {
                wrong.push(format!("it lists {} twice", entry.name));
            }
            if !folder.join(&entry.name).is_file() {
                wrong.push(format!("{} is listed and not there", entry.name));
                continue;
            }
            let found = Entry::of(folder, &entry.name)?;
            if found.sha256 != entry.sha256 || found.bytes != entry.bytes {
                let name = &entry.name;
                wrong.push(format!(
                    "{name} is not the file that the manifest describes"
                ));
            }
        }
        for extension in ["sys", "inf", "cat"] {
            let name = format!("{}.{extension}", self.name);
            if !listed.contains(name.as_str()) {
                wrong.push(format!("it does not list {name}"));
            }
        }
        for entry in
            fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != NAME && !listed.contains(name.as_str()) {
                wrong.push(format!("{name} is there and not listed"));
            }
        }
        if !wrong.is_empty() {
            bail!(Failed(wrong.join("; ")));
        }
        Ok(())
    }
}

/// Whether `name` is that of a file in the folder itself, on Windows too.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != NAME && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a package of three files whose manifest `change` has changed.
    fn complaint(name: &str, change: impl FnOnce(&mut Manifest, &Path)) -> String {
        let scratch = format!("xtask-manifest-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(scratch);
        fs::create_dir_all(&folder).expect("a folder");
        let names = ["x.sys", "x.inf", "x.cat"];
        for name in names {
            fs::write(folder.join(name), name).expect("a file");
        }
        let entries = names.iter().map(|name| Entry::of(&folder, name));
        let mut manifest = Manifest {
            name: "x".to_owned(),
            version: String::new(),
            architecture: String::new(),
            driver_version: String::new(),
            files: entries.collect::<Result<_>>().expect("entries"),
            unsigned: Vec::new(),
        };
        manifest.write(&folder).expect("a manifest");
        change(&mut manifest, &folder);
        let result = manifest.check(&folder);
        fs::remove_dir_all(&folder).expect("the folder");
        result
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn the_list_is_the_folder() {
        assert_eq!(complaint("good", |_, _| ()), "");
        let empty = complaint("empty", |manifest, _| manifest.files.clear());
        for what in ["does not list x.sys", "x.inf is there and not listed"] {
            assert!(empty.contains(what), "{empty}");
        }
        let more = complaint("more", |_, folder| {
            fs::write(folder.join("y.sys"), "").expect("a file");
        });
        assert_eq!(more, "y.sys is there and not listed");
        let fewer = complaint("fewer", |_, folder| {
            fs::remove_file(folder.join("x.cat")).expect("the file");
        });
        assert_eq!(fewer, "x.cat is listed and not there");
        let other = complaint("other", |_, folder| {
            fs::write(folder.join("x.inf"), "other").expect("a file");
        });
        assert_eq!(other, "x.inf is not the file that the manifest describes");
        let length = complaint("length", |manifest, _| manifest.files[0].bytes += 1);
        assert_eq!(length, "x.sys is not the file that the manifest describes");
        let twice = complaint("twice", |manifest, folder| {
            manifest
                .files
                .push(Entry::of(folder, "x.sys").expect("an entry"));
        });
        assert_eq!(twice, "it lists x.sys twice");
        for name in ["../x.sys", "a\\b", "", "manifest.json"] {
            let outside = complaint("outside", |manifest, _| {
                manifest.files.push(Entry {
                    name: name.to_owned(),
                    bytes: 0,
                    sha256: String::new(),
                });
            });
            assert!(outside.contains("is no file's name"), "{outside}");
        }
    }
}
