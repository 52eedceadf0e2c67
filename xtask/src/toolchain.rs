//! The Rust toolchain of a build: one that has the sources of its library beside it, for build-std.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    failure::NoToolchain,
    package_install::{self, Need},
    tool,
};

/// Where the toolchain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Origin {
    /// The active rustup toolchain, with the component rust-src.
    Rustup,
    /// Debian's rustc-web, cargo-web and rust-web-src.
    Debian,
}

/// How long rustup may take to bring rust-src: where its server cannot be reached it may hang.
const RUST_SRC_TIMEOUT: Duration = Duration::from_secs(60);

/// Debian's packages; the order is that of installation.
const DEBIAN: &[Need] = &[
    Need {
        what: "Debian's rustc with library sources",
        package: "rustc-web",
        is_met: || Path::new("/usr/bin/rustc").exists(),
    },
    Need {
        what: "Debian's cargo",
        package: "cargo-web",
        is_met: || Path::new("/usr/bin/cargo").exists(),
    },
    Need {
        what: "the sources of Debian's Rust library",
        package: "rust-web-src",
        is_met: || Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock").exists(),
    },
];

const DEBIAN_CLIPPY: &[Need] = &[Need {
    what: "Debian's clippy",
    package: "rust-web-clippy",
    is_met: || Path::new("/usr/bin/cargo-clippy").exists(),
}];

/// A toolchain whose programs are named by full path: a rustup shim earlier on PATH never takes over.
#[derive(Debug)]
pub(crate) struct Toolchain {
    origin: Origin,
    cargo: PathBuf,
    rustc: PathBuf,
}

impl Toolchain {
    /// Takes the toolchain of `origin`; without a wish, one that is complete, else whichever can be completed.
    pub(crate) fn find(origin: Option<Origin>, yes: bool) -> Result<Self> {
        match origin {
            Some(Origin::Rustup) => Self::rustup(),
            Some(Origin::Debian) => Self::debian(yes),
            None => {
                if let Some(toolchain) = Self::active_rustup().filter(Self::has_library_sources) {
                    return Ok(toolchain);
                }
                if DEBIAN.iter().all(|need| (need.is_met)()) {
                    return Self::debian(yes);
                }
                Self::rustup().or_else(|error| {
                    eprintln!("{error:#}; trying Debian's toolchain");
                    Self::debian(yes)
                })
            }
        }
    }

    fn rustup() -> Result<Self> {
        Self::complete_rustup().context(NoToolchain("a rustup toolchain with rust-src"))
    }

    /// The active rustup toolchain, with rust-src added if it is missing.
    fn complete_rustup() -> Result<Self> {
        let toolchain = Self::active_rustup().context("no rustup toolchain on this machine")?;
        if !toolchain.has_library_sources() {
            add_rust_src()?;
            if !toolchain.has_library_sources() {
                bail!(
                    "rustup added rust-src, but {} has no sources",
                    toolchain.rustc.display()
                );
            }
        }
        Ok(toolchain)
    }

    fn active_rustup() -> Option<Self> {
        Some(Self {
            origin: Origin::Rustup,
            cargo: rustup_which("cargo")?,
            rustc: rustup_which("rustc")?,
        })
    }

    fn debian(yes: bool) -> Result<Self> {
        package_install::ensure(DEBIAN, yes).context(NoToolchain("Debian's Rust toolchain"))?;
        Ok(Self {
            origin: Origin::Debian,
            cargo: PathBuf::from("/usr/bin/cargo"),
            rustc: PathBuf::from("/usr/bin/rustc"),
        })
    }

    /// Makes sure that `cargo clippy` of this toolchain is there.
    pub(crate) fn require_clippy(&self, yes: bool) -> Result<()> {
        match self.origin {
            Origin::Debian => package_install::ensure(DEBIAN_CLIPPY, yes),
            Origin::Rustup if self.clippy().exists() => Ok(()),
            Origin::Rustup => bail!("clippy not found; add it with: rustup component add clippy"),
        }
    }

