// error[E0308]: packets that NDIS takes back by itself cannot be held.
// says: expected `NblBatch<'_, Rx>`, found `LowResources<'_>`

use ndis::filter::{HoldPath, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::{HoldLimit, LowResources, Rx};

pub fn hold<M: HoldPath>(
    module: &Running<'_, M>,
    packets: LowResources<'_>,
    irql: &mut AtMostDispatch,
) {
    let _ = module.hold::<Rx>(packets, HoldLimit::UNJUDGED, irql);
}
