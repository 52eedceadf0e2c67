// error[E0308]: parameters are read at `PASSIVE_LEVEL`.
// says: expected `&mut Passive`, found `&mut AtMostDispatch`

use ndis::config::{Configuration, Parameter};
use ndis::irql::AtMostDispatch;

pub fn read(configuration: &mut Configuration<'_>, irql: &mut AtMostDispatch) -> Parameter {
    configuration.integer(ndis::text!("SnapLen"), irql)
}
