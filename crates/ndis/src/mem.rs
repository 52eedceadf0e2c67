//! Nonpaged pool: tagged, aligned, zeroed by the system, and never assumed to be there.
//!
//! Every constructor is fallible. What is allocated stays where it is until it is freed, at any IRQL up to
//! `DISPATCH_LEVEL`.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2>

mod arc;
mod boxed;
mod lookaside;
mod pool;
mod vec;

pub use arc::PoolArc;
pub use boxed::PoolBox;
pub use lookaside::{Lookaside, LookasideBox};
pub use pool::{OutOfMemory, Tag};
pub use vec::PoolVec;

#[cfg(windows)]
pub(crate) use pool::GlobalPool;
