//! Import libraries, made from the table of what drivers may import.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, Table};

use crate::{architecture::Architecture, failure::Failed, repository, tool};

/// One import library of the table.
pub(crate) struct Library {
    /// File name without extension, as drivers link it.
    pub(crate) name: String,
    /// The module that exports the names.
    pub(crate) dll: String,
    /// Functions and the Windows build that has each first.
    pub(crate) functions: Vec<(String, u32)>,
    /// Data exports, likewise.
    pub(crate) data: Vec<(String, u32)>,
}

/// The table `abi/imports.toml`.
pub(crate) struct ImportTable {
    /// The oldest Windows build that a driver must load on.
    pub(crate) floor: u32,
    /// One library for each module.
    pub(crate) libraries: Vec<Library>,
}

impl ImportTable {
    /// Reads the table of the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("abi/imports.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads the table's text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let document: DocumentMut = text.parse()?;
        let floor = document
            .get("floor")
            .and_then(|item| item.as_integer())
            .context("no `floor`")?;
        let libraries = document
            .get("library")
            .and_then(|item| item.as_array_of_tables())
            .context("no [[library]]")?
            .iter()
            .map(Library::parse)
            .collect::<Result<_>>()?;
        Ok(Self {
            floor: u32::try_from(floor)?,
            libraries,
        })
    }

    /// Writes an import library for each module of the table into `folder`, except where that has a link.
    pub(crate) fn write_libraries(&self, folder: &Path, architecture: Architecture) -> Result<()> {
        for library in &self.libraries {
            let definition = folder.join(format!("{}.def", library.name));
            let output = folder.join(format!("{}.lib", library.name));
            if output.is_symlink() {
                continue; // a WDK's own
            }
            let text = library.definition();
            if output.exists() && fs::read_to_string(&definition).is_ok_and(|old| old == text) {
                continue;
            }
            repository::write_if_changed(&definition, text)?;
            dlltool(&definition, &output, architecture)?;
        }
        Ok(())
    }
}

impl Library {
    fn parse(table: &Table) -> Result<Self> {
        let text = |key: &str| {
            let value = table.get(key).and_then(|item| item.as_str());
            value
                .map(str::to_owned)
                .with_context(|| format!("[[library]] without `{key}`"))
        };
        Ok(Self {
            name: text("name")?,
            dll: text("dll")?,
            functions: names(table, "functions")?,
            data: names(table, "data")?,
        })
    }

    fn definition(&self) -> String {
        let mut text = format!("LIBRARY {}\nEXPORTS\n", self.dll);
        for (name, _) in &self.functions {
            let _ = writeln!(text, "{name}");
        }
        for (name, _) in &self.data {
            let _ = writeln!(text, "{name} DATA");
        }
        text
    }
}

fn names(table: &Table, key: &str) -> Result<Vec<(String, u32)>> {
    let Some(names) = table.get(key) else {
        return Ok(Vec::new());
    };
    let names = names
        .as_table()
        .with_context(|| format!("`{key}` is no table"))?;
    names
        .iter()
        .map(|(name, build)| {
            let build = build
                .as_integer()
                .and_then(|build| u32::try_from(build).ok());
            Ok((
                name.to_owned(),
                build.with_context(|| format!("`{name}` has no Windows build"))?,
            ))
        })
        .collect()
}

fn dlltool(definition: &Path, output: &Path, architecture: Architecture) -> Result<()> {
    let program: PathBuf = tool::llvm("llvm-dlltool").context("llvm-dlltool not found")?;
    let result = Command::new(&program)
        .args(["-m", architecture.dlltool_machine(), "-d"])
        .arg(definition)
        .arg("-l")
        .arg(output)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !result.status.success() {
        bail!(Failed(format!(
            "{} cannot make {}: {}",
            program.display(),
            output.display(),
            String::from_utf8_lossy(&result.stderr).trim()
        )));
    }
    Ok(())
}
