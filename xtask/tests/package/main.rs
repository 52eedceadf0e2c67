//! A package, end to end: made, verified by programs of others, refused when a byte is flipped or the input is wrong.
//!
//! Slow, because the driver is compiled: `cargo xtask test` runs it with `--ignored`.

#![forbid(unsafe_code)]

mod certificate;
mod changed;
mod foreign;
mod input;
mod judge;
#[path = "../scratch/mod.rs"]
mod scratch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use self::{
    changed::{MEMBERS, describe_anew},
    scratch::{Scratch, root},
};

fn xtask(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(root())
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .args(arguments);
    command.output().unwrap()
}

/// Runs a task that has to succeed, and gives what it printed.
fn succeed(arguments: &[&str]) -> String {
    let output = xtask(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a task that has to end with `code`, and gives its last line of complaint.
fn fail(arguments: &[&str], code: i32) -> String {
    let output = xtask(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors.lines().next_back().unwrap_or_default().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// What a manifest says of each file that is not signed, and of what is signed before it is.
fn contents(package: &Path) -> String {
    let text = fs::read_to_string(package.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = manifest["files"].as_array().unwrap().iter();
    let plain: Vec<_> = files
        .filter(|file| !["deferlwf.sys", "deferlwf.cat"].contains(&file["name"].as_str().unwrap()))
        .collect();
    assert!(plain.len() >= 4, "{text}");
    format!("{plain:?} {}", manifest["unsigned"])
}

/// How many checks `check-package` makes.
const CHECKS: usize = 8;

#[test]
#[ignore = "compiles the driver"]
fn a_package_verifies_and_a_flipped_byte_does_not() {
    for arch in ["x64", "arm64"] {
        let made = succeed(&["package", "--arch", arch, "--yes"]);
        let package = PathBuf::from(made.trim());
        let checked = succeed(&["check-package", "--arch", arch, "--yes"]);
        assert_eq!(checked.matches("ok ").count(), CHECKS, "{checked}");

        // Made again, all of it is the same but signatures and their time.
        let first = contents(&package);
        succeed(&["package", "--arch", arch, "--yes"]);
        assert_eq!(contents(&package), first);

        let scratch = Scratch::new(&format!("flip-{arch}"));
        for (file, sees) in [
            (
                "deferlwf.sys",
                "osslsigncode: the image's signature, page hashes, time stamp; \
                 osslsigncode: the image is in the catalog; \
                 signify: the image's signature, time stamp; signify: both members are in the catalog",
            ),
            // osslsigncode knows no members but images.
            ("deferlwf.inf", MEMBERS),
            (
                "deferlwf.cat",
                "osslsigncode: the catalog's signature, time stamp; \
                 osslsigncode: the image is in the catalog; signify: both members are in the catalog",
            ),
        ] {
            let folder = scratch.0.join(file);
            copy_folder(&package, &folder);
            let path = folder.join(file);
            let mut bytes = fs::read(&path).unwrap();
            let place = match file {
                // A letter of the first comment, which changes nothing that an INF says.
                "deferlwf.inf" => 4,
                // In the list of members. Behind it are certificates, which a signature does not cover, and of which
                // the authority's is not even looked at: the verifier has its own.
                "deferlwf.cat" => 300,
                _ => bytes.len() / 2,
            };
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            // The manifest sees it; and where that was replaced too, the programs of others do, each by itself.
            let complaint = fail(&["check-package", text(&folder), "--yes"], 1);
            assert!(complaint.contains("manifest"), "{complaint}");
            describe_anew(&folder);
            let complaint = fail(&["check-package", text(&folder), "--yes"], 1);
            assert_eq!(complaint, format!("error: what does not hold: {sees}"));
        }
    }
}

#[test]
#[ignore = "compiles the driver"]
fn wine_installs_what_the_inf_says() {
    succeed(&["package", "--yes"]);
    let printed = succeed(&["check-install", "--yes"]);
    for section in ["Install_Drivers", "Install_Store"] {
        let line = format!("Wine installed [{section}]: service, file and ");
        assert!(printed.contains(&line), "{printed}");
    }
    assert_eq!(printed.matches("as the INF says").count(), 2, "{printed}");
}
