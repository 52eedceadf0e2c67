//! `Rtl*Sid`: security identifiers.

use crate::abi::constant::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_INVALID_SID, STATUS_NO_MEMORY,
};
use crate::memory;
use crate::nt::{SUCCESS, ansi, imports, status};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlAllocateAndInitializeSid => allocate,
    RtlConvertSidToUnicodeString => to_text,
    RtlCopySid => copy,
    RtlEqualPrefixSid => equal_prefix,
    RtlEqualSid => equal,
    RtlFreeSid => free,
    RtlIdentifierAuthoritySid => authority,
    RtlInitializeSid => initialize,
    RtlLengthRequiredSid => length_required,
    RtlLengthSid => length,
    RtlSubAuthorityCountSid => count,
    RtlSubAuthoritySid => sub_authority,
    RtlValidSid => is_valid,
    SeLengthSid => length,
}

/// `SID_REVISION`, in the lower half of the first byte.
const REVISION: u8 = 1;
/// `SID_MAX_SUB_AUTHORITIES`.
const MOST: usize = 15;
// SID: revision, number of sub-authorities, authority, sub-authorities.
const COUNT: u64 = 1;
const AUTHORITY: u64 = 2;
const HEADER: usize = 8;
/// Bytes of the longest one.
const MOST_BYTES: usize = HEADER + 4 * MOST;
/// Tag of those that the run-time library allocates.
const TAG: u32 = u32::from_le_bytes(*b"SeSd");

/// A valid identifier.
///
/// # Invariants
/// The bytes from `length` on are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sid {
    bytes: [u8; MOST_BYTES],
    length: usize,
}

impl Sid {
    /// One whose authority is a small number.
    pub(super) const fn new(authority: u8, sub_authorities: &[u32]) -> Self {
        let mut bytes = [0; MOST_BYTES];
        bytes[0] = REVISION;
        bytes[1] = sub_authorities.len() as u8;
        bytes[HEADER - 1] = authority;
        let mut index = 0;
        while index < sub_authorities.len() {
            let part = sub_authorities[index].to_le_bytes();
            let mut byte = 0;
            while byte < part.len() {
                bytes[HEADER + 4 * index + byte] = part[byte];
                byte += 1;
            }
            index += 1;
        }
        Self {
            bytes,
            length: HEADER + 4 * sub_authorities.len(),
        }
    }

    /// The one at an address, unless it is structurally invalid.
    pub(super) fn read(address: u64) -> Option<Self> {
        let mut bytes = [0; MOST_BYTES];
        mem::read_into(address, &mut bytes[..2]).or_fault();
        let length = HEADER + 4 * usize::from(bytes[1]);
        if bytes[0] & 0xF != REVISION || length > MOST_BYTES {
            return None;
        }
        mem::read_into(address, &mut bytes[..length]).or_fault();
        Some(Self { bytes, length })
    }

    /// What it is in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// As people write it.
    fn text(&self) -> String {
        let authority = self.bytes[2..HEADER]
            .iter()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let authority = if authority <= 1 << 32 {
            authority.to_string()
        } else {
            format!("{authority:#X}")
        };
        let parts = self.bytes[HEADER..self.length].as_chunks().0.iter();
        let parts = parts.map(|part| format!("-{}", u32::from_le_bytes(*part)));
        let revision = self.bytes[0];
        format!("S-{revision}-{authority}{}", parts.collect::<String>())
    }
}

/// Bytes of an identifier, by what it says of itself.
pub(super) fn length_of(address: u64) -> u64 {
    let count = mem::read::<u8>(address.wrapping_add(COUNT)).or_fault();
    required(count)
}

fn required(count: u8) -> u64 {
    HEADER as u64 + 4 * u64::from(count)
}

fn is_valid(call: &Call<'_>) -> u64 {
    let address = call.arg(0);
    u64::from(address != 0 && Sid::read(address).is_some())
}

fn length(call: &Call<'_>) -> u64 {
    length_of(call.arg(0))
}

fn length_required(call: &Call<'_>) -> u64 {
    u64::from(call.arg_u32(0)) * 4 + HEADER as u64
}

