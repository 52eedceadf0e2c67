//! The kernel's dialect of `printf`: what `DbgPrint` and the run-time library's functions share.

use crate::driver::read_units;
use crate::rt::mem::{self, BadAddress};

/// What a format is of, and what it makes of bytes.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// Whether `%s` and `%c` are of UTF-16.
    pub(super) is_wide: bool,
    /// What bytes are in UTF-16.
    pub(super) decode: fn(&[u8]) -> Vec<u16>,
}

/// A byte is the character with its number.
pub(super) fn by_number(bytes: &[u8]) -> Vec<u16> {
    bytes.iter().copied().map(u16::from).collect()
}

/// Gives the next argument.
pub(super) type Arguments<'a> = dyn FnMut() -> Result<u64, BadAddress> + 'a;

/// What stands between `%` and its letter.
#[derive(Default)]
struct Spec {
    left: bool,
    zeros: bool,
    alternate: bool,
    /// What stands before a number that is not negative.
    sign: &'static str,
    width: usize,
    precision: Option<usize>,
    size: Size,
}

/// The size of an argument, as a format tells it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Size {
    #[default]
    Int,
    Char,
    Short,
    Long,
    LongLong,
    Wide,
}

/// Zero-terminated bytes, or exactly at most `limit` of them.
pub(super) fn narrow(address: u64, limit: Option<usize>) -> Result<Vec<u8>, BadAddress> {
    let mut bytes = Vec::new();
    while limit.is_none_or(|limit| bytes.len() < limit) {
        let byte: u8 = mem::read(address.wrapping_add(bytes.len() as u64))?;
        if byte == 0 {
            break;
        }
        bytes.push(byte);
    }
    Ok(bytes)
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Expands the format at an address.
///
/// # Errors
/// When it, or what it names, cannot be read.
pub(super) fn expand(
    dialect: Dialect,
    format: u64,
    argument: &mut Arguments<'_>,
) -> Result<Vec<u16>, BadAddress> {
    let format = if dialect.is_wide {
        read_units(format, None)?
    } else {
        (dialect.decode)(&narrow(format, None)?)
    };
    render(dialect, &format, argument)
}

/// Expands a format.
fn render(
    dialect: Dialect,
    format: &[u16],
    argument: &mut Arguments<'_>,
) -> Result<Vec<u16>, BadAddress> {
    let mut output = Vec::new();
    let mut rest = Rest(format);
    while let Some(unit) = rest.next() {
        if unit != u16::from(b'%') {
            output.push(unit);
            continue;
        }
        let spec = rest.spec(argument)?;
        let Some(letter) = rest.next() else { break };
        let piece = convert(dialect, letter, &spec, argument)?;
        pad(&mut output, &piece, &spec);
    }
    Ok(output)
}

/// What of a format is left.
struct Rest<'a>(&'a [u16]);

