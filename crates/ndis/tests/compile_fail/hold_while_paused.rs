// error[E0308]: packets cannot be held by a module that is not running.
// says: expected `&Running<'_, _>`, found `&Attached<'_, M>`

use ndis::filter::{Attached, HoldPath, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::{HoldLimit, NblBatch, Tx};

pub fn hold<M: HoldPath>(
    module: &Attached<'_, M>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    let _ = Running::hold::<Tx>(module, packets, HoldLimit::UNJUDGED, irql);
}
