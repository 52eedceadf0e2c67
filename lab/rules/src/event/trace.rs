//! What the driver gives to event tracing.

/// An event or a message, whether a session wants it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceWrite {
    /// The function that it is given to.
    pub function: &'static str,
    /// Its bytes, header included; the header alone, if it has too many descriptors.
    pub bytes: u64,
    /// How many descriptors say where these are; 0 for a function that takes none.
    pub descriptors: u32,
}
