//! The values of messages.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::trace::decode::{Value, guid};

/// How a value is laid out, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Signed(usize),
    Unsigned(usize),
    Pointer,
    Double,
    Text,
    WideText,
    CountedText,
    CountedWideText,
    Guid,
    Status,
    Ipv4,
    Ipv6,
    Mac,
    Port,
    /// A place in a list of names.
    List(usize, Vec<(u32, String)>),
    /// Bits with names.
    Set(usize, Vec<String>),
    Enumeration(String),
    Flags(String),
    /// A length, and bytes.
    Dump,
}

impl Item {
    /// The item of what stands behind `Item`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, inside) = match text.split_once('(') {
            Some((name, inside)) => (name, Some(inside.strip_suffix(')')?)),
            None => (text, None),
        };
        let names = || inside.map(|inside| inside.split(',').map(str::to_owned));
        Some(match name {
            "Char" => Self::Signed(1),
            "UChar" => Self::Unsigned(1),
            "Short" => Self::Signed(2),
            "UShort" => Self::Unsigned(2),
            "Long" => Self::Signed(4),
            "ULong" | "ULongX" => Self::Unsigned(4),
            "LongLong" => Self::Signed(8),
            "ULongLong" | "LongLongX" | "LongLongXX" | "LongLongO" => Self::Unsigned(8),
            "Ptr" => Self::Pointer,
            "Double" => Self::Double,
            "String" | "RString" => Self::Text,
            "WString" | "RWString" => Self::WideText,
            "PString" => Self::CountedText,
            "PWString" => Self::CountedWideText,
            "Guid" | "CLSID" | "IID" | "LIBID" => Self::Guid,
            "NTSTATUS" | "HRESULT" | "WINERROR" | "NDIS_STATUS" | "NDIS_OID" => Self::Status,
            "IPAddr" => Self::Ipv4,
            "IPV6Addr" => Self::Ipv6,
            "MACAddr" => Self::Mac,
            "Port" => Self::Port,
            "ListByte" => Self::List(1, members(names()?)),
            "ListShort" => Self::List(2, members(names()?)),
            "ListLong" => Self::List(4, members(names()?)),
            "SetByte" => Self::Set(1, names()?.collect()),
            "SetShort" => Self::Set(2, names()?.collect()),
            "SetLong" => Self::Set(4, names()?.collect()),
            "Enum" => Self::Enumeration(inside?.to_owned()),
            "FlagsEnum" => Self::Flags(inside?.to_owned()),
            "HexDump" | "HEXDump" | "HEXBytes" => Self::Dump,
            _ => return None,
        })
    }

    /// The same without a sign: tracewpp writes `Long` for both, and the letter decides.
    pub(super) fn unsigned(self) -> Self {
        match self {
            Self::Signed(length) => Self::Unsigned(length),
            other => other,
        }
    }

    /// A value, and what is behind it.
    pub(super) fn read<'b>(&self, bytes: &'b [u8]) -> Option<(Value, &'b [u8])> {
        let counted = || {
            let (length, rest) = bytes.split_first_chunk()?;
            rest.split_at_checked(u16::from_le_bytes(*length).into())
        };
        let ended = |unit: usize| {
            let is_end = |unit: &[u8]| unit.iter().all(|&byte| byte == 0);
            let length = bytes.chunks_exact(unit).position(is_end)? * unit;
            let (text, rest) = bytes.split_at_checked(length)?;
            Some((text, rest.get(unit..)?))
        };
        let (value, rest) = match self {
            Self::Text => ended(1).map(|(text, rest)| (Value::Text(ansi(text)), rest))?,
            Self::WideText => ended(2).map(|(text, rest)| (Value::Text(wide(text)), rest))?,
            Self::CountedText => counted().map(|(text, rest)| (Value::Text(ansi(text)), rest))?,
            Self::CountedWideText => {
                counted().map(|(text, rest)| (Value::Text(wide(text)), rest))?
            }
            Self::Dump => counted().map(|(dump, rest)| (Value::Bytes(dump.to_owned()), rest))?,
            fixed => {
                let (content, rest) = bytes.split_at_checked(fixed.length())?;
                (fixed.value(content)?, rest)
            }
        };
        Some((value, rest))
    }

    /// Bytes of a value of fixed length.
    const fn length(&self) -> usize {
        match self {
            Self::Signed(length)
            | Self::Unsigned(length)
            | Self::List(length, _)
            | Self::Set(length, _) => *length,
            Self::Pointer | Self::Double => 8,
            Self::Guid | Self::Ipv6 => 16,
            Self::Status | Self::Ipv4 | Self::Enumeration(_) | Self::Flags(_) => 4,
            Self::Mac => 6,
            Self::Port => 2,
            Self::Text
            | Self::WideText
            | Self::CountedText
            | Self::CountedWideText
            | Self::Dump => 0,
        }
    }

    fn value(&self, bytes: &[u8]) -> Option<Value> {
        let mut word = [0; 8];
        word.get_mut(..bytes.len().min(8))?
            .copy_from_slice(bytes.get(..bytes.len().min(8))?);
        let number = u64::from_le_bytes(word);
        Some(match self {
            Self::Signed(length) => {
                let unused = 64 - 8 * *length as u32;
                Value::Signed((number << unused).cast_signed() >> unused)
            }
            Self::Pointer => Value::Text(format!("{number:016X}")),
            Self::Double => Value::Float(f64::from_bits(number)),
            Self::Guid => Value::Text(guid(bytes.try_into().ok()?)),
            Self::Status => Value::Text(format!("{number:#010x}")),
            Self::Ipv4 => {
                let address: [u8; 4] = bytes.try_into().ok()?;
                Value::Text(Ipv4Addr::from(address).to_string())
            }
            Self::Ipv6 => {
                let address: [u8; 16] = bytes.try_into().ok()?;
                Value::Text(Ipv6Addr::from(address).to_string())
            }
            Self::Mac => {
                let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Value::Text(bytes.join("-"))
            }
            Self::Port => Value::Unsigned(u16::from_be_bytes(bytes.try_into().ok()?).into()),
            _ => Value::Unsigned(number),
        })
    }

    /// A value under the name that it has in a list, set or enumeration.
    pub(super) fn name(
        &self,
        value: Value,
        enumerations: &BTreeMap<String, Vec<(u32, String)>>,
    ) -> Value {
        let Value::Unsigned(number) = value else {
            return value;
        };
        let find = |members: &[(u32, String)]| {
            let mut members = members.iter();
            let member = members.find(|(value, _)| u64::from(*value) == number);
            member.map_or_else(|| format!("{number:#x}"), |(_, name)| name.clone())
        };
        let known = |name: &String| enumerations.get(name).map_or(&[][..], Vec::as_slice);
        Value::Text(match self {
            Self::List(_, members) => find(members),
            Self::Enumeration(name) => find(known(name)),
            Self::Set(_, names) => {
                let set = (0..).zip(names).filter(|(bit, _)| number >> *bit & 1 != 0);
                let set: Vec<&str> = set.map(|(_, name): (u32, _)| name.as_str()).collect();
                format!("[{}]", set.join(","))
            }
            Self::Flags(name) => {
                let set = known(name).iter();
                let set = set.filter(|(bits, _)| {
                    *bits != 0 && number & u64::from(*bits) == u64::from(*bits)
                });
                let set: Vec<&str> = set.map(|(_, name)| name.as_str()).collect();
                format!("{}({number:#x})", set.join(" | "))
            }
            _ => return value,
        })
    }
}

/// Names with their values: one more than the one before, or what stands behind `=`.
fn members(names: impl Iterator<Item = String>) -> Vec<(u32, String)> {
    let mut next = 0_u32;
    let mut members = Vec::new();
    for name in names {
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.trim().parse().unwrap_or(next)),
            None => (name, next),
        };
        members.push((value, name));
        next = value.wrapping_add(1);
    }
    members
}

/// Text of one byte a character.
fn ansi(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wide(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2);
    let units: Vec<u16> = units
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    String::from_utf16_lossy(&units)
}
