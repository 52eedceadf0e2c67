//! `docs/write-a-filter.md` is true: its commands, in a copy of the sources, make a filter that runs in the lab.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::{Scratch, lwf_lab, repository, target, xtask};

/// The lines of the guide's commands.
fn commands() -> Vec<String> {
    let guide = fs::read_to_string(repository().join("docs/write-a-filter.md")).expect("the guide");
    let (_, commands) = guide.split_once("```sh\n").expect("commands");
    let (commands, _) = commands.split_once("```").expect("their end");
    commands.lines().map(str::to_owned).collect()
}

/// Copies what Git has, or would take, so that what was built from it is still new.
fn copy_sources(to: &Path) {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(repository())
        .output()
        .expect("git");
    let names = String::from_utf8(listed.stdout).expect("UTF-8");
    for name in names.split_terminator('\0') {
        let (from, to) = (repository().join(name), to.join(name));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("{name}: {error}"));
        let modified = fs::metadata(&from)
            .and_then(|it| it.modified())
            .expect("a time");
        let copy = fs::File::options()
            .append(true)
            .open(&to)
            .expect("the copy");
        copy.set_modified(modified).expect("a time");
    }
}

/// Runs a line of the guide; gives what it has printed.
fn follow(line: &str, folder: &Path) -> String {
    // Cargo's aliases would build both programs again.
    let line = line
        .replace("cargo xtask", &xtask().display().to_string())
        .replace("cargo lab", &lwf_lab().display().to_string());
    let output = Command::new("sh")
        .args(["-euc", &line])
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder.join("xtask"))
        .env("CARGO_TARGET_DIR", target())
        .output()
        .expect("sh");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{text}{errors}");
    text
}

#[test]
fn the_guide_makes_a_filter_that_runs_in_the_lab() {
    let scratch = Scratch::new("write-a-filter");
    copy_sources(scratch.path());
    std::os::unix::fs::symlink(target(), scratch.path().join("target")).expect("a link");
    let mut clean = 0;
    for line in commands() {
        let said = follow(&line, scratch.path());
        if line.starts_with("cargo lab") {
            let is_clean = said.lines().any(|line| line.starts_with("Clean"));
            assert!(is_clean, "{line}\n{said}");
            clean += 1;
        }
    }
    assert_eq!(clean, 2, "the guide runs the filter, and stresses it");
}
