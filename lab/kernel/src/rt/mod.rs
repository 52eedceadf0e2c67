//! The machine that a driver image runs on: its memory, its processors, its time, its faults.
//!
//! Key types: [`Machine`] (a loaded image), [`Import`] and [`Call`] (what the image calls),
//! [`call_driver`] (what calls the image), [`pool`], [`mem`], [`sched`], [`trace`], [`fault`].
//!
//! 1. [`Machine::load`] maps the image at a fixed address and binds its imports to the registry.
//! 2. [`Machine::run`] makes the first kernel thread and schedules until it returns, or until
//!    someone calls [`sched::stop`].
//! 3. Everything stays readable (ledger, symbols, memory) until the `Machine` is dropped.
//!
//! There is one machine per process and it lives on one operating-system thread. Kernel threads and
//! DPC bodies are coroutines with two stacks each: one for the lab's Rust, one (24 KiB, guarded) for
//! the image. State of the callers belongs into `thread_local!` cells.
//!
//! # The rule of the cut
//! A driver fault, [`sched::stop`] and the end of the run abandon coroutines without running a
//! destructor. So no borrow, guard or owned heap value may be alive across [`call_driver`],
//! [`sched::point`], a wait, or a hook.
#![expect(
    unsafe_code,
    reason = "runs foreign machine code: maps it, switches stacks, edits signal contexts"
)]

mod call;
mod context;
mod endless;
pub(crate) mod exception;
pub(crate) mod fault;
mod image;
mod import;
pub(crate) mod journal;
mod layout;
pub(crate) mod leaf;
mod machine;
mod mapping;
pub(crate) mod mem;
pub(crate) mod meter;
pub(crate) mod paged;
mod patch;
pub(crate) mod pool;
pub(crate) mod processor;
mod random;
pub(crate) mod sched;
mod signal;
mod stack;
pub(crate) mod symbol;
#[cfg(test)]
mod tests;
mod thunk;
pub(crate) mod trace;
mod trap;
mod unwind;
pub(crate) mod user;

pub(crate) use call::{Call, DataExport, Import, call_driver, import_address};
pub(crate) use machine::{
    Config, End, Hooks, ImageConfig, LoadError, Machine, discard_init_sections,
};
pub(crate) use signal::end_with_parent;
pub(crate) use stack::stack_range;

/// The object of the system process: where the object of a thread would be whose number no thread has.
pub(crate) const SYSTEM_PROCESS: u64 = layout::THREADS;
