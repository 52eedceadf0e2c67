//! Where things are: the repository, its target folder, its packages.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

/// The repository as Cargo sees it.
pub(crate) struct Repository {
    metadata: Metadata,
}

impl Repository {
    /// Asks Cargo, from the folder of xtask's own manifest.
    pub(crate) fn open() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from("xtask"), PathBuf::from)
            .join("Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .no_deps()
            .exec()
            .context("cargo metadata")?;
        Ok(Self { metadata })
    }

    /// The folder of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The target folder, wherever the user has put it.
    pub(crate) fn target_folder(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// A package of the workspace.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.metadata
            .workspace_packages()
            .into_iter()
            .find(|package| package.name == name)
            .with_context(|| format!("no package `{name}` in this workspace"))
    }

    /// The names of all driver packages.
    pub(crate) fn drivers(&self) -> impl Iterator<Item = String> {
        let packages = self.metadata.workspace_packages().into_iter();
        packages
            .filter(|package| is_driver(package))
            .map(|package| package.name.to_string())
    }

    /// Every package of the workspace.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.metadata.workspace_packages().into_iter()
    }

    /// The folder of a package below the root, with `/` between its parts; empty for the root package.
    pub(crate) fn folder_of(&self, package: &Package) -> String {
        let folder = package
            .manifest_path
            .parent()
            .unwrap_or(&package.manifest_path);
        let below = folder
            .strip_prefix(&self.metadata.workspace_root)
            .unwrap_or(folder);
        below.as_str().replace('\\', "/")
    }

    /// Fails unless `package` is a driver: `[package.metadata.deferlwf] driver = true` and a `cdylib`.
    pub(crate) fn require_driver(package: &Package) -> Result<()> {
        if !is_driver(package) {
            bail!(
                "package `{}` is no driver: its manifest has no `driver = true` under [package.metadata.deferlwf]",
                package.name
            );
        }
        if !package.targets.iter().any(|target| target.is_cdylib()) {
            bail!(
                "package `{}` is a driver without `crate-type = [\"cdylib\"]`",
                package.name
            );
        }
        Ok(())
    }
}

/// Whether the manifest of `package` says that it is a driver.
pub(crate) fn is_driver(package: &Package) -> bool {
    package
        .metadata
        .pointer("/deferlwf/driver")
        .and_then(|value| value.as_bool())
        == Some(true)
}

/// Writes `contents` unless the file has them already, so that nothing is rebuilt for nothing.
pub(crate) fn write_if_changed(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    let contents = contents.as_ref();
    if fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_folder(parent)?;
    }
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create folder {}", path.display()))
}
