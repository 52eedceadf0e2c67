//! Counted UTF-16 strings.

use crate::abi::UNICODE_STRING;

/// ASCII as UTF-16.
pub(crate) const fn wide<const N: usize>(ascii: &[u8; N]) -> [u16; N] {
    let mut units = [0; N];
    let mut index = 0;
    while index < N {
        units[index] = ascii[index] as u16;
        index += 1;
    }
    units
}

/// A counted string over `units`.
pub(crate) const fn string(units: &'static [u16]) -> UNICODE_STRING {
    let length = (units.len() * 2) as u16;
    UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: units.as_ptr().cast_mut(),
    }
}
