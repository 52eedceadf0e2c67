//! NDIS events and sleeps.

use crate::abi::ndis::NDIS_EVENT;
use crate::abi::nt::DISPATCHER_HEADER;
use crate::nt::{imports, ke};
use crate::rt::Call;
use crate::rt::sched::{self, Wait};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisInitializeEvent => initialize,
    NdisSetEvent => set,
    NdisResetEvent => reset,
    NdisWaitEvent => wait,
    NdisMSleep => sleep,
}

/// The KEVENT in an NDIS_EVENT.
fn event(call: &Call<'_>) -> u64 {
    call.arg(0).wrapping_add(NDIS_EVENT::Event)
}

fn initialize(call: &Call<'_>) -> u64 {
    ke::initialize_event_at(event(call), true, false).or_fault();
    0
}

fn set(call: &Call<'_>) -> u64 {
    ke::set_event_at(event(call)).or_fault();
    0
}

fn reset(call: &Call<'_>) -> u64 {
    DISPATCHER_HEADER::SignalState
        .write(event(call), 0)
        .or_fault();
    0
}

fn wait(call: &Call<'_>) -> u64 {
    // 0 ms is for ever.
    let limit_ms = u64::from(call.arg_u32(1));
    let deadline_ns = (limit_ms != 0).then(|| sched::now() + limit_ms * 1_000_000);
    u64::from(ke::wait_for(event(call), deadline_ns) == Wait::Satisfied)
}

fn sleep(call: &Call<'_>) -> u64 {
    sched::sleep_until(sched::now() + u64::from(call.arg_u32(0)) * 1_000);
    0
}
