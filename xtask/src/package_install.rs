//! Installing missing Debian packages, with the user's consent.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::tool;

/// Something that a task needs, and the Debian package that brings it.
pub(crate) struct Need {
    /// What is missed when it is not there.
    pub(crate) what: &'static str,
    /// The package to install.
    pub(crate) package: &'static str,
    /// Whether it is there.
    pub(crate) is_met: fn() -> bool,
}

/// Installs what is missing of `needs`; asks first on a terminal, unless `yes` or `CI` says not to.
pub(crate) fn ensure(needs: &[Need], yes: bool) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !(need.is_met)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    let things = missing
        .iter()
        .map(|need| need.what)
        .collect::<Vec<_>>()
        .join(", ");
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install -y {}",
        packages.join(" ")
    );
    if tool::on_path("apt-get").is_none() {
        bail!("{things} not found; on Debian or Ubuntu install with: {by_hand}");
    }
    let prefix: &[&str] = match (is_root(), tool::on_path("sudo").is_some()) {
        (true, _) => &[],
        (false, true) if io::stdin().is_terminal() => &["sudo"],
        (false, true) => &["sudo", "-n"],
        (false, false) => {
            bail!("{things} not found, and neither root nor sudo to install with: {by_hand}")
        }
    };
    if !consent(&things, &packages, yes)? {
        bail!("{things} not found; install with: {by_hand}");
    }
    apt_get(prefix, &["update"])
        .and_then(|()| {
            apt_get(
                prefix,
                &[&["install", "-y", "--no-install-recommends"], &packages[..]].concat(),
            )
        })
        .with_context(|| format!("{things} not found and not installed; try: {by_hand}"))?;
    match missing.iter().find(|need| !(need.is_met)()) {
        Some(need) => bail!(
            "{} is still not found after installing {}",
            need.what,
            need.package
        ),
        None => Ok(()),
    }
}

pub(crate) fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Asks once on a terminal, unless `--yes` or `CI` has answered; where nobody can answer, the command itself is the wish.
fn consent(things: &str, packages: &[&str], yes: bool) -> Result<bool> {
    let is_ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    if yes || is_ci || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    eprint!(
        "{things} not found. Install {} now? [Y/n] ",
        packages.join(" ")
    );
    io::stderr().flush().context("terminal")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("terminal")?;
    Ok(matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let words = [prefix, &["apt-get"], arguments].concat();
    eprintln!("running {}", words.join(" "));
    let status = Command::new(words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Standard output is for what the task itself says.
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("cannot run {}", words[0]))?;
    if !status.success() {
        bail!("{} failed", words.join(" "));
    }
    Ok(())
}
