//! `cargo xtask package`: a folder that Windows can install: image, INF, catalog, symbols, licences, manifest.

mod catalog;
pub(crate) mod check;
mod digest;
mod identity;
mod manifest;
mod sign;
#[cfg(test)]
mod tests;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use object::{
    LittleEndian as LE, pe,
    read::pe::{ImageNtHeaders, PeFile64},
};

use self::{
    catalog::{Catalog, Member},
    digest::Digests,
    identity::Signers,
    manifest::{Entry, Manifest},
};
use crate::{
    architecture::Architecture,
    check_image, compile,
    import_library::ImportTable,
    inf,
    output::say,
    program,
    repository::{Repository, create_folder},
};

/// The driver that is packaged.
const DRIVER: &str = "deferlwf";
/// Windows 10 and what came after it has this version.
const SYSTEMS: &str = "2:10.0";
const LICENCES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT"];

/// Make a signed driver package in `target/package/<arch>/`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Processor architecture.
    #[arg(long, value_enum, default_value_t = Architecture::X64)]
    arch: Architecture,
    /// An image that is there already, with its .pdb and .map beside it [default: a release build].
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,
    /// Sign with this certificate (PEM, then those that it is issued by) [default: a test certificate].
    #[arg(long, value_name = "PEM")]
    certificate: Option<PathBuf>,
    /// The certificate's private key (PEM, without password).
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Makes the package that `arguments` ask for, and prints where it is.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    sign::prepare(arguments.yes)?;
    let folder = repository.target_folder().join("package");
    create_folder(&folder)?;
    // Before anything is built: a certificate that cannot sign, and a time that nothing can hold, are found at once.
    let signers = Signers::new(
        &folder,
        arguments.certificate.as_deref(),
        arguments.key.as_deref(),
    )?;
    let time = source_time(repository.root())?;
    let image = match &arguments.image {
        Some(image) => image.clone(),
        None => build(&repository, arguments)?,
    };
    require_architecture(&image, arguments.arch)?;
    for extension in ["pdb", "map"] {
        let beside = image.with_extension(extension);
        if !beside.is_file() {
            bail!(
                "{} is not there; give --image a path that has its .pdb and .map beside it, as cargo xtask build leaves them",
                beside.display()
            );
        }
    }

    let partial = folder.join(format!("{}.partial", arguments.arch));
    remove(&partial)?;
    create_folder(&partial)?;
    let made = assemble(
        &repository,
        arguments.arch,
        &image,
        &partial,
        &signers,
        time,
    );
    if made.is_err() {
        remove(&partial)?;
    }
    made?;
    let package = folder.join(arguments.arch.to_string());
    remove(&package)?;
    fs::rename(&partial, &package)
        .with_context(|| format!("cannot move the package to {}", package.display()))?;
    say!("{}", package.display())?;
    Ok(())
}

/// Builds the driver by the task for it.
fn build(repository: &Repository, arguments: &Arguments) -> Result<PathBuf> {
    let architecture = arguments.arch.to_string();
    let mut command = Command::new(env::current_exe().context("cannot find xtask itself")?);
    command.args(["build", "--release", "--package", DRIVER]);
    command.args(["--arch", &architecture]);
    if arguments.yes {
        command.arg("--yes");
    }
    // The build prints where the image is; this task prints where the package is.
    compile::run(command.stdout(Stdio::null()))?;
    let folder = repository.target_folder().join("driver").join(architecture);
    Ok(folder.join("release").join(format!("{DRIVER}.sys")))
}

fn require_architecture(image: &Path, architecture: Architecture) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let file = PeFile64::parse(&*bytes)
        .with_context(|| format!("{} is no 64-bit PE image", image.display()))?;
    let found = file.nt_headers().file_header().machine.get(LE);
    let wanted = match architecture {
        Architecture::X64 => pe::IMAGE_FILE_MACHINE_AMD64,
        Architecture::Arm64 => pe::IMAGE_FILE_MACHINE_ARM64,
    };
    if found != wanted {
        bail!(
            "{} is not an image for {architecture}; give the --arch that it was built for",
            image.display()
        );
    }
    Ok(())
}

