//! Making an INF of the template, as stampinf does: architecture, date and version.

use anyhow::{Result, bail};

use crate::architecture::Architecture;

/// What is filled in.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) architecture: Architecture,
    /// `mm/dd/yyyy`.
    pub(crate) date: String,
    /// `w.x.y.z`.
    pub(crate) version: String,
}

/// How INF files name an architecture, behind `NT`.
pub(crate) const fn suffix(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X64 => "amd64",
        Architecture::Arm64 => "arm64",
    }
}

/// Fills in the template's `$ARCH$` and DriverVer.
pub(crate) fn stamp(template: &str, stamp: &Stamp) -> Result<String> {
    let architecture = suffix(stamp.architecture);
    let mut stamped = String::new();
    let mut versions = 0;
    for line in template.lines() {
        let is_version = line
            .split_once('=')
            .is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case("DriverVer"));
        if is_version {
            versions += 1;
            stamped.push_str(&format!("DriverVer   = {},{}", stamp.date, stamp.version));
        } else {
            stamped.push_str(&line.replace("$ARCH$", architecture));
        }
        stamped.push_str("\r\n");
    }
    if versions != 1 {
        bail!("the template has {versions} lines `DriverVer =`, not one");
    }
    Ok(stamped)
}
