//! The version that the simulated system offers.

use std::cell::Cell;

use crate::driver;
use crate::nt::imports;
use crate::rt::{self, Call};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisGetVersion => running_version,
    NdisGetRoutineAddress => routine_address,
}

thread_local! {
    static MINOR: Cell<u8> = const { Cell::new(89) };
}

/// Chooses the minor version: 84 to 89.
pub(crate) fn offer(minor: u8) {
    MINOR.set(minor);
}

/// The minor version on offer.
pub(crate) fn minor() -> u8 {
    MINOR.get()
}

/// The build of Windows that has this NDIS.
pub(crate) fn build_number() -> u32 {
    match minor() {
        ..=84 => 19_041,
        85 => 20_348,
        86 => 22_000,
        87 => 22_621,
        88 => 25_398,
        89.. => 26_100,
    }
}

fn running_version(_: &Call<'_>) -> u64 {
    6 << 16 | u64::from(minor())
}

/// NULL for what this NDIS does not export.
fn routine_address(call: &Call<'_>) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    rt::import_address("ndis.sys", &name).unwrap_or(0)
}
