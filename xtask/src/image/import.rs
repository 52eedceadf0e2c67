//! What the image imports, against the table of what it may.

use anyhow::Result;
use object::{LittleEndian as LE, pe::ImageNtHeaders64, read::pe::Import};

use super::Image;

/// Allowed by the table and yet refused in what ships.
const REFUSED: &[(&str, &str)] = &[
    ("DbgPrint", "printing is for debug builds"),
    ("DbgPrintEx", "printing is for debug builds"),
    (
        "KeBugCheck",
        "a driver reports, it does not stop the machine",
    ),
    (
        "KeBugCheckEx",
        "a driver reports, it does not stop the machine; a panic does",
    ),
];

pub(super) fn check(image: &Image<'_>) -> Result<Vec<String>> {
    let Some(imports) = image.file.import_table()? else {
        return Ok(Vec::new());
    };
    let mut broken = Vec::new();
    let mut descriptors = imports.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let dll = String::from_utf8_lossy(imports.name(descriptor.name.get(LE))?).into_owned();
        let mut thunks = imports.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            match imports.import::<ImageNtHeaders64>(thunk)? {
                Import::Ordinal(ordinal) => broken.push(format!("{dll} by ordinal {ordinal}")),
                Import::Name(_, name) => {
                    broken.extend(judge(image, &dll, &String::from_utf8_lossy(name)))
                }
            }
        }
    }
    Ok(broken)
}

/// Says what is wrong with one import.
fn judge(image: &Image<'_>, dll: &str, name: &str) -> Option<String> {
    let Some(library) = image
        .table
        .libraries
        .iter()
        .find(|library| library.dll.eq_ignore_ascii_case(dll))
    else {
        return Some(format!(
            "{name} from {dll}, which is not in abi/imports.toml"
        ));
    };
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(format!("{name}: {reason}"));
    }
    let mut names = library.functions.iter().chain(&library.data);
    let floor = image.table.floor;
    match names.find(|(listed, _)| listed == name) {
        None => Some(format!("{name} from {dll} is not in abi/imports.toml")),
        Some((_, build)) if *build > floor => Some(format!(
            "{name} exists from Windows build {build}, newer than the floor {floor}"
        )),
        Some(_) => None,
    }
}
