//! `str*` and `wcs*` that check nothing.

use std::cell::Cell;

use super::{NARROW as N, WIDE as W, copy, length, lower, place, read, upper, write};
use crate::nt::imports;
use crate::per_image::per_image;
use crate::rt::Call;

imports! {
    "ntoskrnl.exe":
    strlen => whole_length::<N>,
    wcslen => whole_length::<W>,
    strnlen => limited_length::<N>,
    wcsnlen => limited_length::<W>,
    strcpy => copy_all::<N>,
    wcscpy => copy_all::<W>,
    strncpy => copy_some::<N>,
    wcsncpy => copy_some::<W>,
    strcat => append_all::<N>,
    wcscat => append_all::<W>,
    strncat => append_some::<N>,
    wcsncat => append_some::<W>,
    strcmp => compare_all::<N>,
    wcscmp => compare_all::<W>,
    strncmp => compare_some::<N>,
    wcsncmp => compare_some::<W>,
    _stricmp => compare_all_letters::<N>,
    _wcsicmp => compare_all_letters::<W>,
    _strnicmp => compare_some_letters::<N>,
    _wcsnicmp => compare_some_letters::<W>,
    strchr => find::<N>,
    wcschr => find::<W>,
    strrchr => find_last::<N>,
    wcsrchr => find_last::<W>,
    strstr => find_text::<N>,
    wcsstr => find_text::<W>,
    strspn => span::<N>,
    wcsspn => span::<W>,
    wcscspn => span_without::<W>,
    _strlwr => to_lower::<N>,
    _wcslwr => to_lower::<W>,
    _strupr => to_upper::<N>,
    _wcsupr => to_upper::<W>,
    _strrev => reverse::<N>,
    _wcsrev => reverse::<W>,
    _strset => set_all::<N>,
    _strnset => set_some::<N>,
    _wcsnset => set_some::<W>,
    rand => random,
    srand => seed,
}

per_image! {
    /// What `rand` goes on from.
    static SEED: Cell<u32> = const { Cell::new(1) };
}

/// Forgets what was drawn: a run begins.
pub(in crate::nt) fn reset() {
    SEED.set(1);
}

/// The run-time library's own sequence, whose numbers have fifteen bits.
fn random(_: &Call<'_>) -> u64 {
    let next = SEED.get().wrapping_mul(214_013).wrapping_add(2_531_011);
    SEED.set(next);
    (next >> 16 & 0x7FFF).into()
}

fn seed(call: &Call<'_>) -> u64 {
    SEED.set(call.arg_u32(0));
    0
}

fn whole_length<const W: u64>(call: &Call<'_>) -> u64 {
    length::<W>(call.arg(0), u64::MAX)
}

fn limited_length<const W: u64>(call: &Call<'_>) -> u64 {
    length::<W>(call.arg(0), call.arg(1))
}

/// Copies a text to where this character goes, with its zero.
fn copy_to<const W: u64>(target: u64, begin: u64, source: u64) {
    for index in 0.. {
        let unit = read::<W>(source, index);
        write::<W>(target, begin + index, unit);
        if unit == 0 {
            break;
        }
    }
}

fn copy_all<const W: u64>(call: &Call<'_>) -> u64 {
    copy_to::<W>(call.arg(0), 0, call.arg(1));
    call.arg(0)
}

fn append_all<const W: u64>(call: &Call<'_>) -> u64 {
    let begin = length::<W>(call.arg(0), u64::MAX);
    copy_to::<W>(call.arg(0), begin, call.arg(1));
    call.arg(0)
}

/// What is shorter is followed by zeros; what is longer has none.
fn copy_some<const W: u64>(call: &Call<'_>) -> u64 {
    let (target, source, count) = (call.arg(0), call.arg(1), call.arg(2));
    let mut has_ended = false;
    for index in 0..count {
        let unit = if has_ended {
            0
        } else {
            read::<W>(source, index)
        };
        has_ended |= unit == 0;
        write::<W>(target, index, unit);
    }
    target
}

fn append_some<const W: u64>(call: &Call<'_>) -> u64 {
    let (target, source) = (call.arg(0), call.arg(1));
    let begin = length::<W>(target, u64::MAX);
    let count = length::<W>(source, call.arg(2));
    copy::<W>(place::<W>(target, begin), source, count);
    write::<W>(target, begin + count, 0);
    target
}

/// How two texts compare in at most `limit` characters.
fn compare<const W: u64>(a: u64, b: u64, limit: u64, fold: fn(u16) -> u16) -> u64 {
    for index in 0..limit {
        let (x, y) = (fold(read::<W>(a, index)), fold(read::<W>(b, index)));
        if x != y {
            return u64::from((i32::from(x) - i32::from(y)).cast_unsigned());
        }
        if x == 0 {
            break;
        }
    }
    0
}

