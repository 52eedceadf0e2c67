//! `RtlIpv4*`, `RtlIpv6*`, `RtlEthernet*`: addresses of networks as text, and back.

use std::net::Ipv6Addr;

use super::crt::{NARROW as N, WIDE as W, place, put, read};
use super::{SUCCESS, imports, status};
use crate::abi::constant::STATUS_INVALID_PARAMETER;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlIpv4AddressToStringA => v4_to_text::<N>,
    RtlIpv4AddressToStringW => v4_to_text::<W>,
    RtlIpv4AddressToStringExA => v4_to_text_ex::<N>,
    RtlIpv4AddressToStringExW => v4_to_text_ex::<W>,
    RtlIpv4StringToAddressA => text_to_v4::<N>,
    RtlIpv4StringToAddressW => text_to_v4::<W>,
    RtlIpv4StringToAddressExA => text_to_v4_ex::<N>,
    RtlIpv4StringToAddressExW => text_to_v4_ex::<W>,
    RtlIpv6AddressToStringA => v6_to_text::<N>,
    RtlIpv6AddressToStringW => v6_to_text::<W>,
    RtlIpv6AddressToStringExA => v6_to_text_ex::<N>,
    RtlIpv6AddressToStringExW => v6_to_text_ex::<W>,
    RtlIpv6StringToAddressA => text_to_v6::<N>,
    RtlIpv6StringToAddressW => text_to_v6::<W>,
    RtlIpv6StringToAddressExA => text_to_v6_ex::<N>,
    RtlIpv6StringToAddressExW => text_to_v6_ex::<W>,
    RtlEthernetAddressToStringA => ethernet_to_text::<N>,
    RtlEthernetAddressToStringW => ethernet_to_text::<W>,
    RtlEthernetStringToAddressA => text_to_ethernet::<N>,
    RtlEthernetStringToAddressW => text_to_ethernet::<W>,
}

fn bytes<const B: usize>(address: u64) -> [u8; B] {
    let mut bytes = [0; B];
    mem::read_into(address, &mut bytes).or_fault();
    bytes
}

/// Writes a text; gives where its end is.
fn give<const X: u64>(target: u64, text: &str) -> u64 {
    let units: Vec<u16> = text.encode_utf16().collect();
    put::<X>(target, &units);
    place::<X>(target, units.len() as u64)
}

/// Writes a text where there is room for it, and in any case how much it takes, its end included.
fn give_if_room<const X: u64>(target: u64, length: u64, text: &str) -> u64 {
    let needed = text.len() as u32 + 1;
    let room = mem::read::<u32>(length).or_fault();
    mem::write(length, needed).or_fault();
    if target == 0 || room < needed {
        return status(STATUS_INVALID_PARAMETER);
    }
    give::<X>(target, text);
    SUCCESS
}

/// The ASCII text at an address, at most so much of it as any address takes.
fn text<const X: u64>(address: u64) -> String {
    /// With brackets, a zone and a port.
    const MOST: u64 = 80;
    let units = (0..MOST).map(|index| read::<X>(address, index));
    let units = units.map_while(|unit| {
        u8::try_from(unit)
            .ok()
            .filter(|byte| (1..=0x7F).contains(byte))
    });
    units.map(char::from).collect()
}

fn v4(address: u64) -> String {
    bytes::<4>(address).map(|byte| byte.to_string()).join(".")
}

fn v4_to_text<const X: u64>(call: &Call<'_>) -> u64 {
    give::<X>(call.arg(1), &v4(call.arg(0)))
}

/// `:` and a port, unless it is zero.
fn port_suffix(port: u16) -> String {
    match u16::from_be(port) {
        0 => String::new(),
        port => format!(":{port}"),
    }
}

fn v4_to_text_ex<const X: u64>(call: &Call<'_>) -> u64 {
    if call.arg(3) == 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    let text = v4(call.arg(0)) + &port_suffix(call.arg_u16(1));
    give_if_room::<X>(call.arg(2), call.arg(3), &text)
}

/// A part of an address with dots: decimal, or as its prefix says.
fn v4_part(text: &str) -> Option<(u32, usize)> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let is_octal = text.len() > 1 && text.starts_with('0');
    let (radix, digits, skipped) = match hex {
        Some(hex) => (16, hex, 2),
        None if is_octal => (8, text, 0),
        None => (10, text, 0),
    };
    let length = digits
        .bytes()
        .take_while(|byte| char::from(*byte).is_digit(radix))
        .count();
    let value = u32::from_str_radix(&digits[..length], radix).ok()?;
    Some((value, skipped + length))
}

