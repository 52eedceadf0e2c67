// error[E0308]: a datapath callback has no `Passive`.
// says: expected `&mut Passive`, found `&mut AtMostDispatch`

use ndis::event::Event;
use ndis::irql::AtMostDispatch;

pub fn wait(event: &Event, irql: &mut AtMostDispatch) {
    event.wait(irql);
}
