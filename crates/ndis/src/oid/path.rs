//! What a filter writes that looks at requests.

use super::interface::Calls;
use super::{Answered, Direct, OidRequest, Regular, Settled, Synchronous};
use crate::driver::Installed;
use crate::filter::{Attached, FilterModule};
use crate::irql::{AtMostDispatch, Caller};

/// A filter that sees regular OID requests, or sends some of its own: `FilterOidRequest` and what belongs to it.
///
/// ```no_run
/// # use ndis::oid::{Oid, OidRequest, RequestKind, Regular, Settled};
/// # fn answer(request: OidRequest<'_, Regular>) -> Settled<'_> {
/// // In `oid_request`: a smaller frame than those below have; all else passes.
/// if request.oid() == Oid::GEN_MAXIMUM_FRAME_SIZE && request.kind() == RequestKind::Query {
///     return request.answer(&1496_u32.to_le_bytes(), 0);
/// }
/// request.forward()
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path for regular OID requests",
    label = "this needs `impl OidPath`"
)]
pub trait OidPath: FilterModule + Installed {
    /// Deals with a request on its way down. NDIS gives a module one at a time, in any of its states.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_oid_request>
    fn oid_request<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Regular>,
        irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        let _ = (this, irql);
        request.forward()
    }

    /// A request has been left in the module: [`Attached::take_pended_oid`] finds it from here on, so
    /// whoever is to settle it is woken here. Who was woken in
    /// [`oid_request`](Self::oid_request) may have looked before. It is not called for a request that was taken and left to
    /// wait again: who took it knows.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    fn oid_pended(this: &Attached<'_, Self>, irql: &mut impl Caller) {
        let _ = (this, irql);
    }

    /// Is shown the answer to a request that was passed on, before the requester is.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_oid_request_complete>
    fn oid_answered(this: &Attached<'_, Self>, answer: &mut Answered<'_>, irql: &mut impl Caller) {
        let _ = (this, answer, irql);
    }
}

/// A filter that sees direct OID requests, or sends some of its own: `FilterDirectOidRequest` and what belongs to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path for direct OID requests",
    label = "this needs `impl DirectOidPath`"
)]
pub trait DirectOidPath: FilterModule + Installed {
    /// Deals with a request on its way down. Several may be under way, regular ones too, in any state of the module.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_direct_oid_request>
    fn direct_oid_request<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Direct>,
        irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        let _ = (this, irql);
        request.forward()
    }

    /// A request has been left in the module: [`Attached::take_pended_direct_oid`] finds it from here on, so
    /// whoever is to settle it is woken here. Who was woken in
    /// [`direct_oid_request`](Self::direct_oid_request) may have looked before. It is not called for a request that was taken and left to
    /// wait again: who took it knows.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    fn direct_oid_pended(this: &Attached<'_, Self>, irql: &mut impl Caller) {
        let _ = (this, irql);
    }

    /// Is shown the answer to a request that was passed on, before the requester is.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nc-ndis-filter_direct_oid_request_complete>
    fn direct_oid_answered(
        this: &Attached<'_, Self>,
        answer: &mut Answered<'_>,
        irql: &mut impl Caller,
    ) {
        let _ = (this, answer, irql);
    }
}

/// A filter that sees synchronous OID requests: `FilterSynchronousOidRequest` and its completion.
///
/// They pass all filters within one call, which must not wait: the callbacks have no token that would let them. They come
/// in any state of the module, also while it pauses; what is only for a running one is behind
/// [`Attached::while_running`](crate::filter::Attached::while_running).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no path for synchronous OID requests",
    label = "this needs `impl SyncOidPath`"
)]
pub trait SyncOidPath: FilterModule {
    /// Deals with a request on its way down. What the filter does not know has to be passed on.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`. Several may be under way.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-filter_synchronous_oid_request>
    fn synchronous_oid<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Synchronous>,
        irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        let _ = (this, irql);
        request.forward(0)
    }

    /// Is shown the answer to a request that was passed on with `call_context`, on its way up.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-filter_synchronous_oid_request_complete>
    fn synchronous_oid_answered(
        this: &Attached<'_, Self>,
        call_context: u32,
        answer: &mut Answered<'_>,
        irql: &mut AtMostDispatch,
    ) {
        let _ = (this, call_context, answer, irql);
    }
}

/// The callbacks of a driver for interface `Self`.
pub(crate) trait Route<M: FilterModule>: Calls + Sized {
    fn asked<'c>(
        this: &Attached<'_, M>,
        request: OidRequest<'c, Self>,
        irql: &mut AtMostDispatch,
    ) -> Settled<'c>;

    fn pended(this: &Attached<'_, M>, irql: &mut impl Caller);

    fn answered(this: &Attached<'_, M>, answer: &mut Answered<'_>, irql: &mut impl Caller);
}

impl<M: OidPath> Route<M> for Regular {
    fn asked<'c>(
        this: &Attached<'_, M>,
        request: OidRequest<'c, Self>,
        irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        M::oid_request(this, request, irql)
    }

    fn pended(this: &Attached<'_, M>, irql: &mut impl Caller) {
        M::oid_pended(this, irql);
    }

    fn answered(this: &Attached<'_, M>, answer: &mut Answered<'_>, irql: &mut impl Caller) {
        M::oid_answered(this, answer, irql);
    }
}

impl<M: DirectOidPath> Route<M> for Direct {
    fn asked<'c>(
        this: &Attached<'_, M>,
        request: OidRequest<'c, Self>,
        irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        M::direct_oid_request(this, request, irql)
    }

    fn pended(this: &Attached<'_, M>, irql: &mut impl Caller) {
        M::direct_oid_pended(this, irql);
    }

    fn answered(this: &Attached<'_, M>, answer: &mut Answered<'_>, irql: &mut impl Caller) {
        M::direct_oid_answered(this, answer, irql);
    }
}
