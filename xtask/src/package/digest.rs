//! Hashes of files as catalogs hold them: of an image without what its own signature changes, of others as they are.

use anyhow::{Context, Result};
use object::{LittleEndian as LE, pe, read::pe::PeFile64};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::image;

/// How a file is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A PE image: without checksum, certificate table and its place.
    Image,
    /// Anything else: all of it.
    Flat,
}

/// Both hashes of a file.
pub(super) struct Digests {
    pub(super) kind: Kind,
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
}

impl Digests {
    /// Hashes a file other than an image.
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        Self::of_parts(Kind::Flat, &[bytes])
    }

    /// Hashes an image, as "Windows Authenticode Portable Executable Signature Format" defines it.
    pub(super) fn of_image(bytes: &[u8]) -> Result<Self> {
        let Places {
            checksum,
            entry,
            end,
        } = Places::of(bytes)?;
        let part = |from, to| {
            bytes
                .get(from..to)
                .context("the image's headers are cut off")
        };
        // A signature begins at a multiple of 8, and what is put before it is hashed.
        let padding = [0; 8];
        let padding = &padding[..end.next_multiple_of(8) - end];
        let parts = [
            part(0, checksum)?,
            part(checksum + 4, entry)?,
            part(entry + 8, end)?,
            padding,
        ];
        Ok(Self::of_parts(Kind::Image, &parts))
    }

    fn of_parts(kind: Kind, parts: &[&[u8]]) -> Self {
        let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
        for part in parts {
            sha1.update(part);
            sha256.update(part);
        }
        Self {
            kind,
            sha1: sha1.finalize().into(),
            sha256: sha256.finalize().into(),
        }
    }
}

/// Where an image has what signing changes.
struct Places {
    /// The checksum, 4 bytes.
    checksum: usize,
    /// The certificate table's entry in the data directories, 8 bytes.
    entry: usize,
    /// The end of what is signed; the certificate table, if there is one, begins there.
    end: usize,
}

impl Places {
    fn of(bytes: &[u8]) -> Result<Self> {
        let file = PeFile64::parse(bytes).context("not a 64-bit PE image")?;
        let checksum = image::checksum_offset(file.dos_header().nt_headers_offset() as usize);
        let table = file
            .data_directory(pe::IMAGE_DIRECTORY_ENTRY_SECURITY)
            .map_or(0, |directory| directory.virtual_address.get(LE) as usize);
        Ok(Self {
            checksum,
            // The optional header begins 64 bytes before its checksum; its fixed part is 112 bytes, an entry has 8.
            entry: checksum - 64 + 112 + 8 * pe::IMAGE_DIRECTORY_ENTRY_SECURITY,
            end: if table == 0 { bytes.len() } else { table },
        })
    }
}

/// A signed image as it was linked: without its certificate table, and with the checksum that it had without.
pub(super) fn unsigned_image(bytes: &[u8]) -> Result<Vec<u8>> {
    let Places {
        checksum,
        entry,
        end,
    } = Places::of(bytes)?;
    let mut image = bytes.get(..end).context("the image is cut off")?.to_vec();
    let headers = "the image's headers are cut off";
    image.get_mut(entry..entry + 8).context(headers)?.fill(0);
    let sum = image::checksum(&image, checksum).to_le_bytes();
    let field = image.get_mut(checksum..checksum + 4).context(headers)?;
    field.copy_from_slice(&sum);
    Ok(image)
}

/// SHA-256 of a whole file, in lower-case hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = Digests::of_file(bytes).sha256;
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
