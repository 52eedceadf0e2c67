//! Running Cargo for a Windows target: shared by every task that compiles driver code.

use std::{ffi::OsString, path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{
    architecture::Architecture,
    cross,
    failure::Failed,
    program,
    repository::Repository,
    tool,
    toolchain::{Origin, Toolchain},
    workspace::Workspace,
};

/// Where clippy's configuration for kernel code is.
const CLIPPY_FOLDER: &str = "xtask/kernel-lint";

/// The feature of driver packages that turns wdk-build on where it is patched.
const CROSS_FEATURE: &str = "cross";

/// How a build is made; the same for every task that compiles driver code.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Processor architecture.
    #[arg(long, value_enum, default_value_t = Architecture::X64)]
    pub(crate) arch: Architecture,
    /// Optimise, as for what ships.
    #[arg(long)]
    pub(crate) release: bool,
    /// Where the Rust toolchain comes from [default: whichever has the library's sources].
    #[arg(long, value_enum)]
    pub(crate) toolchain: Option<Origin>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Options {
    /// The name of the profile's folder.
    pub(crate) const fn profile(&self) -> &'static str {
        if self.release { "release" } else { "debug" }
    }
}

/// Where and with what a build runs.
pub(crate) struct Site {
    /// The folder that Cargo runs in.
    pub(crate) root: PathBuf,
    /// The target folder that Cargo gets.
    pub(crate) target_folder: PathBuf,
    /// What Cargo gets into its environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Flags for every crate of the Windows target.
    pub(crate) rust_flags: Vec<String>,
    /// The generated workspace of a cross build, which stays locked as long as this lives.
    pub(crate) workspace: Option<Workspace>,
}

/// A prepared build.
pub(crate) struct Compilation {
    toolchain: Toolchain,
    site: Site,
    architecture: Architecture,
    is_release: bool,
    profile: &'static str,
}

impl Compilation {
    /// Finds or installs what the build needs; on a host other than Windows, lays out a cross build.
    pub(crate) fn prepare(repository: &Repository, options: &Options) -> Result<Self> {
        if !cfg!(windows) {
            cross::require_tools(options.yes)?;
        }
        let toolchain = Toolchain::find(options.toolchain, options.yes)?;
        let mut site = if cfg!(windows) {
            native_site(repository)
        } else {
            cross::site(repository, &toolchain, options.arch)?
        };
        site.rust_flags
            .push("-Ctarget-feature=+crt-static".to_owned());
        // Nothing of this machine in the image: the last match wins, so the longest come last.
        for (from, to) in [
            (Some(repository.root().to_path_buf()), "deferlwf"),
            (Some(site.root.clone()), "deferlwf"),
            (tool::cargo_home(), "cargo"),
            (Some(toolchain.sysroot()?), "rust"),
        ] {
            if let Some(from) = from {
                site.rust_flags
                    .push(format!("--remap-path-prefix={}={to}", from.display()));
            }
        }
        Ok(Self {
            toolchain,
            site,
            architecture: options.arch,
            is_release: options.release,
            profile: options.profile(),
        })
    }

    /// The toolchain that compiles.
    pub(crate) fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// A Cargo command for `packages`.
    ///
    /// Core and alloc are compiled too: for every release, and for every cross build, which has none for its target. In
    /// a cross build a driver's build script gets the feature by which it knows that wdk-build is patched.
    pub(crate) fn cargo(
        &self,
        repository: &Repository,
        subcommand: &str,
        packages: &[String],
    ) -> Result<Command> {
        let is_cross = self.site.workspace.is_some();
        let mut command = self.toolchain.cargo(subcommand);
        command
            .current_dir(&self.site.root)
            .envs(
                self.site
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                self.site.rust_flags.join("\u{1f}"),
            )
            .env("CLIPPY_CONF_DIR", repository.root().join(CLIPPY_FOLDER))
            .arg("--locked")
            .args(["--target", self.architecture.target()])
            .arg("--target-dir")
            .arg(&self.site.target_folder);
        if is_cross || self.is_release {
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=core,alloc,compiler_builtins");
        }
        if self.is_release {
            command.arg("--release");
        }
        for name in packages {
            command.args(["--package", name]);
            if is_cross
                && repository
                    .package(name)?
                    .features
                    .contains_key(CROSS_FEATURE)
            {
                command.args(["--features", &format!("{name}/{CROSS_FEATURE}")]);
            }
        }
        Ok(command)
    }

    /// The folder that Cargo leaves the linked images in.
    pub(crate) fn output_folder(&self) -> PathBuf {
        self.site
            .target_folder
            .join(self.architecture.target())
            .join(self.profile)
    }
}

/// A build on Windows: in the repository itself, against the WDK that wdk-build finds.
fn native_site(repository: &Repository) -> Site {
    Site {
        root: repository.root().to_path_buf(),
        target_folder: repository.target_folder().to_path_buf(),
        environment: Vec::new(),
        rust_flags: Vec::new(),
        workspace: None,
    }
}

/// Runs `command`, which shows its own errors.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    if !program::succeeds(command)? {
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let subcommand = words.first().map_or("", |word| word.as_ref());
        bail!(Failed(format!("cargo {subcommand} failed")));
    }
    Ok(())
}
