//! What `wpp!` and the build know of WPP messages: where they stand in a package's sources, what their texts mean, and
//! the TMF files from which tools show them.
//!
//! The macro and whoever writes the TMF files look at the same sources by the same rules, so nothing has to be handed
//! from one to the other: neither files nor the order in which crates are compiled.
//!
//! ```text
//!   src/*.rs ── Package::read ──▶ files: GUID, messages 10, 11, …   names, control GUID
//!                                   │                    │
//!                     wpp!: this call's GUID, number     Package::tmf: one TMF for each file
//! ```
//!
//! A build script, or whatever builds the driver, writes the TMFs:
//!
//! ```no_run
//! # fn main() -> Result<(), wpp_format::Error> {
//! if let Some(package) = wpp_format::Package::read("my-driver", "path/of/package".as_ref())? {
//!     for file in package.files() {
//!         std::fs::write(format!("{}.tmf", file.id), package.tmf(file)).expect("a writable folder");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "runs where drivers are built; what the kernel side may not call is meant for drivers"
)]

mod guid;
mod lexer;
mod package;
mod text;
mod tmf;

pub use guid::Guid;
pub use package::{Error, File, Message, Package};
pub use text::{Kind, Piece, Text};

/// Levels: as `wpp!` and as Windows names them.
pub const LEVELS: [(&str, &str); 5] = [
    ("Critical", "TRACE_LEVEL_CRITICAL"),
    ("Error", "TRACE_LEVEL_ERROR"),
    ("Warning", "TRACE_LEVEL_WARNING"),
    ("Information", "TRACE_LEVEL_INFORMATION"),
    ("Verbose", "TRACE_LEVEL_VERBOSE"),
];

/// The number of a file's first message; WPP keeps those below for itself.
pub const FIRST_NUMBER: u16 = 10;
