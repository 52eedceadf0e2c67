// error[E0599]: only a filter that is told of cancelled sends can hold packets.
// says: the method `hold` exists for reference `&ndis::filter::Running<'_, M>`, but its trait bounds were not satisfied
// says: `M: HoldPath`

use ndis::filter::{FilterModule, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::{HoldLimit, NblBatch, Tx};

pub fn hold<M: FilterModule>(
    module: &Running<'_, M>,
    packets: NblBatch<'_, Tx>,
    irql: &mut AtMostDispatch,
) {
    let _ = module.hold(packets, HoldLimit::UNJUDGED, irql);
}
