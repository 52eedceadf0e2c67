// error[E0521]: clones do not outlive the callback that owns what they are clones of: pause would wait for ever.
// says: borrowed data escapes outside of function
// says: `packets` escapes the function body here

use ndis::filter::{OriginatePath, Running};
use ndis::irql::AtMostDispatch;
use ndis::lock::SpinLock;
use ndis::nbl::{NblBatch, Tx};

pub fn keep<'c, M: OriginatePath>(
    kept: &SpinLock<Option<NblBatch<'static, Tx>>>,
    module: &Running<'_, M>,
    packets: NblBatch<'c, Tx>,
    irql: &mut AtMostDispatch,
) {
    let clones = module.clone_in_place(packets, |_| true, irql);
    kept.with(irql, |kept, _| *kept = Some(clones));
}
