// error[E0308]: a synchronous request may come while the module pauses, so what wants it running has to ask first.
// says: expected `&Running<'_, _>`, found `&Attached<'_, M>`

use ndis::filter::{Attached, OriginatePath, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::Tx;
use ndis::oid::{OidRequest, Settled, SyncOidPath, Synchronous};

pub fn answer<'c, M: SyncOidPath + OriginatePath>(
    module: &Attached<'_, M>,
    request: OidRequest<'c, Synchronous>,
    irql: &mut AtMostDispatch,
) -> Settled<'c> {
    let _ = Running::originate::<Tx>(module, &[0; 60], 0, irql);
    request.forward(0)
}
