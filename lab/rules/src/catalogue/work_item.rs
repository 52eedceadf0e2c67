//! Work items.

super::rules! {
    WORK_ITEM:
    WI_ALLOC_HANDLE_KIND = "wi-alloc-handle-kind": BugCheck Must,
        name None, stop "0xE4/0x3", page "ddi ndis/nf-ndis-ndisallocateioworkitem.md",
        "A filter passes NdisAllocateIoWorkItem the filter driver handle or an NDIS device handle (a module handle is covered only by the vaguer conceptual page).";
    WI_ALLOC_NULL = "wi-alloc-null": BugCheck Must,
        name "Driver Verifier: Low Resources Simulation", stop None, page "devtest/low-resources-simulation.md",
        "NULL from work item allocation is handled.";
    WI_IRQL = "wi-irql": BugCheck Must,
        name "Irql_Miscellaneous_Function", stop None, page "ddi ndis/nf-ndis-ndisqueueioworkitem.md",
        "Work item allocate, queue and free are called at or below DISPATCH_LEVEL.";
    WI_QUEUE_WHILE_QUEUED = "wi-queue-while-queued": Corruption Must,
        name None, stop "0xE4/0x1", page "kernel/system-worker-threads.md",
        "A work item is not queued while it is still queued.";
    WI_REQUEUE_FROM_START_OK = "wi-requeue-from-start-ok": Corruption Derived,
        name None, stop None, page "kernel/system-worker-threads.md",
        "Requeue is legal from the first instruction of the routine, so the routine must tolerate running concurrently with itself.";
    WI_FREE_WHILE_QUEUED = "wi-free-while-queued": Corruption Must,
        name None, stop "0xE4/0x2", page "ddi wdm/nf-wdm-iofreeworkitem.md",
        "A work item is not freed or uninitialized while queued.";
    WI_FREE_ONCE = "wi-free-once": Corruption Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfreeioworkitem.md",
        "A work item is freed exactly once, with the free function of its family.";
    WI_NO_USE_AFTER_FREE = "wi-no-use-after-free": Corruption Derived,
        name None, stop None, page "ddi wdm/nf-wdm-iofreeworkitem.md",
        "A freed work item handle is not queued, freed or read again.";
    WI_MEMORY_FREED_ACTIVE = "wi-memory-freed-active": Corruption Must,
        name "Driver Verifier: Miscellaneous Checks", stop "0xE4/0x0", page "devtest/miscellaneous-checks.md",
        "Pool containing a queued work item is not freed.";
    WI_FREED_BEFORE_UNLOAD = "wi-freed-before-unload": Leak Must,
        name None, stop "0xCE", page "ddi ndis/nf-ndis-ndisallocateioworkitem.md",
        "Every NDIS work item is freed before the driver unloads.";
    WI_COMPLETE_BEFORE_UNLOAD = "wi-complete-before-unload": BugCheck Must,
        name None, stop "0xCE; 0xD4", page "kernel/releasing-driver-allocated-resources.md",
        "Queued and running work items finish before the unload routine returns.";
    WI_INIT_ALLOC_SDV = "wi-init-alloc-sdv": Leak Must,
        name "Init_NdisAllocateIoWorkItem", stop None, page "devtest/ndis-init-ndisallocateioworkitem.md",
        "A work item allocated during instance initialization is freed in the teardown routine, or in the initialization routine if that fails (miniport wording; attach/detach by analogy).";
    WI_CONTEXT_OUTLIVES = "wi-context-outlives": Corruption Derived,
        name None, stop None, page "kernel/releasing-driver-allocated-resources.md",
        "The context pointer given to a work item stays valid until its routine ends; the device reference does not protect it.";
    WI_ROUTINE_RETURNS_PASSIVE = "wi-routine-returns-passive": BugCheck Must,
        name None, stop "0xE1", page "debugger/bug-check-0xe1",
        "A work item routine returns at PASSIVE_LEVEL.";
    WI_ROUTINE_APC = "wi-routine-apc": BugCheck Must,
        name None, stop "0x1 (type 1)", page "debugger/bug-check-0x1",
        "A work item routine leaves APC disable counts unchanged.";
    WI_ROUTINE_IMPERSONATION = "wi-routine-impersonation": BugCheck Must,
        name None, stop "0xDF", page "debugger/bug-check-0xdf",
        "A work item routine does not return while impersonating.";
    WI_ROUTINE_SILO = "wi-routine-silo": BugCheck Must,
        name None, stop "0x19A; 0x15B", page "debugger/bug-check-0x19a",
        "A work item routine does not return attached to a silo or with leaked page priority.";
    WI_ROUTINE_NO_TERMINATE = "wi-routine-no-terminate": BugCheck Must,
        name None, stop "0xE9", page "debugger/bug-check-0xe9",
        "A work item routine does not terminate its worker thread.";
    WI_ROUTINE_NO_LOCK = "wi-routine-no-lock": Hang Derived,
        name None, stop None, page "kernel/introduction-to-spin-locks.md",
        "A work item routine returns with no lock held.";
    WI_ROUTINE_SHORT = "wi-routine-short": Hang Must,
        name None, stop None, page "ddi wdm/nc-wdm-io_workitem_routine.md",
        "A work item routine runs for a limited time and does not wait indefinitely.";
    WI_NO_WAIT_WITH_LOCK = "wi-no-wait-with-lock": Hang Must,
        name None, stop None, page "ddi wdm/nf-wdm-exqueueworkitem.md",
        "A thread does not hold a synchronization object while waiting for a work item to finish.";
    WI_NO_NESTED_WAIT = "wi-no-nested-wait": Hang Derived,
        name None, stop "0x1C5 (live dump)", page "kernel/system-worker-threads.md",
        "A work item does not wait for another work item of the same queue.";
    WI_INITIALIZE_STORAGE = "wi-initialize-storage": Corruption Must,
        name None, stop "0xC4/0x130,0x131", page "ddi wdm/nf-wdm-ioinitializeworkitem.md",
        "IoInitializeWorkItem is used on nonpaged storage of IoSizeofWorkItem bytes, not on an item from IoAllocateWorkItem.";
    WI_UNINITIALIZE_BEFORE_FREE = "wi-uninitialize-before-free": Corruption Must,
        name None, stop None, page "ddi wdm/nf-wdm-ioinitializeworkitem.md",
        "An initialized work item is uninitialized before its storage is freed.";
    WI_DEVICE_OBJECT_FOR_IOQUEUE = "wi-device-object-for-ioqueue": BugCheck Must,
        name None, stop "0xE4/0x3", page "ddi wdm/nf-wdm-ioallocateworkitem.md",
        "An item queued with IoQueueWorkItem was allocated for a device object, not a driver object.";
    WI_QUEUE_TYPE = "wi-queue-type": Style Must,
        name None, stop "0xE4/0x6", page "ddi wdm/nf-wdm-ioqueueworkitem.md",
        "Drivers calling IoQueueWorkItem(Ex) specify DelayedWorkQueue (the enumeration page also offers CustomPriorityWorkQueue for 8.1+); NDIS-queued items use CriticalWorkQueue and are exempt.";
    WI_VALID_ROUTINE = "wi-valid-routine": BugCheck Must,
        name None, stop "0xE4/0x7", page "debugger/bug-check-0xe4",
        "The work item routine pointer is a valid code address of a loaded image.";
    WI_TRY_QUEUE_RESULT = "wi-try-queue-result": Hang Derived,
        name None, stop None, page "learn previous-versions dn683917 (IoTryQueueWorkItem)",
        "A FALSE result of IoTryQueueWorkItem means the item was not queued and must be handled.";
    WI_NO_FLOOD = "wi-no-flood": Style Should,
        name None, stop None, page "kernel/surface-team-driver-development-best-practices.md",
        "Work items are not queued per packet or per IOCTL without bound.";
    WI_NO_LOST_RUN = "wi-no-lost-run": Hang Derived,
        name None, stop None, page "kernel/system-worker-threads.md",
        "If queuing is skipped because an item is pending, the pending run must pick up the new work.";
    WI_DISPATCH_FLAGS_CLEAR = "wi-dispatch-flags-clear": Corruption Derived,
        name None, stop None, page "network/dispatch-irql-tracking.md",
        "NDIS data path calls made from a work item have the dispatch flag clear.";
    WI_NO_TRAFFIC_AFTER_PAUSE = "wi-no-traffic-after-pause": BugCheck Derived,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "A work item that runs after FilterPause started does not originate traffic.";
    EXQUEUE_NOT_FOR_DEVICES = "exqueue-not-for-devices": Style Must,
        name None, stop None, page "ddi wdm/nf-wdm-exqueueworkitem.md",
        "Device drivers use the Io work item functions, not ExQueueWorkItem.";
    NDIS5_WORKITEM_OBSOLETE = "ndis5-workitem-obsolete": BugCheck Must,
        name None, stop "0x7C/0x15 (miniport)", page "ddi ndis/nf-ndis-ndisscheduleworkitem.md",
        "NdisScheduleWorkItem and other NDIS 5 functions are not used by NDIS 6 drivers.";
}
