//! The NDIS version that the driver has registered for.

use core::sync::atomic::{AtomicU8, Ordering};

use ndis_sys::NdisGetVersion;

use crate::Status;

/// The major version of every NDIS that there is to run on.
pub(crate) const MAJOR: u8 = 6;
/// The oldest minor version that can load the image: that of Windows 10 2004.
const OLDEST: u8 = 84;
/// The newest minor version that this crate knows: that of Windows 11 24H2.
const NEWEST: u8 = 89;

/// The negotiated minor version; one image has one driver.
static REGISTERED: AtomicU8 = AtomicU8::new(0);

/// The minor version that the driver has registered for, 84 to 89; 0 before it has.
///
/// It is the highest that both the system and this crate know, so that NDIS leaves RSC and URO on.
///
/// # IRQL
///
/// Any.
#[must_use]
pub fn registered_minor() -> u8 {
    REGISTERED.load(Ordering::Relaxed)
}

/// Chooses the version to register for.
///
/// # Errors
///
/// [`Status::BAD_VERSION`] on systems that are too old.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisgetversion>
pub(crate) fn negotiate() -> Result<u8, Status> {
    // SAFETY: legal at or below DISPATCH_LEVEL, where all code of this crate runs.
    let running = unsafe { NdisGetVersion() };
    // The major version is the high half, the minor version the low one.
    let major = running >> 16;
    let minor = u8::try_from(running & 0xFFFF).unwrap_or(u8::MAX);
    if major < u32::from(MAJOR) || (major == u32::from(MAJOR) && minor < OLDEST) {
        return Err(Status::BAD_VERSION);
    }
    let minor = if major > u32::from(MAJOR) {
        NEWEST
    } else {
        minor.min(NEWEST)
    };
    REGISTERED.store(minor, Ordering::Relaxed);
    Ok(minor)
}
