// error[E0308]: a thread is created where waiting is allowed; the datapath is not.
// says: expected `&mut Passive`, found `&mut AtMostDispatch`

use ndis::filter::{Attaching, FilterModule};
use ndis::irql::AtMostDispatch;
use ndis::thread::Routine;

pub fn create<M: FilterModule>(
    attaching: &mut Attaching<'_, M>,
    routine: Routine<M>,
    irql: &mut AtMostDispatch,
) {
    let _ = attaching.thread(routine, irql);
}
