//! A linked driver image and its map, as the checks see them.

mod checksum;
mod code;
mod header;
mod import;
mod load_config;
mod symbol;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use object::{
    LittleEndian as LE, pe,
    read::pe::{ImageNtHeaders, PeFile64},
};

pub(crate) use self::checksum::{checksum, checksum_offset};
use crate::import_library::ImportTable;

/// What a rule looks at.
pub(crate) struct Image<'a> {
    bytes: &'a [u8],
    file: PeFile64<'a>,
    /// Symbols of the map: address from the image's base, name.
    symbols: Vec<(u32, &'a str)>,
    table: &'a ImportTable,
}

/// A check on an image: its name, and a function that lists what breaks it.
pub(crate) struct Rule {
    /// What holds when nothing breaks it.
    pub(crate) name: &'static str,
    /// Lists what breaks it.
    pub(crate) check: fn(&Image<'_>) -> Result<Vec<String>>,
}

/// Every rule, in the order of the report.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "the subsystem is NATIVE",
        check: header::subsystem,
    },
    Rule {
        name: "the header's flags are a driver's",
        check: header::characteristics,
    },
    Rule {
        name: "no section is writable and executable",
        check: header::sections,
    },
    Rule {
        name: "the checksum is right",
        check: checksum::check,
    },
    Rule {
        name: "a load configuration names a security cookie",
        check: load_config::check,
    },
    Rule {
        name: "nothing is exported but the entry",
        check: header::exports,
    },
    Rule {
        name: "imports are allowed, on the oldest Windows too",
        check: import::check,
    },
    Rule {
        name: "nothing that can panic is linked",
        check: symbol::check,
    },
    Rule {
        name: "no trap instruction can be reached, and every loop has an exit",
        check: code::check,
    },
];

impl<'a> Image<'a> {
    /// Reads an image and the linker's map of it.
    pub(crate) fn parse(bytes: &'a [u8], map: &'a str, table: &'a ImportTable) -> Result<Self> {
        let file = PeFile64::parse(bytes).context("not a 64-bit PE image")?;
        let machine = file.nt_headers().file_header().machine.get(LE);
        if !matches!(
            machine,
            pe::IMAGE_FILE_MACHINE_AMD64 | pe::IMAGE_FILE_MACHINE_ARM64
        ) {
            bail!("neither an x64 nor an ARM64 image");
        }
        let base = file.nt_headers().optional_header().image_base.get(LE);
        let symbols = symbol::parse(map, base);
        if symbols.is_empty() {
            bail!("the map lists no symbol");
        }
        Ok(Self {
            bytes,
            file,
            symbols,
            table,
        })
    }

    fn machine(&self) -> pe::Machine {
        self.file.nt_headers().file_header().machine.get(LE)
    }

    fn optional_header(&self) -> &'a pe::ImageOptionalHeader64 {
        self.file.nt_headers().optional_header()
    }

    /// The bytes at an address from the image's base to the end of its section's data.
    fn data_at(&self, address: u32) -> Option<&'a [u8]> {
        self.file.section_table().pe_data_at(self.bytes, address)
    }

    /// The address of a pointer's target from the image's base.
    fn offset_of(&self, pointer: u64) -> Option<u32> {
        u32::try_from(pointer.checked_sub(self.optional_header().image_base.get(LE))?).ok()
    }

    /// `function+offset` for an address from the image's base.
    fn place(&self, address: u32) -> String {
        let after = self.symbols.partition_point(|(start, _)| *start <= address);
        match after
            .checked_sub(1)
            .and_then(|index| self.symbols.get(index))
        {
            Some((start, name)) => format!("{name}+{:#x}", address - start),
            None => format!("{address:#x}"),
        }
    }
}
