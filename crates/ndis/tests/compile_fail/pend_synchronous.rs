// error[E0599]: a synchronous request cannot be left pending.
// says: no method named `pend` found for struct `OidRequest<'_, Synchronous>`

use ndis::oid::{OidRequest, Settled, Synchronous};

pub fn answer(request: OidRequest<'_, Synchronous>) -> Result<Settled<'_>, ()> {
    request.pend().map_err(|_| ())
}
