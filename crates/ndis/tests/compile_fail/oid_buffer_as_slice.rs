// error[E0599]: the buffer of a request belongs to another driver: it is copied from, not lent.
// says: no method named `buffer` found for reference `&OidRequest<'_>`

use ndis::oid::{OidRequest, Regular};

pub fn first(request: &OidRequest<'_, Regular>) -> Option<u8> {
    request.buffer().first().copied()
}
