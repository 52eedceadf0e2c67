//! Bytes of a PE image to a validated plan: what a loader must map, relocate and bind, and what a
//! debugger must know to walk its stacks.
//!
//! [`Image::parse`] accepts x64 kernel images only, and copies out of the bytes everything that is
//! needed later, so an [`Image`] cannot be out of bounds of anything. The parser is our own: the
//! directories are few, and each must name what is wrong with it in one line.
//!
//! Offsets from the start of the mapped image are called *RVA*, as in the PE format.
#![forbid(unsafe_code)]

mod bytes;
mod checksum;
mod debug;
mod error;
mod export;
mod function;
mod header;
mod import;
mod load_config;
mod relocation;
mod section;
pub mod unwind;

pub use debug::PdbReference;
pub use error::Error;
pub use export::Export;
pub use function::Function;
pub use import::{ImportName, ImportedFunction, ImportedModule};
pub use load_config::LoadConfig;
pub use section::{Protection, Section};

use bytes::Bytes;

/// Bytes of a page, which sections are aligned to.
pub const PAGE_BYTES: u32 = 0x1000;

/// A validated x64 kernel image.
///
/// # Invariants
/// Every RVA in it, with the bytes that it stands for, lies inside `mapped`, whose length is a whole
/// number of pages. Sections are in ascending order and do not overlap.
#[derive(Debug, Clone)]
pub struct Image {
    /// The image as it lies in memory at its preferred base, before relocation and binding.
    pub mapped: Vec<u8>,
    /// The address that it was linked for.
    pub preferred_base: u64,
    /// RVA of the entry point, in an executable section.
    pub entry_rva: u32,
    /// Bytes at the front that hold the headers.
    pub headers_bytes: u32,
    /// The sections, by RVA.
    pub sections: Vec<Section>,
    /// RVAs of 64-bit words that hold an address in the image.
    pub relocations: Vec<u32>,
    /// What it imports.
    pub imports: Vec<ImportedModule>,
    /// What it exports by name.
    pub exports: Vec<Export>,
    /// Its load configuration, if any.
    pub load_config: Option<LoadConfig>,
    /// Its functions that have unwind information, by RVA.
    pub functions: Vec<Function>,
    /// RVA of the table that they stand in, in the same order; 0 where there is none.
    pub function_table_rva: u32,
    /// Where its symbols are.
    pub pdb: Option<PdbReference>,
}

impl Image {
    /// Reads a `.sys` file.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let file = Bytes::new(file);
        let headers = header::parse(file)?;
        let sections = section::parse(file, &headers)?;
        let mapped = section::map(file, &headers, &sections)?;
        checksum::check(file, &headers)?;
        let view = Bytes::new(&mapped);

        let entry_rva = headers.entry_rva;
        if !sections
            .iter()
            .any(|section| section.contains(entry_rva) && section.protection.execute)
        {
            return Err(Error::damaged(
                "entry point",
                "it is not in an executable section",
            ));
        }
        let imports = import::parse(view, headers.directory(header::IMPORT))?;
        if headers.directory(header::DELAY_IMPORT).is_some() {
            return Err(Error::Unsupported("delay-loaded imports"));
        }
        let exports = export::parse(view, headers.directory(header::EXPORT))?;
        let relocations = relocation::parse(view, headers.directory(header::RELOCATION))?;
        let load_config = load_config::parse(
            view,
            headers.directory(header::LOAD_CONFIG),
            headers.preferred_base,
        )?;
        let functions = function::parse(view, headers.directory(header::EXCEPTION))?;
        let pdb = debug::parse(view, headers.directory(header::DEBUG))?;
        Ok(Self {
            preferred_base: headers.preferred_base,
            entry_rva,
            headers_bytes: headers.headers_bytes,
            sections,
            relocations,
            imports,
            exports,
            load_config,
            functions,
            function_table_rva: headers
                .directory(header::EXCEPTION)
                .map_or(0, |directory| directory.rva),
            pdb,
            mapped,
        })
    }

    /// Bytes that the image takes in memory, a whole number of pages.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.mapped.len()
    }

    /// The section that holds `rva`.
    #[must_use]
    pub fn section_at(&self, rva: u32) -> Option<&Section> {
        self.sections.iter().find(|section| section.contains(rva))
    }

    /// The function that holds `rva`, if it has unwind information.
    #[must_use]
    pub fn function_at(&self, rva: u32) -> Option<&Function> {
        let after = self
            .functions
            .partition_point(|function| function.begin_rva <= rva);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (rva < function.end_rva).then_some(function)
    }
}
