// error[E0451]: an event is made in pool only: NT links waiting threads into it, where it is.
// says: field `raw` of struct `ndis::event::Event` is private

use ndis::event::Event;
use ndis::irql::Passive;

pub fn wait(irql: &mut Passive) {
    let event = Event { raw: loop {} };
    event.wait(irql);
}