fn begin(address: u64, authority: u64, count: u8) {
    let mut bytes = [0; HEADER];
    mem::read_into(authority, &mut bytes[2..]).or_fault();
    (bytes[0], bytes[1]) = (REVISION, count);
    mem::write_bytes(address, &bytes).or_fault();
}

fn initialize(call: &Call<'_>) -> u64 {
    let count = call.arg_u8(2);
    if usize::from(count) > MOST {
        return status(STATUS_INVALID_PARAMETER);
    }
    begin(call.arg(0), call.arg(1), count);
    SUCCESS
}

fn allocate(call: &Call<'_>) -> u64 {
    /// The arguments have room for so many.
    const MOST_ARGUMENTS: u8 = 8;
    /// The first of them.
    const FIRST: usize = 2;
    const RESULT: usize = FIRST + MOST_ARGUMENTS as usize;
    let count = call.arg_u8(1);
    if count > MOST_ARGUMENTS {
        return status(STATUS_INVALID_SID);
    }
    let address = memory::allocate(TAG, required(count), Kind::Paged, true);
    if address == 0 {
        return status(STATUS_NO_MEMORY);
    }
    begin(address, call.arg(0), count);
    for index in 0..usize::from(count) {
        let at = address + (HEADER + 4 * index) as u64;
        mem::write(at, call.arg_u32(FIRST + index)).or_fault();
    }
    mem::write(call.arg(RESULT), address).or_fault();
    SUCCESS
}

/// NULL: it is free.
fn free(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(TAG));
    0
}

fn authority(call: &Call<'_>) -> u64 {
    call.arg(0).wrapping_add(AUTHORITY)
}

fn count(call: &Call<'_>) -> u64 {
    call.arg(0).wrapping_add(COUNT)
}

fn sub_authority(call: &Call<'_>) -> u64 {
    let offset = HEADER as u64 + 4 * u64::from(call.arg_u32(1));
    call.arg(0).wrapping_add(offset)
}

fn copy(call: &Call<'_>) -> u64 {
    let (room, target, source) = (call.arg_u32(0), call.arg(1), call.arg(2));
    let length = length_of(source);
    if u64::from(room) < length {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    mem::copy(target, source, length as usize).or_fault();
    SUCCESS
}

/// The bytes of two, without the last so many sub-authorities.
fn equal_but(call: &Call<'_>, last: usize) -> u64 {
    let [a, b] = [call.arg(0), call.arg(1)].map(Sid::read);
    let is_equal = a.zip(b).is_some_and(|(a, b)| {
        let bytes = a.length.saturating_sub(4 * last).max(HEADER);
        a.length == b.length && a.bytes[..bytes] == b.bytes[..bytes]
    });
    u64::from(is_equal)
}

fn equal(call: &Call<'_>) -> u64 {
    equal_but(call, 0)
}

fn equal_prefix(call: &Call<'_>) -> u64 {
    equal_but(call, 1)
}

fn to_text(call: &Call<'_>) -> u64 {
    let Some(sid) = Sid::read(call.arg(1)) else {
        return status(STATUS_INVALID_SID);
    };
    ansi::store(
        call.arg(0),
        &ansi::wide(&sid.text()),
        2,
        call.arg_u8(2) != 0,
    )
}

#[cfg(test)]
mod tests {
    use super::Sid;

    #[test]
    fn identifiers_are_written_as_documented() {
        assert_eq!(Sid::new(5, &[32, 544]).text(), "S-1-5-32-544");
        assert_eq!(Sid::new(1, &[0]).text(), "S-1-1-0");
        let mut large = Sid::new(0, &[12, 72, 9, 110]);
        large.bytes[2..8].copy_from_slice(&173_495_281_736u64.to_be_bytes()[2..]);
        assert_eq!(large.text(), "S-1-0x28651FE848-12-72-9-110");
        large.bytes[2..8].copy_from_slice(&281_736u64.to_be_bytes()[2..]);
        assert_eq!(large.text(), "S-1-281736-12-72-9-110");
    }
}
