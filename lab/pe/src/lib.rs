//! Bytes of a PE image to a validated image plan.
#![forbid(unsafe_code)]

/// A validated x64 kernel image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Bytes that the image takes in memory.
    pub size_bytes: u32,
}