impl Rest<'_> {
    fn next(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next character, if it is ASCII.
    fn peek(&self) -> Option<u8> {
        self.0.first().and_then(|unit| u8::try_from(*unit).ok())
    }

    /// Takes a text, if it is next.
    fn take(&mut self, text: &str) -> bool {
        let begins = self
            .0
            .iter()
            .copied()
            .take(text.len())
            .eq(text.bytes().map(u16::from));
        if begins {
            self.0 = &self.0[text.len()..];
        }
        begins
    }

    fn spec(&mut self, argument: &mut Arguments<'_>) -> Result<Spec, BadAddress> {
        let mut spec = Spec::default();
        while let Some(flag @ (b'-' | b'0' | b'#' | b'+' | b' ')) = self.peek() {
            self.next();
            match flag {
                b'-' => spec.left = true,
                b'0' => spec.zeros = true,
                b'#' => spec.alternate = true,
                b'+' => spec.sign = "+",
                _ if spec.sign.is_empty() => spec.sign = " ",
                _ => {}
            }
        }
        let width = self.number(argument)?.unwrap_or(0);
        spec.left |= width < 0;
        spec.width = limited(width.unsigned_abs());
        if self.take(".") {
            let precision = self.number(argument)?.unwrap_or(0);
            spec.precision = u64::try_from(precision).ok().map(limited);
        }
        spec.size = self.size();
        Ok(spec)
    }

    /// A width or precision: digits, or `*` for an argument.
    fn number(&mut self, argument: &mut Arguments<'_>) -> Result<Option<i64>, BadAddress> {
        if self.take("*") {
            let value = (argument()? as u32).cast_signed();
            return Ok(Some(value.into()));
        }
        let mut value = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.next();
            let more = i64::from(digit - b'0');
            value = Some((value.unwrap_or(0) * 10 + more).min(i64::from(u32::MAX)));
        }
        Ok(value)
    }

    fn size(&mut self) -> Size {
        const SIZES: [(&str, Size); 11] = [
            ("hh", Size::Char),
            ("h", Size::Short),
            ("ll", Size::LongLong),
            ("l", Size::Long),
            ("w", Size::Wide),
            ("I64", Size::LongLong),
            ("I32", Size::Int),
            ("I", Size::LongLong),
            ("z", Size::LongLong),
            ("t", Size::LongLong),
            ("j", Size::LongLong),
        ];
        let found = SIZES.into_iter().find(|(text, _)| self.take(text));
        found.map_or(Size::Int, |(_, size)| size)
    }
}

/// No text of a driver is wider.
fn limited(width: u64) -> usize {
    const LIMIT: u64 = 0x1_0000;
    width.min(LIMIT) as usize
}

fn convert(
    dialect: Dialect,
    letter: u16,
    spec: &Spec,
    argument: &mut Arguments<'_>,
) -> Result<Vec<u16>, BadAddress> {
    let letter = u8::try_from(letter).unwrap_or(b'?');
    if letter == b'%' {
        return Ok(units("%"));
    }
    // Of what there is no such thing, nothing is taken.
    let shown = vec![b'%'.into(), letter.into()];
    if !b"diuoxXpcCsSZneEfgGaA".contains(&letter) {
        return Ok(shown);
    }
    let value = argument()?;
    Ok(match letter {
        b'd' | b'i' => {
            let value = signed(value, spec.size);
            let sign = if value < 0 { "-" } else { spec.sign };
            number(spec, sign, value.unsigned_abs().to_string())
        }
        b'u' => number(spec, "", unsigned(value, spec.size).to_string()),
        b'o' if spec.alternate => number(spec, "0", format!("{:o}", unsigned(value, spec.size))),
        b'o' => number(spec, "", format!("{:o}", unsigned(value, spec.size))),
        b'x' => {
            let value = unsigned(value, spec.size);
            number(spec, prefix(spec, value, "0x"), format!("{value:x}"))
        }
        b'X' => {
            let value = unsigned(value, spec.size);
            number(spec, prefix(spec, value, "0X"), format!("{value:X}"))
        }
        b'p' => units(&format!("{value:016X}")),
        // The kernel has no floating point.
        b'e' | b'E' | b'f' | b'g' | b'G' | b'a' | b'A' => shown,
        // The secure library's default: it is not done.
        b'n' => Vec::new(),
        b'c' | b'C' => {
            if is_wide(dialect, letter == b'C', spec.size) {
                vec![value as u16]
            } else {
                (dialect.decode)(&[value as u8])
            }
        }
        _ if value == 0 => units("(null)"),
        b'Z' => counted(dialect, value, spec)?,
        _ if is_wide(dialect, letter == b'S', spec.size) => read_units(value, spec.precision)?,
        _ => (dialect.decode)(&narrow(value, spec.precision)?),
    })
}

/// Whether a character or a text is of UTF-16: what a format is of, `C` and `S` the other; a size says it as well.
fn is_wide(dialect: Dialect, is_other: bool, size: Size) -> bool {
    match size {
        Size::Char | Size::Short => false,
        Size::Long | Size::LongLong | Size::Wide => true,
        Size::Int => dialect.is_wide != is_other,
    }
}

