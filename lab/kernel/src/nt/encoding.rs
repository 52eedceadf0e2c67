//! `Rtl*UTF8*`, `Rtl*MultiByte*`, `Rtl*Oem*`: text of UTF-16 as bytes, and back. In the code pages of the simulated
//! system a byte is the character with its number.

use super::ansi;
use super::rtl;
use super::{SUCCESS, imports, status};
use crate::abi::constant::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER_4,
    STATUS_INVALID_PARAMETER_5, STATUS_SOME_NOT_MAPPED,
};
use crate::abi::nt::UNICODE_STRING as U;
use crate::driver;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlUTF8ToUnicodeN => from_utf8,
    RtlUnicodeToUTF8N => to_utf8,
    RtlUTF8StringToUnicodeString => utf8_string_to_unicode,
    RtlUnicodeStringToUTF8String => unicode_string_to_utf8,
    RtlFreeUTF8String => rtl::free_string,
    RtlMultiByteToUnicodeN => from_bytes,
    RtlMultiByteToUnicodeSize => size_from_bytes,
    RtlUnicodeToMultiByteN => to_bytes,
    RtlUnicodeToMultiByteSize => size_to_bytes,
    RtlUpcaseUnicodeToMultiByteN => upper_to_bytes,
    RtlOemToUnicodeN => from_bytes,
    RtlUnicodeToOemN => to_bytes,
    RtlUpcaseUnicodeToOemN => upper_to_bytes,
    RtlUpcaseUnicodeStringToOemString => upper_string_to_oem,
    RtlFreeOemString => rtl::free_string,
    RtlxAnsiStringToUnicodeSize => size_as_unicode,
    RtlxOemStringToUnicodeSize => size_as_unicode,
    RtlxUnicodeStringToAnsiSize => size_as_bytes,
    RtlxUnicodeStringToOemSize => size_as_bytes,
    RtlUpperChar => upper_char,
    RtlUpperString => upper_string,
    RtlValidateUnicodeString => validate,
}

/// What stands for a character that there is not.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Units of UTF-16 in bytes of memory; half a unit at the end is none.
fn units(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.as_chunks().0.iter();
    pairs.map(|pair| u16::from_le_bytes(*pair)).collect()
}

/// The characters of UTF-8, and whether all of them were ones.
fn characters_of_utf8(bytes: &[u8]) -> (Vec<char>, bool) {
    let text = String::from_utf8_lossy(bytes).chars().collect();
    (text, std::str::from_utf8(bytes).is_ok())
}

/// The same of UTF-16.
fn characters_of_utf16(bytes: &[u8]) -> (Vec<char>, bool) {
    let mut is_valid = true;
    let decoded = char::decode_utf16(units(bytes)).map(|character| {
        is_valid &= character.is_ok();
        character.unwrap_or(REPLACEMENT)
    });
    let characters = decoded.collect();
    (characters, is_valid)
}

fn utf16_bytes(character: char) -> Vec<u8> {
    let mut room = [0; 2];
    let units = character.encode_utf16(&mut room).iter();
    units.flat_map(|unit| unit.to_le_bytes()).collect()
}

fn utf8_bytes(character: char) -> Vec<u8> {
    character.to_string().into_bytes()
}

/// What a conversion by characters gives: as many of them as there is room for, or only how many bytes they take.
fn give(
    call: &Call<'_>,
    decode: fn(&[u8]) -> (Vec<char>, bool),
    encode: fn(char) -> Vec<u8>,
) -> u64 {
    let (target, room, actual) = (call.arg(0), call.arg_u32(1) as usize, call.arg(2));
    if target == 0 && actual == 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    if call.arg(3) == 0 {
        return status(STATUS_INVALID_PARAMETER_4);
    }
    let source = mem::read_bytes(call.arg(3), call.arg_u32(4) as usize).or_fault();
    let (characters, is_valid) = decode(&source);
    let (mut output, mut fits) = (Vec::new(), true);
    for character in characters {
        let bytes = encode(character);
        fits = target == 0 || output.len() + bytes.len() <= room;
        if !fits {
            break;
        }
        output.extend(bytes);
    }
    if target != 0 {
        mem::write_bytes(target, &output).or_fault();
    }
    if actual != 0 {
        mem::write(actual, output.len() as u32).or_fault();
    }
    match (fits, is_valid) {
        (false, _) => status(STATUS_BUFFER_TOO_SMALL),
        (true, false) => status(STATUS_SOME_NOT_MAPPED),
        (true, true) => SUCCESS,
    }
}

fn from_utf8(call: &Call<'_>) -> u64 {
    give(call, characters_of_utf8, utf16_bytes)
}

fn to_utf8(call: &Call<'_>) -> u64 {
    if call.arg(3) != 0 && !call.arg_u32(4).is_multiple_of(2) {
        return status(STATUS_INVALID_PARAMETER_5);
    }
    give(call, characters_of_utf16, utf8_bytes)
}

