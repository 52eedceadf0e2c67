//! I/O work items, of the NDIS and the WDM family.

/// A work item changed its state, or was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkItemEvent {
    /// It was allocated (`NdisAllocateIoWorkItem`, `IoAllocateWorkItem`) or initialised.
    Allocated {
        /// Its address or handle.
        item: u64,
        /// What it was allocated for.
        owner: WorkItemOwner,
    },
    /// It was queued.
    Queued {
        /// Its address or handle.
        item: u64,
        /// The routine.
        routine: u64,
        /// Whether the routine lies in the driver's code.
        routine_is_code: bool,
        /// The routine's argument.
        context: u64,
    },
    /// A system worker thread took it off the queue; the routine runs next.
    Started {
        /// Its address or handle.
        item: u64,
    },
    /// The routine returned.
    Finished {
        /// Its address or handle at the start of the run.
        item: u64,
        /// The routine.
        routine: u64,
        /// The routine's argument.
        context: u64,
    },
    /// It was freed or uninitialised.
    Freed {
        /// Its address or handle.
        item: u64,
    },
}

/// The object a work item is allocated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkItemOwner {
    /// The filter driver handle.
    Driver,
    /// A handle of `NdisRegisterDeviceEx`, or a device object.
    Device,
    /// A filter module handle.
    Module,
    /// Nothing that the kernel knows.
    Unknown(u64),
}
