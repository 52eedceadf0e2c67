//! Numbers in text and back: `strtol`, `atoi`, `_itoa` and their kin.

use super::{EINVAL, ERANGE, NARROW as N, WIDE as W, place, put, read, write};
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    strtol => to_long::<N>,
    wcstol => to_long::<W>,
    strtoul => to_unsigned_long::<N>,
    wcstoul => to_unsigned_long::<W>,
    _strtoui64 => to_unsigned_64::<N>,
    atoi => decimal_long::<N>,
    atol => decimal_long::<N>,
    _wtoi => decimal_long::<W>,
    _wtol => decimal_long::<W>,
    _atoi64 => decimal_64::<N>,
    _itoa => from_int::<N>,
    _itow => from_int::<W>,
    _ltoa => from_int::<N>,
    _ltow => from_int::<W>,
    _ultoa => from_unsigned::<N>,
    _ultow => from_unsigned::<W>,
    _i64toa => from_64::<N>,
    _i64tow => from_64::<W>,
    _ui64toa => from_unsigned_64::<N>,
    _ui64tow => from_unsigned_64::<W>,
    _itoa_s => from_int_checked::<N>,
    _itow_s => from_int_checked::<W>,
    _ltoa_s => from_int_checked::<N>,
    _ltow_s => from_int_checked::<W>,
    _ultoa_s => from_unsigned_checked::<N>,
    _ultow_s => from_unsigned_checked::<W>,
    _i64toa_s => from_64_checked::<N>,
    _i64tow_s => from_64_checked::<W>,
    _ui64toa_s => from_unsigned_64_checked::<N>,
    _ui64tow_s => from_unsigned_64_checked::<W>,
}

/// The bases that numbers can be written to.
const RADICES: std::ops::RangeInclusive<u32> = 2..=36;

/// White space of the locale `C`.
pub(super) fn is_space(unit: u16) -> bool {
    matches!(unit, 9..=13 | 0x20)
}

/// A number at the beginning of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) is_negative: bool,
    /// None where it does not fit.
    pub(super) value: Option<u64>,
    /// Characters up to behind its last digit; none where there is no number.
    pub(super) end: u64,
}

/// The number that a text begins with; base 0 tells the base by how that begins.
pub(super) fn parse(unit: impl Fn(u64) -> u16, base: u32) -> Parsed {
    let nothing = Parsed {
        value: Some(0),
        ..Parsed::default()
    };
    if base != 0 && !RADICES.contains(&base) {
        return nothing;
    }
    let is = |at: u64, what: &[u8]| u8::try_from(unit(at)).is_ok_and(|byte| what.contains(&byte));
    let mut at = (0..).find(|at| !is_space(unit(*at))).unwrap_or(0);
    let is_negative = is(at, b"-");
    at += u64::from(is(at, b"+-"));
    let digit = |at, base| char::from_u32(unit(at).into()).and_then(|unit| unit.to_digit(base));
    // Only before a digit is it a prefix.
    let is_hex = is(at, b"0") && is(at + 1, b"xX") && digit(at + 2, 16).is_some();
    let base = match base {
        0 if is_hex => 16,
        0 if is(at, b"0") => 8,
        0 => 10,
        base => base,
    };
    at += if base == 16 && is_hex { 2 } else { 0 };
    let (begin, mut value) = (at, Some(0u64));
    while let Some(digit) = digit(at, base) {
        value = value
            .and_then(|value| value.checked_mul(base.into()))
            .and_then(|value| value.checked_add(digit.into()));
        at += 1;
    }
    if at == begin {
        return nothing;
    }
    Parsed {
        is_negative,
        value,
        end: at,
    }
}

