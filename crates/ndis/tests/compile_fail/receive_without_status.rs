// error[E0277]: NDIS wants filters that see received packets to handle status indications.
// says: `Filter` has no status path
// says: NDIS wants a filter that sees received packets to handle status indications

use ndis::Status;
use ndis::filter::{Attaching, FilterModule, ReceivePath, Running};
use ndis::irql::{AtMostDispatch, Passive};
use ndis::nbl::{LowResources, NblBatch, Rx};

pub struct Filter;

impl FilterModule for Filter {
    type Departed = ();

    fn attach(_: &mut Attaching<'_, Self>, _: &mut Passive) -> Result<Self, Status> {
        Ok(Self)
    }
}

impl ReceivePath for Filter {
    fn receive(_: &Running<'_, Self>, packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
        packets.forward(irql);
    }

    fn receive_low_resources(
        _: &Running<'_, Self>,
        packets: LowResources<'_>,
        irql: &mut AtMostDispatch,
    ) {
        packets.forward(irql);
    }
}
