//! Safe wrappers over NDIS 6 for filter drivers.
//!
//! A filter author writes [`FilterModule`](filter::FilterModule) for a type, and the traits of the paths that the filter
//! wants to see, under `#![forbid(unsafe_code)]`; [`driver!`] makes a driver of it. `examples/passthru` is the smallest.
//!
//! # Ideas
//!
//! - **IRQL is a value that must be held** ([`irql`]): waiting wants `&mut Passive`; calling NDIS wants
//!   `&mut impl Caller`, which a lock's closure does not have.
//! - **State is a type, and a borrow** ([`filter`]): callbacks get `&Attached` or `&Running`; rundowns that the thunks
//!   hold keep them true.
//! - **A filter opts into paths**: each is a trait; what is not asked for is not called.
//! - **Packets are owned** ([`nbl`]): batches are moved on use; low-resources batches are another type.
//! - **OID requests are owned** ([`oid`]): a callback cannot return without having settled its request, once.
//! - **Memory is fallible** ([`mem`]), and packet memory is copied, never lent.
//! - **Nothing outlives its module**: work items ([`work`]), timers ([`timer`]), DPCs ([`dpc`]) and threads ([`thread`]) hold a
//!   reference of it while queued or running, and detach waits.
//!
//! # A module's life
//!
//! 1. `attach` makes the module: parameters, memory, work items.
//! 2. `restart`; from here on packets come, on any processor.
//! 3. `pause`: no packet comes any more, and what work items were wished for has run.
//! 4. Again from 2, or `detach`: nothing of the module runs any more.
//!
//! # Panics
//!
//! None in a release build: nothing here indexes, divides, or allocates infallibly, and a check of the linked image
//! proves it.
//!
//! # Hosts
//!
//! Off Windows the crate has no API: what does not call the system is compiled for its tests.

#![no_std]
// Examples are for the kernel too.
#![doc(test(attr(no_std, no_main)))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
#![cfg_attr(
    any(windows, test),
    expect(
        unsafe_code,
        reason = "this crate is where the raw calls are; CONTRIBUTING.md has the rules"
    )
)]
#![cfg_attr(
    not(windows),
    allow(
        dead_code,
        unreachable_pub,
        reason = "tests on a host use parts of what is compiled for them"
    )
)]

// The panic handler of every driver that links this crate. The image has no code that could call it.
#[cfg(windows)]
extern crate wdk_panic as _;

#[cfg(windows)]
#[global_allocator]
static GLOBAL: mem::GlobalPool = mem::GlobalPool;

#[cfg(windows)]
pub mod config;
#[cfg(any(windows, test))]
pub mod counter;
#[cfg(windows)]
pub mod debug;
#[cfg(any(windows, test))]
mod desk;
#[cfg(windows)]
pub mod device;
#[cfg(any(windows, test))]
pub mod dpc;
#[cfg(windows)]
pub mod driver;
#[cfg(windows)]
pub mod event;
#[cfg(any(windows, test))]
mod fifo;
#[cfg(windows)]
pub mod filter;
#[cfg(any(windows, all(test, loom)))]
mod generation;
#[cfg(any(windows, test))]
pub mod irql;
#[cfg(windows)]
mod lifecycle;
#[cfg(windows)]
pub mod lock;
#[cfg(windows)]
mod mdl;
#[cfg(any(windows, test))]
pub mod mem;
#[cfg(all(test, loom))]
mod model;
#[cfg(windows)]
pub mod nbl;
#[cfg(windows)]
pub mod oid;
#[cfg(any(windows, test))]
mod order;
#[cfg(any(windows, test))]
pub mod ring;
#[cfg(any(windows, test))]
mod rundown;
#[cfg(windows)]
mod status;
#[cfg(any(windows, test))]
mod sync;
#[cfg(windows)]
pub mod text;
#[cfg(any(windows, test))]
pub mod thread;
#[cfg(windows)]
mod thunk;
#[cfg(windows)]
pub mod time;
#[cfg(windows)]
pub mod timer;
#[cfg(any(windows, test))]
pub mod trace;
#[cfg(windows)]
pub mod version;
#[cfg(any(windows, test))]
pub mod work;

#[cfg(windows)]
pub use status::Status;
