//! Running Cargo for a Windows target: shared by every task that compiles driver code.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    architecture::Architecture,
    failure::Failed,
    header_kit,
    import_library::ImportTable,
    repository::Repository,
    tool,
    toolchain::{Origin, Toolchain},
    workspace::Workspace,
};

/// The symbol of `load_config.s` that stands in for what unreachable code refers to.
const UNREACHABLE: &str = "deferlwf_unreachable";

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

/// A prepared build: toolchain, workspace and environment.
pub(crate) struct Compilation {
    toolchain: Toolchain,
    workspace: Workspace,
    environment: Vec<(OsString, OsString)>,
    architecture: Architecture,
    is_release: bool,
}

impl Compilation {
    /// Finds or installs what the build needs and lays out its workspace.
    pub(crate) fn prepare(repository: &Repository, options: &Options) -> Result<Self> {
        header_kit::require_tools(options.yes)?;
        let toolchain = Toolchain::find(options.toolchain, options.yes)?;
        let cross = repository.target_folder().join("cross");
        let workspace = Workspace::prepare(repository, &cross)?;
        let table = ImportTable::read(repository.root())?;
        let wdk = wdk_content_root()?;
        let kit = header_kit::prepare(&cross, wdk.as_deref(), &table, options.arch)?;
        let linker = tool::llvm("lld-link").context("lld-link not found")?;

        let flags = rust_flags(repository.root(), &cross, &workspace, &toolchain)?;
        let target = options.arch.target().to_uppercase().replace('-', "_");
        let mut environment: Vec<(OsString, OsString)> = kit
            .environment
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        environment.push((
            format!("CARGO_TARGET_{target}_LINKER").into(),
            linker.into(),
        ));
        environment.push((
            "CARGO_ENCODED_RUSTFLAGS".into(),
            flags.join("\u{1f}").into(),
        ));
        environment.push(("RUSTC_BOOTSTRAP".into(), "1".into()));
        Ok(Self {
            toolchain,
            workspace,
            environment,
            architecture: options.arch,
            is_release: options.release,
        })
    }

    /// The toolchain that compiles.
    pub(crate) fn toolchain(&self) -> &Toolchain {
        &self.toolchain
    }

    /// A Cargo command for `packages` in the generated workspace.
    ///
    /// A driver's build script gets the feature by which it knows that wdk-build is patched.
    pub(crate) fn cargo(
        &self,
        repository: &Repository,
        subcommand: &str,
        packages: &[String],
    ) -> Result<Command> {
        let mut command = self.toolchain.cargo(subcommand);
        command
            .current_dir(self.workspace.root())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg("--locked")
            .args(["--target", self.architecture.target()])
            .arg("--target-dir")
            .arg(self.workspace.target_folder())
            .arg("-Zbuild-std=core,alloc,compiler_builtins");
        if self.is_release {
            command.arg("--release");
        }
        for name in packages {
            command.args(["--package", name]);
            if repository
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
        self.workspace
            .target_folder()
            .join(self.architecture.target())
            .join(self.profile())
    }

    /// The name of the profile's folder.
    pub(crate) const fn profile(&self) -> &'static str {
        if self.is_release { "release" } else { "debug" }
    }
}

/// The WDK that the user has pointed at.
fn wdk_content_root() -> Result<Option<PathBuf>> {
    let Some(path) = env::var_os("WDKContentRoot")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
    else {
        return Ok(None);
    };
    if !path.join("Include").is_dir() {
        bail!("WDKContentRoot: {} has no folder Include", path.display());
    }
    Ok(Some(path))
}

/// Flags for every crate of the Windows target, core and alloc included.
fn rust_flags(
    root: &Path,
    cross: &Path,
    workspace: &Workspace,
    toolchain: &Toolchain,
) -> Result<Vec<String>> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        // `alloc` without what aborts when memory runs out: `Box::new`, `Vec::push`, `format!` do not exist.
        "--cfg=no_global_oom_handling".to_owned(),
    ];
    // What unreachable code refers to: the glue of the handler that `alloc` now lacks, and the floating-point functions
    // of a C library that unoptimised compiler-builtins knows. The linker drops all of it; check-image looks whether the
    // stand-in was dropped as well.
    let handler = toolchain.internal_symbol("__rdl_alloc_error_handler", cross)?;
    for name in [handler.as_str(), "fma", "fmaf"] {
        flags.push(format!("-Clink-arg=/ALTERNATENAME:{name}={UNREACHABLE}"));
    }
    // Nothing of this machine in the image: the last match wins, so the longest come last.
    let home = tool::cargo_home();
    for (from, to) in [
        (Some(root.to_path_buf()), "deferlwf"),
        (Some(workspace.root().to_path_buf()), "deferlwf"),
        (home, "cargo"),
        (Some(toolchain.sysroot()?), "rust"),
    ] {
        if let Some(from) = from {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
    }
    Ok(flags)
}

/// Runs `command`, which shows its own errors.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let subcommand = words.first().map_or("", |word| word.as_ref());
        bail!(Failed(format!("cargo {subcommand} failed")));
    }
    Ok(())
}
