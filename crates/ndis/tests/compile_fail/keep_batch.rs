// error[E0521]: a batch does not outlive the callback that owns it.
// says: borrowed data escapes outside of function
// says: `packets` escapes the function body here

use ndis::lock::SpinLock;
use ndis::nbl::{NblBatch, Tx};

pub struct Module<'c> {
    pub kept: SpinLock<Option<NblBatch<'c, Tx>>>,
}

pub fn keep<'c>(
    module: &Module<'static>,
    packets: NblBatch<'c, Tx>,
    irql: &mut ndis::irql::AtMostDispatch,
) {
    module.kept.with(irql, |kept, _| *kept = Some(packets));
}
