//! Functions and source lines from a PDB.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use pdb_addr2line::{ContextPdbData, TypeFormatterFlags, pdb::PDB};

use lab_pe::{Image, PdbReference};

use super::machine;

/// What symbols know about a place; the first of a place's symbols is inlined into the second, …
#[derive(Debug, Clone, Default)]
pub(super) struct Symbol {
    pub(super) function: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
}

/// Whether the PDB at `path` has the symbols of `image`.
///
/// # Errors
/// Why not, to be put behind the PDB's name.
pub(crate) fn check(path: &Path, image: &Image) -> Result<(), String> {
    let read = || -> Result<(), Error> {
        let pdb = open(path, image.pdb.as_ref())?;
        ContextPdbData::try_from_pdb(pdb)?.make_context()?;
        Ok(())
    };
    read().map_err(|error| error.to_string())
}

/// Symbols that were looked up, of one PDB.
#[derive(Default)]
struct Known {
    reference: Option<PdbReference>,
    symbols: BTreeMap<u32, Vec<Symbol>>,
}

thread_local!(static KNOWN: RefCell<BTreeMap<PathBuf, Known>> = RefCell::default());

/// The symbols of each RVA of an image, by its number, innermost first; none where there is no PDB, where it knows
/// nothing, cannot be read, or belongs to another build of the image, which [`check`] tells beforehand.
pub(super) fn look_up(image: usize, rvas: &[u32]) -> Vec<Vec<Symbol>> {
    let places = machine::with_images(|images| {
        let image = images.0.get(image)?;
        Some((image.pdb.clone()?, image.plan.pdb.clone()))
    });
    let Some((pdb, reference)) = places.flatten() else {
        return vec![Vec::new(); rvas.len()];
    };
    KNOWN.with_borrow_mut(|known| {
        let known = known.entry(pdb.clone()).or_default();
        if known.reference != reference {
            *known = Known {
                reference,
                symbols: BTreeMap::new(),
            };
        }
        let symbols = &mut known.symbols;
        let mut new: Vec<u32> = rvas.to_vec();
        new.retain(|rva| !symbols.contains_key(rva));
        if !new.is_empty() {
            let found = read(&pdb, known.reference.as_ref(), &new).unwrap_or_default();
            symbols.extend(new.into_iter().zip(found));
        }
        let find = |rva| symbols.get(rva).cloned().unwrap_or_default();
        rvas.iter().map(find).collect()
    })
}

type Error = Box<dyn std::error::Error>;

/// Opens the PDB that the image's debug directory means.
fn open(path: &Path, reference: Option<&PdbReference>) -> Result<PDB<'static, File>, Error> {
    let file = File::open(path)?;
    let mut pdb = PDB::open(file).map_err(|error| format!("is not a PDB: {error}"))?;
    let information = pdb.pdb_information();
    let guid = information
        .map_err(|error| format!("is damaged: {error}"))?
        .guid
        .to_bytes_le();
    match reference {
        Some(reference) if reference.guid == guid => Ok(pdb),
        Some(_) => Err("belongs to another build of the image".into()),
        None => Err("belongs to another image: this one names no PDB".into()),
    }
}

fn read(
    path: &Path,
    reference: Option<&PdbReference>,
    rvas: &[u32],
) -> Result<Vec<Vec<Symbol>>, Error> {
    let data = ContextPdbData::try_from_pdb(open(path, reference)?)?;
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
