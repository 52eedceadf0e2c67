//! A request that a callback has.

use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;

use super::raw::Results;
use super::waiting::{Requests, Waiting};
use super::{BeyondBuffer, Direct, Interface, Oid, Raw, Regular, RequestKind, Synchronous};
use crate::Status;
use crate::mem::PoolBox;

/// A request that has come by interface `P`, and has to be settled.
///
/// Each way to settle it takes the value and gives the one [`Settled`] that its callback can return:
///
/// ```compile_fail,E0382
/// # use ndis::{Status, oid::{OidRequest, Regular, Settled}};
/// fn twice(request: OidRequest<'_, Regular>) -> Settled<'_> {
///     let _ = request.complete(Status::NOT_SUPPORTED);
///     request.forward()
/// }
/// ```
///
/// # Invariants
///
/// For `'c`, those of `Raw`: NDIS has given the request to the module, who has not completed it.
pub struct OidRequest<'c, P: Interface = Regular> {
    raw: Raw<'c>,
    /// Where it can wait, if it can.
    requests: Option<&'c Requests>,
    _way: PhantomData<P>,
    _settled_once: Brand<'c>,
}

/// Who has made a request: `RequestHandle` and `RequestId` of it, which mean something to NDIS and nothing here.
///
/// It has no lifetime: it is good from the request's end with [`Status::INDICATION_REQUIRED`] until the indication that
/// this status promises, for which who has asked waits, and on the module where the request came. No page says that it is
/// good for anything later, so a driver forgets it then.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/ns-ndis-_ndis_status_indication>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    pub(super) handle: usize,
    pub(super) id: usize,
}

impl Requester {
    /// Handle and identifier, as NDIS has given them.
    pub(crate) fn words(self) -> [*mut c_void; 2] {
        [self.handle, self.id].map(core::ptr::with_exposed_provenance_mut)
    }
}

/// Ties a request to its own `Settled`: no other lifetime will do. Neither leaves its thread.
type Brand<'c> = PhantomData<(fn(&'c ()) -> &'c (), *mut ())>;

/// A request that its callback has dealt with: what has to be returned, and cannot be had otherwise.
pub struct Settled<'c> {
    pub(crate) outcome: Outcome,
    _of_request: Brand<'c>,
}

/// What is to become of a request.
pub(crate) enum Outcome {
    /// It goes on. The word is the call context of a synchronous one.
    Forward(u32),
    /// It ends here, with a status that is not `NDIS_STATUS_PENDING`.
    Complete(Status),
    /// It waits in the module, in this place.
    Pend(PoolBox<Waiting>),
}

impl<'c, P: Interface> OidRequest<'c, P> {
    /// For this crate's callers of callbacks.
    pub(crate) const fn new(raw: Raw<'c>, requests: Option<&'c Requests>) -> Self {
        // INVARIANT: that of `Raw`.
        Self {
            raw,
            requests,
            _way: PhantomData,
            _settled_once: PhantomData,
        }
    }

    /// What the request is about.
    #[must_use]
    pub const fn oid(&self) -> Oid {
        self.raw.oid()
    }

    /// What it wants done.
    #[must_use]
    pub const fn kind(&self) -> RequestKind {
        self.raw.kind()
    }

