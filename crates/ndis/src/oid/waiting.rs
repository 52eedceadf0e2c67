//! What a module has of one interface: requests in hand, requests that wait in it, and its own that are below.

use core::ptr::NonNull;

use ndis_sys::NDIS_OID_REQUEST;

use super::Raw;
use super::own::OwnRequests;
use crate::desk::{Desk, Locked, Place, Room};
use crate::filter::TAG;
use crate::irql::Caller;
use crate::lock::SpinLock;
use crate::mem::{OutOfMemory, PoolBox};

/// What a module has of one interface.
pub(crate) struct Requests {
    desk: SpinLock<Desk<Pended>>,
    room: Room,
    pub(crate) own: OwnRequests,
}

/// A place for a request that waits.
pub(crate) type Waiting = Place<Pended>;

/// A request that waits.
///
/// # Invariants
///
/// While its place is in a queue, it is one that NDIS has given to the module, left pending and not completed; it has the
/// members of revision 1.
pub(crate) struct Pended(NonNull<NDIS_OID_REQUEST>);

// SAFETY: a request that is pending may be used on any processor by who has it.
unsafe impl Send for Pended {}

impl Pended {
    /// The request, which its holder has from here on.
    ///
    /// # Safety
    ///
    /// Its place was taken out of a queue, and the result is used until the request is completed.
    pub(super) const unsafe fn request<'a>(&self) -> Raw<'a> {
        // SAFETY: by the invariant it was there until it was taken out, and nobody else has it since.
        unsafe { Raw::new(self.0) }
    }
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self {
            desk: SpinLock::new(Desk::new()),
            room: Room::new(),
            own: OwnRequests::new(),
        }
    }

    /// A place for a request.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], or as many wait as can.
    pub(super) fn try_place(&self, request: Raw<'_>) -> Result<PoolBox<Waiting>, OutOfMemory> {
        let address = NonNull::new(request.as_ptr()).ok_or(OutOfMemory)?;
        self.room
            .try_place(TAG, request.id().addr(), Pended(address))
    }
}

impl Locked<Pended> for Requests {
    fn with<C: Caller, R>(&self, irql: &mut C, f: impl FnOnce(&mut Desk<Pended>) -> R) -> R {
        self.desk.with(irql, |desk, _| f(desk))
    }

    fn room(&self) -> &Room {
        &self.room
    }
}
