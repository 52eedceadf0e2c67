//! `cargo xtask check-package`: the signatures and the catalog, as two programs of others see them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use object::{Object, read::pe::PeFile64};

use super::{
    catalog, digest, identity,
    manifest::Manifest,
    sign::{self, Authorities},
};
use crate::{
    architecture::Architecture,
    failure::Failed,
    inf,
    output::say,
    program, python,
    repository::{Repository, write_if_changed},
};

/// What PyPI's signify is asked: do the signatures hold, and are both members in the catalog?
const SIGNIFY: &str = include_str!("verify.py");
const PACKAGES: &[&str] = &["signify==0.9.3"];

/// Verify a package: hashes, INF, signatures, catalog membership.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The package's folder [default: target/package/ARCH].
    folder: Option<PathBuf>,
    /// Processor architecture [default: what the folder's manifest says, without a folder x64].
    #[arg(long, value_enum)]
    arch: Option<Architecture>,
    /// The authority that the signer is trusted by [default: target/package/test-ca.pem].
    #[arg(long, value_name = "PEM")]
    authority: Option<PathBuf>,
    /// The authority that time stamps are trusted by [default: target/package/test-ca.pem].
    #[arg(long, value_name = "PEM")]
    timestamp_authority: Option<PathBuf>,
    /// Only with osslsigncode: signify comes from PyPI.
    #[arg(long)]
    offline: bool,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Verifies the package that `arguments` name, and prints one line for each check.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let packages = repository.target_folder().join("package");
    let default = packages.join(arguments.arch.unwrap_or(Architecture::X64).to_string());
    let folder = arguments.folder.as_deref().unwrap_or(&default);
    let test_authority = packages.join("test-ca.pem");
    let authorities = Authorities {
        code: arguments.authority.as_deref().unwrap_or(&test_authority),
        time: arguments
            .timestamp_authority
            .as_deref()
            .unwrap_or(&test_authority),
    };
    for authority in [authorities.code, authorities.time] {
        fs::read(authority).with_context(|| {
            let path = authority.display();
            format!("cannot read {path}; make a package with: cargo xtask package, or give the authority's certificate with --authority and --timestamp-authority")
        })?;
        identity::require_pem(authority)?;
    }
    sign::prepare(arguments.yes)?;

    let manifest = Manifest::read(folder)?;
    let name = |extension: &str| folder.join(format!("{}.{extension}", manifest.name));
    let (sys, inf_file, cat) = (name("sys"), name("inf"), name("cat"));
    let verify =
        |file: &Path, catalog, is_image| sign::verify(file, &authorities, catalog, is_image);
    let mut checks = Checks::default();
    checks.note(
        "manifest: the files are those that it lists, each as described",
        manifest.check(folder),
    )?;
    checks.note(
        "manifest: architecture, version and unsigned hashes are those of the files",
        agree(&manifest, arguments.arch, folder),
    )?;
    checks.note(
        "check-inf: every rule holds",
        inf::check_file(&inf_file, repository.root(), false),
    )?;
    checks.note(
        "osslsigncode: the image's signature, page hashes, time stamp",
        verify(&sys, None, true),
    )?;
    checks.note(
        "osslsigncode: the catalog's signature, time stamp",
        verify(&cat, None, false),
    )?;
    checks.note(
        "osslsigncode: the image is in the catalog",
        verify(&sys, Some(&cat), true),
    )?;
    let (image, members) = (
        "signify: the image's signature, time stamp",
        "signify: both members are in the catalog",
    );
    if arguments.offline {
        say!("skipped {image}\nskipped {members}")?;
        return checks.end();
    }
    let python = python::environment(repository.target_folder(), PACKAGES, arguments.yes)?;
    let script = packages.join("verify.py");
    write_if_changed(&script, SIGNIFY)?;
    let signify = |catalog: &Path, files: &[&Path]| {
        let mut command = Command::new(&python);
        command.arg(&script).arg("--time-stamped");
        command.arg(authorities.code).arg(authorities.time);
        command.arg(catalog).args(files);
        program::run(&mut command).map(drop)
    };
    checks.note(image, signify(Path::new("-"), &[&sys]))?;
    checks.note(members, signify(&cat, &[&sys, &inf_file]))?;
    checks.end()
}

