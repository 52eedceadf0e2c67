// error[E0599]: packets that NDIS takes back by itself cannot be returned.
// says: no method named `return_` found for struct `LowResources<'c>`

use ndis::irql::AtMostDispatch;
use ndis::nbl::LowResources;

pub fn receive(packets: LowResources<'_>, irql: &mut AtMostDispatch) {
    packets.return_(irql);
}
