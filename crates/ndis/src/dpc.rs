//! Deferred procedure calls: something that happens soon, at `DISPATCH_LEVEL`, on no thread in particular.

#[cfg(windows)]
mod deferred;
mod queue;

#[cfg(windows)]
pub use deferred::{Dpc, Routine};

#[cfg(windows)]
pub(crate) use deferred::Deferred;
