//! Raw NDIS 6 declarations under their C names, generated from the facts table in `abi/`.
//!
//! Structures have the shape of NDIS 6.89; what a version above 6.84 added says so. Members of C's
//! anonymous unions that share a place with another member are functions from the record's address
//! to theirs, and bit-fields are pairs of methods. NT types are those of `wdk_sys`. Every size,
//! alignment, offset and signature is asserted when the crate is compiled, for x64 and ARM64.
//!
//! Off Windows targets the crate is empty, so that host commands build without wdk-sys.

#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    windows,
    expect(
        non_camel_case_types,
        non_snake_case,
        non_upper_case_globals,
        reason = "C names, so that they can be looked up"
    )
)]
#![cfg_attr(
    windows,
    expect(unsafe_code, reason = "declarations of foreign functions")
)]

#[cfg(windows)]
mod assertion;
#[cfg(windows)]
mod callback;
#[cfg(windows)]
mod constant;
#[cfg(windows)]
mod function;
#[cfg(windows)]
pub mod nt;
#[cfg(windows)]
mod types;

#[cfg(windows)]
pub use {callback::*, constant::*, function::*, types::*};
