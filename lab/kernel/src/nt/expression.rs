//! `FsRtlIsNameInExpression`: names by patterns.

use super::imports;
use super::rtl;
use crate::driver;
use crate::rt::Call;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    FsRtlDoesNameContainWildCards => has_wild_cards,
    FsRtlIsNameInExpression => is_match,
    RtlIsNameInExpression => is_match,
}

/// `*` and `?`, and what `*.`, `.` and `?` of DOS become.
const STAR: u16 = b'*' as u16;
const ANY: u16 = b'?' as u16;
const DOS_STAR: u16 = b'<' as u16;
const DOS_DOT: u16 = b'"' as u16;
const DOS_ANY: u16 = b'>' as u16;
const DOT: u16 = b'.' as u16;

/// Whether a name matches a pattern.
///
/// `?` is one character and `*` are any, also none. Of DOS there are `>`, which is a character, or nothing before a dot
/// or at the end; `"`, a dot, or nothing at the end; and `<`, any characters up to the last dot.
pub(super) fn matches(pattern: &[u16], name: &[u16]) -> bool {
    // What of the pattern may be next, after each character.
    let mut states = vec![false; pattern.len() + 1];
    states[0] = true;
    for at in 0..=name.len() {
        let rest = &name[at..];
        skip(pattern, &mut states, rest);
        let Some(unit) = rest.first() else { break };
        let mut next = vec![false; pattern.len() + 1];
        for (index, wanted) in pattern
            .iter()
            .enumerate()
            .filter(|(index, _)| states[*index])
        {
            match *wanted {
                STAR => next[index] = true,
                // The last dot of all is not its own.
                DOS_STAR => next[index] |= *unit != DOT || rest[1..].contains(&DOT),
                ANY => next[index + 1] = true,
                DOS_ANY => next[index + 1] |= *unit != DOT,
                DOS_DOT => next[index + 1] |= *unit == DOT,
                wanted => next[index + 1] |= wanted == *unit,
            }
        }
        states = next;
    }
    states[pattern.len()]
}

/// Passes over what may stand for nothing before the rest of a name.
fn skip(pattern: &[u16], states: &mut [bool], rest: &[u16]) {
    for (index, wanted) in pattern.iter().enumerate() {
        let is_nothing = match *wanted {
            STAR | DOS_STAR => true,
            DOS_ANY => matches!(rest.first(), None | Some(&DOT)),
            DOS_DOT => rest.is_empty(),
            _ => false,
        };
        states[index + 1] |= states[index] && is_nothing;
    }
}

/// Where case does not count, the pattern is in upper case, as documented.
fn is_match(call: &Call<'_>) -> u64 {
    let ignores_case = call.arg_u8(2) != 0;
    let pattern = driver::read_unicode_string(call.arg(0)).or_fault();
    let name = driver::read_unicode_string(call.arg(1)).or_fault();
    let pattern: Vec<u16> = pattern.encode_utf16().collect();
    let fold = |unit| if ignores_case { rtl::upper(unit) } else { unit };
    let name: Vec<u16> = name.encode_utf16().map(fold).collect();
    u64::from(matches(&pattern, &name))
}

fn has_wild_cards(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    u64::from(name.contains(['*', '?', '<', '>', '"']))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*.SYS", "FILTER.SYS", true),
            ("*.SYS", "FILTER.SYS.OLD", false),
            ("F?LTER.*", "FILTER.SYS", true),
            ("F?LTER", "FLTER", false),
            ("", "", true),
            ("", "A", false),
            ("A*B*C", "AXXBYYC", true),
            ("A>>", "A", true),
            ("A>>.C", "AB.C", true),
            ("A>>.C", "ABCD.C", false),
            ("A\"", "A", true),
            ("A\"B", "A.B", true),
            ("<.C", "A.B.C", true),
            ("<\"C", "A.B.C", true),
            ("<B.C", "A.B.C", true),
            ("<", "A.B", false),
            ("<.*", "A.B.C", true),
            ("*?<", "A.", true),
            ("*.<", "A..B", true),
        ] {
            let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
            assert_eq!(
                matches(&units(pattern), &units(name)),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
