//! What the promises are checked with: the drivers and the `lwf-lab` that `cargo xtask test` built, run as a
//! user would run them.
//!
//! One file beside this folder is one promise; its name is the test to run: `cargo test -p tests --profile lab
//! --test determinism`.
#![forbid(unsafe_code)]

mod artefact;
mod lab;
mod scratch;
pub mod tshark;

pub use artefact::{
    capture, captures, checked_driver, driver, lwf_lab, repository, script, target, xtask,
};
pub use lab::{Lab, Output, named};
pub use scratch::Scratch;