impl Parsed {
    /// It as a `long`; what does not fit is the limit next to it.
    fn long(self) -> i32 {
        let magnitude = i64::try_from(self.value.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        let value = if self.is_negative {
            -magnitude
        } else {
            magnitude
        };
        value.clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }

    /// It as an `unsigned long`: a sign is of the number that fits.
    fn unsigned_long(self) -> u32 {
        let fitting = self.value.and_then(|value| u32::try_from(value).ok());
        fitting.map_or(u32::MAX, |value| {
            if self.is_negative {
                value.wrapping_neg()
            } else {
                value
            }
        })
    }

    pub(super) fn unsigned_64(self) -> u64 {
        self.value.map_or(u64::MAX, |value| {
            if self.is_negative {
                value.wrapping_neg()
            } else {
                value
            }
        })
    }

    fn signed_64(self) -> i64 {
        let magnitude = i128::from(self.value.unwrap_or(u64::MAX));
        let value = if self.is_negative {
            -magnitude
        } else {
            magnitude
        };
        value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// Parses the text of the first argument, and tells the second where it ends.
fn parse_argument<const W: u64>(call: &Call<'_>) -> Parsed {
    let (text, end) = (call.arg(0), call.arg(1));
    let parsed = parse(|at| read::<W>(text, at), call.arg_u32(2));
    if end != 0 {
        mem::write(end, place::<W>(text, parsed.end)).or_fault();
    }
    parsed
}

fn to_long<const W: u64>(call: &Call<'_>) -> u64 {
    parse_argument::<W>(call).long().cast_unsigned().into()
}

fn to_unsigned_long<const W: u64>(call: &Call<'_>) -> u64 {
    parse_argument::<W>(call).unsigned_long().into()
}

fn to_unsigned_64<const W: u64>(call: &Call<'_>) -> u64 {
    parse_argument::<W>(call).unsigned_64()
}

fn decimal<const W: u64>(call: &Call<'_>) -> Parsed {
    parse(|at| read::<W>(call.arg(0), at), 10)
}

fn decimal_long<const W: u64>(call: &Call<'_>) -> u64 {
    decimal::<W>(call).long().cast_unsigned().into()
}

fn decimal_64<const W: u64>(call: &Call<'_>) -> u64 {
    decimal::<W>(call).signed_64().cast_unsigned()
}

/// The digits of a number; only to the base ten is there a sign. None for a base that there is not.
fn digits(value: i128, radix: u32) -> Option<Vec<u16>> {
    if !RADICES.contains(&radix) {
        return None;
    }
    let mut rest = value.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 || digits.is_empty() {
        let digit = char::from_digit((rest % u128::from(radix)) as u32, radix)?;
        digits.push(digit as u16);
        rest /= u128::from(radix);
    }
    if value < 0 {
        digits.push(b'-'.into());
    }
    digits.reverse();
    Some(digits)
}

/// What an argument is as a number: a signed one is negative to the base ten only.
fn int(call: &Call<'_>, radix: u32) -> i128 {
    let value = call.arg_u32(0);
    if radix == 10 {
        value.cast_signed().into()
    } else {
        value.into()
    }
}

fn int_64(call: &Call<'_>, radix: u32) -> i128 {
    let value = call.arg(0);
    if radix == 10 {
        value.cast_signed().into()
    } else {
        value.into()
    }
}

fn unsigned(call: &Call<'_>, _: u32) -> i128 {
    call.arg_u32(0).into()
}

fn unsigned_64(call: &Call<'_>, _: u32) -> i128 {
    call.arg(0).into()
}

/// How an argument is read.
type Value = fn(&Call<'_>, u32) -> i128;

/// To a base that there is not, nothing is written but an empty text.
fn from<const W: u64>(call: &Call<'_>, value: Value) -> u64 {
    let (target, radix) = (call.arg(1), call.arg_u32(2));
    let digits = digits(value(call, radix), radix).unwrap_or_default();
    put::<W>(target, &digits);
    target
}

fn from_checked<const W: u64>(call: &Call<'_>, value: Value) -> u64 {
    let (target, room, radix) = (call.arg(1), call.arg(2), call.arg_u32(3));
    if target == 0 || room == 0 {
        return EINVAL;
    }
    write::<W>(target, 0, 0);
    let Some(digits) = digits(value(call, radix), radix) else {
        return EINVAL;
    };
    if digits.len() as u64 >= room {
        return ERANGE;
    }
    put::<W>(target, &digits);
    0
}

fn from_int<const W: u64>(call: &Call<'_>) -> u64 {
    from::<W>(call, int)
}

fn from_unsigned<const W: u64>(call: &Call<'_>) -> u64 {
    from::<W>(call, unsigned)
}

fn from_64<const W: u64>(call: &Call<'_>) -> u64 {
    from::<W>(call, int_64)
}

fn from_unsigned_64<const W: u64>(call: &Call<'_>) -> u64 {
    from::<W>(call, unsigned_64)
}

fn from_int_checked<const W: u64>(call: &Call<'_>) -> u64 {
    from_checked::<W>(call, int)
}

fn from_unsigned_checked<const W: u64>(call: &Call<'_>) -> u64 {
    from_checked::<W>(call, unsigned)
}

fn from_64_checked<const W: u64>(call: &Call<'_>) -> u64 {
    from_checked::<W>(call, int_64)
}

fn from_unsigned_64_checked<const W: u64>(call: &Call<'_>) -> u64 {
    from_checked::<W>(call, unsigned_64)
}

#[cfg(test)]
mod tests {
    use super::{Parsed, digits, parse};

    fn parsed(text: &str, base: u32) -> Parsed {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        parse(|at| units[at as usize], base)
    }

    #[test]
    fn numbers_begin_texts() {
        assert_eq!(parsed("  -12z", 10).long(), -12);
        assert_eq!(parsed("  -12z", 10).end, 5);
        assert_eq!(parsed("0x1Fg", 0).long(), 31);
        assert_eq!(parsed("0x1F", 16).long(), 31);
        assert_eq!(parsed("017", 0).long(), 15);
        // A prefix without a digit is the digit 0.
        assert_eq!((parsed("0xg", 0).long(), parsed("0xg", 0).end), (0, 1));
        assert_eq!(parsed("zz", 36).long(), 35 * 36 + 35);
        for (text, base) in [("", 10), ("-", 10), ("12", 1), ("12", 37), ("x", 10)] {
            assert_eq!((parsed(text, base).long(), parsed(text, base).end), (0, 0));
        }
        assert_eq!(parsed("2147483648", 10).long(), i32::MAX);
        assert_eq!(parsed("-2147483649", 10).long(), i32::MIN);
        assert_eq!(parsed("99999999999999999999", 10).long(), i32::MAX);
        assert_eq!(parsed("-1", 10).unsigned_long(), u32::MAX);
        assert_eq!(parsed("4294967296", 10).unsigned_long(), u32::MAX);
        assert_eq!(parsed("18446744073709551615", 10).unsigned_64(), u64::MAX);
        assert_eq!(parsed("-9223372036854775808", 10).signed_64(), i64::MIN);
        assert_eq!(parsed("-9223372036854775809", 10).signed_64(), i64::MIN);
    }

    #[test]
    fn numbers_are_written_to_any_base() {
        let text =
            |value, radix| digits(value, radix).map(|units| String::from_utf16_lossy(&units));
        assert_eq!(text(0, 2).as_deref(), Some("0"));
        assert_eq!(text(-255, 10).as_deref(), Some("-255"));
        assert_eq!(text(35 * 36 + 35, 36).as_deref(), Some("zz"));
        assert_eq!(text(7, 1), None);
        assert_eq!(text(7, 37), None);
    }
}
