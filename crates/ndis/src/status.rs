//! Results of NDIS and of the I/O manager.

use core::fmt;

/// An `NDIS_STATUS` or `NTSTATUS`: both are one space of numbers.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-status-values>
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "a status says whether the call has worked"]
pub struct Status(i32);

impl Status {
    /// `NDIS_STATUS_SUCCESS`, `STATUS_SUCCESS`.
    pub const SUCCESS: Self = Self::from_bits(0);
    /// `NDIS_STATUS_FAILURE`, `STATUS_UNSUCCESSFUL`.
    pub const FAILURE: Self = Self::from_bits(0xC000_0001);
    /// `STATUS_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: Self = Self::from_bits(0xC000_000D);
    /// `STATUS_INVALID_DEVICE_REQUEST`.
    pub const INVALID_DEVICE_REQUEST: Self = Self::from_bits(0xC000_0010);
    /// `STATUS_BUFFER_TOO_SMALL`.
    pub const BUFFER_TOO_SMALL: Self = Self::from_bits(0xC000_0023);
    /// `STATUS_OBJECT_NAME_INVALID`.
    pub const OBJECT_NAME_INVALID: Self = Self::from_bits(0xC000_0033);
    /// `NDIS_STATUS_RESOURCES`, `STATUS_INSUFFICIENT_RESOURCES`.
    pub const RESOURCES: Self = Self::from_bits(0xC000_009A);
    /// `NDIS_STATUS_NOT_SUPPORTED`, `STATUS_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = Self::from_bits(0xC000_00BB);
    /// `STATUS_NOT_FOUND`.
    pub const NOT_FOUND: Self = Self::from_bits(0xC000_0225);
    /// `NDIS_STATUS_BAD_VERSION`.
    pub const BAD_VERSION: Self = Self::from_bits(0xC001_0004);
    /// `NDIS_STATUS_UNSUPPORTED_MEDIA`.
    pub const UNSUPPORTED_MEDIA: Self = Self::from_bits(0xC001_0019);
    /// `NDIS_STATUS_PAUSED`.
    pub const PAUSED: Self = Self::from_bits(0xC023_002A);

    /// The status with these bits.
    const fn from_bits(bits: u32) -> Self {
        Self(bits.cast_signed())
    }

    /// The status that C calls by this number.
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// The number that C calls this status by.
    #[must_use]
    pub const fn into_raw(self) -> i32 {
        self.0
    }

    /// `Ok` for success and informational values, as `NT_SUCCESS` decides.
    ///
    /// # Errors
    ///
    /// The status itself when it is a warning or an error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.0 >= 0 { Ok(()) } else { Err(self) }
    }
}

impl From<crate::mem::OutOfMemory> for Status {
    fn from(_: crate::mem::OutOfMemory) -> Self {
        Self::RESOURCES
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#010x})", self.0)
    }
}
