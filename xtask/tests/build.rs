//! The build, end to end: by each toolchain, in two folders, for ARM64, and with wrong input.
//!
//! Slow, because drivers are compiled several times: `cargo xtask test` runs them with `--ignored`.

#![forbid(unsafe_code)]

mod scratch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use self::scratch::{Scratch, root};

/// The smallest driver on the wdk crates.
const SMALLEST: &str = "passthru";

/// xtask in the repository at `root`.
fn xtask(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(root)
        .env("CARGO_MANIFEST_DIR", root.join("xtask"))
        .env_remove("WDKContentRoot")
        .args(arguments);
    command
}

fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

/// Runs a build that has to succeed, and gives the path of the image.
fn build(command: Command) -> PathBuf {
    let output = output(command);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn git(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(root).args(arguments);
    let output = output(command);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Copies what git tracks, and would, to `destination`.
fn copy_repository(destination: &Path) {
    let root = root();
    let listing = git(
        &root,
        &[
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    );
    for name in listing
        .split_terminator('\0')
        .filter(|name| root.join(name).is_file())
    {
        let to = destination.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root.join(name), to).unwrap();
    }
}

/// A copy of the repository, as a repository of its own: people may work in the other one at this moment.
fn scratch_repository(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    copy_repository(&scratch.0);
    git(&scratch.0, &["init", "--quiet"]);
    git(&scratch.0, &["add", "--all"]);
    scratch
}

/// xtask in the repository at `root`, with that repository's target folder.
fn xtask_with_own_target(root: &Path, arguments: &[&str]) -> Command {
    let mut command = xtask(root, arguments);
    command.env_remove("CARGO_TARGET_DIR");
    command
}

#[test]
#[ignore = "slow"]
fn each_toolchain_that_this_machine_allows_builds() {
    let root = root();
    let mut built = 0;
    for toolchain in ["rustup", "debian"] {
        let output = output(xtask(
            &root,
            &["build", "--package", SMALLEST, "--toolchain", toolchain],
        ));
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {
                println!("built by {toolchain}");
                built += 1;
            }
            // A toolchain that cannot be had, and nothing else.
            Some(3) => println!(
                "skipped {toolchain}: {}",
                error.lines().last().unwrap_or_default()
            ),
            _ => panic!("{toolchain}: {error}"),
        }
    }
    assert!(built > 0, "no toolchain has built anything");
}

#[test]
#[ignore = "slow"]
fn clean_builds_in_two_folders_are_the_same_bytes_and_leave_git_alone() {
    let first = build(xtask(&root(), &["build", "--release"]));
    let scratch = scratch_repository("reproducible");
    let folder = &scratch.0;
    let before = git(folder, &["status", "--porcelain"]);
    let second = build(xtask_with_own_target(folder, &["build", "--release"]));
    let after = git(folder, &["status", "--porcelain"]);
    assert!(
        before == after,
        "a build leaves git's status alone: {after}"
    );
    assert!(second.starts_with(folder), "{}", second.display());
    assert!(
        fs::read(first).unwrap() == fs::read(second).unwrap(),
        "the images differ"
    );
    a_release_image_that_fails_the_checks_is_moved_aside(folder);
}

/// In a folder that has built for release already, because that takes long.
fn a_release_image_that_fails_the_checks_is_moved_aside(folder: &Path) {
    let release = ["build", "--release", "--package", SMALLEST];
    let image = build(xtask_with_own_target(folder, &release));
    assert!(image.is_file());
    // No Windows is old enough for what it imports now.
    let table = folder.join("abi/imports.toml");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replace("\nfloor = 19041\n", "\nfloor = 1\n")).unwrap();
    let output = output(xtask_with_own_target(folder, &release));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("newer than the floor 1"), "{error}");
    assert!(!image.exists(), "{} is still there", image.display());
    let refused = image.with_extension("sys.refused");
    let output = self::output(xtask(folder, &["check-image", refused.to_str().unwrap()]));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
}

#[test]
#[ignore = "slow"]
fn the_lock_of_the_build_is_the_committed_one_but_for_wdk_builds_source() {
    let image = build(xtask(&root(), &["build", "--package", SMALLEST]));
    let target = image
        .ancestors()
        .find(|folder| folder.ends_with("driver"))
        .unwrap()
        .parent()
        .unwrap();
    let used = fs::read_to_string(target.join("cross/workspace/Cargo.lock")).unwrap();
    let committed = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut used = used.lines().peekable();
    let removed: Vec<_> = committed
        .lines()
        .filter(|line| used.next_if_eq(line).is_none())
        .collect();
    assert_eq!(used.next(), None);
    let [source, checksum] = removed[..] else {
        panic!("{removed:?}")
    };
    assert!(source.starts_with("source = ") && checksum.starts_with("checksum = "));
}

#[test]
#[ignore = "slow"]
fn arm64_compiles_links_and_passes_the_image_checks() {
    let image = build(xtask(&root(), &["build", "--release", "--arch", "arm64"]));
    let output = output(xtask(&root(), &["check-image", image.to_str().unwrap()]));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn wrong_input_gives_one_line_and_exit_code_2() {
    let root = root();
    let readme = root.join("README.md");
    for (arguments, line) in [
        (
            &["build", "--package", "nothing"][..],
            "error: no package `nothing` in this workspace",
        ),
        (
            &["build", "--package", "xtask"],
            "error: package `xtask` is no driver: ",
        ),
        (
            &["check-image", "nowhere.sys"],
            "error: cannot read nowhere.sys",
        ),
        (
            &[
                "check-image",
                readme.to_str().unwrap(),
                "--map",
                readme.to_str().unwrap(),
            ],
            "not a 64-bit PE image",
        ),
    ] {
        let output = output(xtask(&root, arguments));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(
            error.contains(line) && error.lines().count() == 1,
            "{arguments:?}: {error}"
        );
    }
    let mut command = xtask(&root, &["build"]);
    command.env("WDKContentRoot", &readme);
    let output = output(command);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no folder Include"));
}

#[cfg(not(windows))]
#[test]
fn a_toolchain_that_cannot_be_had_has_an_exit_code_of_its_own() {
    // A PATH with nothing but Cargo and rustc on it.
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap());
    let mut command = xtask(&root(), &["build", "--toolchain", "rustup"]);
    command.env("PATH", cargo.parent().unwrap());
    let output = output(command);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(
        error.contains("cannot be had: no rustup toolchain") && error.lines().count() == 1,
        "{error}"
    );
}

#[cfg(not(windows))]
#[test]
fn plain_cargo_says_what_to_run_instead() {
    let root = root();
    for task in ["build", "test"] {
        let scratch = Scratch::new(task);
        let mut command = Command::new(std::env::var_os("CARGO").unwrap());
        command
            .current_dir(&root)
            .arg(task)
            .env("CARGO_TARGET_DIR", &scratch.0);
        let output = output(command);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            error.contains("run `cargo xtask build`, or `cargo xtask test`, instead"),
            "{error}"
        );
    }
}
