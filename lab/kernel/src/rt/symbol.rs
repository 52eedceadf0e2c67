//! Functions and source lines from a PDB.

use std::{fs::File, path::Path};

use pdb_addr2line::{ContextPdbData, TypeFormatterFlags, pdb::PDB};

use super::machine;

/// What symbols know about a place; the first of a place's symbols is inlined into the second, …
#[derive(Debug, Clone, Default)]
pub(super) struct Symbol {
    pub(super) function: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
}

/// The symbols of each RVA, innermost first; none where the PDB knows nothing, cannot be read, or
/// belongs to another build of the image.
pub(super) fn look_up(pdb: &Path, rvas: &[u32]) -> Vec<Vec<Symbol>> {
    read(pdb, rvas).unwrap_or_else(|_| vec![Vec::new(); rvas.len()])
}

type Error = Box<dyn std::error::Error>;

fn read(path: &Path, rvas: &[u32]) -> Result<Vec<Vec<Symbol>>, Error> {
    let mut pdb = PDB::open(File::open(path)?)?;
    let built_with = machine::with_image(|image| image.plan.pdb.as_ref().map(|pdb| pdb.guid));
    if built_with.flatten() != Some(pdb.pdb_information()?.guid.to_bytes_le()) {
        return Err("the PDB belongs to another image".into());
    }
    let data = ContextPdbData::try_from_pdb(pdb)?;
    let context = data.make_context_with_formatter_flags(
        TypeFormatterFlags::default() | TypeFormatterFlags::NO_ARGUMENTS,
    )?;
    rvas.iter()
        .map(|rva| {
            let found = context.find_frames(*rva)?;
            let frames = found.into_iter().flat_map(|found| found.frames);
            Ok(frames
                .map(|frame| Symbol {
                    function: frame.function,
                    file: frame.file.map(|file| file.into_owned()),
                    line: frame.line,
                })
                .collect())
        })
        .collect()
}
