//! The driver's image, before its first instruction.

/// What the image is made of, and where the machine puts things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Loaded {
    /// Names of the imported functions.
    pub imports: Vec<String>,
    /// Names of sections that are writable and executable.
    pub writable_code: Vec<String>,
    /// The first address and the end of where the driver's stacks lie.
    pub stacks: (u64, u64),
}
