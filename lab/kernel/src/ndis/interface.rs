//! Network interfaces: indices and LUIDs.

use super::adapter;
use super::module::parameters::net_luid;
use crate::abi::constant::{NDIS_STATUS_INTERFACE_NOT_FOUND, NDIS_STATUS_SUCCESS};
use crate::nt::{imports, status};
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisIfGetInterfaceIndexFromNetLuid => index_from_luid,
    NdisIfGetNetLuidFromInterfaceIndex => luid_from_index,
}

/// Whether an adapter has this index.
pub(super) fn is_index(index: u32) -> bool {
    indices().any(|known| known == index)
}

/// The indices of the filter modules' interfaces, which are those that the driver is told of.
fn indices() -> impl Iterator<Item = u32> {
    (0..adapter::count()).map(adapter::if_index)
}

fn index_from_luid(call: &Call<'_>) -> u64 {
    // A NET_LUID is a union of 8 bytes, passed by value.
    let luid = call.arg(0);
    match indices().find(|index| net_luid(*index) == luid) {
        Some(index) => {
            mem::write(call.arg(1), index).or_fault();
            status(NDIS_STATUS_SUCCESS)
        }
        None => status(NDIS_STATUS_INTERFACE_NOT_FOUND),
    }
}

fn luid_from_index(call: &Call<'_>) -> u64 {
    let index = call.arg_u32(0);
    if !is_index(index) {
        return status(NDIS_STATUS_INTERFACE_NOT_FOUND);
    }
    mem::write(call.arg(1), net_luid(index)).or_fault();
    status(NDIS_STATUS_SUCCESS)
}
