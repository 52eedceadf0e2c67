//! `RtlCaptureStackBackTrace`: who has called whom. Below the driver's own routines there is nothing.

use super::imports;
use crate::rt::mem;
use crate::rt::{Call, trace};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlCaptureStackBackTrace => capture,
    RtlWalkFrameChain => walk,
}

/// Writes return addresses, the innermost first; gives their number.
fn give(skipped: usize, most: usize, target: u64) -> (u64, u32) {
    let addresses = trace::addresses(trace::capture());
    let (mut count, mut sum) = (0, 0u32);
    for address in addresses.into_iter().skip(skipped).take(most) {
        mem::write(target.wrapping_add(8 * count), address).or_fault();
        sum = sum.wrapping_add(address as u32);
        count += 1;
    }
    (count, sum)
}

fn capture(call: &Call<'_>) -> u64 {
    let (skipped, most) = (call.arg_u32(0) as usize, call.arg_u32(1) as usize);
    let (count, sum) = give(skipped, most, call.arg(2));
    if call.arg(3) != 0 {
        mem::write(call.arg(3), sum).or_fault();
    }
    count
}

/// The flags tell how to walk; a chain of user mode there is none.
fn walk(call: &Call<'_>) -> u64 {
    const USER: u32 = 1;
    if call.arg_u32(2) & USER != 0 {
        return 0;
    }
    give(0, call.arg_u32(1) as usize, call.arg(0)).0
}
