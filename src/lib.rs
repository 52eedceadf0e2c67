//! deferlwf: an NDIS lightweight filter that defers per-packet work to `PASSIVE_LEVEL`.
//!
//! Mode `tap`: at `DISPATCH_LEVEL` each packet leaves a snapshot in a ring and passes, untouched and in order; a work
//! item drains the ring at `PASSIVE_LEVEL`, parses the snapshots and keeps flows. Mode `inline`: packets are held until a
//! work item has judged them, and leave in order. Mode `off`: NDIS sends packets past the filter. What was counted is read through the control device.
//!
//! ```text
//!                  ┌─tap──snapshot──▶ ring ──worker──▶ inspect::parse ──▶ flows
//!   send, receive ─┤ (datapath.rs)          (worker.rs)      ▲              │
//!        │         └─inline─▶ queue ──judge──▶ verdict ──────┘              │
//!        │                             (inline.rs)                          │
//!        └──────────────────▶ counters ─────────▶ control device ◀──────────┘
//!                             (count.rs)            (control.rs)
//! ```
//!
//! One file per concern: `module.rs` the life of a module, `parameter.rs` what an administrator may set, `setting.rs`
//! what of it can change, `memory.rs` what all adapters may take, `mode.rs` how the mode does, `datapath.rs`, `worker.rs`,
//! `inline.rs`, `count.rs`, `control.rs`; `event.rs` and `tell.rs` what Windows' tracing is told, `message.rs` what
//! WPP is.

#![cfg(windows)]
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod control;
mod count;
mod datapath;
mod event;
mod inline;
mod memory;
mod message;
mod mode;
mod module;
mod parameter;
mod setting;
mod tell;
mod worker;

use module::Tap;

ndis::driver! {
    module: Tap,
    handlers: [hold, originate, bypass, control_device],
    unique_name: "{cdb9a2c8-4f0c-4b5f-8d67-5f3b8b2d7e11}",
    service_name: "deferlwf",
    friendly_name: "deferlwf packet tap",
    trace: event::DEFERLWF,
    wpp: message::WPP,
}
