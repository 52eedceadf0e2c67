//! What happens to requests that NDIS has given to a module.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;

use ndis_sys::{
    NDIS_OID_REQUEST, NDIS_STATUS_PENDING, NdisAllocateCloneOidRequest, NdisFreeCloneOidRequest,
};

use super::raw::Results;
use super::waiting::Pended;
use super::{
    Answered, Direct, DirectOidPath, OidPath, OidRequest, Outcome, Raw, Regular, Route, Settled,
    SyncOidPath, answer_own,
};
use crate::Status;
use crate::desk::{self, Dealt, Hand, Next};
use crate::filter::{Attached, FilterModule, ModuleCore, TAG};
use crate::irql::{AtMostDispatch, Caller};

/// A request has come. `None` if it was left pending, and was, or will be completed otherwise.
///
/// # Safety
///
/// NDIS has given the request to the module, which is attached until the request is completed.
pub(crate) unsafe fn arrive<M: FilterModule, P: Route<M>>(
    core: &ModuleCore<M>,
    request: *mut NDIS_OID_REQUEST,
    irql: &mut AtMostDispatch,
) -> Option<Status> {
    // SAFETY: NDIS has given it.
    let Some(raw) = (unsafe { Raw::checked(request) }) else {
        return Some(Status::INVALID_PARAMETER);
    };
    let requests = P::requests(core);
    let decide = |irql: &mut AtMostDispatch| {
        // SAFETY: this function's contract.
        let attached = unsafe { Attached::new(core) };
        let request = OidRequest::new(raw, Some(requests));
        next(P::asked(&attached, request, irql))
    };
    let behind = Behind::<M, P>::new(core, raw);
    desk::arrive(
        &core.attached,
        requests,
        raw.id().addr(),
        &behind,
        irql,
        decide,
    )
}

/// What lies behind the desk for one request.
///
/// # Invariants
///
/// The request is in hand: NDIS has given it to the module, which has not completed it, until it is settled. The module
/// stays as long as this value.
struct Behind<'a, M: FilterModule, P> {
    core: &'a ModuleCore<M>,
    raw: Raw<'a>,
    /// Kept for when the request may be gone.
    id: *mut c_void,
    _way: PhantomData<P>,
}

impl<'a, M: FilterModule, P> Behind<'a, M, P> {
    const fn new(core: &'a ModuleCore<M>, raw: Raw<'a>) -> Self {
        // INVARIANT: that of `Raw`.
        Self {
            core,
            raw,
            id: raw.id(),
            _way: PhantomData,
        }
    }
}

impl<M: FilterModule, P: Route<M>, C: Caller> desk::Behind<C> for Behind<'_, M, P> {
    type Status = Status;

    const ABORTED: Status = Status::REQUEST_ABORTED;

    fn forward(&self, irql: &mut C) -> Option<Status> {
        // SAFETY: by the invariant.
        unsafe { forward::<M, P>(self.core, self.raw, irql) }
    }

    fn cancel(&self, _irql: &mut C) {
        // SAFETY: by the invariant the module is attached.
        unsafe { P::cancel(self.core.handle(), self.id) };
    }

    fn waits(&self, irql: &mut C) {
        // SAFETY: by the invariant the module is attached.
        P::pended(&unsafe { Attached::new(self.core) }, irql);
    }
}

/// What a callback has decided.
fn next(settled: Settled<'_>) -> Next<Status, Pended> {
    match settled.outcome {
        Outcome::Complete(status) => Next::End(status),
        Outcome::Forward(_) => Next::Forward,
        Outcome::Pend(place) => Next::Wait(place),
    }
}

