//! Lines for a kernel debugger.

use core::ffi::CStr;

use wdk_sys::ntddk;

/// Prints a number and what it is; in release builds nothing.
///
/// # IRQL
///
/// Any up to that of device interrupts.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-dbgprint>
pub fn print_number(what: &CStr, number: u64) {
    if cfg!(debug_assertions) {
        // SAFETY: the format takes a string and a 64-bit number; both strings end in zero.
        let _ = unsafe { ntddk::DbgPrint(c"%s: %I64u\n".as_ptr(), what.as_ptr(), number) };
    }
}
