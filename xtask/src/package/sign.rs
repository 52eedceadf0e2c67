//! Signing and verifying with osslsigncode.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::identity::Signers;
use crate::{
    package_install::{self, Need},
    program::run,
    tool,
};

/// What signing and verifying need.
const NEEDS: &[Need] = &[
    Need {
        what: "osslsigncode",
        package: "osslsigncode",
        is_met: || tool::on_path("osslsigncode").is_some(),
    },
    Need {
        what: "openssl",
        package: "openssl",
        is_met: || tool::on_path("openssl").is_some(),
    },
];

/// Installs what is missing, and fails where what there is cannot tell the time itself.
pub(super) fn prepare(yes: bool) -> Result<()> {
    package_install::ensure(NEEDS, yes)?;
    let help = Command::new("osslsigncode")
        .args(["sign", "--help"])
        .output();
    let help = help.context("cannot run osslsigncode")?;
    if !String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("-TSA-certs") {
        bail!(
            "this osslsigncode makes no time stamps of its own (-TSA-certs); install version 2.7 or later (Debian 12: from bookworm-backports)"
        );
    }
    Ok(())
}

/// Signs `file` in place; an image with hashes of its pages.
pub(super) fn sign(file: &Path, signers: &Signers, is_image: bool) -> Result<()> {
    let mut signed = file.as_os_str().to_owned();
    signed.push(".signed");
    let signed = PathBuf::from(signed);
    let mut command = Command::new("osslsigncode");
    command.args(["sign", "-h", "sha256", "-n", "deferlwf"]);
    if is_image {
        command.arg("-ph");
    }
    command
        .arg("-certs")
        .arg(&signers.code.certificates)
        .arg("-key")
        .arg(&signers.code.key)
        .arg("-TSA-certs")
        .arg(&signers.timestamp.certificates)
        .arg("-TSA-key")
        .arg(&signers.timestamp.key)
        .arg("-in")
        .arg(file)
        .arg("-out")
        .arg(&signed);
    run(&mut command).with_context(|| format!("cannot sign {}", file.display()))?;
    fs::rename(&signed, file).with_context(|| format!("cannot replace {}", file.display()))
}

/// Verifies the signature of `file` and its time stamp; with a catalog, that `file` is in it.
pub(super) fn verify(
    file: &Path,
    authority: &Path,
    timestamp_authority: &Path,
    catalog: Option<&Path>,
) -> Result<()> {
    let mut command = Command::new("osslsigncode");
    command
        .arg("verify")
        .arg("-CAfile")
        .arg(authority)
        .arg("-TSA-CAfile")
        .arg(timestamp_authority);
    if let Some(catalog) = catalog {
        command.arg("-catalog").arg(catalog);
    }
    run(command.arg("-in").arg(file))?;
    Ok(())
}
