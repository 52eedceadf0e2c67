//! A small NDIS filter that passes all traffic and misbehaves on request.
//!
//! The parameter `Fault` (a string) in the service's key names the play: `fault` joins them, `play::Play` is what
//! one is made of. Without it, or with `none`, the driver keeps every rule; with an unknown name it does not load.
//! Nothing here uses the project's own wrappers: the declarations are generated from the facts table, the calls are raw.

#![no_std]
#![expect(unsafe_code, reason = "raw calls are the purpose of this driver")]

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
mod configuration;
mod datapath;
mod device;
mod driver;
mod event;
mod fault;
mod level;
mod module;
mod packet;
mod play;
mod request;
mod text;

/// The compiler asks for this symbol where it sees a floating-point type; there is no code with one.
#[unsafe(no_mangle)]
static _fltused: i32 = 0;

// The load configuration and the security cookie.
#[link(name = "BufferOverflowFastFailK")]
unsafe extern "C" {}

// KeStallExecutionProcessor is still an export of the HAL.
#[link(name = "hal")]
unsafe extern "C" {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
