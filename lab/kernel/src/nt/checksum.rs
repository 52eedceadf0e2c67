//! Sums, patterns and turned bytes.

use super::imports;
use crate::rt::mem;
use crate::rt::{Call, sched};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlCompareMemoryUlong => compare_pattern,
    RtlCrc32 => crc32,
    RtlGetEnabledExtendedFeatures => extended_features,
    RtlUlongByteSwap => swap_32,
    RtlUlonglongByteSwap => swap_64,
    RtlUshortByteSwap => swap_16,
}

/// CRC-32 of IEEE 802.3, going on from that of what came before.
fn crc(bytes: &[u8], before: u32) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let step = |value: u32| value >> 1 ^ if value & 1 == 0 { 0 } else { POLYNOMIAL };
    let fold =
        |value: u32, byte: &u8| (0..8).fold(value ^ u32::from(*byte), |value, _| step(value));
    !bytes.iter().fold(!before, fold)
}

fn crc32(call: &Call<'_>) -> u64 {
    let length = usize::try_from(call.arg(1)).unwrap_or(usize::MAX);
    sched::charge_copy(length);
    let bytes = mem::read_bytes(call.arg(0), length).or_fault();
    crc(&bytes, call.arg_u32(2)).into()
}

/// How many bytes from the beginning hold the pattern; what of the length is no whole word counts as nothing.
fn compare_pattern(call: &Call<'_>) -> u64 {
    let (begin, pattern) = (call.arg(0), call.arg_u32(2));
    let words = call.arg(1) / 4;
    let is_other = |index: &u64| {
        let at = begin.wrapping_add(4 * index);
        mem::read::<u32>(at).or_fault() != pattern
    };
    4 * (0..words).find(is_other).unwrap_or(words)
}

/// The states that every processor has that Windows runs on: x87 and SSE.
fn extended_features(call: &Call<'_>) -> u64 {
    const LEGACY: u64 = 3;
    call.arg(0) & LEGACY
}

fn swap_16(call: &Call<'_>) -> u64 {
    call.arg_u16(0).swap_bytes().into()
}

fn swap_32(call: &Call<'_>) -> u64 {
    call.arg_u32(0).swap_bytes().into()
}

fn swap_64(call: &Call<'_>) -> u64 {
    call.arg(0).swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::crc;

    #[test]
    fn the_sum_goes_on() {
        assert_eq!(crc(b"123456789", 0), 0xCBF4_3926);
        assert_eq!(crc(b"6789", crc(b"12345", 0)), 0xCBF4_3926);
        assert_eq!(crc(b"", 0), 0);
    }
}
