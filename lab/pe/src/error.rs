//! What can be wrong with an image.

/// Why an image was refused: one line each, to be put behind the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no PE headers.
    #[error("is not a PE image: {0}")]
    NotPe(&'static str),
    /// It is for another processor.
    #[error("is built for {0}, and the lab runs x64 only")]
    Machine(String),
    /// It is no kernel image.
    #[error("is no kernel image: its subsystem is {0}, not NATIVE")]
    Subsystem(String),
    /// It ends too early.
    #[error("is truncated: {what} needs {needed} bytes, the file has {present}")]
    Truncated {
        /// What does not fit.
        what: String,
        /// Bytes that the file must have for it.
        needed: u64,
        /// Bytes that it has.
        present: u64,
    },
    /// A part of it contradicts itself or the rest.
    #[error("is damaged: {what}: {why}")]
    Damaged {
        /// The part.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Its checksum belongs to other bytes.
    #[error("is damaged: its checksum is {stored:#010x}, its bytes give {computed:#010x}")]
    Checksum {
        /// The checksum in its header.
        stored: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// It asks for something that no kernel driver of today has.
    #[error("has {0}, which the lab does not support")]
    Unsupported(&'static str),
}

impl Error {
    pub(crate) fn damaged(what: impl Into<String>, why: &'static str) -> Self {
        Self::Damaged {
            what: what.into(),
            why,
        }
    }
}
