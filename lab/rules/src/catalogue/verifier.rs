//! Rules that only SDV or Driver Verifier states.

super::rules! {
    VERIFIER:
    SDV_ALLOC_NETBUFFER = "sdv-alloc-netbuffer": Leak Must,
        name "NdisAllocateNetBuffer", stop None, page "devtest/ndis-ndisallocatenetbuffer.md",
        "NdisAllocateNetBuffer and NdisFreeNetBuffer are balanced; none left at the end of the instance (miniport halt; filter detach by analogy).";
    SDV_ALLOC_MDL = "sdv-alloc-mdl": Leak Must,
        name "NdisAllocateMdl", stop None, page "devtest/ndis-ndisallocatemdl.md",
        "NdisAllocateMdl and NdisFreeMdl are balanced; none left at the end of the instance.";
    DV_FILTER_TIMED_SEND = "dv-filter-timed-send": Hang Must,
        name "NdisFilterTimedDataSend", stop "0xC4/0x00092011", page "devtest/ndisfiltertimeddatasend.md",
        "Send requests given to FilterSendNetBufferLists are completed before a time limit (value not documented).";
    DV_FILTER_TIMED_RECEIVE = "dv-filter-timed-receive": Hang Must,
        name "NdisFilterTimedDataReceive", stop "0xC4/0x00092012", page "devtest/ndisfiltertimeddatareceive.md",
        "Receive requests given to FilterReceiveNetBufferLists are completed before a time limit (value not documented).";
    SDV_ALLOC_MEMORY_TAG = "sdv-alloc-memory-tag": Style Must,
        name "NdisAllocateMemoryWithTagPriority", stop "0xC2/0x9B, 0x9D", page "devtest/ndis-ndisallocatememorywithtagpriority.md",
        "NdisAllocateMemoryWithTagPriority is given a pool tag.";
    SDV_IRQL_INTERFACES_FUNCTION = "sdv-irql-interfaces-function": BugCheck Must,
        name "Irql_Interfaces_Function", stop None, page "devtest/ndis-irql-interfaces-function.md",
        "NdisIf* functions are called at legal IRQL.";
    SDV_IRQL_MINIPORT_DRIVER_FUNCTION = "sdv-irql-miniport-driver-function": BugCheck Must,
        name "Irql_Miniport_Driver_Function", stop None, page "devtest/ndis-irql-miniport-driver-function.md",
        "NdisM* functions are called at legal IRQL (NdisMSleep is the one a filter may call).";
    SDV_MINIPORTPAUSE_RETURN = "sdv-miniportpause-return": BugCheck Must,
        name "MiniportPause_Return", stop None, page "devtest/ndis-miniportpause-return.md",
        "MiniportPause returns only SUCCESS or PENDING; the same holds for FilterPause.";
    SDV_NDISTIMEDDATASEND = "sdv-ndistimeddatasend": Hang Must,
        name "NdisTimedDataSend", stop "0xC4/0x0009200D", page "devtest/ndis-ndistimeddatasend.md",
        "A miniport completes a send within 30 seconds.";
    SDV_NDISTIMEDDATAHANG = "sdv-ndistimeddatahang": Hang Must,
        name "NdisTimedDataHang", stop "0xC4/0x0009200F", page "devtest/ndis-ndistimeddatahang.md",
        "With sends pending, at least one completes every 22 seconds.";
    DV_KERNEL_SYNC_DELAY_FUZZING = "dv-kernel-sync-delay-fuzzing": Corruption Should,
        name "Driver Verifier flag 0x800000", stop None, page "devtest/kernel-synchronization-delay-fuzzing.md",
        "Driver stays correct under randomized thread delays at kernel calls.";
    DV_SYSTEMATIC_LOW_RESOURCES = "dv-systematic-low-resources": BugCheck Should,
        name "Driver Verifier flag 0x40000", stop None, page "devtest/systematic-low-resource-simulation.md",
        "Every distinct allocation call site survives failure.";
    DV_FORCE_PENDING = "dv-force-pending": Hang Should,
        name "Driver Verifier flag 0x200", stop None, page "devtest/force-pending-i-o-requests.md",
        "A driver that calls IoCallDriver handles STATUS_PENDING.";
    DV_VM_SWITCH = "dv-vm-switch": Corruption Must,
        name "Driver Verifier flag 0x1000000", stop "0xC4/0xA001-0xA00E", page "devtest/vm-switch-verification.md",
        "Extensible switch extensions handle forwarding context, source and destination ports correctly.";
    DV_DRIVER_ISOLATION = "dv-driver-isolation": Style Should,
        name "Driver Verifier rule class 33", stop None, page "develop/validating-windows-drivers.md",
        "Runtime registry accesses stay in locations allowed for isolated packages.";
    DV_QUOTA_DPC = "dv-quota-dpc": BugCheck Must,
        name "Driver Verifier: Pool Tracking", stop "0xC4/0x10A,0x10B", page "devtest/pool-tracking.md",
        "Pool quota is not charged in DPC context.";
    DV_MEMCPY_OVERLAP = "dv-memcpy-overlap": Corruption Must,
        name "Driver Verifier 0xF0", stop "0xC4/0xF0", page "debugger/bug-check-0xc4",
        "memcpy source and destination do not overlap.";
    DV_LIST_CORRUPTION = "dv-list-corruption": Corruption Must,
        name None, stop "0x139/3", page "debugger/bug-check-0x139",
        "LIST_ENTRY operations keep the list consistent (no double remove or insert).";
    DV_STACK_SWITCH = "dv-stack-switch": BugCheck Must,
        name "Driver Verifier 0x91", stop "0xC4/0x91", page "debugger/bug-check-0xc4",
        "Stacks are not switched by unsupported means.";
    DV_RAISE_LOWER_DIRECTION = "dv-raise-lower-direction": BugCheck Must,
        name "Driver Verifier: Automatic Checks", stop "0xC4/0x30, 0x31", page "devtest/automatic-checks.md",
        "KeRaiseIrql is not used to lower, nor KeLowerIrql to raise, the IRQL.";
    DV_FAST_MUTEX_IRQL = "dv-fast-mutex-irql": BugCheck Must,
        name "Driver Verifier: Automatic Checks", stop "0xC4/0x33, 0x34", page "devtest/automatic-checks.md",
        "Fast mutexes are acquired at or below APC_LEVEL and released at APC_LEVEL.";
    DV_MUST_SUCCEED = "dv-must-succeed": BugCheck Must,
        name "Driver Verifier: Automatic Checks", stop "0xC2/0x9A; 0xC4/0x03", page "devtest/automatic-checks.md",
        "No allocation uses a must-succeed pool type.";
    DV_UNLOAD_SCAN = "dv-unload-scan": BugCheck Must,
        name "Driver Verifier: Automatic Checks", stop "0xC7 (DV, at once); 0xCE (otherwise, on next use)", page "devtest/automatic-checks.md",
        "Right after unload no timer, DPC, lookaside list, worker thread, queue or similar resource of the driver remains.";
    DV_SYNC_SESSION_SPACE = "dv-sync-session-space": BugCheck Must,
        name "Driver Verifier: Automatic Checks", stop "0xC4/0xDF", page "devtest/automatic-checks.md",
        "Synchronization objects are not placed in session memory.";
    DV_SHUTDOWN_20MIN = "dv-shutdown-20min": Hang Must,
        name "Driver Verifier: Automatic Checks", stop "0xC4/0x115", page "devtest/automatic-checks.md",
        "System shutdown is not held up for more than 20 minutes.";
    DV_CRITICAL_REGION_IRQL = "dv-critical-region-irql": BugCheck Must,
        name "Driver Verifier: Force IRQL Checking", stop "0xC4/0x11A, 0x11B", page "devtest/force-irql-checking.md",
        "KeEnterCriticalRegion and KeLeaveCriticalRegion are not called at or above DISPATCH_LEVEL.";
    DV_IRP_REQUESTOR_MODE = "dv-irp-requestor-mode": Corruption Must,
        name "Driver Verifier: Security Checks", stop "0xC4/0xE2", page "devtest/security-checks.md",
        "An IRP with kernel requestor mode carries no user-mode buffer address.";
}
