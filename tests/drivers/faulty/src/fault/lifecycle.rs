//! Registration, attach, restart, pause, detach, unload.

use crate::abi::{
    NDIS_FILTER_ATTACH_PARAMETERS, NDIS_HANDLE, NDIS_STATUS, NDIS_STATUS_FAILURE, NTSTATUS,
    STATUS_INSUFFICIENT_RESOURCES,
};
use crate::driver;
use crate::play::{NOTHING, Play};

pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "entry-fails",
        registered: Some(fail_entry),
        ..NOTHING
    },
    Play {
        name: "attach-refused",
        early_attach: Some(refuse_attach),
        ..NOTHING
    },
];

// declined: entry-fails

/// `DriverEntry` deregisters and fails.
fn fail_entry(_: NDIS_HANDLE) -> NTSTATUS {
    driver::deregister();
    STATUS_INSUFFICIENT_RESOURCES
}

// legal: attach-refused

/// `FilterAttach` fails.
fn refuse_attach(_: NDIS_HANDLE, _: *mut NDIS_FILTER_ATTACH_PARAMETERS) -> NDIS_STATUS {
    NDIS_STATUS_FAILURE
}
