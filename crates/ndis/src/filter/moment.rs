//! What this crate does with a driver, told to the driver for its traces.

use super::{AttachParameters, Attached, BothWays, FilterModule};
use crate::{Status, time};

/// Something that has just happened to the driver or one of its modules; see [`FilterModule::witness`].
///
/// Times are 0 when the driver did not [ask](FilterModule::wants_times) for them.
#[derive(Debug)]
pub enum Moment<'a, M: FilterModule> {
    /// The system does not register what events are written with: the driver runs without them.
    EventsNotRegistered(Status),
    /// The system does not register what WPP messages are written with: the driver runs without them.
    MessagesNotRegistered(Status),
    /// `DriverEntry` is done: modules may attach, or have.
    Loaded,
    /// `DriverEntry` fails.
    NotLoaded(Status),
    /// `DriverUnload` is done but for the end of the traces.
    Unloaded,
    /// A module is attached.
    Attached {
        /// The module.
        module: &'a Attached<'a, M>,
        /// How long it took.
        took_ns: u64,
    },
    /// A module could not be attached.
    NotAttached {
        /// What NDIS said about its adapter, if that could be read.
        parameters: Option<&'a AttachParameters>,
        /// Why.
        why: Status,
        /// How long it took.
        took_ns: u64,
    },
    /// `FilterRestart` is done.
    Restarted {
        /// The module.
        module: &'a Attached<'a, M>,
        /// Whether packets pass now.
        result: Result<(), Status>,
        /// How long it took.
        took_ns: u64,
    },
    /// Memory was too short for all packets of the module's own that it wants from this restart on.
    OwnPacketsShort {
        /// The module.
        module: &'a Attached<'a, M>,
        /// Those for sends and for receives that there are.
        made: BothWays<u32>,
        /// Those that it wants.
        wanted: BothWays<u32>,
    },
    /// `FilterPause` is done.
    Paused {
        /// The module.
        module: &'a Attached<'a, M>,
        /// Why NDIS wanted it (`NDIS_FILTER_PAUSE_PARAMETERS.PauseReason`).
        reason: u32,
        /// How long it took.
        took_ns: u64,
    },
    /// A module is gone.
    Detached {
        /// What NDIS said about its adapter.
        parameters: &'a AttachParameters,
        /// How long it took.
        took_ns: u64,
    },
}

/// A look at the clock that a driver may want.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Option<u64>);

impl Stopwatch {
    /// Starts if the driver wants times.
    pub(crate) fn start<M: FilterModule>() -> Self {
        Self(M::wants_times().then(time::now_ns))
    }

    /// The time since, or 0.
    pub(crate) fn took_ns(self) -> u64 {
        self.0
            .map_or(0, |begun_ns| time::now_ns().saturating_sub(begun_ns))
    }
}