/// Fails unless image and INF are for the architecture, and the INF of the version, that the manifest says, the `.pdb` is
/// the image's, and what was signed has, without its signature, the hash that the manifest says, where it says one
/// (Windows' tools leave none).
fn agree(manifest: &Manifest, asked: Option<Architecture>, folder: &Path) -> Result<()> {
    let file = |extension: &str| {
        let path = folder.join(format!("{}.{extension}", manifest.name));
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok((path, bytes))
    };
    let (sys, image) = file("sys")?;
    let (inf_file, bytes) = file("inf")?;
    let Ok(architecture) = Architecture::from_str(&manifest.architecture, false) else {
        bail!(Failed(format!(
            "\"{}\" is no architecture",
            manifest.architecture
        )));
    };
    if asked.is_some_and(|asked| asked != architecture) {
        bail!(Failed(format!("the package is for {architecture}")));
    }
    super::require_architecture(&sys, architecture)?;
    let text = inf::decode(&bytes).with_context(|| inf_file.display().to_string())?;
    let (driver_version, architectures) = inf::described(&text)?;
    let wanted = format!("nt{}", inf::stamp::suffix(architecture));
    if architectures.len() != 1 || !architectures.contains(&wanted) {
        let found: Vec<_> = architectures.into_iter().collect();
        bail!(Failed(format!(
            "the INF is for {}, not for {wanted} alone",
            found.join(", ")
        )));
    }
    if driver_version != manifest.driver_version {
        bail!(Failed(format!(
            "the INF has DriverVer {driver_version}, the manifest {}",
            manifest.driver_version
        )));
    }
    let stamped = format!(",{}.0", manifest.version);
    if !driver_version.ends_with(&stamped) {
        bail!(Failed(format!(
            "the INF has DriverVer {driver_version}, the manifest version {}",
            manifest.version
        )));
    }
    let (pdb, symbols) = file("pdb")?;
    if !belongs(&image, &symbols)? {
        bail!(Failed(format!(
            "{} is not that of the image",
            pdb.display()
        )));
    }
    for entry in &manifest.unsigned {
        let before = match entry.name.rsplit_once('.') {
            Some((name, "sys")) if name == manifest.name => digest::unsigned_image(&image)?,
            Some((name, "cat")) if name == manifest.name => catalog::unsigned(&file("cat")?.1)?,
            _ => bail!(Failed(format!("{} is not signed", entry.name))),
        };
        if digest::sha256_hex(&before) != entry.sha256 || before.len() != entry.bytes {
            bail!(Failed(format!(
                "{} was another before it was signed",
                entry.name
            )));
        }
    }
    Ok(())
}

/// Whether the GUID by which a debugger finds the image's symbols is that of `symbols`.
fn belongs(image: &[u8], symbols: &[u8]) -> Result<bool> {
    let file = PeFile64::parse(image)?;
    let view = file.pdb_info()?.context("the image names no .pdb")?;
    let guid = view.guid();
    Ok(symbols.windows(guid.len()).any(|window| window == guid))
}

/// What did not hold; the checks go on, so that each program says what it sees.
#[derive(Default)]
struct Checks {
    broken: Vec<&'static str>,
}

impl Checks {
    fn note(&mut self, what: &'static str, result: Result<()>) -> Result<()> {
        match result {
            Ok(()) => say!("ok      {what}")?,
            Err(error) => {
                eprintln!("broken  {what}: {error:#}");
                self.broken.push(what);
            }
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        if self.broken.is_empty() {
            return Ok(());
        }
        bail!(Failed(format!(
            "what does not hold: {}",
            self.broken.join("; ")
        )))
    }
}