/// The address that a text begins with, and its characters; the characters up to where it is none.
fn parse_v4(text: &str, is_strict: bool) -> Result<([u8; 4], usize), usize> {
    let (mut parts, mut at) = (Vec::new(), 0);
    loop {
        let rest = &text[at..];
        let (value, length) = if is_strict {
            // Decimal numbers without zeros before them.
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let digits = &rest[..length];
            let is_plain = length == 1 || !digits.starts_with('0');
            let value = digits.parse::<u32>().ok().filter(|_| is_plain);
            (value.ok_or(at)?, length)
        } else {
            v4_part(rest).ok_or(at)?
        };
        at += length;
        parts.push(value);
        if parts.len() == 4 || !text[at..].starts_with('.') {
            break;
        }
        at += 1;
    }
    // The last part fills what the others leave.
    let (last, first) = parts.split_last().ok_or(0usize)?;
    let left = 8 * (4 - first.len() as u32);
    let fits = first.iter().all(|part| *part <= 0xFF)
        && u64::from(*last) < 1u64 << left
        && (!is_strict || parts.len() == 4);
    if !fits {
        return Err(at);
    }
    let high = first.iter().fold(0u32, |value, part| value << 8 | part);
    let value = u64::from(high) << left | u64::from(*last);
    Ok(((value as u32).to_be_bytes(), at))
}

/// Tells where an address ends in a text, or where it is none, and which it is.
fn tell<const X: u64, const B: usize>(
    begin: u64,
    parsed: Result<([u8; B], usize), usize>,
    end_at: u64,
    target: u64,
) -> u64 {
    let end = match parsed {
        Ok((_, end)) | Err(end) => end,
    };
    mem::write(end_at, place::<X>(begin, end as u64)).or_fault();
    let Ok((address, _)) = parsed else {
        return status(STATUS_INVALID_PARAMETER);
    };
    mem::write_bytes(target, &address).or_fault();
    SUCCESS
}

fn text_to_v4<const X: u64>(call: &Call<'_>) -> u64 {
    let parsed = parse_v4(&text::<X>(call.arg(0)), call.arg_u8(1) != 0);
    tell::<X, 4>(call.arg(0), parsed, call.arg(2), call.arg(3))
}

/// A port in the order of the network; none is zero.
fn parse_port(suffix: &str) -> Option<u16> {
    match suffix.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok()?.to_be())
        }
        None if suffix.is_empty() => Some(0),
        _ => None,
    }
}

fn text_to_v4_ex<const X: u64>(call: &Call<'_>) -> u64 {
    let text = text::<X>(call.arg(0));
    let parsed = parse_v4(&text, call.arg_u8(1) != 0).ok();
    let parsed = parsed.and_then(|(address, end)| Some((address, parse_port(&text[end..])?)));
    let Some((address, port)) = parsed else {
        return status(STATUS_INVALID_PARAMETER);
    };
    mem::write_bytes(call.arg(2), &address).or_fault();
    mem::write(call.arg(3), port).or_fault();
    SUCCESS
}

/// An address of IPv6; one that holds an address of IPv4 shows it with dots.
fn v6(address: [u8; 16]) -> String {
    let words = Ipv6Addr::from(address).segments();
    let is_embedded = match words[..6] {
        [0, 0, 0, 0, 0, 0] => words[6] != 0,
        [0, 0, 0, 0, 0, 0xFFFF] | [0, 0, 0, 0, 0xFFFF, 0] => true,
        // An interface that is tunnelled over IPv4.
        [.., 0 | 0x200, 0x5EFE] => true,
        _ => false,
    };
    if !is_embedded {
        return Ipv6Addr::from(address).to_string();
    }
    let [.., a, b, c, d] = address;
    let dotted = [a, b, c, d].map(|byte| byte.to_string()).join(".");
    // What stands before it is an address whose last words are not zero.
    let mut before = words;
    (before[6], before[7]) = (1, 1);
    let before = match before[..6] {
        [0, 0, 0, 0, 0, 0] => "::1:1".into(),
        [0, 0, 0, 0, 0, 0xFFFF] => "::ffff:1:1".into(),
        _ => Ipv6Addr::from(before).to_string(),
    };
    format!("{}{dotted}", before.strip_suffix("1:1").unwrap_or(&before))
}

fn v6_to_text<const X: u64>(call: &Call<'_>) -> u64 {
    give::<X>(call.arg(1), &v6(bytes(call.arg(0))))
}

fn v6_to_text_ex<const X: u64>(call: &Call<'_>) -> u64 {
    if call.arg(4) == 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    let mut text = v6(bytes(call.arg(0)));
    if call.arg_u32(1) != 0 {
        text += &format!("%{}", call.arg_u32(1));
    }
    let port = port_suffix(call.arg_u16(2));
    if !port.is_empty() {
        text = format!("[{text}]{port}");
    }
    give_if_room::<X>(call.arg(3), call.arg(4), &text)
}

/// The address that a text begins with, and its characters.
fn parse_v6(text: &str) -> Result<([u8; 16], usize), usize> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let length = text.bytes().take_while(is_part).count();
    match text[..length].parse::<Ipv6Addr>() {
        Ok(address) => Ok((address.octets(), length)),
        Err(_) => Err(length),
    }
}

fn text_to_v6<const X: u64>(call: &Call<'_>) -> u64 {
    let parsed = parse_v6(&text::<X>(call.arg(0)));
    tell::<X, 16>(call.arg(0), parsed, call.arg(1), call.arg(2))
}

