//! What the headers say: subsystem, flags, sections, exports.

use anyhow::Result;
use object::{LittleEndian as LE, pe};

use super::Image;

/// The flags that a driver has, with the linker's names for them.
const FLAGS: &[(pe::DllFlags, &str)] = &[
    (pe::IMAGE_DLLCHARACTERISTICS_WDM_DRIVER, "WDM_DRIVER"),
    (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT"),
    (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE"),
    (
        pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA,
        "HIGH_ENTROPY_VA",
    ),
    (
        pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY,
        "FORCE_INTEGRITY",
    ),
];

pub(super) fn subsystem(image: &Image<'_>) -> Result<Vec<String>> {
    let found = image.optional_header().subsystem.get(LE);
    Ok(if found == pe::IMAGE_SUBSYSTEM_NATIVE {
        Vec::new()
    } else {
        vec![format!("it is {}", found.0)]
    })
}

pub(super) fn characteristics(image: &Image<'_>) -> Result<Vec<String>> {
    let found = image.optional_header().dll_characteristics.get(LE);
    let missing = FLAGS.iter().filter(|(flag, _)| found.0 & flag.0 == 0);
    Ok(missing
        .map(|(_, name)| format!("{name} is not set"))
        .collect())
}

pub(super) fn sections(image: &Image<'_>) -> Result<Vec<String>> {
    let both = pe::IMAGE_SCN_MEM_WRITE.0 | pe::IMAGE_SCN_MEM_EXECUTE.0;
    let table = image.file.section_table();
    let broken = table
        .iter()
        .filter(|section| section.characteristics.get(LE).0 & both == both);
    Ok(broken
        .map(|section| String::from_utf8_lossy(section.raw_name()).into_owned())
        .collect())
}

pub(super) fn exports(image: &Image<'_>) -> Result<Vec<String>> {
    let Some(table) = image.file.export_table()? else {
        return Ok(Vec::new());
    };
    let entry = image.optional_header().address_of_entry_point.get(LE);
    let mut broken = Vec::new();
    for export in table.exports()? {
        let is_entry = matches!(export.target, object::read::pe::ExportTarget::Address(address) if address == entry);
        if !is_entry {
            broken.push(match export.name {
                Some(name) => String::from_utf8_lossy(name).into_owned(),
                None => format!("ordinal {}", export.ordinal.0),
            });
        }
    }
    Ok(broken)
}
