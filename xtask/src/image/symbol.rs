//! The symbols of the linker's map, and those that must not be there.

use anyhow::Result;

use super::Image;

/// Parts of mangled names that tell of code that must not be linked, and what it is.
const REFUSED: &[(&str, &str)] = &[
    ("4core9panicking", "core::panicking"),
    ("rust_begin_unwind", "the panic handler"),
    (
        "deferlwf_unreachable",
        "a stand-in for what unreachable code refers to",
    ),
];

/// Reads the lines ` 0001:00000230  name  0000000180001230  object`, sorted by address from the image's base.
pub(super) fn parse(map: &str, base: u64) -> Vec<(u32, &str)> {
    let mut symbols: Vec<_> = map.lines().filter_map(|line| symbol(line, base)).collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

fn symbol(line: &str, base: u64) -> Option<(u32, &str)> {
    let mut words = line.split_whitespace();
    let (section, offset) = words.next()?.split_once(':')?;
    if section.len() != 4 || offset.len() != 8 {
        return None;
    }
    let name = words.next()?;
    let address = u64::from_str_radix(words.next().filter(|word| word.len() == 16)?, 16).ok()?;
    Some((u32::try_from(address.checked_sub(base)?).ok()?, name))
}

pub(super) fn check(image: &Image<'_>) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (_, name) in &image.symbols {
        if let Some((_, what)) = REFUSED.iter().find(|(part, _)| name.contains(part)) {
            broken.push(format!("{what}: {name}"));
        }
    }
    Ok(broken)
}
