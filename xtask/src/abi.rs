//! `cargo xtask abi`: the facts in `abi/`, recomputed from a WDK's headers and compared.
//!
//! libclang reads the headers, by way of its Python bindings: they are from PyPI, in the version of the library that
//! wdk-sys' build asks for as well, which is on every machine that builds a driver, on Windows too.

mod difference;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    architecture::Architecture,
    failure::Failed,
    header_kit,
    output::say,
    package_install, program, python,
    repository::{Repository, create_folder},
    tool,
};

/// What reads headers, and writes a table.
const SCRIPT: &str = include_str!("abi/facts.py");
const PACKAGES: &[&str] = &["clang==19.1.7"];
/// The tables of each architecture.
const FAMILIES: &[&str] = &["ndis", "nt"];
/// What a folder of headers has to have: what facts.py includes, below `km` or `shared`.
const HEADERS: &[&str] = &[
    "driverspecs.h",
    "evntrace.h",
    "kernelspecs.h",
    "ndis.h",
    "ntddk.h",
    "ntifs.h",
    "ntstrsafe.h",
    "wmistr.h",
];

/// Recompute the facts in abi/ from the headers of a WDK, and print every difference.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The WDK: the folder that has `Include`, a version's folder in it, or any with `km` and `shared`.
    #[arg(long, value_name = "PATH")]
    wdk: PathBuf,
    /// Only this architecture [default: both].
    #[arg(long, value_enum)]
    arch: Option<Architecture>,
    /// The folder of tables [default: abi].
    #[arg(long, value_name = "PATH")]
    table: Option<PathBuf>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Compares every fact, and fails at the end when one differs.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let include = headers(&arguments.wdk)?;
    let library = libclang(arguments.yes)?;
    let target = repository.target_folder();
    let python = python::environment(target, PACKAGES, arguments.yes)?;
    let tables = arguments
        .table
        .clone()
        .unwrap_or_else(|| repository.root().join("abi"));
    // Of this process alone: several may run at once.
    let scratch = target.join("abi").join(std::process::id().to_string());
    create_folder(&scratch)?;
    let reader = Reader {
        python,
        library,
        include,
        scratch,
    };
    let compared = compare(&reader, &tables, arguments.arch);
    fs::remove_dir_all(&reader.scratch)
        .with_context(|| format!("cannot remove {}", reader.scratch.display()))?;
    let (facts, differences) = compared?;
    say!("{facts} facts, {differences} differences")?;
    if differences > 0 {
        bail!(Failed(format!(
            "{} and these headers differ",
            tables.display()
        )));
    }
    Ok(())
}

/// What reads headers, and where they are.
struct Reader {
    python: PathBuf,
    library: PathBuf,
    include: PathBuf,
    scratch: PathBuf,
}

impl Reader {
    /// The facts that `table` names, as the headers have them.
    fn compute(&self, table: &Path, family: &str, architecture: Architecture) -> Result<Value> {
        let script = self.scratch.join("facts.py");
        fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
        let mut command = Command::new(&self.python);
        command.arg(&script).arg(&self.library).arg(table);
        command.arg(family).arg(architecture.to_string());
        command.arg(&self.include).arg(&self.scratch);
        let text = program::run(&mut command).with_context(|| {
            let include = self.include.display();
            format!("cannot compute {family} of {architecture} from {include}")
        })?;
        serde_json::from_str(&text).context("facts.py")
    }
}

/// Prints what differs, and counts facts and differences.
fn compare(reader: &Reader, tables: &Path, only: Option<Architecture>) -> Result<(usize, usize)> {
    let (mut facts, mut differences) = (0, 0);
    for architecture in [Architecture::X64, Architecture::Arm64] {
        if only.is_some_and(|only| only != architecture) {
            continue;
        }
        for family in FAMILIES {
            let table = tables
                .join(architecture.to_string())
                .join(format!("{family}.json"));
            let text = fs::read_to_string(&table)
                .with_context(|| format!("cannot read {}", table.display()))?;
            let known: Value = serde_json::from_str(&text)
                .with_context(|| format!("{} is no facts table", table.display()))?;
            let now = reader.compute(&table, family, architecture)?;
            let comparison = difference::compare(&known, &now);
            let (lacks, of) = (comparison.missing, comparison.declarations);
            if lacks * 2 > of {
                bail!(
                    "{} is no WDK: its headers lack {lacks} of the {of} declarations of {}; give the folder of an installed WDK that has Include",
                    reader.include.display(),
                    table.display()
                );
            }
            for line in &comparison.differences {
                say!("{architecture} {family} {line}")?;
            }
            facts += comparison.facts;
            differences += comparison.differences.len();
        }
    }
    Ok((facts, differences))
}

/// The folder with `km` and `shared` of the WDK at `wdk`, the newest where there are several.
fn headers(wdk: &Path) -> Result<PathBuf> {
    let has_headers = |folder: &Path| folder.join("km").is_dir() && folder.join("shared").is_dir();
    let versions = fs::read_dir(wdk.join("Include")).into_iter().flatten();
    let mut candidates: Vec<_> = versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| has_headers(folder))
        .collect();
    candidates.sort_by_key(|folder| version(folder));
    let newest = candidates.pop();
    let folder = if has_headers(wdk) {
        wdk.to_path_buf()
    } else {
        newest.with_context(|| {
            format!(
                "{} is no WDK: it has neither km and shared nor Include/<version> with them",
                wdk.display()
            )
        })?
    };
    // A relative path would be another one for clang's view of the folder.
    let folder = std::path::absolute(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?;
    for header in HEADERS {
        if !["km", "shared"]
            .iter()
            .any(|part| folder.join(part).join(header).is_file())
        {
            bail!("{} lacks the header {header}", folder.display());
        }
    }
    Ok(folder)
}

/// A version folder's numbers, for sorting.
fn version(folder: &Path) -> Vec<u32> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// The library: where `LIBCLANG_PATH` says, as for bindgen, or Debian's, which is installed when it is missing.
fn libclang(yes: bool) -> Result<PathBuf> {
    let given = env::var_os("LIBCLANG_PATH").filter(|path: &OsString| !path.is_empty());
    if let Some(given) = given {
        let given = PathBuf::from(given);
        let names = ["libclang.so", "libclang.dll", "libclang.dylib"];
        let mut places = names.iter().map(|name| given.join(name));
        return match places.find(|place| place.is_file()) {
            Some(place) => Ok(place),
            None if given.is_file() => Ok(given),
            None => bail!("LIBCLANG_PATH: no libclang in {}", given.display()),
        };
    }
    let installed = PathBuf::from("C:\\Program Files\\LLVM\\bin\\libclang.dll");
    if installed.is_file() {
        return Ok(installed);
    }
    package_install::ensure(&[header_kit::LIBCLANG], yes)?;
    let (folder, _) = tool::libclang().context("libclang not found")?;
    Ok(folder.join("libclang.so"))
}
