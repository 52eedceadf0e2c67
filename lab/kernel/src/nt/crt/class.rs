//! `is*` and `to*`: what a character is. What is no ASCII is nothing, and stays what it is.

use super::{lower, upper};
use crate::nt::imports;
use crate::rt::Call;

imports! {
    "ntoskrnl.exe":
    isalnum => is_alphanumeric,
    isalpha => is_alphabetic,
    isdigit => is_digit,
    islower => is_lower,
    isprint => is_printed,
    isspace => is_space,
    isupper => is_upper,
    isxdigit => is_hexadecimal,
    iswalnum => is_alphanumeric,
    iswalpha => is_alphabetic,
    iswdigit => is_digit,
    iswspace => is_space,
    iswxdigit => is_hexadecimal,
    tolower => to_lower,
    toupper => to_upper,
    towlower => wide_to_lower,
    towupper => wide_to_upper,
}

/// Whether the argument is such a character.
fn is(call: &Call<'_>, class: fn(&u8) -> bool) -> u64 {
    let character = u8::try_from(call.arg_u32(0)).ok();
    u64::from(character.as_ref().is_some_and(class))
}

fn is_alphanumeric(call: &Call<'_>) -> u64 {
    is(call, u8::is_ascii_alphanumeric)
}

fn is_alphabetic(call: &Call<'_>) -> u64 {
    is(call, u8::is_ascii_alphabetic)
}

fn is_digit(call: &Call<'_>) -> u64 {
    is(call, u8::is_ascii_digit)
}

fn is_lower(call: &Call<'_>) -> u64 {
    is(call, u8::is_ascii_lowercase)
}

fn is_upper(call: &Call<'_>) -> u64 {
    is(call, u8::is_ascii_uppercase)
}

fn is_hexadecimal(call: &Call<'_>) -> u64 {
    is(call, u8::is_ascii_hexdigit)
}

fn is_printed(call: &Call<'_>) -> u64 {
    is(call, |byte| (b' '..=b'~').contains(byte))
}

fn is_space(call: &Call<'_>) -> u64 {
    is(call, |byte| super::number::is_space((*byte).into()))
}

/// Changes what an argument is if it is a character at all.
fn change(call: &Call<'_>, to: fn(u16) -> u16) -> u64 {
    let value = call.arg_u32(0);
    u16::try_from(value).map_or(value.into(), |unit| to(unit).into())
}

fn to_lower(call: &Call<'_>) -> u64 {
    change(call, lower)
}

fn to_upper(call: &Call<'_>) -> u64 {
    change(call, upper)
}

fn wide_to_lower(call: &Call<'_>) -> u64 {
    lower(call.arg_u16(0)).into()
}

fn wide_to_upper(call: &Call<'_>) -> u64 {
    upper(call.arg_u16(0)).into()
}
