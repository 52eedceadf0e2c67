//! The `lwf-lab` command: gives a filter driver an NT kernel and an NDIS stack to live in, and tells what
//! it did there.
//!
//! Key types: [`argument::CommandLine`] is what the user asked; [`summary::Summary`] is what a run found,
//! the one source of the screen ([`screen::render`]) and of the JSON object; [`error::Error`] is one line and
//! an exit code.
//!
//! A run, in order:
//!
//! 1. `capture` and `run` read image, symbols and captures: bad input ends here, before anything is loaded;
//! 2. `lab-kernel` plays the life of the driver, during which `device` asks the driver's control device;
//! 3. `account` compares what the lab saw with what the driver says, and makes the [`summary::Summary`];
//! 4. `command` prints it and chooses the exit code.
//!
//! Neighbours: `lab-kernel` (the machine), `lab-rules` (what a violation is), `lab-net` (captures),
//! `protocol` (records of the control device).
#![forbid(unsafe_code)]

mod account;
pub mod argument;
pub mod bench;
pub mod capture;
pub mod command;
mod device;
pub mod error;
mod finding;
mod imports;
mod progress;
mod quantity;
mod run;
pub mod screen;
mod script;
pub mod summary;
mod table;
mod timeline;
mod trace;
pub mod trial;
