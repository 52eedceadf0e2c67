//! Signing and verifying with osslsigncode.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::identity::Signers;
use crate::{
    failure::Failed,
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

/// Whom signatures are trusted by.
pub(super) struct Authorities<'a> {
    /// PEM file of who issued the signer's certificate.
    pub(super) code: &'a Path,
    /// PEM file of who issued that of the time stamps.
    pub(super) time: &'a Path,
}

/// Verifies the signature of `file` and its time stamp; of an image that it has hashes of its pages; with a catalog, that
/// `file` is in it, by the catalog's signature.
pub(super) fn verify(
    file: &Path,
    authorities: &Authorities<'_>,
    catalog: Option<&Path>,
    is_image: bool,
) -> Result<()> {
    let mut command = Command::new("osslsigncode");
    command
        .arg("verify")
        .arg("-CAfile")
        .arg(authorities.code)
        .arg("-TSA-CAfile")
        .arg(authorities.time);
    if let Some(catalog) = catalog {
        command.arg("-catalog").arg(catalog);
    }
    let output = command.arg("-in").arg(file).output();
    let output = output.context("cannot run osslsigncode")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(Failed(complaint(&printed).to_owned()));
    }
    let missing = missing(&printed, is_image && catalog.is_none());
    if !missing.is_empty() {
        bail!(Failed(format!("it has {}", missing.join(", and "))));
    }
    Ok(())
}

/// What osslsigncode says of a signature that does not hold: it ends with "Failed", and the reason is further up.
fn complaint(printed: &str) -> &str {
    let mut lines = printed.lines().map(str::trim);
    let reason = lines.find_map(|line| {
        if line.contains("MISMATCH") {
            return Some("its bytes are not those that were signed");
        }
        if line == "No signature found" || line.starts_with("File not found in the catalog") {
            return Some(line);
        }
        line.strip_prefix("Error: ")
    });
    reason.unwrap_or_else(|| printed.lines().next_back().unwrap_or("it failed"))
}

/// What osslsigncode has not seen, of what it does not insist on: without a time stamp that holds it takes today's date,
/// and page hashes are a choice.
fn missing(printed: &str, needs_pages: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    let stamps = |result: &str| {
        let line = format!("Timestamp Server Signature verification: {result}");
        printed.matches(&line).count()
    };
    if printed.contains("Timestamp is not available") || stamps("") == 0 {
        missing.push("no time stamp");
    } else if stamps("ok") != stamps("") {
        missing.push("a time stamp that does not hold");
    }
    let has = |start: &str| printed.lines().any(|line| line.starts_with(start));
    if needs_pages && !(has("Page hash algorithm  : SHA256") && has("Calculated page hash")) {
        missing.push("no hashes of its pages by SHA-256");
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::{complaint, missing};

    #[test]
    fn the_reason_is_found() {
        assert_eq!(complaint("a\n\tError: who?\nFailed"), "who?");
        assert!(complaint("Calculated: 00   MISMATCH!!!\nFailed").contains("bytes"));
        assert_eq!(
            complaint("No signature found\nFailed"),
            "No signature found"
        );
        assert_eq!(complaint("odd"), "odd");
        assert_eq!(complaint(""), "it failed");
    }

    #[test]
    fn what_osslsigncode_lets_pass_is_missed() {
        let stamp = "Timestamp Server Signature verification: ";
        let pages = "Page hash algorithm  : SHA256\nCalculated page hash : 00 ...\n";
        let good = format!("{pages}{stamp}ok\n");
        assert!(missing(&good, true).is_empty());
        assert!(missing(&format!("{stamp}ok\n"), false).is_empty());
        assert_eq!(missing(&good.replace(pages, ""), true).len(), 1);
        assert_eq!(missing(&good.replace("SHA256", "SHA1"), true).len(), 1);
        assert_eq!(
            missing(&good.replace("ok", "failed"), true),
            ["a time stamp that does not hold"]
        );
        assert_eq!(missing(&format!("{good}{stamp}failed\n"), true).len(), 1);
        assert_eq!(missing("Timestamp is not available\n", true).len(), 2);
        assert_eq!(missing("", false), ["no time stamp"]);
    }
}
