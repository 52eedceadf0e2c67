// error[E0308]: a synchronous request does not wait.
// says: expected `&mut Passive`, found `&mut AtMostDispatch`

use ndis::event::Event;
use ndis::irql::AtMostDispatch;
use ndis::oid::{OidRequest, Settled, Synchronous};

pub fn answer<'c>(
    event: &Event,
    request: OidRequest<'c, Synchronous>,
    irql: &mut AtMostDispatch,
) -> Settled<'c> {
    event.wait(irql);
    request.forward(0)
}
