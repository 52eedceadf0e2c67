// error[E0382]: a request that was passed on is not the callback's to complete.

use ndis::Status;
use ndis::oid::{OidRequest, Regular, Settled};

pub fn answer(request: OidRequest<'_, Regular>) -> Settled<'_> {
    let _ = request.forward();
    request.complete(Status::SUCCESS)
}