/// Puts characters into a string; tells whether all were ones.
fn store(
    call: &Call<'_>,
    (characters, is_valid): (Vec<char>, bool),
    encode: fn(char) -> Vec<u8>,
    unit: usize,
) -> u64 {
    let text: Vec<u8> = characters.into_iter().flat_map(encode).collect();
    match ansi::store(call.arg(0), &text, unit, call.arg_u8(2) != 0) {
        SUCCESS if !is_valid => status(STATUS_SOME_NOT_MAPPED),
        status => status,
    }
}

fn utf8_string_to_unicode(call: &Call<'_>) -> u64 {
    let source = ansi::bytes_of(call.arg(1));
    store(call, characters_of_utf8(&source), utf16_bytes, 2)
}

fn unicode_string_to_utf8(call: &Call<'_>) -> u64 {
    let source = ansi::bytes_of(call.arg(1));
    store(call, characters_of_utf16(&source), utf8_bytes, 1)
}

/// What a conversion gives that leaves off what does not fit, without an error.
fn give_some(call: &Call<'_>, unit: usize, convert: impl Fn(&[u8]) -> Vec<u8>) -> u64 {
    let (target, room, actual) = (call.arg(0), call.arg_u32(1) as usize, call.arg(2));
    let source = mem::read_bytes(call.arg(3), call.arg_u32(4) as usize).or_fault();
    let mut output = convert(&source);
    output.truncate(room / unit * unit);
    mem::write_bytes(target, &output).or_fault();
    if actual != 0 {
        mem::write(actual, output.len() as u32).or_fault();
    }
    SUCCESS
}

fn from_bytes(call: &Call<'_>) -> u64 {
    give_some(call, 2, |bytes| {
        let units = bytes.iter().copied().map(u16::from);
        units.flat_map(u16::to_le_bytes).collect()
    })
}

/// A unit as a byte.
fn byte(unit: u16) -> u8 {
    u8::try_from(unit).unwrap_or(b'?')
}

fn to_bytes(call: &Call<'_>) -> u64 {
    give_some(call, 1, |bytes| {
        units(bytes).into_iter().map(byte).collect()
    })
}

fn upper_to_bytes(call: &Call<'_>) -> u64 {
    give_some(call, 1, |bytes| {
        let units = units(bytes).into_iter();
        units.map(|unit| byte(rtl::upper(unit))).collect()
    })
}

fn upper_string_to_oem(call: &Call<'_>) -> u64 {
    let text = driver::read_unicode_string(call.arg(1)).or_fault();
    let bytes: Vec<u8> = text
        .encode_utf16()
        .map(|unit| byte(rtl::upper(unit)))
        .collect();
    ansi::store(call.arg(0), &bytes, 1, call.arg_u8(2) != 0)
}

fn size_from_bytes(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), call.arg_u32(2).wrapping_mul(2)).or_fault();
    SUCCESS
}

fn size_to_bytes(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), call.arg_u32(2) / 2).or_fault();
    SUCCESS
}

/// Bytes of a string's characters with a terminator.
fn size_as_unicode(call: &Call<'_>) -> u64 {
    2 * u64::from(U::Length.read(call.arg(0)).or_fault()) + 2
}

fn size_as_bytes(call: &Call<'_>) -> u64 {
    u64::from(U::Length.read(call.arg(0)).or_fault()) / 2 + 1
}

fn upper_char(call: &Call<'_>) -> u64 {
    call.arg_u8(0).to_ascii_uppercase().into()
}

fn upper_string(call: &Call<'_>) -> u64 {
    let target = call.arg(0);
    let mut bytes = ansi::bytes_of(call.arg(1)).to_ascii_uppercase();
    bytes.truncate(U::MaximumLength.read(target).or_fault().into());
    mem::write_bytes(U::Buffer.read(target).or_fault(), &bytes).or_fault();
    U::Length.write(target, bytes.len() as u16).or_fault();
    SUCCESS
}

/// Whether a counted string is whole units in a buffer that has room for them.
fn validate(call: &Call<'_>) -> u64 {
    let string = call.arg(1);
    let is_valid = call.arg_u32(0) == 0 && (string == 0 || is_whole(string));
    if is_valid {
        SUCCESS
    } else {
        status(STATUS_INVALID_PARAMETER)
    }
}

fn is_whole(string: u64) -> bool {
    let length = U::Length.read(string).or_fault();
    let maximum = U::MaximumLength.read(string).or_fault();
    let buffer = U::Buffer.read(string).or_fault();
    length.is_multiple_of(2)
        && maximum.is_multiple_of(2)
        && length <= maximum
        && (buffer != 0 || maximum == 0)
}