fn assemble(
    repository: &Repository,
    architecture: Architecture,
    image: &Path,
    folder: &Path,
    signers: &Signers,
    time: u64,
) -> Result<()> {
    let name = |extension: &str| format!("{DRIVER}.{extension}");
    let (sys, inf_name, cat) = (name("sys"), name("inf"), name("cat"));
    let mut files = vec![sys.clone(), inf_name.clone(), cat.clone()];

    copy(image, &folder.join(&sys))?;
    let pdb = name("pdb");
    copy(&image.with_extension("pdb"), &folder.join(&pdb))?;
    files.push(pdb);
    for licence in LICENCES {
        copy(&repository.root().join(licence), &folder.join(licence))?;
        files.push((*licence).to_owned());
    }
    // The texts of its WPP messages, if it has any; other drivers' may lie beside them.
    let formats = image.with_extension("tmf");
    if formats.is_file() {
        let tmf = name("tmf");
        copy(&formats, &folder.join(&tmf))?;
        files.push(tmf);
    }

    let stamp = inf::stamp::Stamp {
        architecture,
        date: inf_date(time)?,
        version: format!("{}.0", repository.package(DRIVER)?.version),
    };
    let template = fs::read_to_string(repository.root().join(inf::TEMPLATE))
        .with_context(|| format!("cannot read {}", inf::TEMPLATE))?;
    fs::write(
        folder.join(&inf_name),
        inf::stamp::stamp(&template, &stamp)?,
    )?;
    inf::check_file(&folder.join(&inf_name), repository.root(), false)?;

    let sys_path = folder.join(&sys);
    let catalog = Catalog {
        members: vec![
            Member {
                name: sys.clone(),
                digests: Digests::of_image(&fs::read(&sys_path)?)?,
            },
            Member {
                name: inf_name.clone(),
                digests: Digests::of_file(&fs::read(folder.join(&inf_name))?),
            },
        ],
        hardware_ids: inf::component_ids(&template)?,
        systems: SYSTEMS.to_owned(),
        time,
    };
    fs::write(folder.join(&cat), catalog.encode()?)?;
    let unsigned = vec![Entry::of(folder, &sys)?, Entry::of(folder, &cat)?];

    sign::sign(&sys_path, signers, true)?;
    sign::sign(&folder.join(&cat), signers, false)?;
    let table = ImportTable::read(repository.root())?;
    check_image::check(&sys_path, &image.with_extension("map"), &table, false)?;

    let manifest = Manifest {
        name: DRIVER.to_owned(),
        version: repository.package(DRIVER)?.version.to_string(),
        architecture: architecture.to_string(),
        driver_version: format!("{},{}", stamp.date, stamp.version),
        files: files
            .iter()
            .map(|file| Entry::of(folder, file))
            .collect::<Result<_>>()?,
        unsigned,
    };
    manifest.write(folder)
}

/// The last second of 2049: after it, there is no UTCTime, which catalogs are dated with.
const LATEST_S: u64 = 2_524_607_999;

/// The time that everything in the package claims, in seconds since 1970: `SOURCE_DATE_EPOCH`, or the last commit's.
fn source_time(root: &Path) -> Result<u64> {
    if let Ok(text) = env::var("SOURCE_DATE_EPOCH") {
        let time = text
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH is \"{text}\", not a number of seconds"))?;
        if time > LATEST_S {
            bail!(
                "SOURCE_DATE_EPOCH is {time}, which is after 2049, and a catalog cannot be dated later; set it to {LATEST_S} or less"
            );
        }
        return Ok(time);
    }
    let mut command = Command::new("git");
    command
        .current_dir(root)
        .args(["log", "-1", "--format=%ct"]);
    let text = program::run(&mut command).context(
        "no SOURCE_DATE_EPOCH, and no commit's time; set SOURCE_DATE_EPOCH to seconds since 1970",
    )?;
    text.trim().parse().context("git's time is no number")
}

/// `mm/dd/yyyy` of a time.
fn inf_date(time: u64) -> Result<String> {
    let date = der::DateTime::from_unix_duration(std::time::Duration::from_secs(time))
        .context("a time that no date can be made of")?;
    Ok(format!(
        "{:02}/{:02}/{:04}",
        date.month(),
        date.day(),
        date.year()
    ))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