    /// The port that it is for; 0 is the default port. A filter that does not know a port passes its requests on.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.raw.port()
    }

    /// Who has asked: for [`Attached::indicate_status_to`](crate::filter::Attached::indicate_status_to), if the request ends
    /// with [`Status::INDICATION_REQUIRED`].
    #[must_use]
    pub fn requester(&self) -> Requester {
        self.raw.requester()
    }

    /// Bytes of input: of a set or method request.
    #[must_use]
    pub const fn input_length(&self) -> u32 {
        self.raw.lengths().0
    }

    /// Bytes of room for output: of a query or method request.
    #[must_use]
    pub const fn output_length(&self) -> u32 {
        self.raw.lengths().1
    }

    /// Copies input from `offset` on until `to` is full.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less input. `to` is as it was.
    pub fn copy_to(&self, offset: u32, to: &mut [u8]) -> Result<(), BeyondBuffer> {
        self.raw.copy_to(self.input_length(), offset, to)
    }

    /// Copies `N` bytes of input from `offset` on.
    ///
    /// # Errors
    ///
    /// [`BeyondBuffer`]: there is less input.
    pub fn read<const N: usize>(&self, offset: u32) -> Result<[u8; N], BeyondBuffer> {
        let mut bytes = [0; N];
        self.copy_to(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Ends the request here with `status` and no output.
    ///
    /// What the filter does not know has to be passed on instead. Some requests may not fail, such as
    /// [`Oid::PNP_SET_POWER`]: bug check 0x7C, code 0x1C. `NDIS_STATUS_PENDING` is no status to end with, and becomes
    /// [`Status::FAILURE`].
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfoidrequestcomplete>
    pub fn complete(self, status: Status) -> Settled<'c> {
        self.end(status, Results::default())
    }

    /// Ends the request here with success: `output` is copied to the requester, and all input counts as read.
    ///
    /// `supported_revision` is the revision of the structure in the buffer that the filter has used; 0 if there is no
    /// structure.
    ///
    /// If there is not enough room the request fails instead, as [`refuse_length`](Self::refuse_length) does.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/oidrequest/ns-oidrequest-ndis_oid_request>
    pub fn answer(self, output: &[u8], supported_revision: u8) -> Settled<'c> {
        let (input, room) = self.raw.lengths();
        // Longer output than this fits nowhere.
        let written = u32::try_from(output.len()).unwrap_or(u32::MAX);
        if self.raw.copy_from(room, 0, output).is_err() {
            return self.refuse_length(written);
        }
        let results = Results {
            written,
            read: input,
            supported_revision,
            ..Results::default()
        };
        self.end(Status::SUCCESS, results)
    }

    /// Ends the request here with `NDIS_STATUS_INVALID_LENGTH`: `needed` bytes would have been enough.
    pub fn refuse_length(self, needed: u32) -> Settled<'c> {
        let results = Results {
            needed,
            ..Results::default()
        };
        self.end(Status::INVALID_LENGTH, results)
    }

    fn end(self, status: Status, results: Results) -> Settled<'c> {
        let output_length = self.raw.results().output_length;
        self.raw.set_results(Results {
            output_length,
            ..results
        });
        Settled::new(Outcome::Complete(status.into_final()))
    }
}

impl<'c> OidRequest<'c, Regular> {
    /// Passes the request on, down the stack: a clone of it. When that has come back,
    /// [`OidPath::oid_answered`](super::OidPath::oid_answered) is shown the answer. If there is no memory for the clone,
    /// the request fails with what NDIS says.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisallocatecloneoidrequest>,
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfoidrequest>
    pub fn forward(self) -> Settled<'c> {
        Settled::new(Outcome::Forward(0))
    }

    /// Leaves the request in the module, for
    /// [`Attached::take_pended_oid`](crate::filter::Attached::take_pended_oid), and NDIS waiting: no other regular request
    /// comes meanwhile. [`OidPath::oid_pended`](super::OidPath::oid_pended) tells when it is there. If it is cancelled, or was
    /// while this callback had it, this crate completes it.
    ///
    /// # Errors
    ///
    /// There is no memory to remember it, or [`MAX_PENDED`](super::MAX_PENDED) wait. The request is given back.
    pub fn pend(self) -> Result<Settled<'c>, Self> {
        pend(self)
    }
}

impl<'c> OidRequest<'c, Direct> {
    /// Passes the request on, down the stack: a clone of it. When that has come back,
    /// [`DirectOidPath::direct_oid_answered`](super::DirectOidPath::direct_oid_answered) is shown the answer. If there is no
    /// memory for the clone, the request fails with what NDIS says.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfdirectoidrequest>
    pub fn forward(self) -> Settled<'c> {
        Settled::new(Outcome::Forward(0))
    }

    /// Leaves the request in the module, for
    /// [`Attached::take_pended_direct_oid`](crate::filter::Attached::take_pended_direct_oid).
    /// [`DirectOidPath::direct_oid_pended`](super::DirectOidPath::direct_oid_pended) tells when it is there. If it is
    /// cancelled, or was while this callback had it, this crate completes it.
    ///
    /// # Errors
    ///
    /// There is no memory to remember it, or [`MAX_PENDED`](super::MAX_PENDED) wait. The request is given back.
    pub fn pend(self) -> Result<Settled<'c>, Self> {
        pend(self)
    }
}

fn pend<'c, P: Interface>(request: OidRequest<'c, P>) -> Result<Settled<'c>, OidRequest<'c, P>> {
    let place = request.requests.map(|it| it.try_place(request.raw));
    match place {
        Some(Ok(place)) => Ok(Settled::new(Outcome::Pend(place))),
        Some(Err(_)) | None => Err(request),
    }
}

impl<'c> OidRequest<'c, Synchronous> {
    /// Lets the request go on. [`SyncOidPath::synchronous_oid_answered`](super::SyncOidPath::synchronous_oid_answered) is
    /// given `call_context` when it is back.
    pub fn forward(self, call_context: u32) -> Settled<'c> {
        Settled::new(Outcome::Forward(call_context))
    }
}

impl Settled<'_> {
    const fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            _of_request: PhantomData,
        }
    }
}

impl<P: Interface> fmt::Debug for OidRequest<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidRequest")
            .field("oid", &self.oid())
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled").finish_non_exhaustive()
    }
}
