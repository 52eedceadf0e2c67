//! Where things are that a build or a capture left.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the root manifest: the one above this package's.
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The target folder: test programs lie in `<target>/<profile>/deps`.
///
/// # Panics
///
/// When the running program is no test.
pub fn target() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    program
        .ancestors()
        .nth(3)
        .expect("Cargo puts tests below its target folder")
        .to_path_buf()
}

fn built(path: PathBuf) -> PathBuf {
    assert!(
        path.is_file(),
        "{} is not there: build everything that these tests need with `cargo xtask test`",
        path.display()
    );
    path
}

/// The release image of a driver package of this workspace.
///
/// # Panics
///
/// When it has not been built.
pub fn driver(name: &str) -> PathBuf {
    built(
        target()
            .join("driver/x64/release")
            .join(format!("{name}.sys")),
    )
}

/// The checked (debug) image of a driver that [`driver`] gives the release image of.
///
/// # Panics
///
/// When it has not been built.
pub fn checked_driver(name: &str) -> PathBuf {
    built(
        target()
            .join("driver/x64/debug")
            .join(format!("{name}.sys")),
    )
}

/// The `lwf-lab` program.
///
/// # Panics
///
/// When it has not been built.
pub fn lwf_lab() -> PathBuf {
    built(target().join("lab/lwf-lab"))
}

/// The program behind `cargo xtask`.
///
/// # Panics
///
/// When it has not been built.
pub fn xtask() -> PathBuf {
    built(target().join("debug/xtask"))
}

/// The committed captures in the order of their names.
///
/// # Panics
///
/// When there are none.
pub fn captures() -> Vec<PathBuf> {
    let folder = repository().join("tests/captures");
    let mut captures: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcapng")
        })
        .collect();
    assert!(!captures.is_empty(), "no captures in {}", folder.display());
    captures.sort();
    captures
}

/// The committed capture with this name.
///
/// # Panics
///
/// When it is not there.
pub fn capture(name: &str) -> PathBuf {
    let path = repository()
        .join("tests/captures")
        .join(format!("{name}.pcapng"));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// The committed script with this name.
///
/// # Panics
///
/// When it is not there.
pub fn script(name: &str) -> PathBuf {
    let path = repository()
        .join("tests/scripts")
        .join(format!("{name}.toml"));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}
