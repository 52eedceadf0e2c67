//! What tasks print on standard output. Where it cannot be written, the task fails; `println!` would panic.

use std::{
    fmt,
    io::{self, Write},
};

use anyhow::{Context, Result};

/// Prints a line; fails when it cannot be written.
macro_rules! say {
    () => {
        $crate::output::write(format_args!("\n"))
    };
    ($($text:tt)+) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)+)))
    };
}
pub(crate) use say;

/// Writes `text` at once.
pub(crate) fn write(text: fmt::Arguments<'_>) -> Result<()> {
    let mut output = io::stdout().lock();
    output
        .write_fmt(text)
        .and_then(|()| output.flush())
        .context("standard output cannot be written")
}