/// Sends a clone of a request down. `None` if its answer comes later; then the request may be gone.
///
/// # Safety
///
/// As for [`arrive`].
unsafe fn forward<M: FilterModule, P: Route<M>>(
    core: &ModuleCore<M>,
    original: Raw<'_>,
    irql: &mut impl Caller,
) -> Option<Status> {
    let mut clone = core::ptr::null_mut();
    // SAFETY: the module is attached; the request is one, as its header says.
    let status = unsafe {
        NdisAllocateCloneOidRequest(
            core.handle(),
            original.as_ptr(),
            TAG.into_raw(),
            &raw mut clone,
        )
    };
    let Some(address) = NonNull::new(clone).filter(|_| Status::from_raw(status).ok().is_ok())
    else {
        return Some(failure(Status::from_raw(status)));
    };
    // SAFETY: NDIS has just made it, and nobody else has it.
    let raw = unsafe { Raw::new(address) };
    // Who cancels the original means the clone.
    raw.set_id(original.id());
    raw.set_source_words([original.as_ptr().cast(), core::ptr::null_mut()]);
    // SAFETY: the module is attached, and its handlers for this interface are registered, or no request would have come.
    let status = unsafe { P::send(core.handle(), clone) };
    if status == NDIS_STATUS_PENDING {
        return None;
    }
    let status = Status::from_raw(status);
    // SAFETY: the answer is there, and nobody else takes it: it was not pending.
    Some(unsafe { finish::<M, P>(core, raw, original, status, irql) })
}

/// What NDIS has said when it did not do what it was asked for.
fn failure(status: Status) -> Status {
    if status.ok().is_err() {
        status
    } else {
        Status::RESOURCES
    }
}

/// Brings the answer to a clone to its original, frees the clone, and shows the answer to the driver.
///
/// # Safety
///
/// The module is attached. The clone is of `forward`, has come back with `status`, and `original` is what it is a clone
/// of, which is not completed.
unsafe fn finish<M: FilterModule, P: Route<M>>(
    core: &ModuleCore<M>,
    clone: Raw<'_>,
    original: Raw<'_>,
    status: Status,
    irql: &mut impl Caller,
) -> Status {
    // Before what those below say of it.
    let room = original.room();
    let results: Results = clone.results();
    original.set_results(results);
    // SAFETY: NDIS has made the clone for this module; it is below no more, and not used any more.
    unsafe { NdisFreeCloneOidRequest(core.handle(), clone.as_ptr()) };
    let mut answered = Answered::new(original, room, status.into_final());
    // SAFETY: the module is attached.
    P::answered(&unsafe { Attached::new(core) }, &mut answered, irql);
    answered.status()
}

/// A clone, or a request of the module's own, has come back after it was pending.
///
/// # Safety
///
/// NDIS has given it back to the module, which is attached until the original is completed.
pub(crate) unsafe fn come_back<M: FilterModule, P: Route<M>>(
    core: &ModuleCore<M>,
    request: *mut NDIS_OID_REQUEST,
    status: Status,
    irql: &mut AtMostDispatch,
) {
    let Some(address) = NonNull::new(request) else {
        return;
    };
    // SAFETY: NDIS has given back what this crate has sent.
    let raw = unsafe { Raw::new(address) };
    // SAFETY: likewise.
    if unsafe { answer_own(raw, status) } {
        return;
    }
    let [original, _] = raw.source_words();
    let Some(original) = NonNull::new(original.cast::<NDIS_OID_REQUEST>()) else {
        return;
    };
    // SAFETY: `forward` has kept its address, and it is not completed before this.
    let original = unsafe { Raw::new(original) };
    // SAFETY: the clone has come back, and this function's contract.
    let status = unsafe { finish::<M, P>(core, raw, original, status, irql) };
    // SAFETY: it was left pending, because its clone was, and nobody has completed it.
    unsafe { P::complete(core.handle(), original.as_ptr(), status.into_raw()) };
}

/// A request is cancelled: it is completed if it waits in the module; else its clone is cancelled, if it is below. One that a
/// callback has is remembered.
///
/// # Safety
///
/// The module is attached.
pub(crate) unsafe fn cancel<M: FilterModule, P: Route<M>>(
    core: &ModuleCore<M>,
    id: *mut c_void,
    irql: &mut AtMostDispatch,
) {
    let has_any = desk::cancel(P::requests(core), id.addr(), irql, |pended: Pended, _| {
        // SAFETY: just taken out, and completed here.
        let request = unsafe { pended.request() };
        // SAFETY: by the invariant of `Pended` it was left pending, and nobody has completed it.
        unsafe {
            P::complete(
                core.handle(),
                request.as_ptr(),
                Status::REQUEST_ABORTED.into_raw(),
            );
        }
    });
    if !has_any {
        // SAFETY: the module is attached.
        unsafe { P::cancel(core.handle(), id) };
    }
}

