//! Generic objects: handles of drivers that have none of NDIS.

use super::handle::{self, Handle};
use crate::driver;
use crate::nt::imports;
use crate::rt::Call;

imports! {
    "ndis.sys":
    NdisAllocateGenericObject => allocate,
    NdisFreeGenericObject => free,
}

fn allocate(_: &Call<'_>) -> u64 {
    if driver::is_short() {
        return 0;
    }
    handle::open(Handle::Generic)
}

fn free(call: &Call<'_>) -> u64 {
    handle::close(call.arg(0));
    0
}
