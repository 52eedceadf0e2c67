//! A driver that is no filter: it loads, registers with nobody, and can be unloaded.

#![no_std]
#![expect(unsafe_code, reason = "a raw driver")]

#[path = "../../abi.rs"]
#[expect(
    dead_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    clippy::upper_case_acronyms,
    reason = "generated: all declarations, under their C names"
)]
mod abi;

use abi::{DRIVER_OBJECT, NTSTATUS, STATUS_SUCCESS, UNICODE_STRING};

#[unsafe(no_mangle)]
extern "system" fn DriverEntry(
    driver: *mut DRIVER_OBJECT,
    _registry_path: *mut UNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the system's object, valid while the driver is loaded.
    unsafe { (*driver).DriverUnload = Some(unload) };
    STATUS_SUCCESS
}

extern "system" fn unload(_driver: *mut DRIVER_OBJECT) {}

// The load configuration and the security cookie.
#[link(name = "BufferOverflowFastFailK")]
unsafe extern "C" {}

/// The compiler asks for this symbol where it sees a floating-point type; there is no code with one.
#[unsafe(no_mangle)]
static _fltused: i32 = 0;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
