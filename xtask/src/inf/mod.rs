//! INF files: reading, checking, stamping.

mod document;
mod driver;
mod install;
mod rule;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;
pub(crate) mod wine;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};

use self::{document::Document, driver::Driver, install::Map, rule::Subject};
use crate::{failure::Failed, import_library::ImportTable, output::say, repository::Repository};

/// The driver's template, below the root.
pub(crate) const TEMPLATE: &str = "inf/deferlwf.inx";

/// Hold an INF against the documentation's requirements for a lightweight filter.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The INF, or the .inx that it is made of [default: the driver's].
    inf: Option<PathBuf>,
    /// It is another driver's: do not compare it with this one's source.
    #[arg(long)]
    foreign: bool,
    /// List every rule with its page, and check nothing.
    #[arg(long)]
    rules: bool,
}

/// Checks the INF that `arguments` name.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.rules {
        for rule in rule::all() {
            say!("{:28} {}", rule.name, rule.page)?;
        }
        return Ok(());
    }
    let repository = Repository::open()?;
    let default = repository.root().join(TEMPLATE);
    let path = arguments.inf.as_deref().unwrap_or(&default);
    check_file(path, repository.root(), arguments.foreign)?;
    say!("{}: {} rules hold", path.display(), rule::all().count())?;
    Ok(())
}

/// Fails unless every rule holds for the INF at `path`.
pub(crate) fn check_file(path: &Path, root: &Path, foreign: bool) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = decode(&bytes).with_context(|| path.display().to_string())?;
    let driver = if foreign {
        None
    } else {
        Some(Driver::read(root)?)
    };
    let is_template = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("inx"));
    let floor = ImportTable::read(root)?.floor;
    let findings = check(&text, driver.as_ref(), is_template, floor);
    for (rule, finding) in &findings {
        let place = match finding.line {
            0 => path.display().to_string(),
            line => format!("{}:{line}", path.display()),
        };
        eprintln!("{place}: {}: {} ({})", rule.name, finding.what, rule.page);
    }
    if !findings.is_empty() {
        bail!(Failed(format!(
            "{} breaks rules: {} finding{}",
            path.display(),
            findings.len(),
            if findings.len() == 1 { "" } else { "s" }
        )));
    }
    Ok(())
}

/// The component ids that the INF with this text installs, in its order.
pub(crate) fn component_ids(text: &str) -> Result<Vec<String>> {
    let document = read(text)?;
    let mut ids: Vec<_> = Map::of(&document)
        .installs
        .into_iter()
        .map(|install| install.component)
        .collect();
    ids.dedup();
    Ok(ids)
}

/// What the INF with this text says of itself: DriverVer, and the architectures of its models as their decorations spell
/// them.
pub(crate) fn described(text: &str) -> Result<(String, BTreeSet<String>)> {
    let document = read(text)?;
    let version = document.section("Version");
    let driver_version = version.and_then(|version| version.first("DriverVer"));
    let driver_version = driver_version.map_or_else(String::new, |entry| entry.fields.join(","));
    let models = Map::of(&document).models;
    let architectures = models.iter().filter_map(|(_, name)| name.split('.').nth(1));
    let architectures = architectures.map(str::to_lowercase).collect();
    Ok((driver_version, architectures))
}

/// Reads the text of an INF; fails with the line where it is none.
fn read(text: &str) -> Result<Document> {
    Document::parse(text).map_err(|error| anyhow!("line {}: {}", error.line, error.what))
}

/// The rule of text that is no INF at all.
const SYNTAX: rule::Rule = rule::Rule {
    name: "inf-syntax",
    page: "devtest/inf-validation-errors-and-warnings.md, 1002",
    check: |_| Vec::new(),
};

fn check(
    text: &str,
    driver: Option<&Driver>,
    is_template: bool,
    floor: u32,
) -> Vec<(&'static rule::Rule, rule::Finding)> {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let finding = rule::Finding {
                line: error.line,
                what: error.what,
            };
            return vec![(&SYNTAX, finding)];
        }
    };
    let subject = Subject {
        map: Map::of(&document),
        document: &document,
        driver,
        is_template,
        floor,
    };
    rule::all()
        .flat_map(|rule| {
            let findings = (rule.check)(&subject);
            findings.into_iter().map(move |finding| (rule, finding))
        })
        .collect()
}

/// An INF is in the system's code page (here: ASCII) or UTF-16 LE: devtest/inf-validation-errors-and-warnings.md, 1003.
pub(crate) fn decode(bytes: &[u8]) -> Result<String> {
    if let Some(wide) = bytes.strip_prefix(&[0xFF, 0xFE]) {
        let units: Vec<_> = wide
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        return String::from_utf16(&units).context("not UTF-16 LE");
    }
    if !bytes.is_ascii() {
        bail!("neither ASCII nor UTF-16 LE with its mark: Windows would read other letters");
    }
    if bytes.contains(&0) {
        bail!("holds a NUL, where Windows may see its end");
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
