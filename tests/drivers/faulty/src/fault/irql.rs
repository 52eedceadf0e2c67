//! Imports called at the wrong IRQL.

use core::mem::MaybeUninit;
use core::ptr::null_mut;

use crate::abi::{
    DISPATCH_LEVEL, KeAcquireSpinLockAtDpcLevel, KeLowerIrql, KeReleaseSpinLockFromDpcLevel,
    KfRaiseIrql, NDIS_EVENT, NdisCloseConfiguration, NdisInitializeEvent, NdisOpenConfigurationEx,
    NdisWaitEvent,
};
use crate::module::Module;
use crate::play::Play;
use crate::{configuration, driver};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("irql-wait", wait_at_dispatch),
    Play::in_attach("irql-configuration", open_configuration_at_dispatch),
    Play::in_attach("irql-dpc-lock", dpc_lock_at_passive),
];

/// `NdisWaitEvent` needs PASSIVE_LEVEL.
fn wait_at_dispatch(_: &'static Module) {
    let mut event = MaybeUninit::<NDIS_EVENT>::uninit();
    // SAFETY: callable at any IRQL; the event outlives its use.
    unsafe { NdisInitializeEvent(event.as_mut_ptr()) };
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { NdisWaitEvent(event.as_mut_ptr(), 1) }; // caught: irql-wait by event-wait-passive
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
}

/// `NdisOpenConfigurationEx` needs PASSIVE_LEVEL.
fn open_configuration_at_dispatch(_: &'static Module) {
    let mut object = configuration::object(driver::handle());
    let mut handle = null_mut();
    // SAFETY: lowered below.
    let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none: this is the fault.
    unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut handle) }; // caught: irql-configuration by config-passive
    // SAFETY: the level that the raise returned.
    unsafe { KeLowerIrql(old) };
    if !handle.is_null() {
        // SAFETY: opened above.
        unsafe { NdisCloseConfiguration(handle) };
    }
}

/// `KeAcquireSpinLockAtDpcLevel` needs DISPATCH_LEVEL.
fn dpc_lock_at_passive(_: &'static Module) {
    let mut lock = 0_u64;
    // SAFETY: none: this is the fault.
    unsafe { KeAcquireSpinLockAtDpcLevel(&raw mut lock) }; // caught: irql-dpc-lock by irql-dpc-lock-below
    // SAFETY: acquired above.
    unsafe { KeReleaseSpinLockFromDpcLevel(&raw mut lock) };
}
