//! System threads: for work that waits, or that takes long.
//!
//! A work item borrows one of the few threads that all drivers share, and gives it back soon. What has to wait for something
//! that may be long in coming (a file, an answer, more work) has a thread of its own.

mod bell;
#[cfg(windows)]
mod system;

pub use bell::Next;

#[cfg(windows)]
pub use system::{Calls, Routine, SystemThread};

#[cfg(windows)]
pub(crate) use system::Threading;
