//! `cargo xtask check-install`: Wine's setupapi installs the package's INF, and the registry holds what the INF says.
//!
//! Wine is not Windows: it knows no network configuration, which chooses the section by Windows' build, and no driver
//! store, for whose directory (13) it has one of its own. So each section is installed by its name, one after the other;
//! that the build chooses the right one is what the decorations of `[Manufacturer]` say, and `check-inf` holds them.
//! What Wine shows is that the sections, values and types are understood as they are meant, and that the service's image
//! is where the file was copied to. Values of the Ndi key are relative to a key that only INetCfg gives, so they are
//! installed from a copy of the INF that names a key for them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    decode,
    document::{Document, Section},
    install::{DWORD, Install, MULTI_SZ, Map, Value, number},
};
use crate::{
    architecture::Architecture,
    failure::Failed,
    output::say,
    package_install::{self, Need},
    repository::{Repository, create_folder},
};

/// Where Debian's wine64 has its programs.
const WINE: &str = "/usr/lib/wine/wine64";
const WINE_SERVER: &str = "/usr/lib/wine/wineserver";
const NEEDS: &[Need] = &[Need {
    what: "Wine",
    package: "wine64",
    is_met: || Path::new(WINE).is_file(),
}];
/// Where the copy puts what is relative to the component's key.
const COMPONENT_KEY: &str = r"Software\deferlwf check";
/// How long a deleted service may take: 30 times a second, and the time that each look takes.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);
const SERVICES: &str = r"HKLM\System\CurrentControlSet\Services";

/// Install the x64 package's INF under Wine, and compare the registry with it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The package's folder [default: target/package/x64].
    folder: Option<PathBuf>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Installs the package that `arguments` name.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let packages = repository.target_folder().join("package");
    let default = packages.join(Architecture::X64.to_string());
    let folder = arguments.folder.as_deref().unwrap_or(&default);
    let inf = folder.join("deferlwf.inf");
    let bytes = fs::read(&inf).with_context(|| {
        format!(
            "cannot read {}; make the package with: cargo xtask package",
            inf.display()
        )
    })?;
    let text = decode(&bytes)?;
    let document = Document::parse(&text)
        .map_err(|error| anyhow::anyhow!("{}:{}: {}", inf.display(), error.line, error.what))?;
    let map = Map::of(&document);
    if map.installs.is_empty() {
        bail!("{} installs nothing", inf.display());
    }
    package_install::ensure(NEEDS, arguments.yes)?;

    let scratch = Scratch::new(&packages)?;
    let copy = scratch.0.join("package");
    create_folder(&copy)?;
    for name in ["deferlwf.sys", "deferlwf.cat"] {
        fs::copy(folder.join(name), copy.join(name))
            .with_context(|| format!("cannot copy {name}"))?;
    }
    fs::write(copy.join("deferlwf.inf"), &bytes)?;
    let named = text.replace("HKR, Ndi", &format!("HKLM, \"{COMPONENT_KEY}\\Ndi"));
    fs::write(copy.join("named.inf"), close_quotes(&named))?;

    let wine = Wine(scratch.0.join("prefix"));
    create_folder(&wine.temporary())?;
    wine.require(&["wineboot", "-i"])?;
    let image = fs::read(folder.join("deferlwf.sys"))?;
    for install in &map.installs {
        let wrong = check_install(&wine, &document, install, &copy, &image)?;
        report(install, &wrong)?;
    }
    Ok(())
}

/// Installs a section, compares what is there with what the INF says, and removes it; gives what is wrong.
fn check_install(
    wine: &Wine,
    document: &Document,
    install: &Install<'_>,
    package: &Path,
    image: &[u8],
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let section = &install.section.name;
    for inf in ["deferlwf.inf", "named.inf"] {
        wine.install(&package.join(inf), section)?;
    }
    for service in &install.services {
        let key = format!("{SERVICES}\\{}", service.name);
        wrong.extend(compare_service(wine, document, service.section, &key)?);
        wrong.extend(compare(wine, &service.registry, &key)?);
        let path = wine.value(&key, "ImagePath")?.map(|(_, path)| path);
        let file = path.as_deref().and_then(|path| wine.host_path(path));
        match file {
            Some(file) if fs::read(&file).is_ok_and(|copied| copied == image) => {
                // Not there for the next section.
                fs::remove_file(&file)
                    .with_context(|| format!("cannot remove {}", file.display()))?;
            }
            _ => wrong.push(format!("{path:?} is not the package's image")),
        }
    }
    let component = format!("HKLM\\{COMPONENT_KEY}");
    wrong.extend(compare(wine, &install.registry, &component)?);
    wine.require(&["reg", "delete", &component, "/f"])?;
    // Uninstalling: only the section for services is there, and that is what [Remove] stands for.
    wine.install(&package.join("deferlwf.inf"), &format!("{section}.Remove"))?;
    for service in &install.services {
        if !wine.loses(&format!("{SERVICES}\\{}", service.name))? {
            let name = &service.name;
            wrong.push(format!("the service {name} is left after removal"));
        }
    }
    Ok(wrong)
}

fn report(install: &Install<'_>, wrong: &[String]) -> Result<()> {
    for what in wrong {
        eprintln!("{what}");
    }
    if !wrong.is_empty() {
        bail!(Failed(format!(
            "under Wine, [{}] did not do what it says: {} differences",
            install.section.name,
            wrong.len()
        )));
    }
    let values: usize = install
        .services
        .iter()
        .map(|service| service.registry.len())
        .sum();
    say!(
        "Wine installed [{}]: service, file and {} values as the INF says; and removed the service",
        install.section.name,
        values + install.registry.len()
    )?;
    Ok(())
}

