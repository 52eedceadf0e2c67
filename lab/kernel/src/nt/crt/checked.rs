//! `*_s`: functions on text that know how much room there is. What is refused leaves an empty text.

use super::{
    EINVAL, ERANGE, NARROW as N, STRUNCATE, TRUNCATE, WIDE as W, copy, length, lower, place, read,
    text, write,
};
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    strcpy_s => copy_all::<N>,
    wcscpy_s => copy_all::<W>,
    strncpy_s => copy_some::<N>,
    wcsncpy_s => copy_some::<W>,
    strcat_s => append_all::<N>,
    wcscat_s => append_all::<W>,
    strncat_s => append_some::<N>,
    wcsncat_s => append_some::<W>,
    _wcslwr_s => to_lower::<W>,
    strtok_s => token,
    mbstowcs => to_wide,
    wcstombs => to_narrow,
    mbtowc => one_to_wide,
    wctomb => one_to_narrow,
}

/// An empty text in a target that has room for one.
fn refuse<const W: u64>(target: u64, room: u64, error: u64) -> u64 {
    if target != 0 && room > 0 {
        write::<W>(target, 0, 0);
    }
    error
}

fn copy_all<const W: u64>(call: &Call<'_>) -> u64 {
    copy_behind::<W>([call.arg(0), call.arg(1)], 0, call.arg(2), None)
}

fn copy_some<const W: u64>(call: &Call<'_>) -> u64 {
    let (target, room, count) = (call.arg(0), call.arg(1), call.arg(3));
    if target == 0 && room == 0 && count == 0 {
        return 0;
    }
    copy_behind::<W>([target, room], 0, call.arg(2), Some(count))
}

fn append_all<const W: u64>(call: &Call<'_>) -> u64 {
    append::<W>(call, None)
}

fn append_some<const W: u64>(call: &Call<'_>) -> u64 {
    append::<W>(call, Some(call.arg(3)))
}

fn append<const W: u64>(call: &Call<'_>, count: Option<u64>) -> u64 {
    let (target, room) = (call.arg(0), call.arg(1));
    if target == 0 || room == 0 {
        return EINVAL;
    }
    let begin = length::<W>(target, room);
    if begin == room {
        return refuse::<W>(target, room, EINVAL);
    }
    copy_behind::<W>([target, room], begin, call.arg(2), count)
}

/// Copies a text, or so many characters of it, behind what is there.
fn copy_behind<const W: u64>(
    [target, room]: [u64; 2],
    begin: u64,
    source: u64,
    count: Option<u64>,
) -> u64 {
    if target == 0 || room == 0 {
        return EINVAL;
    }
    if source == 0 && count != Some(0) {
        return refuse::<W>(target, room, EINVAL);
    }
    let most = room - begin - 1;
    let limit = count.unwrap_or(u64::MAX);
    // More than fits is not looked at.
    let length = if limit == 0 {
        0
    } else {
        length::<W>(source, limit.min(most + 1))
    };
    if length > most && count != Some(TRUNCATE) {
        return refuse::<W>(target, room, ERANGE);
    }
    copy::<W>(place::<W>(target, begin), source, length.min(most));
    write::<W>(target, begin + length.min(most), 0);
    if length > most { STRUNCATE } else { 0 }
}

fn to_lower<const W: u64>(call: &Call<'_>) -> u64 {
    let (target, room) = (call.arg(0), call.arg(1));
    if target == 0 || length::<W>(target, room) == room {
        return refuse::<W>(target, room, EINVAL);
    }
    text::change::<W>(target, lower);
    0
}

/// The next token; where to go on from is the caller's to keep.
fn token(call: &Call<'_>) -> u64 {
    let (given, set, context) = (call.arg(0), call.arg(1), call.arg(2));
    if set == 0 || context == 0 {
        return 0;
    }
    let from = match given {
        0 => mem::read(context).or_fault(),
        given => given,
    };
    if from == 0 {
        return 0;
    }
    let begin = place::<N>(from, text::span_of::<N>(from, set, true));
    let end = place::<N>(begin, text::span_of::<N>(begin, set, false));
    let has_more = read::<N>(end, 0) != 0;
    if has_more {
        write::<N>(end, 0, 0);
    }
    let next = if has_more { place::<N>(end, 1) } else { end };
    mem::write(context, next).or_fault();
    if begin == end { 0 } else { begin }
}

/// What says that a character cannot be converted.
const FAILED: u64 = u64::MAX;

/// Converts characters up to a zero, or as many as there is room for; only counts them without a target.
fn convert<const FROM: u64, const TO: u64>(call: &Call<'_>) -> u64 {
    let (target, source) = (call.arg(0), call.arg(1));
    let room = if target == 0 { u64::MAX } else { call.arg(2) };
    for index in 0..room {
        let unit = read::<FROM>(source, index);
        if TO == N && unit > 0xFF {
            return FAILED;
        }
        if target != 0 {
            write::<TO>(target, index, unit);
        }
        if unit == 0 {
            return index;
        }
    }
    room
}

fn to_wide(call: &Call<'_>) -> u64 {
    convert::<N, W>(call)
}

fn to_narrow(call: &Call<'_>) -> u64 {
    convert::<W, N>(call)
}

fn one_to_wide(call: &Call<'_>) -> u64 {
    let (target, source, count) = (call.arg(0), call.arg(1), call.arg(2));
    if source == 0 || count == 0 {
        return 0;
    }
    let unit = read::<N>(source, 0);
    if target != 0 {
        write::<W>(target, 0, unit);
    }
    u64::from(unit != 0)
}

fn one_to_narrow(call: &Call<'_>) -> u64 {
    let (target, unit) = (call.arg(0), call.arg_u16(1));
    if target == 0 {
        return 0;
    }
    if unit > 0xFF {
        return u32::MAX.into();
    }
    write::<N>(target, 0, unit);
    1
}
