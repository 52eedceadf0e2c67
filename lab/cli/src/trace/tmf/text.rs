//! Putting values into a message's text.

use std::collections::BTreeMap;

use crate::trace::decode::Value;
use crate::trace::show;

/// The text with its values: `%10!d!` is value 10 as `d`, `%!FUNC!` one of `specials`, `%%` a percent sign. What cannot be
/// read stays as it is.
pub(super) fn format(
    text: &str,
    values: &BTreeMap<u32, Value>,
    specials: &[(&str, &String)],
) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((front, behind)) = rest.split_once('%') {
        out.push_str(front);
        let (shown, behind) =
            one(behind, values, specials).unwrap_or_else(|| ("%".to_owned(), behind));
        out.push_str(&shown);
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Whether a text shows value `number` without a sign.
pub(super) fn is_unsigned(text: &str, number: u32) -> bool {
    let (_, behind) = text.split_once(&format!("%{number}!")).unwrap_or_default();
    let style = behind.split_once('!').map(|(style, _)| style);
    style.is_some_and(|style| style.ends_with(['u', 'x', 'X', 'o']))
}

/// What a percent sign stands for, and what is behind it.
fn one<'t>(
    text: &'t str,
    values: &BTreeMap<u32, Value>,
    specials: &[(&str, &String)],
) -> Option<(String, &'t str)> {
    if let Some(behind) = text.strip_prefix('%') {
        return Some(("%".to_owned(), behind));
    }
    let (number, behind) = text.split_once('!')?;
    let (style, behind) = behind.split_once('!')?;
    if number.is_empty() {
        let (_, value) = specials.iter().find(|(name, _)| *name == style)?;
        return Some(((*value).clone(), behind));
    }
    let value = values.get(&number.parse().ok()?)?;
    Some((styled(value, style), behind))
}

/// A value as `printf` would write it with `style`, which is `d`, `08x`, `I64u` and the like.
fn styled(value: &Value, style: &str) -> String {
    let number = match value {
        Value::Unsigned(number) => *number,
        Value::Signed(number) => number.cast_unsigned(),
        other => return show::plain(other),
    };
    let flags = style.trim_start_matches(['0', '#', '-', '+', ' ']);
    let front = &style[..style.len() - flags.len()];
    let size = flags.trim_start_matches(|character: char| character.is_ascii_digit());
    let width: usize = flags[..flags.len() - size.len()].parse().unwrap_or(0);
    // A value of less than 64 bits was widened with its sign.
    let bits = if size.contains("I64") || size.starts_with("ll") {
        number
    } else if size.starts_with("hh") {
        number & 0xFF
    } else if size.starts_with('h') {
        number & 0xFFFF
    } else {
        number & 0xFFFF_FFFF
    };
    let digits = match (size.chars().next_back(), value) {
        (Some('x'), _) => format!("{bits:x}"),
        (Some('X'), _) => format!("{bits:X}"),
        (Some('o'), _) => format!("{bits:o}"),
        (Some('u'), _) => bits.to_string(),
        (Some('c'), _) => char::from((number & 0xFF) as u8).to_string(),
        (_, value) => show::plain(value),
    };
    let marked = match size.chars().next_back() {
        Some('x') if front.contains('#') => format!("0x{digits}"),
        _ => digits,
    };
    if front.contains('-') {
        format!("{marked:<width$}")
    } else if front.contains('0') {
        format!("{marked:0>width$}")
    } else {
        format!("{marked:>width$}")
    }
}
