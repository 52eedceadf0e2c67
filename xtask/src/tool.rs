//! Finding the programs and files of other projects that a build needs.

use std::{
    env,
    path::{Path, PathBuf},
};

/// LLVM major versions that are looked for, newest last; the first is the one that gets installed.
const LLVM_VERSIONS: &[u32] = &[19, 20, 21, 22, 23];

/// Finds a program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

/// Finds a program of LLVM: with Debian's version suffix, in LLVM's own folder, or bare.
pub(crate) fn llvm(name: &str) -> Option<PathBuf> {
    LLVM_VERSIONS
        .iter()
        .find_map(|version| {
            on_path(&format!("{name}-{version}"))
                .or_else(|| existing(&llvm_folder(*version).join("bin").join(name)))
        })
        .or_else(|| on_path(name))
}

/// Finds the folder of `libclang.so` and the matching folder of clang's own headers.
pub(crate) fn libclang() -> Option<(PathBuf, PathBuf)> {
    LLVM_VERSIONS.iter().find_map(|version| {
        let library = llvm_folder(*version).join("lib");
        let headers = library.join(format!("clang/{version}/include"));
        let found = library.join("libclang.so").exists() && headers.join("stddef.h").exists();
        found.then_some((library, headers))
    })
}

/// Finds the folder of mingw-w64's headers.
pub(crate) fn mingw_headers() -> Option<PathBuf> {
    existing(Path::new("/usr/share/mingw-w64/include/ddk/ntifs.h"))
        .and_then(|header| Some(header.parent()?.parent()?.to_path_buf()))
}

fn llvm_folder(version: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{version}"))
}

fn existing(path: &Path) -> Option<PathBuf> {
    path.exists().then(|| path.to_path_buf())
}

/// Cargo's own folder, which holds the sources of dependencies.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}
