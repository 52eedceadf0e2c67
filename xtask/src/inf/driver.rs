//! What the driver's source says that the INF has to repeat.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// A parameter as `src/parameter.rs` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) least: u32,
    pub(crate) most: u32,
    pub(crate) default: u32,
}

/// What the driver registers and reads.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) unique_name: String,
    pub(crate) service_name: String,
    pub(crate) parameters: Vec<Parameter>,
    /// Those of the driver as a whole.
    pub(crate) driver_wide: Vec<Parameter>,
    /// Names of parameters that are text.
    pub(crate) texts: Vec<String>,
}

impl Driver {
    /// Reads the source of the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let file = |name: &str| {
            let path = root.join("src").join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Self::parse(&file("lib.rs")?, &file("parameter.rs")?)
    }

    fn parse(lib: &str, parameter: &str) -> Result<Self> {
        let word = |name: &str| {
            quoted_after(lib, &format!("{name}:"))
                .with_context(|| format!("src/lib.rs: no `{name}: \"…\"`"))
        };
        let ranges = |before: &str| {
            let bodies = parameter.split(before).skip(1).map(|text| {
                let body = text.split('}').next().unwrap_or(text);
                range(body).context("src/parameter.rs: a `Range` that is not understood")
            });
            bodies.collect::<Result<Vec<_>>>()
        };
        let parameters = ranges(": Range = Range {")?;
        let driver_wide = ranges(": DriverWide = DriverWide(Range {")?;
        let texts = parameter
            .split(": Text = text!(")
            .skip(1)
            .filter_map(|text| Some(text.split('"').nth(1)?.to_owned()));
        Ok(Self {
            texts: texts.collect(),
            unique_name: word("unique_name")?,
            service_name: word("service_name")?,
            parameters,
            driver_wide,
        })
    }
}

fn range(text: &str) -> Option<Parameter> {
    let number = |name: &str| {
        let (_, rest) = text.split_once(&format!("{name}:"))?;
        let digits = rest.split(',').next()?.trim().replace('_', "");
        digits.parse().ok()
    };
    Some(Parameter {
        name: quoted_after(text, "keyword:")?,
        least: number("least")?,
        most: number("most")?,
        default: number("default")?,
    })
}

fn quoted_after(text: &str, label: &str) -> Option<String> {
    let (_, rest) = text.split_once(label)?;
    Some(rest.split('"').nth(1)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let driver = Driver::read(&root).expect("the driver's source");
        assert_eq!(driver.service_name, "deferlwf");
        assert_eq!(driver.parameters[0].name, "SnapLen");
        let text = fs::read_to_string(root.join("src/parameter.rs")).expect("parameter.rs");
        assert_eq!(
            driver.parameters.len() + driver.driver_wide.len(),
            text.matches("keyword: text!").count()
        );
        assert_eq!(driver.texts, ["Block"]);
        assert_eq!(driver.driver_wide[0].name, "MaxMemoryMiB");
        let keywords = driver.parameters.len() + driver.driver_wide.len() + driver.texts.len();
        assert_eq!(keywords, text.matches("text!(\"").count());
    }
}
