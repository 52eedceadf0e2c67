//! The table that a compiler makes for a function with `__try`, which its handler's data points to.

use crate::rt::mem::{self, BadAddress};

/// A line of it: offsets from the image's base.
pub(crate) struct Scope {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The filter, or the `__finally` block where there is no target.
    pub(crate) handler: u32,
    /// Where the `__except` block begins.
    pub(crate) target: u32,
}

impl Scope {
    /// A filter that is the constant 1 stands as itself.
    pub(crate) const ALWAYS: u32 = 1;

    /// How many lines a table says that it has.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn count(table: u64) -> Result<u32, BadAddress> {
        mem::read(table)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(table: u64, index: u32) -> Result<Self, BadAddress> {
        /// What the table begins with.
        const COUNT_BYTES: u64 = 4;
        const BYTES: u64 = 16;
        let at = table
            .wrapping_add(COUNT_BYTES)
            .wrapping_add(BYTES * u64::from(index));
        let word = |offset| mem::read::<u32>(at.wrapping_add(offset));
        Ok(Self {
            begin: word(0)?.into(),
            end: word(4)?.into(),
            handler: word(8)?,
            target: word(12)?,
        })
    }

    /// Whether code is in it.
    pub(crate) fn contains(&self, offset: u64) -> bool {
        (self.begin..self.end).contains(&offset)
    }
}