/// An address with a zone behind it, and a port where it is in brackets.
fn parse_v6_ex(text: &str) -> Option<([u8; 16], u32, u16)> {
    let (inner, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, suffix) = rest.split_once(']')?;
            (inner, parse_port(suffix)?)
        }
        None => (text, 0),
    };
    let (address, end) = parse_v6(inner).ok()?;
    let zone = match inner[end..].strip_prefix('%') {
        Some(zone) if zone.bytes().all(|byte| byte.is_ascii_digit()) => zone.parse().ok()?,
        None if end == inner.len() => 0,
        _ => return None,
    };
    Some((address, zone, port))
}

fn text_to_v6_ex<const X: u64>(call: &Call<'_>) -> u64 {
    let Some((address, zone, port)) = parse_v6_ex(&text::<X>(call.arg(0))) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    mem::write_bytes(call.arg(1), &address).or_fault();
    mem::write(call.arg(2), zone).or_fault();
    mem::write(call.arg(3), port).or_fault();
    SUCCESS
}

fn ethernet_to_text<const X: u64>(call: &Call<'_>) -> u64 {
    let parts = bytes::<6>(call.arg(0)).map(|byte| format!("{byte:02X}"));
    give::<X>(call.arg(1), &parts.join("-"))
}

/// Six numbers of one or two digits, all with hyphens or all with colons between them.
fn parse_ethernet(text: &str) -> Result<([u8; 6], usize), usize> {
    let (mut address, mut at, mut between) = ([0; 6], 0, None);
    for (index, byte) in address.iter_mut().enumerate() {
        if index > 0 {
            let separator = text[at..]
                .chars()
                .next()
                .filter(|next| "-:".contains(*next));
            let separator = separator.ok_or(at)?;
            if *between.get_or_insert(separator) != separator {
                return Err(at);
            }
            at += 1;
        }
        let digits = text[at..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let value = u8::from_str_radix(&text[at..at + digits], 16);
        at += digits;
        *byte = value.ok().filter(|_| digits <= 2).ok_or(at)?;
    }
    Ok((address, at))
}

fn text_to_ethernet<const X: u64>(call: &Call<'_>) -> u64 {
    let parsed = parse_ethernet(&text::<X>(call.arg(0)));
    tell::<X, 6>(call.arg(0), parsed, call.arg(1), call.arg(2))
}

#[cfg(test)]
mod tests {
    use super::{parse_ethernet, parse_v4, parse_v6_ex, v6};

    #[test]
    fn addresses_of_ipv4() {
        for (text, is_strict, expected) in [
            ("192.0.2.1/24", true, Ok(([192, 0, 2, 1], 9))),
            ("1.2.3.4.5", true, Ok(([1, 2, 3, 4], 7))),
            ("1.2.3", true, Err(5)),
            ("1.2.3.256", true, Err(9)),
            ("01.2.3.4", true, Err(0)),
            ("1.2.3", false, Ok(([1, 2, 0, 3], 5))),
            ("0x7F000001", false, Ok(([127, 0, 0, 1], 10))),
            ("010.1", false, Ok(([8, 0, 0, 1], 5))),
            ("4294967296", false, Err(0)),
            ("1.16777216", false, Err(10)),
            ("", false, Err(0)),
            ("1.", false, Err(2)),
        ] {
            assert_eq!(parse_v4(text, is_strict), expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_ipv6() {
        let parse = |text: &str| {
            text.parse::<std::net::Ipv6Addr>()
                .expect("an address")
                .octets()
        };
        for text in [
            "::",
            "::1",
            "2001:db8::1",
            "fe80::1:0:0:1",
            "::ffff:192.0.2.1",
            "::192.0.2.1",
            "::ffff:0:192.0.2.1",
            "fe80::5efe:192.0.2.1",
        ] {
            assert_eq!(v6(parse(text)), text);
        }
        let long = parse("fe80::1");
        assert_eq!(
            parse_v6_ex("[fe80::1%7]:80"),
            Some((long, 7, 80u16.to_be()))
        );
        assert_eq!(parse_v6_ex("fe80::1%7"), Some((long, 7, 0)));
        for text in [
            "[fe80::1",
            "fe80::1:",
            "fe80::1]:80",
            "fe80::1%",
            "[fe80::1]:70000",
            "1::2::3",
        ] {
            assert_eq!(parse_v6_ex(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_of_ethernet() {
        let address = [2, 0, 0, 0, 0, 0xAB];
        assert_eq!(parse_ethernet("02-00-00-00-00-AB,"), Ok((address, 17)));
        assert_eq!(parse_ethernet("2:0:0:0:0:ab"), Ok((address, 12)));
        assert_eq!(parse_ethernet("02-00:00"), Err(5));
        assert_eq!(parse_ethernet("002-"), Err(3));
        assert_eq!(parse_ethernet("02-00"), Err(5));
    }
}
