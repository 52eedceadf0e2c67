//! NDIS: one file per concern.

mod config;
mod content;
mod data_space;
mod disturbance;
mod edge;
mod event;
pub(crate) mod exposure;
mod generic;
mod interface;
mod memory;
mod nbl;
mod netpnp;
mod oid;
mod out_of_band;
pub(crate) mod own;
pub(crate) mod path;
mod processor;
mod register;
mod rw_lock;
pub(crate) mod status;
mod timer;
mod work_item;

pub(crate) mod adapter;
pub(crate) mod bench;
pub(crate) mod control_device;
pub(crate) mod filter;
pub(crate) mod handle;
pub(crate) mod module;
pub(crate) mod stack;
pub(crate) mod traffic;
pub(crate) mod version;

use crate::abi::constant::{NdisDeviceStateD0, NdisDeviceStateD3};
use crate::rt::{Import, sched};

/// Everything that `ndis.sys` offers.
pub(crate) const IMPORTS: [&[Import]; 26] = [
    config::IMPORTS,
    control_device::IMPORTS,
    data_space::IMPORTS,
    data_space::retreat::IMPORTS,
    event::IMPORTS,
    generic::IMPORTS,
    interface::IMPORTS,
    memory::IMPORTS,
    module::IMPORTS,
    netpnp::IMPORTS,
    oid::IMPORTS,
    out_of_band::IMPORTS,
    own::buffer::IMPORTS,
    own::context::IMPORTS,
    own::derived::IMPORTS,
    own::list::IMPORTS,
    own::mdl::IMPORTS,
    own::pool::IMPORTS,
    path::IMPORTS,
    processor::IMPORTS,
    register::IMPORTS,
    rw_lock::IMPORTS,
    status::IMPORTS,
    timer::IMPORTS,
    version::IMPORTS,
    work_item::IMPORTS,
];

pub(crate) use nbl::with_next_filter;
pub(crate) use oid::{
    ask_all as ask_all_oids, ask_some as ask_oids, concerns_filter as has_oid_handlers,
};
pub(crate) use timer::set_count as timers_set;

/// Forgets everything: a run begins.
pub(crate) fn reset() {
    handle::reset();
    filter::set(None);
    nbl::reset();
    oid::reset();
    own::reset();
    data_space::reset();
    config::reset();
    timer::reset();
}

/// Packets are out of the driver's reach while they are not its own, if so.
pub(crate) fn guard_packets(is_on: bool) {
    nbl::configure_reach(is_on);
}

/// Whether a run is like that: see [`disturb`].
pub(crate) fn is_disturbed() -> bool {
    disturbance::is_on()
}

/// Sends are cancelled, packets come while a module does not run, and sends are looped back, if so.
pub(crate) fn disturb(is_on: bool) {
    disturbance::configure(is_on);
}

/// Packets are followed one by one, copies included, if so: no two of them are alike then.
pub(crate) fn follow_packets(is_on: bool) {
    nbl::mark::configure(is_on);
}

/// Whether a run is like that: see [`follow_packets`].
pub(crate) fn follows_packets() -> bool {
    nbl::mark::is_on()
}

/// A status indication and PnP events reach an adapter's stack, and a protocol cancels what it has
/// not sent.
pub(crate) fn indicate_events(adapter: u32) {
    status::indicate_link_state(adapter, true);
    netpnp::notify(adapter);
    stack::at_top(|| {
        traffic::at_some_level(|| path::cancel(adapter, sched::random(u64::MAX)));
    });
}

/// PnP events reach an adapter's stack.
pub(crate) fn notify(adapter: u32) {
    netpnp::notify(adapter);
}

/// The adapter goes to D3 and comes back; `meanwhile` it is there.
pub(crate) fn change_power(adapter: u32, meanwhile: impl FnOnce()) {
    netpnp::query_power(adapter);
    netpnp::set_power(adapter, NdisDeviceStateD3);
    oid::set_power(adapter);
    meanwhile();
    oid::set_power(adapter);
    netpnp::set_power(adapter, NdisDeviceStateD0);
}
