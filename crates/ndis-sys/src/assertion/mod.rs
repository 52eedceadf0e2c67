//! Assertions that the compiler checks: layouts, constants and signatures against the facts table.

#[cfg(target_arch = "aarch64")]
mod arm64;
mod constant;
mod function;
mod signature;
#[cfg(target_arch = "x86_64")]
mod x64;
