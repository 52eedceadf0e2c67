//! The processor architectures that a driver is built for.

use std::fmt;

use clap::ValueEnum;

/// A processor architecture, under the name that Windows people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// AMD64.
    X64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// The Rust target.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::X64 => "x86_64-pc-windows-msvc",
            Self::Arm64 => "aarch64-pc-windows-msvc",
        }
    }

    /// The folder below `Lib/<version>/km` of a WDK, as wdk-build spells it.
    pub(crate) const fn library_folder(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "ARM64",
        }
    }

    /// The machine as `llvm-dlltool -m` names it.
    pub(crate) const fn dlltool_machine(self) -> &'static str {
        match self {
            Self::X64 => "i386:x86-64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::X64 => "x64",
            Self::Arm64 => "arm64",
        })
    }
}
