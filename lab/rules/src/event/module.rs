//! The life of the driver and of its filter modules.

use super::Registered;

/// What `NdisFRegisterFilterDriver` was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registration {
    /// `MajorNdisVersion`.
    pub major: u8,
    /// `MinorNdisVersion`.
    pub minor: u8,
    /// The minor version that the system offers.
    pub offered_minor: u8,
    /// The header of the characteristics.
    pub header: Header,
    /// The handlers.
    pub handlers: HandlerSet,
    /// Whether `DriverEntry` is running.
    pub in_driver_entry: bool,
    /// `UniqueName`.
    pub unique_name: String,
    /// Whether it succeeded.
    pub accepted: bool,
}

/// An `NDIS_OBJECT_HEADER` against what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The structure: `NDIS_FILTER_DRIVER_CHARACTERISTICS`.
    pub structure: &'static str,
    /// Its address.
    pub address: u64,
    /// `Type`.
    pub object_type: u8,
    /// `Revision`.
    pub revision: u8,
    /// `Size`.
    pub size: u16,
    /// The expected `Type`.
    pub expected_type: u8,
    /// The expected `Revision`.
    pub expected_revision: u8,
    /// The least `Size` of that revision.
    pub expected_size: u16,
}

impl Header {
    /// Whether type, revision and size are those of the structure.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.object_type == self.expected_type
            && self.revision == self.expected_revision
            && self.size >= self.expected_size
    }
}

/// Which handlers a registration (or a module's partial characteristics) supplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the names are those of Microsoft's documentation"
)]
pub struct HandlerSet {
    pub set_options: bool,
    pub set_module_options: bool,
    pub attach: bool,
    pub detach: bool,
    pub restart: bool,
    pub pause: bool,
    pub send: bool,
    pub send_complete: bool,
    pub cancel_send: bool,
    pub receive: bool,
    pub return_: bool,
    pub oid_request: bool,
    pub oid_request_complete: bool,
    pub cancel_oid_request: bool,
    pub direct_oid_request: bool,
    pub direct_oid_request_complete: bool,
    pub cancel_direct_oid_request: bool,
    pub synchronous_oid_request: bool,
    pub synchronous_oid_request_complete: bool,
    pub status: bool,
    pub net_pnp_event: bool,
    pub device_pnp_event: bool,
}

/// Something in the life of the driver or of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModuleEvent {
    /// `DriverEntry` succeeded.
    Loaded {
        /// Whether `DriverUnload` is set.
        has_unload_routine: bool,
    },
    /// `NdisFSetAttributes`.
    AttributesSet {
        /// The adapter.
        adapter: u32,
        /// The header that was given.
        header: Header,
        /// The module context.
        context: u64,
        /// `Flags`.
        flags: u32,
    },
    /// `NdisSetOptionalHandlers` for a module.
    HandlersChanged {
        /// The adapter.
        adapter: u32,
        /// The effective set.
        handlers: HandlerSet,
        /// Whether `FilterSetModuleOptions` is running for it on this thread.
        in_set_module_options: bool,
    },
    /// `NdisFPauseComplete`.
    PauseCompleted {
        /// The adapter.
        adapter: u32,
    },
    /// `FilterRestart` has returned: what became of its parameters.
    RestartReturned {
        /// The adapter.
        adapter: u32,
        /// The returned status.
        status: u32,
        /// Whether `RestartAttributes` was NULL.
        was_null: bool,
        /// Whether the attributes changed.
        has_changed: bool,
        /// Whether an entry with an unknown OID changed.
        unknown_changed: bool,
        /// Whether an entry was added that is no block of pool, or one taken out and not freed.
        is_memory_wrong: bool,
    },
    /// `NdisFRestartComplete`.
    RestartCompleted {
        /// The adapter.
        adapter: u32,
        /// The status it was given.
        status: u32,
    },
    /// `NdisFIndicateStatus`.
    StatusIndicated {
        /// The adapter.
        adapter: u32,
        /// The header that was given.
        header: Header,
        /// The status code.
        code: u32,
        /// Whether the structure is the one that `FilterStatus` received.
        passed_on: bool,
        /// Whether `SourceHandle` is the module's own handle.
        source_is_module: bool,
        /// `DestinationHandle`.
        destination: u64,
        /// `RequestId`.
        request_id: u64,
    },
    /// `NdisFDeregisterFilterDriver`.
    Deregistered {
        /// Whether the unload routine, or a failing `DriverEntry`, is running.
        in_unload_or_entry: bool,
        /// Whether the handle was alive.
        known: bool,
    },
    /// An NDIS function was given a module or driver handle that is not alive.
    BadHandle {
        /// The function.
        function: &'static str,
        /// The handle.
        handle: u64,
        /// Whether it was alive once.
        was_alive: bool,
        /// Whether it was a module's (or else the driver's).
        is_module: bool,
    },
}

