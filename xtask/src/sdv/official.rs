//! Microsoft's rules, as `lab/rules/official.toml` has them.

use anyhow::{Context, Result, bail};
use toml_edit::{DocumentMut, InlineTable, Value};

/// One of Microsoft's rules.
#[derive(Default)]
pub(super) struct Official {
    /// `ndis` or `wdm`.
    pub(super) model: String,
    pub(super) set: String,
    pub(super) name: String,
    pub(super) page: String,
    /// The option of Driver Verifier that checks it.
    pub(super) verifier: Option<String>,
    /// How it stops the machine then.
    pub(super) stop: Option<String>,
    pub(super) is_static: bool,
    /// Rules of the catalogue that say the same.
    pub(super) rules: Vec<String>,
    /// Compile-fail tests.
    pub(super) cases: Vec<String>,
    pub(super) uncalled: Option<String>,
    pub(super) check: Option<String>,
    pub(super) no: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Official>> {
    let document: DocumentMut = text.parse()?;
    let mut rules = Vec::new();
    for (model, sets) in document.iter() {
        let sets = sets.as_table().context("a model is a table")?;
        for (set, entries) in sets {
            let entries = entries.as_table().context("a rule set is a table")?;
            for (name, entry) in entries {
                let table = entry
                    .as_inline_table()
                    .with_context(|| format!("{name} is no inline table"))?;
                let mut rule = official(table).with_context(|| name.to_owned())?;
                (rule.model, rule.set, rule.name) = (model.into(), set.into(), name.into());
                rules.push(rule);
            }
        }
    }
    Ok(rules)
}

fn official(table: &InlineTable) -> Result<Official> {
    let mut rule = Official {
        is_static: true,
        ..Official::default()
    };
    for (key, value) in table {
        let text = || {
            let text = value.as_str().map(str::to_owned);
            text.with_context(|| format!("{key} is no string"))
        };
        match key {
            "page" => rule.page = text()?,
            "verifier" => rule.verifier = Some(text()?),
            "stop" => rule.stop = Some(text()?),
            "static" => rule.is_static = value.as_bool().context("static is true or false")?,
            "rules" => rule.rules = words(value)?,
            "cases" => rule.cases = words(value)?,
            "uncalled" => rule.uncalled = Some(text()?),
            "check" => rule.check = Some(text()?),
            "no" => rule.no = Some(text()?),
            _ => bail!("there is no key {key}"),
        }
    }
    Ok(rule)
}

fn words(value: &Value) -> Result<Vec<String>> {
    let entries = value.as_array().context("no list")?.iter();
    entries
        .map(|entry| entry.as_str().map(str::to_owned).context("no string"))
        .collect()
}
