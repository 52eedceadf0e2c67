// error[E0308]: a DPC has no token to wait with.
// says: expected `&mut Passive`, found `&mut AtMostDispatch`

use ndis::dpc::Routine;
use ndis::event::Event;
use ndis::filter::{Attached, FilterModule};
use ndis::irql::AtMostDispatch;

pub trait Waits: FilterModule {
    fn event(&self) -> &Event;
}

pub fn routine<M: Waits>() -> Routine<M> {
    fn wait<M: Waits>(module: &Attached<'_, M>, irql: &mut AtMostDispatch) {
        module.event().wait(irql);
    }
    wait::<M>
}
