//! Calls of the driver into the kernel.

use std::hash::{Hash, Hasher};

/// An import call, before its body runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Import {
    /// The module it comes from: `ndis.sys`.
    pub module: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The lowest documented level.
    pub irql_min: u8,
    /// The highest documented level.
    pub irql_max: u8,
    /// The adapter of the module that a function of filters (`NdisF…`) is about.
    pub adapter: Option<u32>,
    /// What it was given.
    pub arguments: Arguments,
}

/// An import call whose result tells something, after its body has run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Returned {
    /// Its name.
    pub name: &'static str,
    /// What it was given.
    pub arguments: Arguments,
    /// What it gave back; narrower results have rubbish above.
    pub result: u64,
}

/// The first arguments of a call as registers and stack hold them.
///
/// They are not part of an event's hash: narrow arguments have rubbish above them, and so has what
/// lies behind the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arguments(pub [u64; 8]);

impl Hash for Arguments {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Arguments {
    /// Argument `index`, from 0, as a pointer or handle.
    #[must_use]
    pub fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Argument `index` as a 32-bit integer.
    #[must_use]
    pub fn dword(&self, index: usize) -> u32 {
        (self.word(index) & 0xFFFF_FFFF) as u32
    }

    /// Argument `index` as a byte.
    #[must_use]
    pub fn byte(&self, index: usize) -> u8 {
        (self.word(index) & 0xFF) as u8
    }
}