/// A counted string.
fn counted(dialect: Dialect, string: u64, spec: &Spec) -> Result<Vec<u16>, BadAddress> {
    use crate::abi::nt::UNICODE_STRING as U;
    let length = usize::from(U::Length.read(string)?);
    let bytes = mem::read_bytes(U::Buffer.read(string)?, length)?;
    let mut text = if spec.size == Size::Wide || spec.size == Size::Long {
        let pairs = bytes.as_chunks().0.iter();
        pairs.map(|pair| u16::from_le_bytes(*pair)).collect()
    } else {
        (dialect.decode)(&bytes)
    };
    text.truncate(spec.precision.unwrap_or(usize::MAX));
    Ok(text)
}

fn signed(value: u64, size: Size) -> i64 {
    match size {
        Size::Char => (value as u8).cast_signed().into(),
        Size::Short => (value as u16).cast_signed().into(),
        Size::Int | Size::Long | Size::Wide => (value as u32).cast_signed().into(),
        Size::LongLong => value.cast_signed(),
    }
}

fn unsigned(value: u64, size: Size) -> u64 {
    match size {
        Size::Char => value & 0xFF,
        Size::Short => value & 0xFFFF,
        Size::Int | Size::Long | Size::Wide => value & 0xFFFF_FFFF,
        Size::LongLong => value,
    }
}

fn prefix(spec: &Spec, value: u64, prefix: &'static str) -> &'static str {
    if spec.alternate && value != 0 {
        prefix
    } else {
        ""
    }
}

/// A number: at least as many digits as the precision says, or as fill the width if zeros do.
fn number(spec: &Spec, before: &str, digits: String) -> Vec<u16> {
    let least = match spec.precision {
        Some(precision) => precision,
        None if spec.zeros && !spec.left => spec.width.saturating_sub(before.len()),
        None => 1,
    };
    let zeros = "0".repeat(least.saturating_sub(digits.len()));
    units(&format!("{before}{zeros}{digits}"))
}

fn pad(output: &mut Vec<u16>, piece: &[u16], spec: &Spec) {
    let missing = spec.width.saturating_sub(piece.len());
    let spaces = std::iter::repeat_n(u16::from(b' '), missing);
    if spec.left {
        output.extend(piece);
        output.extend(spaces);
    } else {
        output.extend(spaces);
        output.extend(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, by_number, render, units};

    #[test]
    fn formats_are_expanded() {
        const NARROW: Dialect = Dialect {
            is_wide: false,
            decode: by_number,
        };
        for (format, arguments, expected) in [
            ("plain", &[][..], "plain"),
            ("%d %u %x", &[0xFFFF_FFFF, 7, 255], "-1 7 ff"),
            ("%#x|%08X|%-4u|", &[16, 0xABC, 5], "0x10|00000ABC|5   |"),
            (
                "%I64x %llu %p",
                &[0x1_0000_0000, 1 << 40, 0x10],
                "100000000 1099511627776 0000000000000010",
            ),
            ("100%% %c", &[65], "100% A"),
            ("%s", &[0], "(null)"),
            (
                "%+d|% d|%05d|%.3d|%6.3d",
                &[1, 2, 0xFFFF_FFFD, 4, 5],
                "+1| 2|-0003|004|   005",
            ),
            (
                "%hhd %hu %I32d %zu",
                &[0x1FF, 0x1_0002, u64::MAX, u64::MAX],
                "-1 2 -1 18446744073709551615",
            ),
            (
                "%*d|%-*d|%*d|",
                &[4, 1, 4, 2, 0xFFFF_FFFC, 3],
                "   1|2   |3   |",
            ),
            ("%#o %#X %#x", &[8, 10, 0], "010 0XA 0"),
            // Nothing is written, and what there is not is shown.
            ("a%nb%q%", &[1], "ab%q"),
            ("%.2f %d", &[1, 2], "%f 2"),
        ] {
            let mut rest = arguments.iter();
            let mut next = || Ok(*rest.next().expect("an argument"));
            let output = render(NARROW, &units(format), &mut next).expect("no memory is read");
            assert_eq!(String::from_utf16_lossy(&output), expected);
        }
    }
}
