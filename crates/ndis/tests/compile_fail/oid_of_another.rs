// error: what was decided about one request does not settle another.
// says: lifetime may not live long enough
// says: has type `OidRequest<'1>`

use ndis::filter::Attached;
use ndis::irql::AtMostDispatch;
use ndis::oid::{OidPath, OidRequest, Regular, Settled};

pub fn answer<'c, M: OidPath>(
    module: &Attached<'_, M>,
    request: OidRequest<'c, Regular>,
    irql: &mut AtMostDispatch,
) -> Settled<'c> {
    let mut settled = request.forward();
    module.take_pended_oid(irql, |waiting, _| {
        core::mem::replace(&mut settled, waiting.forward())
    });
    settled
}
