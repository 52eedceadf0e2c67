//! Device objects and IRPs.

/// A device object came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceEvent {
    /// `NdisRegisterDeviceEx` or `IoCreateDevice` made it.
    Created {
        /// The handle or device object.
        device: u64,
        /// Whether the handle it was made with is the filter driver handle.
        with_driver_handle: bool,
        /// Whether a security descriptor was given.
        with_sddl: bool,
        /// Whether a routine for PnP or power IRPs was given.
        with_pnp_or_power: bool,
    },
    /// It was deregistered or deleted.
    Deleted {
        /// The handle or device object.
        device: u64,
        /// Whether it was alive.
        known: bool,
        /// Whether it was attached to another one still.
        is_attached: bool,
    },
    /// `IoInitializeTimer` was given a device that has a timer.
    TimerAgain {
        /// Its object.
        device: u64,
    },
    /// A remove lock was released that nobody has acquired with the tag.
    LockNotHeld {
        /// Its address.
        lock: u64,
        /// The tag.
        tag: u64,
    },
    /// `IoDetachDevice` was given a device that nothing is attached to.
    NotAttached {
        /// Its object.
        device: u64,
    },
    /// It is about to be deleted, and WMI still has it.
    WmiLeft {
        /// The device object.
        device: u64,
    },
}

/// What is wrong with a call about an IRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IrpMisuse {
    /// It was given to a driver, and has no stack location for it.
    NoLocation,
    /// What was given to a driver is no IRP.
    NoIrp,
    /// What an IRP was given to is no device.
    NoDevice,
    /// It was given to a driver with a cancel routine set.
    Cancellable,
    /// It was given to a driver with its stack location marked pending.
    MarkedPending,
    /// It says that it is the kernel's, and brings an address of user mode.
    UserAddress,
    /// It was freed, and is freed again.
    FreedAgain,
    /// It was freed, and is nothing that the driver has allocated.
    FreedForeign,
    /// It was freed, and is the thread's that it was built in.
    FreedThreaded,
    /// It was freed while another driver has it.
    FreedInUse,
    /// `IoInitializeIrp` was given one from `IoAllocateIrp`.
    Initialized,
    /// `IoReuseIrp` was given one that the system has built.
    ReusedBuilt,
    /// Its maker's completion routine did not stop its completion.
    NotStopped,
    /// A completion routine has freed it and lets completion go on.
    FreedInCompletion,
    /// A completion routine has not marked pending what was pending.
    NotPropagated,
    /// It was built without an event, and sent without a completion routine.
    NobodyTold,
}

/// An IRP of the driver's, or one that it was given, changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IrpEvent {
    /// The driver made it.
    Allocated {
        /// Its address.
        irp: u64,
    },
    /// The driver freed it, or the system has what the driver had built.
    Freed {
        /// Its address.
        irp: u64,
    },
    /// The system has locked pages for one of the driver's, who unlocks them and frees the MDL.
    PagesLocked {
        /// The MDL.
        mdl: u64,
        /// Where the pages' contents begin.
        address: u64,
        /// Bytes of them.
        length: u64,
    },
    /// The driver gave it to a device.
    Called {
        /// Its address.
        irp: u64,
    },
    /// It came back to a completion routine of the driver's.
    CameBack {
        /// Its address.
        irp: u64,
    },
    /// A call about it is wrong.
    Misused {
        /// Its address.
        irp: u64,
        /// How.
        misuse: IrpMisuse,
    },
    /// A dispatch routine is called with it.
    Sent {
        /// Its address.
        irp: u64,
        /// The number of this call, which is used once.
        sending: u64,
        /// The major function.
        major: u8,
        /// Bytes of the output part of the system buffer.
        output_len: u64,
    },
    /// `IofCompleteRequest`.
    Completed {
        /// Its address.
        irp: u64,
        /// The dispatch routine's call that it ends; none if there is no such.
        sending: Option<u64>,
        /// `IoStatus.Status`.
        status: u32,
        /// `IoStatus.Information`.
        information: u64,
        /// Whether its cancel routine is still set.
        is_cancellable: bool,
    },
    /// Its completion has gone on past a driver that had passed it on.
    Passed {
        /// Its address.
        irp: u64,
        /// The call of that driver's dispatch routine.
        sending: u64,
        /// `IoStatus.Status`.
        status: u32,
    },
    /// The dispatch routine returned.
    Returned {
        /// Its address.
        irp: u64,
        /// The call.
        sending: u64,
        /// The returned status.
        status: u32,
        /// Whether `IoMarkIrpPending` was used.
        marked_pending: bool,
        /// What the next driver's routine returned, if the IRP was passed on meanwhile.
        lower: Option<u32>,
    },
    /// It was left pending, its caller has given up, and nothing has completed it.
    Overdue {
        /// Its address.
        irp: u64,
        /// Virtual nanoseconds since it was sent.
        waited_ns: u64,
    },
}
