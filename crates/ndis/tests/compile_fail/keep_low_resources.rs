// error[E0308]: packets that NDIS takes back by itself are no batch.

use ndis::nbl::{LowResources, NblBatch, Rx};

pub fn own(packets: LowResources<'_>) -> NblBatch<'_, Rx> {
    packets
}
