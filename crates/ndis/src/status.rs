//! Results of NDIS and of the I/O manager.
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::mem::OutOfMemory;
//!
//! fn check(length: usize) -> Result<(), Status> {
//!     if length < 4 {
//!         return Err(Status::INVALID_LENGTH);
//!     }
//!     // What NDIS gave is a number first.
//!     Status::from_raw(0).ok()
//! }
//!
//! fn without_memory(error: OutOfMemory) -> Status {
//!     error.into()
//! }
//! ```

use core::fmt;

use ndis_sys::{
    NDIS_STATUS_BAD_VERSION, NDIS_STATUS_FAILURE, NDIS_STATUS_INDICATION_REQUIRED,
    NDIS_STATUS_INVALID_DATA, NDIS_STATUS_INVALID_LENGTH, NDIS_STATUS_NOT_SUPPORTED,
    NDIS_STATUS_PAUSED, NDIS_STATUS_PENDING, NDIS_STATUS_REQUEST_ABORTED, NDIS_STATUS_RESOURCES,
    NDIS_STATUS_SEND_ABORTED, NDIS_STATUS_SUCCESS, NDIS_STATUS_UNSUPPORTED_MEDIA,
};
use wdk_sys::{
    STATUS_BUFFER_TOO_SMALL, STATUS_CANCELLED, STATUS_DEVICE_BUSY, STATUS_DEVICE_NOT_READY,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_IO_TIMEOUT, STATUS_NOT_FOUND,
    STATUS_OBJECT_NAME_INVALID, STATUS_PENDING,
};

/// An `NDIS_STATUS` or `NTSTATUS`: both are one space of numbers.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/network/ndis-status-values>
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "a status says whether the call has worked"]
pub struct Status(i32);

impl Status {
    /// `NDIS_STATUS_SUCCESS`, `STATUS_SUCCESS`.
    pub const SUCCESS: Self = Self(NDIS_STATUS_SUCCESS);
    /// `NDIS_STATUS_FAILURE`, `STATUS_UNSUCCESSFUL`.
    pub const FAILURE: Self = Self(NDIS_STATUS_FAILURE);
    /// `STATUS_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: Self = Self(STATUS_INVALID_PARAMETER);
    /// `STATUS_INVALID_DEVICE_REQUEST`.
    pub const INVALID_DEVICE_REQUEST: Self = Self(STATUS_INVALID_DEVICE_REQUEST);
    /// `STATUS_BUFFER_TOO_SMALL`.
    pub const BUFFER_TOO_SMALL: Self = Self(STATUS_BUFFER_TOO_SMALL);
    /// `STATUS_DEVICE_BUSY`.
    pub const DEVICE_BUSY: Self = Self(STATUS_DEVICE_BUSY);
    /// `STATUS_DEVICE_NOT_READY`.
    pub const DEVICE_NOT_READY: Self = Self(STATUS_DEVICE_NOT_READY);
    /// `STATUS_CANCELLED`.
    pub const CANCELLED: Self = Self(STATUS_CANCELLED);
    /// `STATUS_PENDING`.
    pub(crate) const PENDING: Self = Self(STATUS_PENDING);
    /// `STATUS_IO_TIMEOUT`.
    pub const IO_TIMEOUT: Self = Self(STATUS_IO_TIMEOUT);
    /// `STATUS_OBJECT_NAME_INVALID`.
    pub const OBJECT_NAME_INVALID: Self = Self(STATUS_OBJECT_NAME_INVALID);
    /// `NDIS_STATUS_RESOURCES`, `STATUS_INSUFFICIENT_RESOURCES`.
    pub const RESOURCES: Self = Self(NDIS_STATUS_RESOURCES);
    /// `NDIS_STATUS_NOT_SUPPORTED`, `STATUS_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = Self(NDIS_STATUS_NOT_SUPPORTED);
    /// `STATUS_NOT_FOUND`.
    pub const NOT_FOUND: Self = Self(STATUS_NOT_FOUND);
    /// `NDIS_STATUS_BAD_VERSION`.
    pub const BAD_VERSION: Self = Self(NDIS_STATUS_BAD_VERSION);
    /// `NDIS_STATUS_UNSUPPORTED_MEDIA`.
    pub const UNSUPPORTED_MEDIA: Self = Self(NDIS_STATUS_UNSUPPORTED_MEDIA);
    /// `NDIS_STATUS_SEND_ABORTED`.
    pub const SEND_ABORTED: Self = Self(NDIS_STATUS_SEND_ABORTED);
    /// `NDIS_STATUS_INVALID_DATA`.
    pub const INVALID_DATA: Self = Self(NDIS_STATUS_INVALID_DATA);
    /// `NDIS_STATUS_INVALID_LENGTH`.
    pub const INVALID_LENGTH: Self = Self(NDIS_STATUS_INVALID_LENGTH);
    /// `NDIS_STATUS_INDICATION_REQUIRED`: of a request that has ended well so far; a status indication for its requester
    /// follows.
    pub const INDICATION_REQUIRED: Self = Self(NDIS_STATUS_INDICATION_REQUIRED);
    /// `NDIS_STATUS_REQUEST_ABORTED`.
    pub const REQUEST_ABORTED: Self = Self(NDIS_STATUS_REQUEST_ABORTED);
    /// `NDIS_STATUS_PAUSED`.
    pub const PAUSED: Self = Self(NDIS_STATUS_PAUSED);

    /// The status that C calls by this number.
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// The number that C calls this status by.
    #[must_use]
    pub const fn into_raw(self) -> i32 {
        self.0
    }

    pub(crate) const fn as_raw(&self) -> &i32 {
        &self.0
    }

    /// `Ok` for success and informational values, as `NT_SUCCESS` decides.
    ///
    /// # Errors
    ///
    /// The status itself when it is a warning or an error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.0 >= 0 { Ok(()) } else { Err(self) }
    }

    /// What something has ended with that ends with this status: that, unless it says that it has not (`NDIS_STATUS_PENDING`),
    /// which becomes [`FAILURE`](Self::FAILURE).
    pub(crate) const fn into_final(self) -> Self {
        if self.0 == NDIS_STATUS_PENDING {
            Self::FAILURE
        } else {
            self
        }
    }

    /// What whoever called is told when a driver has failed with this status: the status, unless it says that something has
    /// worked, or will (`STATUS_PENDING`). That is no error, and becomes [`FAILURE`](Self::FAILURE).
    pub(crate) const fn into_failure(self) -> Self {
        match self.ok() {
            Ok(()) => Self::FAILURE,
            Err(status) => status,
        }
    }
}

impl From<crate::mem::OutOfMemory> for Status {
    fn from(_: crate::mem::OutOfMemory) -> Self {
        Self::RESOURCES
    }
}

/// `{status:ntstatus}` in messages of WPP.
impl wpp::Argument<'_, wpp::kind::NtStatus> for Status {
    fn into_value(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

/// `{status:ndis_status}`.
impl wpp::Argument<'_, wpp::kind::NdisStatus> for Status {
    fn into_value(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#010x})", self.0)
    }
}

// What has failed neither works nor waits; warnings stay what they are, such as `STATUS_BUFFER_OVERFLOW`.
const _: () = {
    assert!(Status::SUCCESS.into_failure().0 == Status::FAILURE.0);
    assert!(Status::PENDING.into_failure().0 == Status::FAILURE.0);
    assert!(Status(0x8000_0005_u32.cast_signed()).into_failure().0 < 0);
    assert!(Status::RESOURCES.into_failure().0 == Status::RESOURCES.0);
};
