// error[E0277]: a handler is asked for whose trait is not there.
// says: `Filter` has no send path
// says: this needs `impl SendPath`

use ndis::Status;
use ndis::filter::{Attaching, FilterModule};
use ndis::irql::Passive;

pub struct Filter;

impl FilterModule for Filter {
    type Departed = ();

    fn attach(_: &mut Attaching<'_, Self>, _: &mut Passive) -> Result<Self, Status> {
        Ok(Self)
    }
}

ndis::driver! {
    module: Filter,
    handlers: [send],
    unique_name: "{00000000-0000-0000-0000-000000000000}",
    service_name: "filter",
    friendly_name: "filter",
}
