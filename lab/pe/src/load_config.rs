//! The load configuration: what the loader must prepare for compiler-made checks.

use crate::{Error, bytes::Bytes, header::Directory};

const SECURITY_COOKIE: u32 = 88;
const GUARD_CHECK: u32 = 112;
const GUARD_DISPATCH: u32 = 120;
const GUARD_TABLE: u32 = 128;
const GUARD_COUNT: u32 = 136;
const GUARD_FLAGS: u32 = 144;
/// The flag that says that there is a table of functions, and the bits that say by how much its entries are longer than
/// an RVA.
const TABLE_PRESENT: u32 = 0x400;
const STRIDE_SHIFT: u32 = 28;

/// The parts of the load configuration that a loader acts on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadConfig {
    /// RVA of the word that the `/GS` checks compare with.
    pub security_cookie_rva: Option<u32>,
    /// RVA of the pointer to the control-flow-guard check routine.
    pub guard_check_rva: Option<u32>,
    /// RVA of the pointer to the control-flow-guard dispatch routine.
    pub guard_dispatch_rva: Option<u32>,
    /// RVAs of the functions that may be called through pointers; none where the image does not say.
    pub guard_functions: Option<Vec<u32>>,
}

pub(crate) fn parse(
    image: Bytes<'_>,
    directory: Option<Directory>,
    preferred_base: u64,
) -> Result<Option<LoadConfig>, Error> {
    let damaged = |why| Error::damaged("load configuration", why);
    let Some(directory) = directory else {
        return Ok(None);
    };
    // The directory's own first word, not the data directory, says how long it is.
    let bytes = image
        .u32(directory.rva)
        .ok_or_else(|| damaged("it is outside the image"))?;
    let table = image
        .part(directory.rva, bytes)
        .ok_or_else(|| damaged("it reaches beyond the image"))?;
    // Members are addresses at the preferred base; what is beyond the table's end is not set.
    let pointer = |offset| match table.u64(offset) {
        None | Some(0) => Ok(None),
        Some(address) => address
            .checked_sub(preferred_base)
            .and_then(|rva| u32::try_from(rva).ok())
            .filter(|rva| image.u64(*rva).is_some())
            .map(Some)
            .ok_or_else(|| damaged("it points outside the image")),
    };
    let flags = table.u32(GUARD_FLAGS).unwrap_or(0);
    let guard_functions = match pointer(GUARD_TABLE)? {
        Some(first) if flags & TABLE_PRESENT != 0 => {
            let count = table.u64(GUARD_COUNT).unwrap_or(0);
            let stride = 4 + (flags >> STRIDE_SHIFT);
            let functions = functions(image, first, count, stride)
                .ok_or_else(|| damaged("its table of functions reaches beyond the image"))?;
            Some(functions)
        }
        _ => None,
    };
    Ok(Some(LoadConfig {
        security_cookie_rva: pointer(SECURITY_COOKIE)?,
        guard_check_rva: pointer(GUARD_CHECK)?,
        guard_dispatch_rva: pointer(GUARD_DISPATCH)?,
        guard_functions,
    }))
}

/// The functions in a table of `count` entries of `stride` bytes.
fn functions(image: Bytes<'_>, first: u32, count: u64, stride: u32) -> Option<Vec<u32>> {
    let count = u32::try_from(count).ok()?;
    image.part(first, count.checked_mul(stride)?)?;
    (0..count)
        .map(|index| image.u32(first + index * stride))
        .map(|rva| rva.filter(|rva| (*rva as usize) < image.len()))
        .collect()
}
