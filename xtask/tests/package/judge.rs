//! The programs of others that judge packages, asked one by one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The programs that judge packages, asked as `check-package` asks them: whether each accepts `file`, by itself or as a
/// member of `catalog`.
pub(crate) fn verdicts(package: &Path, file: &Path, catalog: Option<&Path>) -> [bool; 2] {
    let authority = package.join("../test-ca.pem");
    let mut osslsigncode = Command::new("osslsigncode");
    osslsigncode
        .args(["verify", "-CAfile"])
        .arg(&authority)
        .arg("-TSA-CAfile")
        .arg(&authority);
    if let Some(catalog) = catalog {
        osslsigncode.arg("-catalog").arg(catalog);
    }
    osslsigncode.arg("-in").arg(file);
    let mut signify = Command::new(package.join("../../python/bin/python3"));
    signify
        .arg(package.join("../verify.py"))
        .args([&authority, &authority])
        .arg(catalog.unwrap_or(Path::new("-")))
        .arg(file);
    [osslsigncode, signify].map(|mut command| command.output().unwrap().status.success())
}

/// Copies `file` with a byte in its middle flipped.
pub(crate) fn flip(file: &Path) -> PathBuf {
    let mut bytes = fs::read(file).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    let flipped = file.with_extension("flipped");
    fs::write(&flipped, bytes).unwrap();
    flipped
}

/// Runs a command of `line`, split at blanks, in `folder`; says whether it went well.
pub(crate) fn shell(folder: &Path, line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).current_dir(folder).output();
    output.is_ok_and(|output| output.status.success())
}
