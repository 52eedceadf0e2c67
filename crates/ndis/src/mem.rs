//! Nonpaged pool: tagged, aligned, zeroed by the system, and never assumed to be there.
//!
//! Every constructor is fallible. What is allocated stays where it is until it is freed, at any IRQL up to
//! `DISPATCH_LEVEL`.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2>
//!
//! # Example
//!
//! ```no_run
//! use ndis::mem::{OutOfMemory, PoolArc, PoolBox, PoolVec, Tag};
//!
//! const TAG: Tag = Tag::new(*b"Exam");
//!
//! struct Table {
//!     /// Shared: it goes with the last reference.
//!     name: PoolArc<[u8; 16]>,
//!     first: PoolBox<u64>,
//!     entries: PoolVec<u32>,
//! }
//!
//! /// Each of these may fail, and nothing is left then.
//! fn make(length: usize) -> Result<Table, OutOfMemory> {
//!     Ok(Table {
//!         name: PoolArc::try_new(TAG, [0; 16])?,
//!         first: PoolBox::try_new(TAG, 1)?,
//!         entries: PoolVec::try_from_fn(TAG, length, |index| index as u32)?,
//!     })
//! }
//! ```

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
