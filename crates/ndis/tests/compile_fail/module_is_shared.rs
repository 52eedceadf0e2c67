// error[E0277]: callbacks of a module run on several processors at once, so it has to be `Sync`.
// says: `Cell<u32>` cannot be shared between threads safely

use core::cell::Cell;

use ndis::Status;
use ndis::filter::{Attaching, FilterModule};
use ndis::irql::Passive;

pub struct Filter(Cell<u32>);

impl FilterModule for Filter {
    type Departed = ();

    fn attach(_: &mut Attaching<'_, Self>, _: &mut Passive) -> Result<Self, Status> {
        Ok(Self(Cell::new(0)))
    }
}
