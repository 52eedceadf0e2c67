// error[E0317]: a request has to be passed on, completed, or left for later; it cannot be forgotten.
// says: `if` may be missing an `else` clause

use ndis::oid::{Oid, OidRequest, Regular, Settled};

pub fn answer(request: OidRequest<'_, Regular>) -> Settled<'_> {
    if request.oid() == Oid::PNP_SET_POWER {
        request.forward()
    }
}