impl<M: OidPath> Attached<'_, M> {
    /// Takes the regular request that waits in the module, if one does, and has `f` settle it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfoidrequestcomplete>
    pub fn take_pended_oid<C: Caller>(
        &self,
        irql: &mut C,
        f: impl for<'c> FnOnce(OidRequest<'c, Regular>, &mut C) -> Settled<'c>,
    ) -> bool {
        take_pended(self.core(), irql, f)
    }
}

impl<M: DirectOidPath> Attached<'_, M> {
    /// Takes the direct request that has waited longest in the module, if any does, and has `f` settle it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfdirectoidrequestcomplete>
    pub fn take_pended_direct_oid<C: Caller>(
        &self,
        irql: &mut C,
        f: impl for<'c> FnOnce(OidRequest<'c, Direct>, &mut C) -> Settled<'c>,
    ) -> bool {
        take_pended(self.core(), irql, f)
    }
}

fn take_pended<M: FilterModule, P: Route<M>, C: Caller>(
    core: &ModuleCore<M>,
    irql: &mut C,
    f: impl for<'c> FnOnce(OidRequest<'c, P>, &mut C) -> Settled<'c>,
) -> bool {
    let requests = P::requests(core);
    let hand = Hand::empty();
    // SAFETY: it is new, and stays until this returns.
    let Some(pended) = (unsafe { desk::take(requests, &hand, irql) }) else {
        return false;
    };
    // SAFETY: just taken out; it is completed below, or by whom it is left to, and not used after that.
    let request = unsafe { pended.request() };
    let behind = Behind::<M, P>::new(core, request);
    let decide = |irql: &mut C| next(f(OidRequest::new(request, Some(requests)), irql));
    // SAFETY: the hand was entered; the caller keeps the module attached.
    let ended = unsafe { desk::deal(requests, &hand, &behind, irql, decide) };
    if let Dealt::Ended(status) = ended {
        // SAFETY: by the invariant of `Pended` it was left pending, and nobody has completed it.
        unsafe { P::complete(core.handle(), request.as_ptr(), status.into_raw()) };
    }
    true
}

/// How a synchronous request goes on.
pub(crate) enum Course {
    /// To those below, with this call context for its answer.
    On(CallContext),
    /// It ends with success.
    Done,
    /// It ends otherwise.
    Ended(Status),
}

/// What NDIS keeps of a synchronous request until its answer comes: a word of the driver's, and the room for output, which
/// those below may write over in the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallContext {
    pub(crate) word: u32,
    pub(crate) room: u32,
}

impl CallContext {
    /// As the pointer that NDIS keeps, which nobody follows.
    pub(crate) const fn into_raw(self) -> *mut c_void {
        let [a, b, c, d] = self.word.to_le_bytes();
        let [e, f, g, h] = self.room.to_le_bytes();
        core::ptr::without_provenance_mut(usize::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    pub(crate) fn from_raw(raw: *mut c_void) -> Self {
        let [a, b, c, d, e, f, g, h] = raw.addr().to_le_bytes();
        Self {
            word: u32::from_le_bytes([a, b, c, d]),
            room: u32::from_le_bytes([e, f, g, h]),
        }
    }
}

/// A synchronous request has come.
///
/// # Safety
///
/// NDIS lends it to this activation, and the module is attached as long.
pub(crate) unsafe fn arrive_synchronously<M: SyncOidPath>(
    core: &ModuleCore<M>,
    request: *mut NDIS_OID_REQUEST,
    irql: &mut AtMostDispatch,
) -> Course {
    // SAFETY: NDIS lends it.
    let Some(raw) = (unsafe { Raw::checked(request) }) else {
        // What is not understood is for others.
        return Course::On(CallContext::default());
    };
    // SAFETY: this function's contract.
    let attached = unsafe { Attached::new(core) };
    let room = raw.room();
    match M::synchronous_oid(&attached, OidRequest::new(raw, None), irql).outcome {
        Outcome::Forward(word) => Course::On(CallContext { word, room }),
        Outcome::Complete(Status::SUCCESS) => Course::Done,
        Outcome::Complete(status) => Course::Ended(status),
        // There is no way to leave one pending.
        Outcome::Pend(_) => Course::Ended(Status::FAILURE),
    }
}
