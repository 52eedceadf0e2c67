//! The clock: time since the system started, by which durations are measured.

use ndis_sys::nt;

/// Nanoseconds of the system's interrupt time: they grow steadily while the system is awake, and mean nothing as a
/// date.
///
/// # IRQL
///
/// Any.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kequeryinterrupttimeprecise>
#[must_use]
pub fn now_ns() -> u64 {
    let mut counter = 0;
    // SAFETY: the pointer is valid for the length of the call.
    let ticks = unsafe { nt::KeQueryInterruptTimePrecise(&raw mut counter) };
    // The unit of interrupt time is 100 nanoseconds.
    ticks.saturating_mul(100)
}
