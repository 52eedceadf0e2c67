//! What an image imports, and how much of it the lab has.

use crate::abi::irql::IRQL;
use crate::life::{DATA, IMPORTS};

/// How much the lab has of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Support {
    /// It does what the page says, as far as the lab models what that is about.
    Emulated,
    /// The facts table has it, with the levels at which it may be called; the lab does not do it.
    Known,
    /// The lab has never heard of it.
    Missing,
}

/// An import of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedName {
    /// File that exports it, lower case.
    pub module: String,
    /// Its export name, or `#` and its number.
    pub name: String,
    /// How much the lab has of it.
    pub support: Support,
    /// Lowest and highest level at which it may be called, where that is documented.
    pub irql: Option<(u8, u8)>,
}

/// What the image with these bytes imports, sorted by module and name, each once.
///
/// # Errors
/// When it cannot be parsed, one line.
pub fn imports(image: &[u8]) -> Result<Vec<ImportedName>, String> {
    let image = lab_pe::Image::parse(image).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for module in &image.imports {
        for function in &module.functions {
            names.push(look_up(&module.name, &function.name));
        }
    }
    names.sort_by(|a, b| (&a.module, &a.name).cmp(&(&b.module, &b.name)));
    names.dedup();
    Ok(names)
}

fn look_up(module: &str, name: &lab_pe::ImportName) -> ImportedName {
    let text = name.to_string();
    let is_named = matches!(name, lab_pe::ImportName::Name(_));
    let irql = IRQL
        .binary_search_by_key(&text.as_str(), |(known, ..)| known)
        .ok()
        .map(|index| (IRQL[index].1, IRQL[index].2));
    let support = if is_named && is_emulated(module, &text) {
        Support::Emulated
    } else if is_named && irql.is_some() && KERNEL.contains(&module) {
        Support::Known
    } else {
        Support::Missing
    };
    ImportedName {
        module: module.to_owned(),
        name: text,
        support,
        irql,
    }
}

/// Modules whose functions the facts table describes.
const KERNEL: &[&str] = &["ntoskrnl.exe", "hal.dll", "ndis.sys"];

/// Whether the registry binds it. The names of the HAL are forwarded to the kernel.
fn is_emulated(module: &str, name: &str) -> bool {
    const COMPILER: &str = "__chkstk";
    let exports =
        |exporter: &str| exporter == module || (module == "hal.dll" && exporter == "ntoskrnl.exe");
    let functions = IMPORTS.iter().flat_map(|imports| imports.iter());
    let variables = DATA.iter().flat_map(|data| data.iter());
    functions
        .map(|import| (import.module, import.name))
        .chain(variables.map(|variable| (variable.module, variable.name)))
        .chain([("ntoskrnl.exe", COMPILER)])
        .any(|(exporter, known)| known == name && exports(exporter))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::life::IMPORTS;

    #[test]
    fn every_name_is_offered_once() {
        let mut seen = BTreeSet::new();
        for import in IMPORTS.iter().flat_map(|imports| imports.iter()) {
            assert!(seen.insert((import.module, import.name)), "{}", import.name);
        }
    }
}
