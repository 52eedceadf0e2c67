//! Levels, processors and times, as plays need them.

use crate::abi::{
    KPROCESSOR_MODE, KeGetCurrentProcessorNumberEx, KeLowerIrql, KfRaiseIrql, LARGE_INTEGER,
};

/// `KernelMode` as functions take it.
pub(crate) const KERNEL_MODE: KPROCESSOR_MODE = 0;

/// A level above DISPATCH_LEVEL, as an interrupt routine has it.
pub(crate) const DEVICE_LEVEL: u8 = 5;

/// Goes to a level; gives the one before, to go back to.
pub(crate) fn raise(level: u8) -> u8 {
    // SAFETY: the callers of plays are below; each goes back, or ends with the run.
    unsafe { KfRaiseIrql(level) }
}

/// Goes back, and so lets run what waited for it.
pub(crate) fn lower(level: u8) {
    // SAFETY: the level that `raise` gave.
    unsafe { KeLowerIrql(level) };
}

/// A time from now, in microseconds, as functions of the system take it.
pub(crate) const fn from_now_us(time_us: u32) -> LARGE_INTEGER {
    let ticks = -(time_us as i64 * 10);
    LARGE_INTEGER {
        LowPart: ticks as u32,
        HighPart: (ticks >> 32) as i32,
    }
}

/// The processor that this runs on; at DISPATCH_LEVEL it stays that.
pub(crate) fn processor() -> u8 {
    // SAFETY: the argument is optional.
    let number = unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) };
    number as u8
}

/// The other one of two processors.
pub(crate) fn other_processor() -> u8 {
    processor() ^ 1
}