/// The copied key has a blank, so it stands in quotes up to its comma.
fn close_quotes(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| match line.split_once(COMPONENT_KEY) {
            Some((before, after)) => match after.split_once(',') {
                Some((key, rest)) => format!("{before}{COMPONENT_KEY}{key}\",{rest}"),
                None => line.to_owned(),
            },
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// What differs between values of the INF and those below `base`.
fn compare(wine: &Wine, values: &[Value], base: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for value in values {
        let (kind, data) = match value.flags {
            Some(DWORD) => ("REG_DWORD", hexadecimal(value.text())?),
            Some(MULTI_SZ) => ("REG_MULTI_SZ", value.data.join("\\0")),
            _ => ("REG_SZ", value.text().to_owned()),
        };
        let key = format!("{base}\\{}", value.key);
        wrong.extend(wine.difference(&key, &value.name, kind, &data)?);
    }
    Ok(wrong)
}

/// What differs between a service's section and its key.
fn compare_service(
    wine: &Wine,
    document: &Document,
    section: &Section,
    key: &str,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (entry, name, kind) in [
        ("ServiceType", "Type", "REG_DWORD"),
        ("StartType", "Start", "REG_DWORD"),
        ("ErrorControl", "ErrorControl", "REG_DWORD"),
        ("LoadOrderGroup", "Group", "REG_SZ"),
        ("DisplayName", "DisplayName", "REG_SZ"),
        ("ServiceBinary", "ImagePath", "REG_SZ"),
    ] {
        let text = section.first(entry).map_or("", |entry| entry.field(0));
        let data = match kind {
            "REG_DWORD" => hexadecimal(text)?,
            _ => document
                .expand(text)
                .replace("%12%", r"C:\windows\system32\drivers")
                // What Wine takes for a directory that it does not know.
                .replace("%13%", r"C:\windows\system32\unknown"),
        };
        wrong.extend(wine.difference(key, name, kind, &data)?);
    }
    Ok(wrong)
}

fn hexadecimal(text: &str) -> Result<String> {
    let value = number(text).with_context(|| format!("{text} is no number"))?;
    Ok(format!("{value:#x}"))
}

/// A Windows of its own, in a folder.
struct Wine(PathBuf);

impl Wine {
    /// Where its programs have their temporary files: beside it.
    fn temporary(&self) -> PathBuf {
        self.0.with_extension("tmp")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("WINEPREFIX", &self.0)
            // Debian's server makes a folder there for each prefix and leaves it behind.
            .env("TMPDIR", self.temporary())
            .env("WINEDEBUG", "-all")
            // Neither .NET nor a browser, which it would offer to download.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=")
            .env_remove("DISPLAY");
        command
    }

    /// Runs a program and gives what it printed. Into a file: a pipe would stay open as long as Wine's services run.
    fn run(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let log = self.0.with_extension("log");
        let file = fs::File::create(&log).context("cannot write beside Wine's folder")?;
        let mut command = self.command(WINE);
        command.args(arguments).stdout(file).stderr(Stdio::null());
        let status = command.status().context("cannot run Wine")?;
        let printed = fs::read(&log).context("cannot read what Wine printed")?;
        Ok((
            status.success(),
            String::from_utf8_lossy(&printed).into_owned(),
        ))
    }

    /// Runs a program that has to succeed.
    fn require(&self, arguments: &[&str]) -> Result<()> {
        let (has_succeeded, printed) = self.run(arguments)?;
        if !has_succeeded {
            bail!("Wine: {} failed: {}", arguments.join(" "), printed.trim());
        }
        Ok(())
    }

    fn install(&self, inf: &Path, section: &str) -> Result<()> {
        let path = format!("Z:{}", inf.display()).replace('/', "\\");
        let entry = "setupapi.dll,InstallHinfSection";
        self.require(&["rundll32", entry, section, "128", &path])
    }

    /// Whether a key is gone, soon: a service that is deleted stays until whoever deleted it is gone for Wine's service
    /// control manager too, which on a busy machine is after the program has ended.
    fn loses(&self, key: &str) -> Result<bool> {
        for _ in 0..TRIES {
            let (is_there, _) = self.run(&["reg", "query", key])?;
            if !is_there {
                return Ok(true);
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }

    /// A value's type and data.
    fn value(&self, key: &str, name: &str) -> Result<Option<(String, String)>> {
        let (_, text) = self.run(&["reg", "query", key, "/v", name])?;
        let mut lines = text.lines();
        let found =
            lines.find_map(|line| line.trim().strip_prefix(name)?.trim().split_once("    "));
        Ok(found.map(|(kind, data)| (kind.to_owned(), data.to_owned())))
    }

    /// Where a file of its drive C is on this machine.
    fn host_path(&self, path: &str) -> Option<PathBuf> {
        let below = path.strip_prefix(r"C:\")?.replace('\\', "/");
        Some(self.0.join("drive_c").join(below))
    }

    /// How a value differs from what it should be.
    fn difference(&self, key: &str, name: &str, kind: &str, data: &str) -> Result<Option<String>> {
        let found = self.value(key, name)?;
        let wanted = Some((kind.to_owned(), data.to_owned()));
        Ok((found != wanted).then(|| format!("{key}\\{name}: {found:?}, the INF says {wanted:?}")))
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Ends this prefix's server alone.
        let _ = self.command(WINE_SERVER).args(["-k", "-w"]).status();
    }
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(packages: &Path) -> Result<Self> {
        let folder = packages.join(format!("wine-{}", std::process::id()));
        create_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
