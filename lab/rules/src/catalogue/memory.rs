//! Memory, MDLs and objects.

super::rules! {
    MEMORY:
    MDL_MAP_NULL = "mdl-map-null": BugCheck Must,
        name None, stop None, page "network/ndisquerymdl.md",
        "A NULL virtual address from NdisQueryMdl or MmGetSystemAddressForMdlSafe is handled.";
    MEM_FREE_PAIR = "mem-free-pair": Corruption Must,
        name None, stop "0xC2/0x0A, 0x07; 0xC4/0x13", page "ddi ndis/nf-ndis-ndisfreememorywithtagpriority.md",
        "NDIS memory is freed once with the same handle and tag (NdisFreeMemory with MemoryFlags 0).";
    MEM_NULL_CHECK = "mem-null-check": BugCheck Must,
        name "Driver Verifier: Low Resources Simulation", stop None, page "ddi ndis/nf-ndis-ndisallocatememorywithtagpriority.md",
        "Every allocation result is checked for NULL.";
    MEM_OVERRUN = "mem-overrun": Corruption Must,
        name "Driver Verifier: Special Pool", stop "0xD6/0xCD; 0xC1/0x23-0x24", page "devtest/special-pool.md",
        "No access beyond either end of a pool block.";
    MEM_USE_AFTER_FREE = "mem-use-after-free": Corruption Must,
        name "Driver Verifier: Special Pool", stop "0xD5/0xCC", page "devtest/special-pool.md",
        "No access to freed pool.";
    MEM_DOUBLE_FREE = "mem-double-free": Corruption Must,
        name None, stop "0xC4/0x10,0x13,0x14; 0xC2/0x07", page "debugger/bug-check-0xc4",
        "No pool block is freed twice or at a wrong address.";
    MEM_IRQL_ALLOC = "mem-irql-alloc": BugCheck Must,
        name "IrqlExAllocatePool", stop "0x00020004; 0xC4/0x01,0x02; 0xC2/0x08", page "devtest/wdm-irqlexallocatepool.md",
        "Pool is allocated at or below DISPATCH_LEVEL and paged pool at or below APC_LEVEL.";
    MEM_IRQL_FREE = "mem-irql-free": BugCheck Must,
        name "IrqlExFree1/2/3", stop "0xC4/0x11,0x12; 0xC2/0x09", page "devtest/wdm-irqlexfree1.md",
        "Pool is freed at a legal IRQL for its type.";
    MEM_ZERO_SIZE = "mem-zero-size": BugCheck Must,
        name None, stop "0xC4/0x00; 0xC2/0x00", page "debugger/bug-check-0xc4",
        "No zero-byte allocation.";
    MEM_DEPRECATED_API = "mem-deprecated-api": Style Must,
        name "UnsafeAllocatePool", stop None, page "devtest/wdm-unsafeallocatepool.md",
        "Deprecated ExAllocatePool variants are not used.";
    MEM_NX_POOL = "mem-nx-pool": BugCheck Must,
        name "Driver Verifier: Code Integrity", stop "0xC4/0x2000-0x2005", page "devtest/code-integrity-checking.md",
        "Pool and mappings are non-executable; no W+X or unaligned sections, no IAT in executable section.";
    MEM_PAGEABLE_AT_DISPATCH = "mem-pageable-at-dispatch": BugCheck Must,
        name "Driver Verifier: Force IRQL Checking", stop "0xD1, 0x0A, 0xD3", page "devtest/force-irql-checking.md",
        "No pageable code or data is touched at DISPATCH_LEVEL or with a spin lock held.";
    MEM_SYNC_OBJECTS_RESIDENT = "mem-sync-objects-resident": BugCheck Must,
        name "Driver Verifier: Force IRQL Checking", stop "0xC4/0xE1", page "devtest/force-irql-checking.md",
        "Spin locks, events, timers, mutexes and resources live in nonpaged memory.";
    MEM_USER_ADDRESS = "mem-user-address": BugCheck Must,
        name "Driver Verifier: Security Checks", stop "0xC4/0xE3,0xE4", page "devtest/security-checks.md",
        "No user-mode address is passed to kernel Zw routines and UNICODE_STRINGs are well formed.";
    MEM_GENERIC_OBJECT = "mem-generic-object": Leak Must,
        name "NdisAllocateGenericObject", stop None, page "devtest/ndis-ndisallocategenericobject.md",
        "Generic objects are freed, after everything allocated from them, before the instance ends.";
    NULL_CHECK = "null-check": BugCheck Must,
        name "NullCheck", stop "0xD1/0x0A/0x1E", page "devtest/nullcheck.md",
        "Pointers that may be NULL are not dereferenced.";
    LOOKASIDE_DELETE = "lookaside-delete": Corruption Must,
        name "Driver Verifier: Miscellaneous Checks", stop "0xC4/0xCA-0xCD", page "devtest/miscellaneous-checks.md",
        "Lookaside lists are deleted before their memory is freed and not initialized twice.";
    ZW_IRQL_PASSIVE = "zw-irql-passive": BugCheck Must,
        name "IrqlZwPassive / IrqlIoRtlZwPassive", stop "0xC4/0x0002001F, 0x00020023", page "devtest/wdm-irqlzwpassive.md",
        "ZwClose and the listed Rtl/Zw/Io routines run at PASSIVE_LEVEL.";
    OBJECT_REFCOUNT = "object-refcount": Corruption Must,
        name "Driver Verifier (any option)", stop "0xC4/0x3F; 0x18", page "devtest/security-checks.md",
        "Object reference counts never go from 0 to 1 and never below 0.";
    OBJECT_REFERENCE_LEFT = "object-reference-left": Leak Must,
        name None, stop None, page "ddi wdm/nf-wdm-obdereferenceobject.md",
        "References that the driver has taken to objects are given up before unload.";
    KERNEL_HANDLE_VALID = "kernel-handle-valid": BugCheck Must,
        name "Driver Verifier: Miscellaneous Checks", stop "0x93; 0xC4/0xF6", page "devtest/miscellaneous-checks.md",
        "Closed or user handles are not used with kernel mode access.";
    KERNEL_HANDLE_PRIVATE = "kernel-handle-private": Corruption Must,
        name None, stop None, page "kernel/object-handles.md",
        "A handle that a driver opens in a process of user mode for itself has OBJ_KERNEL_HANDLE.";
    DEBUG_BREAK = "debug-break": BugCheck Must,
        name "DebugBreakUsage", stop "0x7E/0x1E (0x80000003)", page "devtest/wdm-debugbreakusage.md",
        "Release builds do not call DbgBreakPoint.";
    MDL_MAP_LOCKED = "mdl-map-locked": BugCheck Must,
        name None, stop "0xC4/0xB2, 0xB3, 0x85", page "ddi wdm/nf-wdm-mmgetsystemaddressformdlsafe.md",
        "An MDL is mapped only when its pages are locked, nonpaged pool, or it is a partial MDL of such an MDL.";
    MDL_MAP_ONE_THREAD = "mdl-map-one-thread": Corruption Must,
        name None, stop None, page "ddi wdm/nf-wdm-mmgetsystemaddressformdlsafe.md",
        "Calls that map the same MDL are not made by two threads at once; the caller must own the MDL.";
    MDL_MAP_NOEXECUTE = "mdl-map-noexecute": Style Should,
        name "Driver Verifier: Code Integrity", stop "0xC4/0x2002 (code integrity option)", page "ddi wdm/nf-wdm-mmgetsystemaddressformdlsafe.md",
        "Mappings are requested with the no-execute flag unless executable memory is really wanted.";
    MDL_MAP_LEGACY = "mdl-map-legacy": BugCheck Must,
        name None, stop "0xC4/0x81, 0x82", page "debugger/bug-check-0xc4",
        "MmMapLockedPages is not used, and MmMapLockedPagesSpecifyCache is not asked to bug check on failure.";
    MDL_MAP_IRQL = "mdl-map-irql": BugCheck Must,
        name None, stop "0xC4/0x74-0x7A", page "debugger/bug-check-0xc4",
        "Kernel mappings are made and removed at or below DISPATCH_LEVEL, user mappings at or below APC_LEVEL.";
    MDL_BUILD_NOT_PAGEABLE = "mdl-build-not-pageable": Corruption Must,
        name None, stop "0xC4/0x7F (paged), 0x140", page "ddi wdm/nf-wdm-mmbuildmdlfornonpagedpool.md",
        "MmBuildMdlForNonPagedPool (and NDIS MDL allocation) is not used on paged pool or on a kernel stack buffer.";
    MDL_BUILD_NO_LOCK = "mdl-build-no-lock": BugCheck Must,
        name None, stop "0xC4/0xB0, 0x7D", page "ddi wdm/nf-wdm-mmbuildmdlfornonpagedpool.md",
        "An MDL built for nonpaged pool is never locked with MmProbeAndLockPages, unlocked, or mapped a second time with a mapping routine.";
    MDL_LOCK_PAIRS = "mdl-lock-pairs": Corruption Must,
        name None, stop None, page "ddi wdm/nf-wdm-mmprobeandlockpages.md",
        "Each MmProbeAndLockPages of a driver is matched by one MmUnlockPages, and what others have locked is not the driver's to unlock.";
    MDL_WRITE_ACCESS = "mdl-write-access": Corruption Must,
        name None, stop None, page "ddi wdm/nf-wdm-mmprobeandlockpages.md",
        "Pages that are locked with IoReadAccess, as those of METHOD_IN_DIRECT, are not changed.";
    MDL_PARTIAL_SOURCE_LOCKED = "mdl-partial-source-locked": Corruption Must,
        name None, stop None, page "ddi wdm/nf-wdm-iobuildpartialmdl.md",
        "The source of a partial MDL has locked pages and the sub-range lies inside it.";
    MDL_PARTIAL_REUSE = "mdl-partial-reuse": Leak Must,
        name None, stop None, page "ddi wdm/nf-wdm-iobuildpartialmdl.md",
        "MmPrepareMdlForReuse is called before a partial MDL that may be mapped is built again.";
    MDL_PARTIAL_NOT_UNMAPPED = "mdl-partial-not-unmapped": BugCheck Must,
        name None, stop "0xC4/0xB4, 0xB5", page "debugger/bug-check-0xc4",
        "A partial MDL is not given to MmUnlockPages or MmUnmapLockedPages.";
    MDL_FREE_UNLOCKED = "mdl-free-unlocked": Leak Must,
        name None, stop "0xC4/0xB8; 0xCB or 0x76 for pages", page "ddi wdm/nf-wdm-iofreemdl.md",
        "Locked pages are unlocked, and non-partial mappings removed, before IoFreeMdl.";
    MDL_FREE_CHAIN = "mdl-free-chain": Leak Must,
        name None, stop None, page "ddi wdm/nf-wdm-iofreemdl.md",
        "Each MDL of a chain is freed on its own; IoFreeMdl frees only the one it is given.";
    MDL_FREE_ALLOCATOR = "mdl-free-allocator": Corruption Must,
        name "NdisAllocateMdl", stop None, page "ddi mdlapi/nf-mdlapi-ndisallocatemdl.md",
        "An MDL from NdisAllocateMdl is freed with NdisFreeMdl and nothing else goes to NdisFreeMdl.";
    MDL_NDIS_NONPAGED_POOL_ONLY = "mdl-ndis-nonpaged-pool-only": Corruption Must,
        name None, stop "0xC4/0x7F when paged", page "ddi mdlapi/nf-mdlapi-ndisallocatemdl.md",
        "NdisAllocateMdl describes nonpaged pool memory only: not stack, paged pool, driver globals or other regions.";
    MDL_NOT_MODIFIED = "mdl-not-modified": Corruption Derived,
        name None, stop None, page "network/net-buffer-list-structure.md",
        "A filter does not change fields of an MDL that belongs to another driver (byte count, next link, mapped address) beyond what NDIS functions do, and undoes any relinking before hand-back.";
}
