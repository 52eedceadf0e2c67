// error[E0382]: a request that was passed on is not the callback's to complete.
// says: use of moved value: `request`
// says: `request` moved due to this method call

use ndis::Status;
use ndis::oid::{OidRequest, Regular, Settled};

pub fn answer(request: OidRequest<'_, Regular>) -> Settled<'_> {
    let _ = request.forward();
    request.complete(Status::SUCCESS)
}