fn compare_all<const W: u64>(call: &Call<'_>) -> u64 {
    compare::<W>(call.arg(0), call.arg(1), u64::MAX, |unit| unit)
}

fn compare_some<const W: u64>(call: &Call<'_>) -> u64 {
    compare::<W>(call.arg(0), call.arg(1), call.arg(2), |unit| unit)
}

fn compare_all_letters<const W: u64>(call: &Call<'_>) -> u64 {
    compare::<W>(call.arg(0), call.arg(1), u64::MAX, lower)
}

fn compare_some_letters<const W: u64>(call: &Call<'_>) -> u64 {
    compare::<W>(call.arg(0), call.arg(1), call.arg(2), lower)
}

/// A character as an argument.
fn wanted<const W: u64>(call: &Call<'_>) -> u16 {
    if W == N {
        call.arg_u8(1).into()
    } else {
        call.arg_u16(1)
    }
}

/// Where a character is first, the zero at the end included; NULL where it is not.
fn find<const W: u64>(call: &Call<'_>) -> u64 {
    let (text, wanted) = (call.arg(0), wanted::<W>(call));
    for index in 0.. {
        match read::<W>(text, index) {
            unit if unit == wanted => return place::<W>(text, index),
            0 => break,
            _ => {}
        }
    }
    0
}

fn find_last<const W: u64>(call: &Call<'_>) -> u64 {
    let (text, wanted) = (call.arg(0), wanted::<W>(call));
    let end = length::<W>(text, u64::MAX);
    let found = (0..=end)
        .rev()
        .find(|index| read::<W>(text, *index) == wanted);
    found.map_or(0, |index| place::<W>(text, index))
}

fn find_text<const W: u64>(call: &Call<'_>) -> u64 {
    let (text, wanted) = (call.arg(0), call.arg(1));
    let (end, count) = (length::<W>(text, u64::MAX), length::<W>(wanted, u64::MAX));
    let is_there = |begin: &u64| {
        (0..count).all(|index| read::<W>(text, begin + index) == read::<W>(wanted, index))
    };
    let last = end.checked_sub(count);
    let found = last.and_then(|last| (0..=last).find(is_there));
    found.map_or(0, |index| place::<W>(text, index))
}

/// How many characters at the beginning are of a set, or are not.
pub(super) fn span_of<const W: u64>(text: u64, set: u64, wants_in: bool) -> u64 {
    let members = length::<W>(set, u64::MAX);
    let is_in = |unit| (0..members).any(|index| read::<W>(set, index) == unit);
    let end = length::<W>(text, u64::MAX);
    let stop = (0..end).find(|index| is_in(read::<W>(text, *index)) != wants_in);
    stop.unwrap_or(end)
}

fn span<const W: u64>(call: &Call<'_>) -> u64 {
    span_of::<W>(call.arg(0), call.arg(1), true)
}

fn span_without<const W: u64>(call: &Call<'_>) -> u64 {
    span_of::<W>(call.arg(0), call.arg(1), false)
}

/// Changes every character up to the zero.
pub(super) fn change<const W: u64>(text: u64, to: impl Fn(u16) -> u16) -> u64 {
    for index in 0.. {
        let unit = read::<W>(text, index);
        if unit == 0 {
            break;
        }
        if to(unit) != unit {
            write::<W>(text, index, to(unit));
        }
    }
    text
}

fn to_lower<const W: u64>(call: &Call<'_>) -> u64 {
    change::<W>(call.arg(0), lower)
}

fn to_upper<const W: u64>(call: &Call<'_>) -> u64 {
    change::<W>(call.arg(0), upper)
}

fn set_all<const W: u64>(call: &Call<'_>) -> u64 {
    let unit = wanted::<W>(call);
    change::<W>(call.arg(0), |_| unit)
}

fn set_some<const W: u64>(call: &Call<'_>) -> u64 {
    let (text, unit) = (call.arg(0), wanted::<W>(call));
    for index in 0..length::<W>(text, call.arg(2)) {
        write::<W>(text, index, unit);
    }
    text
}

fn reverse<const W: u64>(call: &Call<'_>) -> u64 {
    let text = call.arg(0);
    let count = length::<W>(text, u64::MAX);
    for index in 0..count / 2 {
        let other = count - 1 - index;
        let (a, b) = (read::<W>(text, index), read::<W>(text, other));
        write::<W>(text, index, b);
        write::<W>(text, other, a);
    }
    text
}
