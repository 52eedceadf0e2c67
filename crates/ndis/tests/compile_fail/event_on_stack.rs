// error[E0599]: an event is made in pool only: NT links waiting threads into it, where it is.
// says: no function or associated item named `new` found for struct `ndis::event::Event`

use ndis::event::Event;
use ndis::irql::Passive;

pub fn wait(irql: &mut Passive) {
    let event = Event::new();
    event.wait(irql);
}
