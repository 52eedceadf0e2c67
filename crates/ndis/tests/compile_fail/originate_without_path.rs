// error[E0599]: only a filter whose own packets can come back has any.
// says: the method `originate` exists for reference `&ndis::filter::Running<'_, M>`, but its trait bounds were not satisfied
// says: `M: OriginatePath`

use ndis::filter::{FilterModule, Running};
use ndis::irql::AtMostDispatch;
use ndis::nbl::Tx;

pub fn originate<M: FilterModule>(module: &Running<'_, M>, irql: &mut AtMostDispatch) {
    let _ = module.originate::<Tx>(&[0; 60], 0, irql);
}
