//! A header kit that is laid out like a WDK, for hosts that have none: mingw-w64's headers and our import libraries.

use std::{ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    architecture::Architecture,
    failure::Failed,
    import_library::ImportTable,
    package_install::{self, Need},
    repository::{create_folder, write_if_changed},
    tool, wdk_mirror,
};

/// The version folder of the kit: wdk-build wants one that starts with `10.`.
const VERSION: &str = "10.0.19041.0";

/// What reads headers.
pub(crate) const LIBCLANG: Need = Need {
    what: "libclang",
    package: "libclang-19-dev",
    is_met: || tool::libclang().is_some(),
};

/// What links images.
pub(crate) const LLD_LINK: Need = Need {
    what: "lld-link",
    package: "lld-19",
    is_met: || tool::llvm("lld-link").is_some(),
};

/// What makes import libraries.
pub(crate) const LLVM_DLLTOOL: Need = Need {
    what: "llvm-dlltool",
    package: "llvm-19",
    is_met: || tool::llvm("llvm-dlltool").is_some(),
};

/// What the kit is made of and with.
const NEEDS: &[Need] = &[
    LLD_LINK,
    LLVM_DLLTOOL,
    Need {
        what: "llvm-mc",
        package: "llvm-19",
        is_met: || tool::llvm("llvm-mc").is_some(),
    },
    LIBCLANG,
    Need {
        what: "mingw-w64's headers",
        package: "mingw-w64-common",
        is_met: || tool::mingw_headers().is_some(),
    },
];

/// mingw's `ntifs.h` and what it lacks of the pool interface that wdk-alloc uses.
const NTIFS: &str = "#pragma once
#include <ddk/ntifs.h>
typedef ULONG64 POOL_FLAGS;
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
";
const NTDDK: &str = "#pragma once\n#include <ddk/ntddk.h>\n";
const NTSTRSAFE: &str = "#pragma once\n#include <ddk/ntstrsafe.h>\n";

/// Load configuration and security cookie, in place of the WDK's `BufferOverflowFastFailK.lib`.
const LOAD_CONFIG: &str = include_str!("load_config.s");

/// A kit that is ready to build with.
pub(crate) struct HeaderKit {
    /// What the build's processes get into their environment.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

/// Installs what a cross build needs besides Rust.
pub(crate) fn require_tools(yes: bool) -> Result<()> {
    package_install::ensure(NEEDS, yes)
}

/// Lays the kit out below `cross`: of mingw-w64's headers, or of the WDK at `wdk`.
pub(crate) fn prepare(
    cross: &Path,
    wdk: Option<&Path>,
    table: &ImportTable,
    architecture: Architecture,
) -> Result<HeaderKit> {
    let (libclang, clang_headers) = tool::libclang().context("libclang not found")?;
    let (folder, version, clang) = if let Some(wdk) = wdk {
        let folder = cross.join("kit-wdk");
        let version = wdk_mirror::lay_out(wdk, &folder, architecture)?;
        (
            folder,
            version,
            format!("--target={}", architecture.target()),
        )
    } else {
        let folder = cross.join("kit");
        let mingw = tool::mingw_headers().context("mingw-w64's headers not found")?;
        lay_out_mingw(&folder, &mingw)?;
        let clang = clang_arguments(architecture, &[&clang_headers, &mingw.join("ddk")]);
        (folder, VERSION.to_owned(), clang)
    };
    let libraries = folder
        .join("Lib")
        .join(&version)
        .join("km")
        .join(architecture.library_folder());
    complete_libraries(&libraries, table, architecture)?;
    Ok(HeaderKit {
        environment: vec![
            ("WDKContentRoot", folder.into()),
            ("Version_Number", version.into()),
            ("LIBCLANG_PATH", libclang.into()),
            ("BINDGEN_EXTRA_CLANG_ARGS", clang.into()),
        ],
    })
}

fn lay_out_mingw(folder: &Path, mingw: &Path) -> Result<()> {
    let include = folder.join("Include").join(VERSION);
    create_folder(&include.join("km/crt"))?;
    write_if_changed(&include.join("km/ntifs.h"), NTIFS)?;
    write_if_changed(&include.join("km/ntddk.h"), NTDDK)?;
    write_if_changed(&include.join("km/ntstrsafe.h"), NTSTRSAFE)?;
    link(mingw, &include.join("shared"))
}

/// Makes every library of the link that the kit does not have as a link to a WDK's own.
fn complete_libraries(
    folder: &Path,
    table: &ImportTable,
    architecture: Architecture,
) -> Result<()> {
    create_folder(folder)?;
    table.write_libraries(folder, architecture)?;
    write_load_config(folder, architecture)?;
    let helpers = folder.join("arm64rt.lib");
    if architecture == Architecture::Arm64 && !helpers.is_symlink() {
        // The WDK's holds helpers for outlined prologues, which rustc does not use.
        write_if_changed(&helpers, b"!<arch>\n")?;
    }
    Ok(())
}

/// Arguments that let clang read mingw's headers with wdk-build's own arguments before them.
///
/// The gnu target and no Microsoft compatibility, because mingw's headers switch their attributes off without
/// `__GNUC__`; the two guards, because the AMX tile type breaks bindgen's layout tests. mingw's `ddk` has no ARM64: the
/// x64 declarations serve, right for every type that a filter uses except what `abi/arch_diff.json` lists.
fn clang_arguments(architecture: Architecture, include_last: &[&Path]) -> String {
    let mut arguments = vec![
        "--target=x86_64-w64-windows-gnu".to_owned(),
        "-fno-ms-compatibility".to_owned(),
        "-D_WIN32_WINNT=0x0A00".to_owned(),
        "-DNTDDI_VERSION=0x0A000000".to_owned(),
        "-D__IMMINTRIN_H".to_owned(),
        "-D__X86INTRIN_H".to_owned(),
        "-w".to_owned(),
    ];
    if architecture == Architecture::Arm64 {
        arguments.extend(["-U_ARM64_", "-UARM64", "-D_AMD64_", "-DAMD64"].map(str::to_owned));
    }
    for folder in include_last {
        arguments.push(format!("-idirafter \"{}\"", folder.display()));
    }
    arguments.join(" ")
}

/// Assembles the object that stands in for `BufferOverflowFastFailK.lib`.
pub(crate) fn write_load_config(libraries: &Path, architecture: Architecture) -> Result<()> {
    let source = libraries.join("load_config.s");
    let output = libraries.join("BufferOverflowFastFailK.lib");
    if output.is_symlink() {
        return Ok(()); // the WDK's own
    }
    if output.exists() && fs::read_to_string(&source).is_ok_and(|old| old == LOAD_CONFIG) {
        return Ok(());
    }
    write_if_changed(&source, LOAD_CONFIG)?;
    let program = tool::llvm("llvm-mc").context("llvm-mc not found")?;
    let result = Command::new(&program)
        .args(["-filetype=obj", "-triple", architecture.target(), "-o"])
        .args([&output, &source])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !result.status.success() {
        let message = String::from_utf8_lossy(&result.stderr);
        bail!(Failed(format!(
            "{} failed: {}",
            program.display(),
            message.trim()
        )));
    }
    Ok(())
}

/// Makes `link` a symbolic link to `target`.
pub(crate) fn link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if link.is_symlink() {
        fs::remove_file(link).with_context(|| format!("cannot remove {}", link.display()))?;
    }
    symlink(target, link)
        .with_context(|| format!("cannot link {} to {}", link.display(), target.display()))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other(
        "a header kit is for hosts other than Windows",
    ))
}
