//! The control device and IRPs.

super::rules! {
    DEVICE:
    DEV_HANDLE = "dev-handle": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisregisterdeviceex.md",
        "NdisRegisterDeviceEx gets the driver handle, at PASSIVE_LEVEL, after registration.";
    DEV_ATTRIBUTES = "dev-attributes": BugCheck Must,
        name None, stop "0x7C/0x21", page "ddi ndis/ns-ndis-_ndis_device_object_attributes.md",
        "Device attributes have a valid header, \\Device\\ name with terminator, and NULL DeviceClassGuid.";
    DEV_NO_PNP_POWER = "dev-no-pnp-power": Style Must,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_device_object_attributes.md",
        "No PnP or power dispatch entry is supplied.";
    DEV_EXTENSION_UNTOUCHED = "dev-extension-untouched": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisregisterdeviceex.md",
        "DeviceObject->DeviceExtension is not modified.";
    DEV_SDDL = "dev-sddl": Style Should,
        name None, stop None, page "kernel/sddl-for-device-objects.md",
        "The device has an explicit SDDL string limited to the needed callers.";
    DEV_DEREGISTER_ONCE = "dev-deregister-once": Leak Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisderegisterdeviceex.md",
        "The device handle is deregistered exactly once, at PASSIVE_LEVEL, before the driver handle is deregistered.";
    DEV_WMI_DEREGISTERED = "dev-wmi-deregistered": BugCheck Must,
        name "Driver Verifier: Miscellaneous Checks", stop "0xC4/0xDB", page "devtest/miscellaneous-checks.md",
        "A device is deregistered from WMI before it is deleted.";
    DEV_DEREGISTER_ON_FAILURE = "dev-deregister-on-failure": Leak Sample,
        name None, stop None, page "samples network/ndis/filter/filter.c",
        "If device registration fails in DriverEntry the filter registration is undone.";
    IRP_COMPLETE_ONCE = "irp-complete-once": BugCheck Must,
        name "DoubleCompletion", stop "0x44", page "devtest/wdm-doublecompletion.md",
        "An IRP is completed exactly once.";
    IRP_COMPLETE_OR_PEND = "irp-complete-or-pend": Hang Must,
        name "IrpProcessingComplete", stop None, page "devtest/wdm-irpprocessingcomplete.md",
        "A dispatch routine that does not return STATUS_PENDING has completed the IRP.";
    IRP_MARK_PENDING = "irp-mark-pending": Corruption Must,
        name "MarkIrpPending", stop None, page "devtest/wdm-markirppending.md",
        "IoMarkIrpPending and returning STATUS_PENDING go together.";
    IRP_PENDING_NOT_AFTER_COMPLETE = "irp-pending-not-after-complete": Corruption Must,
        name "PendedCompletedRequest / 2 / 3", stop None, page "devtest/wdm-pendedcompletedrequest.md",
        "STATUS_PENDING is not returned for an IRP completed without having been marked pending.";
    IRP_STATUS_CONSISTENT = "irp-status-consistent": BugCheck Must,
        name "I/O Verification 0x224", stop "0xC9/0x224", page "debugger/bug-check-0xc9",
        "The returned status equals IoStatus.Status for completed IRPs.";
    IRP_NO_PENDING_STATUS = "irp-no-pending-status": BugCheck Must,
        name "CompleteRequestStatusCheck", stop "0xC9/0x06", page "devtest/wdm-completerequeststatuscheck.md",
        "An IRP is not completed with STATUS_PENDING or -1.";
    IRP_CANCEL_CLEARED = "irp-cancel-cleared": BugCheck Must,
        name "I/O Verification", stop "0xC9/0x07", page "debugger/bug-check-0xc9",
        "The cancel routine is cleared before completion.";
    IRP_COMPLETE_NO_LOCK = "irp-complete-no-lock": Hang Must,
        name "SpinLockSafe", stop None, page "devtest/wdm-spinlocksafe.md",
        "IoCompleteRequest is not called with a spin lock held.";
    IRP_COMPLETE_IRQL = "irp-complete-irql": BugCheck Must,
        name None, stop "0xC9/0x0E", page "ddi wdm/nf-wdm-iocompleterequest.md",
        "IoCompleteRequest is called at or below DISPATCH_LEVEL.";
    IRP_DISPATCH_IRQL = "irp-dispatch-irql": BugCheck Must,
        name "IrqlReturn", stop "0xC4/0x0002001D", page "devtest/wdm-irqlreturn.md",
        "A dispatch routine returns at its entry IRQL.";
    IRP_INFORMATION_BOUNDS = "irp-information-bounds": Corruption Derived,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_device_object_attributes.md",
        "IoStatus.Information does not exceed the output buffer length of a buffered request, or of one whose output is locked pages.";
    IRP_INPUT_VALIDATED = "irp-input-validated": Corruption Must,
        name "DoubleFetch", stop None, page "devtest/wdm-doublefetch.md",
        "IOCTL buffers are length-checked and user memory is fetched once.";
    IRP_USER_PROBE = "irp-user-probe": Corruption Must,
        name None, stop None, page "kernel/errors-in-referencing-user-space-addresses.md",
        "An address that a request of user mode brings is probed before it is used.";
    IRP_USER_TRY = "irp-user-try": BugCheck Must,
        name None, stop None, page "kernel/errors-in-referencing-user-space-addresses.md",
        "User memory is probed, locked and touched inside __try with an __except: it can become invalid at any time.";
    IRP_USER_CONTEXT = "irp-user-context": Corruption Must,
        name None, stop None, page "kernel/using-neither-buffered-nor-direct-i-o.md",
        "An address of user mode is used only in the context of the process that it came from, and before its request is completed.";
    IRP_LOCATION = "irp-location": BugCheck Must,
        name "No More IRP Stack Locations", stop "0x35", page "debugger/bug-check-0x35",
        "An IRP has a stack location for each driver that it is given to.";
    IRP_CALL = "irp-call": BugCheck Must,
        name "I/O Verification 0x03, 0x04, 0x203, 0x206", stop "0xC9", page "debugger/bug-check-0xc9",
        "IoCallDriver gets a device and an IRP without a cancel routine, whose next stack location is not marked pending.";
    IRP_FREE = "irp-free": Corruption Must,
        name "I/O Verification 0x01, 0x02, 0x20A to 0x20C", stop "0xC9", page "ddi wdm/nf-wdm-iofreeirp.md",
        "IoFreeIrp gets an IRP from IoAllocateIrp or IoBuildAsynchronousFsdRequest, once, when no other driver has it.";
    IRP_REUSE = "irp-reuse": Corruption Must,
        name "I/O Verification 0x20D, IoReuseIrp", stop "0xC9/0x20D", page "ddi wdm/nf-wdm-ioreuseirp.md",
        "IoInitializeIrp is for raw memory, and IoReuseIrp for that and for IRPs from IoAllocateIrp.";
    IRP_MAKER_STOPS = "irp-maker-stops": Corruption Must,
        name "IoAllocateFree", stop None, page "ddi wdm/nf-wdm-ioallocateirp.md",
        "The completion routine of an IRP that a driver has made, and not for its thread, returns STATUS_MORE_PROCESSING_REQUIRED.";
    IRP_PENDING_PROPAGATED = "irp-pending-propagated": Hang Must,
        name None, stop None, page "kernel/implementing-an-iocompletion-routine.md",
        "A completion routine that lets completion go on marks the IRP pending if PendingReturned is set.";
    IRP_MAKER_TOLD = "irp-maker-told": Leak Must,
        name None, stop None, page "ddi wdm/nf-wdm-iobuilddeviceiocontrolrequest.md",
        "A request of IoBuildDeviceIoControlRequest has an event or a completion routine.";
    DEV_DETACH_FIRST = "dev-detach-first": Corruption Must,
        name "I/O Verification 0x201, 0x202", stop None, page "debugger/bug-check-0xc9",
        "A device that was attached to another is detached once, before it is deleted.";
    REMOVE_LOCK_BALANCED = "remove-lock-balanced": Hang Must,
        name "RemoveLock", stop None, page "kernel/using-remove-locks.md",
        "What IoAcquireRemoveLock has acquired is released once, with its tag.";
    IO_TIMER_ONCE = "io-timer-once": Corruption Must,
        name "I/O Verification 0x0A", stop "0xC9/0x0A", page "ddi wdm/nf-wdm-ioinitializetimer.md",
        "IoInitializeTimer is called once for a device object.";
    IRP_MODULE_REFERENCE = "irp-module-reference": Corruption Derived,
        name None, stop None, page "ddi ndis/nc-ndis-filter_detach.md",
        "A module used from a dispatch routine is referenced so that FilterDetach waits for it.";
    IRP_OPEN_BLOCKS_UNLOAD = "irp-open-blocks-unload": Style Must,
        name None, stop None, page "kernel/unload-routine-environment.md",
        "Unload is not entered while handles to the device are open or IRPs outstanding.";
}
