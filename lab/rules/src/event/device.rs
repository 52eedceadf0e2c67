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
    },
}

/// An IRP given to the driver changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IrpEvent {
    /// A dispatch routine is called with it.
    Sent {
        /// Its address.
        irp: u64,
        /// The major function.
        major: u8,
        /// Bytes of the output part of the system buffer.
        output_len: u64,
    },
    /// `IofCompleteRequest`.
    Completed {
        /// Its address.
        irp: u64,
        /// `IoStatus.Status`.
        status: u32,
        /// `IoStatus.Information`.
        information: u64,
        /// Whether its cancel routine is still set.
        is_cancellable: bool,
        /// Whether it is an IRP of this driver's at all.
        known: bool,
    },
    /// The dispatch routine returned.
    Returned {
        /// Its address.
        irp: u64,
        /// The returned status.
        status: u32,
        /// Whether `IoMarkIrpPending` was used.
        marked_pending: bool,
    },
    /// It was left pending, its caller has given up, and nothing has completed it.
    Overdue {
        /// Its address.
        irp: u64,
        /// Virtual nanoseconds since it was sent.
        waited_ns: u64,
    },
}
