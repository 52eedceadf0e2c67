//! `sprintf` and its kin.

use super::{NARROW as N, TRUNCATE, WIDE as W, put, write};
use crate::nt::format::{self, Arguments, Dialect};
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    sprintf => unlimited::<N>,
    swprintf => unlimited::<W>,
    vsprintf => unlimited_list::<N>,
    sprintf_s => checked::<N>,
    swprintf_s => checked::<W>,
    vsprintf_s => checked_list::<N>,
    vswprintf_s => checked_list::<W>,
    _snprintf => limited::<N>,
    _snwprintf => limited::<W>,
    _vsnprintf => limited_list::<N>,
    _vsnwprintf => limited_list::<W>,
    _snprintf_s => counted::<N>,
    _snwprintf_s => counted::<W>,
    _vsnprintf_s => counted_list::<N>,
    _vsnwprintf_s => counted_list::<W>,
}

/// -1: what was to be written did not fit.
const FAILED: u64 = u32::MAX as u64;

/// The text that a format makes of arguments, as characters of the target.
fn expand<const W: u64>(format: u64, argument: &mut Arguments<'_>) -> Vec<u16> {
    let dialect = Dialect {
        is_wide: W == super::WIDE,
        decode: format::by_number,
    };
    let mut text = format::expand(dialect, format, argument).or_fault();
    if W == N {
        for unit in text.iter_mut().filter(|unit| **unit > 0xFF) {
            *unit = b'?'.into();
        }
    }
    text
}

/// The text of a format that is this argument; its own are the next ones.
fn inline<const W: u64>(call: &Call<'_>, format: usize) -> Vec<u16> {
    let mut next = format;
    expand::<W>(call.arg(format), &mut || {
        next += 1;
        Ok(call.arg(next))
    })
}

/// The same of a list, which is an array of eight-byte slots on x64.
fn listed<const W: u64>(call: &Call<'_>, format: usize) -> Vec<u16> {
    let mut next = call.arg(format + 1);
    expand::<W>(call.arg(format), &mut || {
        let argument = mem::read(next)?;
        next = next.wrapping_add(8);
        Ok(argument)
    })
}

fn store_all<const W: u64>(target: u64, text: &[u16]) -> u64 {
    put::<W>(target, text);
    text.len() as u64
}

/// What is longer has no zero at its end. Without a target the characters are counted.
fn store_limited<const W: u64>(target: u64, room: u64, text: &[u16]) -> u64 {
    let length = text.len() as u64;
    if target == 0 && room == 0 {
        return length;
    }
    if length < room {
        return store_all::<W>(target, text);
    }
    for (index, unit) in (0..room).zip(text) {
        write::<W>(target, index, *unit);
    }
    if length == room { length } else { FAILED }
}

/// At most so many characters, with a zero at the end. What does not fit into the target leaves an empty text, unless
/// as much is wanted as fits.
fn store_counted<const W: u64>(target: u64, room: u64, count: u64, text: &[u16]) -> u64 {
    if target == 0 || room == 0 {
        return FAILED;
    }
    let length = text.len() as u64;
    let wanted = length.min(count);
    if wanted < room {
        let kept = store_all::<W>(target, &text[..wanted as usize]);
        return if kept == length { length } else { FAILED };
    }
    if count == TRUNCATE {
        store_all::<W>(target, &text[..(room - 1) as usize]);
    } else {
        write::<W>(target, 0, 0);
    }
    FAILED
}

fn unlimited<const W: u64>(call: &Call<'_>) -> u64 {
    store_all::<W>(call.arg(0), &inline::<W>(call, 1))
}

fn unlimited_list<const W: u64>(call: &Call<'_>) -> u64 {
    store_all::<W>(call.arg(0), &listed::<W>(call, 1))
}

/// No count is more than what fits, and less than all.
const ALL: u64 = TRUNCATE - 1;

fn checked<const W: u64>(call: &Call<'_>) -> u64 {
    store_counted::<W>(call.arg(0), call.arg(1), ALL, &inline::<W>(call, 2))
}

fn checked_list<const W: u64>(call: &Call<'_>) -> u64 {
    store_counted::<W>(call.arg(0), call.arg(1), ALL, &listed::<W>(call, 2))
}

fn limited<const W: u64>(call: &Call<'_>) -> u64 {
    store_limited::<W>(call.arg(0), call.arg(1), &inline::<W>(call, 2))
}

fn limited_list<const W: u64>(call: &Call<'_>) -> u64 {
    store_limited::<W>(call.arg(0), call.arg(1), &listed::<W>(call, 2))
}

fn counted<const W: u64>(call: &Call<'_>) -> u64 {
    store_counted::<W>(call.arg(0), call.arg(1), call.arg(2), &inline::<W>(call, 3))
}

fn counted_list<const W: u64>(call: &Call<'_>) -> u64 {
    store_counted::<W>(call.arg(0), call.arg(1), call.arg(2), &listed::<W>(call, 3))
}
