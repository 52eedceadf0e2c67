//! Network interfaces that a driver provides itself: their LUIDs, their indices, and their places in the interface stack.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::event::Registered;

use super::interface::is_index;
use super::register::read_header;
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_STATUS_INTERFACE_NOT_FOUND, NDIS_STATUS_INVALID_PARAMETER,
};
use crate::nt::{SUCCESS, imports, registration, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisIfRegisterProvider => register_provider,
    NdisIfDeregisterProvider => deregister_provider,
    NdisIfRegisterInterface => register,
    NdisIfDeregisterInterface => deregister,
    NdisIfAllocateNetLuidIndex => allocate_index,
    NdisIfFreeNetLuidIndex => free_index,
    NdisIfAddIfStackEntry => add_entry,
    NdisIfDeleteIfStackEntry => delete_entry,
}

/// `NDIS_STATUS_DUPLICATE_OBJECTID`, which the table does not have.
const NDIS_STATUS_DUPLICATE_OBJECTID: i32 = 0xC023_002A_u32.cast_signed();

/// `NDIS_OBJECT_REVISION_1`, and the sizes of the two structures.
const REVISION: u8 = 1;
const CHARACTERISTICS_BYTES: u16 = 40;
const QUERY_HANDLER: mem::Field<u64> = mem::Field::at(8);
const SET_HANDLER: mem::Field<u64> = mem::Field::at(16);
const INFORMATION_BYTES: u16 = 96;

/// Indices of interfaces of the driver's begin above those of adapters.
const FIRST_INDEX: u32 = 0x1000;

#[derive(Default)]
struct State {
    /// The next LUID index of each type of interface; and those that are allocated.
    last_luid_index: u32,
    luid_indices: BTreeSet<(u16, u32)>,
    /// Interfaces by index: provider and LUID.
    interfaces: BTreeMap<u32, (u64, u64)>,
    last_index: u32,
    /// Which interface is above which.
    stack: BTreeSet<(u32, u32)>,
}

per_image! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

fn register_provider(call: &Call<'_>) -> u64 {
    let (characteristics, context, out) = (call.arg(0), call.arg(1), call.arg(2));
    let expected = (NDIS_OBJECT_TYPE_DEFAULT, REVISION, CHARACTERISTICS_BYTES);
    let structure = "NDIS_IF_PROVIDER_CHARACTERISTICS";
    let header = read_header(structure, characteristics, expected).or_fault();
    let query = QUERY_HANDLER.read(characteristics).or_fault();
    let set = SET_HANDLER.read(characteristics).or_fault();
    if !header.is_valid() || query == 0 || set == 0 {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let handle = registration::open(Registered::InterfaceProvider, query, context);
    mem::write(out, handle).or_fault();
    SUCCESS
}

fn deregister_provider(call: &Call<'_>) -> u64 {
    registration::close_known(Registered::InterfaceProvider, call.arg(0));
    0
}

/// The LUID is one of an index that was allocated for its type: 24 reserved bits, 24 of the index, 16 of the type.
fn register(call: &Call<'_>) -> u64 {
    let (provider, luid, context) = (call.arg(0), call.arg(1), call.arg(2));
    let (information, out) = (call.arg(3), call.arg(4));
    let expected = (NDIS_OBJECT_TYPE_DEFAULT, REVISION, INFORMATION_BYTES);
    let header = read_header("NET_IF_INFORMATION", information, expected).or_fault();
    let key = ((luid >> 48) as u16, (luid >> 24 & 0xFF_FFFF) as u32);
    let is_allocated = STATE.with_borrow(|state| state.luid_indices.contains(&key));
    let is_provider = registration::holds(Registered::InterfaceProvider, provider);
    if !header.is_valid() || !is_provider || !is_allocated {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let index = STATE.with_borrow_mut(|state| {
        if state.interfaces.values().any(|(_, known)| *known == luid) {
            return None;
        }
        state.last_index += 1;
        let index = FIRST_INDEX + state.last_index;
        state.interfaces.insert(index, (provider, luid));
        Some(index)
    });
    let Some(index) = index else {
        return status(NDIS_STATUS_DUPLICATE_OBJECTID);
    };
    registration::add(Registered::Interface, index.into(), 0, context);
    mem::write(out, index).or_fault();
    SUCCESS
}

/// Its entries in the stack go with it.
fn deregister(call: &Call<'_>) -> u64 {
    let index = call.arg_u32(0);
    registration::remove(Registered::Interface, index.into());
    STATE.with_borrow_mut(|state| {
        state.interfaces.remove(&index);
        state
            .stack
            .retain(|(above, below)| *above != index && *below != index);
    });
    0
}

fn allocate_index(call: &Call<'_>) -> u64 {
    let index = STATE.with_borrow_mut(|state| {
        state.last_luid_index += 1;
        state
            .luid_indices
            .insert((call.arg_u16(0), state.last_luid_index));
        state.last_luid_index
    });
    mem::write(call.arg(1), index).or_fault();
    SUCCESS
}

fn free_index(call: &Call<'_>) -> u64 {
    let key = (call.arg_u16(0), call.arg_u32(1));
    if STATE.with_borrow_mut(|state| state.luid_indices.remove(&key)) {
        SUCCESS
    } else {
        status(NDIS_STATUS_INVALID_PARAMETER)
    }
}

fn add_entry(call: &Call<'_>) -> u64 {
    let (above, below) = (call.arg_u32(0), call.arg_u32(1));
    let is_known = |index: u32| {
        is_index(index) || STATE.with_borrow(|state| state.interfaces.contains_key(&index))
    };
    if !is_known(above) || !is_known(below) {
        return status(NDIS_STATUS_INTERFACE_NOT_FOUND);
    }
    STATE.with_borrow_mut(|state| state.stack.insert((above, below)));
    SUCCESS
}

fn delete_entry(call: &Call<'_>) -> u64 {
    let entry = (call.arg_u32(0), call.arg_u32(1));
    STATE.with_borrow_mut(|state| state.stack.remove(&entry));
    0
}
