//! Requests that wait in a module, and what a module has of one interface.

use core::ffi::c_void;
use core::ptr::NonNull;

use ndis_sys::NDIS_OID_REQUEST;

use super::Raw;
use super::own::OwnRequests;
use crate::filter::TAG;
use crate::irql::Caller;
use crate::lock::SpinLock;
use crate::mem::{OutOfMemory, PoolBox};

/// What a module has of one interface: requests that wait in it, and its own that are below.
pub(crate) struct Requests {
    waiting: SpinLock<Queue>,
    pub(crate) own: OwnRequests,
}

/// Requests that wait, in the order in which they have come.
#[derive(Default)]
struct Queue {
    first: Option<PoolBox<Waiting>>,
}

/// A place for a request that waits.
///
/// # Invariants
///
/// While it is in a queue, `request` is one that NDIS has given to the module, left pending and not completed; it has
/// the members of revision 1.
pub(crate) struct Waiting {
    request: NonNull<NDIS_OID_REQUEST>,
    id: *mut c_void,
    following: Option<PoolBox<Self>>,
}

// SAFETY: a request that is pending may be used on any processor by who has it.
unsafe impl Send for Waiting {}

impl Waiting {
    /// A place for a request.
    pub(super) fn try_new(request: Raw<'_>) -> Result<PoolBox<Self>, OutOfMemory> {
        let address = NonNull::new(request.as_ptr()).ok_or(OutOfMemory)?;
        PoolBox::try_new(
            TAG,
            Self {
                request: address,
                id: request.id(),
                following: None,
            },
        )
    }

    /// The request, which its holder has from here on.
    ///
    /// # Safety
    ///
    /// The place was taken out of a queue, and the result is used until the request is completed.
    pub(super) const unsafe fn request<'a>(&self) -> Raw<'a> {
        // SAFETY: by the invariant it was there until it was taken out, and nobody else has it since.
        unsafe { Raw::new(self.request) }
    }
}

impl Requests {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: SpinLock::new(Queue { first: None }),
            own: OwnRequests::new(),
        }
    }

    /// Puts a request at the end of the queue.
    ///
    /// # Safety
    ///
    /// The invariant of `Waiting` holds, and nobody uses the request afterwards but who takes it out.
    pub(super) unsafe fn append(&self, waiting: PoolBox<Waiting>, irql: &mut impl Caller) {
        self.waiting.with(irql, |queue, _| {
            let mut place = &mut queue.first;
            while let Some(before) = place {
                place = &mut before.following;
            }
            // INVARIANT: the caller's promise.
            *place = Some(waiting);
        });
    }

    /// Takes the first request out.
    pub(super) fn take_first(&self, irql: &mut impl Caller) -> Option<PoolBox<Waiting>> {
        self.take(irql, |_| true)
    }

    /// Takes the first request with an identifier out.
    pub(super) fn take_cancelled(
        &self,
        id: *mut c_void,
        irql: &mut impl Caller,
    ) -> Option<PoolBox<Waiting>> {
        self.take(irql, |waiting| waiting.id == id)
    }

    fn take(
        &self,
        irql: &mut impl Caller,
        is_wanted: impl Fn(&Waiting) -> bool,
    ) -> Option<PoolBox<Waiting>> {
        self.waiting.with(irql, |queue, _| {
            let mut place = &mut queue.first;
            while place.as_deref().is_some_and(|waiting| !is_wanted(waiting)) {
                place = &mut place.as_mut()?.following;
            }
            let mut taken = place.take()?;
            *place = taken.following.take();
            Some(taken)
        })
    }
}
