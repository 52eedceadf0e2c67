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
mod interface_provider;
mod legacy;
mod machine;
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

use crate::abi::constant::{
    NdisDeviceStateD0, NdisDeviceStateD1, NdisDeviceStateD2, NdisDeviceStateD3,
};
use crate::rt::{Import, sched};
use crate::{Media, PowerState};

/// Everything that `ndis.sys` offers.
pub(crate) const IMPORTS: [&[Import]; 29] = [
    config::IMPORTS,
    control_device::IMPORTS,
    data_space::IMPORTS,
    data_space::retreat::IMPORTS,
    event::IMPORTS,
    generic::IMPORTS,
    interface::IMPORTS,
    interface_provider::IMPORTS,
    legacy::IMPORTS,
    machine::IMPORTS,
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
pub(crate) use netpnp::{give as give_event, notify};
pub(crate) use oid::{
    ask_all as ask_all_oids, ask_one as ask_oid, ask_some as ask_oids,
    concerns_filter as has_oid_handlers,
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
    interface_provider::reset();
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

/// A script says what is asked and indicated, if so.
pub(crate) fn follow_script(is_scripted: bool) {
    disturbance::follow_script(is_scripted);
}

/// Whether a run is like that: see [`follow_script`].
pub(crate) fn is_scripted() -> bool {
    disturbance::is_scripted()
}

/// A run begins, with adapters of these media.
pub(crate) fn name_media(media: Media) {
    module::parameters::name_media(media);
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
    notify(adapter);
    stack::at_top(|| {
        traffic::at_some_level(|| path::cancel(adapter, sched::random(u64::MAX)));
    });
}

/// The adapter goes to D3 and comes back; `meanwhile` it is there.
pub(crate) fn change_power(adapter: u32, meanwhile: impl FnOnce()) {
    set_power(adapter, PowerState::D3);
    meanwhile();
    set_power(adapter, PowerState::D0);
}

/// The adapter goes to another power state.
pub(crate) fn set_power(adapter: u32, state: PowerState) {
    let code = match state {
        PowerState::D0 => NdisDeviceStateD0,
        PowerState::D1 => NdisDeviceStateD1,
        PowerState::D2 => NdisDeviceStateD2,
        PowerState::D3 => NdisDeviceStateD3,
    };
    if state == PowerState::D0 {
        oid::set_power(adapter, code);
        netpnp::set_power(adapter, code);
    } else {
        netpnp::query_power(adapter, code);
        netpnp::set_power(adapter, code);
        oid::set_power(adapter, code);
    }
}
