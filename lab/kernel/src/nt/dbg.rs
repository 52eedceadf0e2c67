//! `DbgPrint*`: what the driver prints.

use std::cell::RefCell;

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Region};

use super::{SUCCESS, imports};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::watch::{self, OrFault};

imports! {
    "ntoskrnl.exe":
    DbgBreakPoint => break_point,
    DbgBreakPointWithStatus => break_point,
    DbgPrint => print,
    DbgPrintEx => print_ex,
    vDbgPrintEx => print_list,
    vDbgPrintExWithPrefix => print_list_with_prefix,
    RtlAssert => failed_assertion,
}

/// Lines that are kept.
const LINES: usize = 1_000;

per_image! {
    static OUTPUT: RefCell<(Vec<String>, String)> = const { RefCell::new((Vec::new(), String::new())) };
}

/// What was printed since the last call, in lines.
pub(crate) fn take_output() -> Vec<String> {
    let (mut lines, rest) = OUTPUT.take();
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// No debugger is there, so nobody handles the exception.
fn break_point(call: &Call<'_>) -> u64 {
    watch::emit(Kind::Fault(Fault {
        kind: FaultKind::Breakpoint,
        address: 0,
        instruction: 0,
        region: Region::Image,
        in_import: Some(call.import().name),
    }));
    SUCCESS
}

/// What `ASSERT` calls in checked builds: it says what does not hold, and stops where no debugger is.
fn failed_assertion(call: &Call<'_>) -> u64 {
    let read = |index| match call.arg(index) {
        0 => String::new(),
        address => text(address, None).or_fault(),
    };
    let (assertion, file, line, message) = (read(0), read(1), call.arg_u32(2), read(3));
    keep(&format!(
        "assertion failed: {message}{assertion} ({file}, line {line})\n"
    ));
    break_point(call)
}

fn print(call: &Call<'_>) -> u64 {
    let mut next = 1;
    emit(call.arg(0), "", &mut || {
        next += 1;
        Ok(call.arg(next - 1))
    })
}

fn print_ex(call: &Call<'_>) -> u64 {
    let mut next = 3;
    emit(call.arg(2), "", &mut || {
        next += 1;
        Ok(call.arg(next - 1))
    })
}

fn print_list(call: &Call<'_>) -> u64 {
    emit_list("", call.arg(2), call.arg(3))
}

fn print_list_with_prefix(call: &Call<'_>) -> u64 {
    let prefix = text(call.arg(0), None).or_fault();
    emit_list(&prefix, call.arg(3), call.arg(4))
}

/// A `va_list` is an array of eight-byte slots on x64.
fn emit_list(prefix: &str, format: u64, list: u64) -> u64 {
    let mut next = list;
    emit(format, prefix, &mut || {
        let argument = mem::read(next)?;
        next = next.wrapping_add(8);
        Ok(argument)
    })
}

fn emit(format: u64, prefix: &str, argument: &mut dyn FnMut() -> Result<u64, BadAddress>) -> u64 {
    let formatted = text(format, None)
        .and_then(|format| render(&format, argument))
        .or_fault();
    keep(prefix);
    keep(&formatted);
    SUCCESS
}

/// Keeps what was printed, in lines.
fn keep(printed: &str) {
    OUTPUT.with_borrow_mut(|(lines, rest)| {
        rest.push_str(printed);
        while let Some(end) = rest.find('\n') {
            let line = rest[..end].trim_end_matches('\r').to_owned();
            rest.drain(..=end);
            if lines.len() < LINES {
                lines.push(line);
            }
        }
    });
}

/// Zero-terminated text, or exactly at most `limit` bytes of it.
fn text(address: u64, limit: Option<usize>) -> Result<String, BadAddress> {
    let mut bytes = Vec::new();
    while limit.is_none_or(|limit| bytes.len() < limit) {
        let byte: u8 = mem::read(address.wrapping_add(u64::try_from(bytes.len()).unwrap_or(0)))?;
        if byte == 0 {
            break;
        }
        bytes.push(byte);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands between `%` and its letter.
#[derive(Default)]
struct Spec {
    left: bool,
    zeros: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    wide: bool,
    long_long: bool,
}

/// Expands a format in the kernel's dialect of `printf`.
fn render(
    format: &str,
    argument: &mut dyn FnMut() -> Result<u64, BadAddress>,
) -> Result<String, BadAddress> {
    let mut output = String::new();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag @ ('-' | '0' | '#' | '+' | ' ')) = rest.peek().copied() {
            rest.next();
            match flag {
                '-' => spec.left = true,
                '0' => spec.zeros = true,
                '#' => spec.alternate = true,
                _ => {}
            }
        }
        spec.width = number(&mut rest, argument)?.unwrap_or(0);
        if rest.peek() == Some(&'.') {
            rest.next();
            spec.precision = Some(number(&mut rest, argument)?.unwrap_or(0));
        }
        while let Some(size @ ('l' | 'h' | 'w' | 'I' | 'z')) = rest.peek().copied() {
            rest.next();
            match size {
                'w' => spec.wide = true,
                'l' if rest.peek() == Some(&'l') => spec.long_long = true,
                'l' if rest.peek() == Some(&'s') => spec.wide = true,
                'z' => spec.long_long = true,
                'I' => {
                    spec.long_long = rest.peek() != Some(&'3');
                    while rest.peek().is_some_and(char::is_ascii_digit) {
                        rest.next();
                    }
                }
                _ => {}
            }
        }
        let Some(letter) = rest.next() else { break };
        let piece = convert(letter, &spec, argument)?;
        pad(&mut output, &piece, &spec);
    }
    Ok(output)
}

/// A width or precision: digits, or `*` for an argument.
fn number(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    argument: &mut dyn FnMut() -> Result<u64, BadAddress>,
) -> Result<Option<usize>, BadAddress> {
    /// No line of a driver is wider.
    const LIMIT: usize = 4_096;
    if rest.peek() == Some(&'*') {
        rest.next();
        let value = argument()? & 0xFFFF_FFFF;
        return Ok(Some(usize::try_from(value).unwrap_or(LIMIT).min(LIMIT)));
    }
    let mut value = None;
    while let Some(digit) = rest.peek().and_then(|character| character.to_digit(10)) {
        rest.next();
        let so_far = value.unwrap_or(0usize) * 10 + usize::try_from(digit).unwrap_or(0);
        value = Some(so_far.min(LIMIT));
    }
    Ok(value)
}

fn convert(
    letter: char,
    spec: &Spec,
    argument: &mut dyn FnMut() -> Result<u64, BadAddress>,
) -> Result<String, BadAddress> {
    if letter == '%' {
        return Ok("%".into());
    }
    let value = argument()?;
    let unsigned = if spec.long_long {
        value
    } else {
        value & 0xFFFF_FFFF
    };
    Ok(match letter {
        'd' | 'i' if spec.long_long => value.cast_signed().to_string(),
        'd' | 'i' => ((value & 0xFFFF_FFFF) as u32).cast_signed().to_string(),
        'u' => unsigned.to_string(),
        'o' => format!("{unsigned:o}"),
        'x' if spec.alternate => format!("{unsigned:#x}"),
        'x' => format!("{unsigned:x}"),
        'X' if spec.alternate => format!("0x{unsigned:X}"),
        'X' => format!("{unsigned:X}"),
        'p' => format!("{value:016X}"),
        'c' | 'C' => char::from_u32((value & 0xFFFF) as u32)
            .unwrap_or('?')
            .to_string(),
        's' if value == 0 => "(null)".into(),
        's' if spec.wide => driver::read_text(value, spec.precision)?,
        's' => text(value, spec.precision)?,
        'S' if value == 0 => "(null)".into(),
        'S' => driver::read_text(value, spec.precision)?,
        'Z' if value == 0 => "(null)".into(),
        'Z' if spec.wide => driver::read_unicode_string(value)?,
        'Z' => {
            let length = mem::read::<u16>(value)?;
            text(mem::read(value.wrapping_add(8))?, Some(length.into()))?
        }
        other => format!("%{other}"),
    })
}

fn pad(output: &mut String, piece: &str, spec: &Spec) {
    let missing = spec.width.saturating_sub(piece.chars().count());
    let fill = if spec.zeros && !spec.left { "0" } else { " " };
    if !spec.left {
        output.push_str(&fill.repeat(missing));
    }
    output.push_str(piece);
    if spec.left {
        output.push_str(&" ".repeat(missing));
    }
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn formats_are_expanded() {
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
        ] {
            let mut rest = arguments.iter();
            let output = render(format, &mut || Ok(*rest.next().expect("an argument")));
            assert_eq!(output.as_deref(), Ok(expected));
        }
    }
}