/// Something that took longer than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overdue {
    /// `FilterPause` was entered and the pause is not complete.
    Pause {
        /// The adapter.
        adapter: u32,
        /// Virtual nanoseconds.
        waited_ns: u64,
    },
    /// `FilterRestart` returned NDIS_STATUS_PENDING and the restart is not complete.
    Restart {
        /// The adapter.
        adapter: u32,
        /// Virtual nanoseconds.
        waited_ns: u64,
    },
    /// A callback did not return.
    Callback {
        /// The routine.
        callback: super::Callback,
        /// The adapter, if one.
        adapter: Option<u32>,
        /// Virtual nanoseconds.
        waited_ns: u64,
    },
    /// Send NBLs were given to the filter and are neither passed down nor completed.
    Sends {
        /// The adapter.
        adapter: u32,
        /// Virtual nanoseconds.
        waited_ns: u64,
    },
    /// Receive NBLs were given to the filter and are neither passed up nor returned.
    Receives {
        /// The adapter.
        adapter: u32,
        /// Virtual nanoseconds.
        waited_ns: u64,
    },
    /// Every thread waits for something that cannot happen any more.
    Deadlock,
    /// A processor stayed at DISPATCH_LEVEL beyond the DPC watchdog's limit.
    Dispatch,
    /// Driver code runs on and on and calls nothing.
    EndlessLoop,
    /// Driver code calls the kernel, or spins, on and on and never waits.
    EndlessCalls,
    /// Work items are still queued or running long after the last packet.
    Workers,
    /// The whole run.
    Run,
}

/// What is still there after the unload routine (or a failed `DriverEntry`) has returned, beside
/// what monitors count themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Whether `DriverEntry` failed, and nothing was unloaded.
    pub entry_failed: bool,
    /// Whether the filter driver is still registered.
    pub registered: bool,
    /// Timers that are still set.
    pub timers_set: u32,
    /// Timer objects that were not freed.
    pub timers_allocated: Remaining,
    /// System threads that still run.
    pub threads: u32,
    /// The object of the first of them, or 0.
    pub first_thread: u64,
    /// Configuration handles that are still open.
    pub configurations: Remaining,
    /// NBL and NB pools that were not freed.
    pub nbl_pools: Remaining,
    /// Reader-writer locks that were not freed.
    pub rw_locks: Remaining,
    /// ETW providers that are still registered.
    pub etw_providers: Remaining,
    /// Handles of keys, files and threads that are still open.
    pub handles: Remaining,
    /// What is registered still for shutdown, Plug and Play, and with callback objects.
    pub notifications: Remaining,
    /// Remove locks that are acquired still.
    pub remove_locks: Remaining,
    /// IRPs that the driver made, and that nobody has freed.
    pub irps: Remaining,
    /// What is left in the Windows Filtering Platform: open handles, and callouts that are still registered.
    pub platform: Remaining,
    /// Registrations with the system that were not taken back.
    pub registrations: u32,
    /// The first of them, with what it is known by.
    pub registration: Option<(Registered, u64)>,
}

/// Objects of one kind that were not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Remaining {
    /// How many.
    pub count: u32,
    /// The first of them: an address or handle; 0 without any.
    pub first: u64,
}

/// A network PnP event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetPnpEvent {
    /// `FilterNetPnPEvent` is called next.
    Given {
        /// The adapter.
        adapter: u32,
        /// The `NET_PNP_EVENT_CODE`.
        code: u32,
    },
    /// The driver called `NdisFNetPnPEvent`.
    Issued {
        /// The `NET_PNP_EVENT_CODE`.
        code: u32,
    },
}
