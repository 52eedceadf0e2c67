// error[E0308]: packets that NDIS takes back by itself are no batch.
// says: expected `NblBatch<'_, Rx>`, found `LowResources<'_>`

use ndis::nbl::{LowResources, NblBatch, Rx};

pub fn own(packets: LowResources<'_>) -> NblBatch<'_, Rx> {
    packets
}