    /// A Cargo command of this toolchain, without what an outer Cargo has put into the environment.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = if subcommand == "clippy" {
            // `cargo clippy` would look for its program in CARGO_HOME first and find rustup's shim.
            Command::new(self.clippy())
        } else {
            Command::new(&self.cargo)
        };
        command.arg(subcommand);
        for (name, _) in env::vars_os() {
            let outer = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_BIN_")
                    || name.starts_with("CARGO_MANIFEST_")
                    || name.starts_with("RUSTUP_")
                    || matches!(
                        name,
                        "RUSTFLAGS" | "CARGO_ENCODED_RUSTFLAGS" | "RUSTC_WRAPPER"
                    )
            });
            if outer {
                command.env_remove(name);
            }
        }
        if let Some(paths) = env::var_os("LD_LIBRARY_PATH") {
            let kept = env::split_paths(&paths).filter(|path| !is_of_outer_cargo(path));
            match env::join_paths(kept) {
                Ok(paths) if !paths.is_empty() => command.env("LD_LIBRARY_PATH", paths),
                _ => command.env_remove("LD_LIBRARY_PATH"),
            };
        }
        command.env("CARGO", &self.cargo).env("RUSTC", &self.rustc);
        command
    }

    /// The folder that holds the library's sources.
    pub(crate) fn sysroot(&self) -> Result<PathBuf> {
        let output = Command::new(&self.rustc)
            .args(["--print", "sysroot"])
            .output()
            .with_context(|| format!("cannot run {}", self.rustc.display()))?;
        Ok(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ))
    }

    /// The mangled name of `__rustc::<name>`, by which the compiler's own allocator glue goes: it holds a hash of the
    /// compiler's version, read from an object that `scratch` takes for a moment.
    pub(crate) fn internal_symbol(&self, name: &str, scratch: &Path) -> Result<String> {
        const PROBE: &str = "pub unsafe fn probe(layout: std::alloc::Layout) -> *mut u8 { \
                             unsafe { std::alloc::alloc(layout) } }";
        const CRATE: &[u8] = b"_7___rustc";
        const PREFIX: &[u8] = b"_RNvC";
        let source = scratch.join("probe.rs");
        let object = scratch.join("probe.o");
        fs::write(&source, PROBE).with_context(|| format!("cannot write {}", source.display()))?;
        let output = Command::new(&self.rustc)
            .args(["--crate-type=lib", "--edition=2024", "--emit=obj", "-o"])
            .args([&object, &source])
            .output()
            .with_context(|| format!("cannot run {}", self.rustc.display()))?;
        let bytes = fs::read(&object).unwrap_or_default();
        for file in [&source, &object] {
            let _ = fs::remove_file(file); // the compiler may not have written it
        }
        let position = |bytes: &[u8], pattern: &[u8]| {
            bytes
                .windows(pattern.len())
                .position(|window| window == pattern)
        };
        let mangled = position(&bytes, CRATE).and_then(|end| {
            let start = bytes[..end]
                .windows(PREFIX.len())
                .rposition(|window| window == PREFIX)?;
            std::str::from_utf8(&bytes[start..end + CRATE.len()]).ok()
        });
        let Some(mangled) = mangled else {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} does not name its allocator as expected {}",
                self.rustc.display(),
                message.trim()
            );
        };
        Ok(format!("{mangled}{}_{name}", name.len()))
    }

    fn clippy(&self) -> PathBuf {
        self.cargo
            .with_file_name(format!("cargo-clippy{}", env::consts::EXE_SUFFIX))
    }

    fn has_library_sources(&self) -> bool {
        self.sysroot().is_ok_and(|sysroot| {
            sysroot
                .join("lib/rustlib/src/rust/library/Cargo.lock")
                .exists()
        })
    }
}

/// Whether `cargo run` or a rustup shim has put `path` on LD_LIBRARY_PATH.
fn is_of_outer_cargo(path: &Path) -> bool {
    path.components().any(|part| {
        matches!(
            part.as_os_str().to_str(),
            Some("target" | ".rustup" | "deps" | "rustlib")
        )
    }) || path.ends_with("debug")
        || path.ends_with("release")
}

fn rustup_which(program: &str) -> Option<PathBuf> {
    let output = Command::new(tool::on_path("rustup")?)
        .args(["which", program])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

fn add_rust_src() -> Result<()> {
    let by_hand = "rustup component add rust-src";
    eprintln!("running {by_hand}");
    let mut child = Command::new("rustup")
        .args(["component", "add", "rust-src"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run rustup")?;
    let start = Instant::now();
    loop {
        match child.try_wait().context("waiting for rustup")? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => bail!("`{by_hand}` failed"),
            None if start.elapsed() > RUST_SRC_TIMEOUT => {
                child.kill().context("stopping rustup")?;
                child.wait().context("stopping rustup")?;
                bail!(
                    "`{by_hand}` took more than {} s",
                    RUST_SRC_TIMEOUT.as_secs()
                );
            }
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
}
