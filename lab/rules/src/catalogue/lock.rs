//! Locks, events, timers, levels, configuration.

super::rules! {
    LOCK:
    LOCK_NOT_HELD_INTO_NDIS = "lock-not-held-into-ndis": Hang Should,
        name None, stop None, page "network/synchronization-and-notification-in-network-drivers.md",
        "NDIS spin locks are released before calling NDIS functions other than the spin lock functions.";
    LOCK_INIT = "lock-init": Corruption Must,
        name "SpinLockDpr", stop "0xC4/0x1002", page "ddi ndis/nf-ndis-ndisallocatespinlock.md",
        "A spin lock is initialized before use and lies in nonpaged memory.";
    LOCK_ACQUIRE_UNLOCKED = "lock-acquire-unlocked": Hang Must,
        name "SpinLock", stop "0xC4/0x00040009", page "devtest/ndis-spinlock.md",
        "A spin lock is acquired only when free and released before the handler returns.";
    LOCK_BALANCED = "lock-balanced": Hang Must,
        name "SpinLockBalanced", stop None, page "devtest/ndis-spinlockbalanced.md",
        "Acquires and releases of a lock are equal in number.";
    LOCK_DPR = "lock-dpr": Hang Must,
        name "SpinLockDpr", stop "0xC4/0x40", page "devtest/ndis-spinlockdpr.md",
        "NdisDprAcquireSpinLock is called only on a free lock, at DISPATCH_LEVEL, and released before the handler returns.";
    LOCK_DPR_RELEASE = "lock-dpr-release": Hang Must,
        name "SpinLockDprRelease", stop "0xC4/0x41", page "devtest/ndis-spinlockdprrelease.md",
        "Acquire calls happen only in the unlocked state and the lock is released before handler exit.";
    LOCK_RELEASE_HELD = "lock-release-held": Corruption Must,
        name "SpinLockRelease", stop "0xC4/0x32,0x1007,0x1004; 0x0004000A", page "devtest/ndis-spinlockrelease.md",
        "A spin lock is released only if held, by its acquirer.";
    LOCK_VARIANT_MATCH = "lock-variant-match": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisacquirespinlock.md",
        "NdisAcquire/Release and NdisDprAcquire/Release are not mixed.";
    LOCK_LIFO = "lock-lifo": Corruption Must,
        name None, stop "0xC4/0x1003", page "ddi ndis/nf-ndis-ndisallocatespinlock.md",
        "Nested spin locks are released in reverse order because each lock stores the old IRQL.";
    LOCK_RECURSIVE = "lock-recursive": Hang Must,
        name None, stop "0xC4/0x1000 or 0x1001", page "ddi wdm/nf-wdm-keacquirespinlock.md",
        "A spin lock is not acquired recursively.";
    LOCK_ORDER = "lock-order": Hang Must,
        name "Driver Verifier: Deadlock Detection", stop "0xC4/0x1001", page "devtest/deadlock-detection.md",
        "Locks are always taken in one global order.";
    LOCK_HOLD_TIME = "lock-hold-time": Style Should,
        name None, stop None, page "kernel/introduction-to-spin-locks.md",
        "No spin lock is held longer than 25 microseconds.";
    LOCK_OLD_IRQL = "lock-old-irql": Corruption Must,
        name "IrqlKeReleaseSpinLock", stop "0xC4/0x00020015, 0x32", page "devtest/wdm-irqlkereleasespinlock.md",
        "KeReleaseSpinLock is called at DISPATCH_LEVEL with the IRQL saved by the acquire.";
    LOCK_WDM_SPINLOCK = "lock-wdm-spinlock": Hang Must,
        name "SpinLock (WDM) / SpinLockRelease / SpinLockDpc / QueuedSpinLock", stop "0xC4/0x00040006-0x0004000A", page "devtest/wdm-spinlock.md",
        "Ke spin locks are acquired and released in strict alternation per lock and released before dispatch and cancel routines end.";
    IRQL_DPC_LOCK_BELOW = "irql-dpc-lock-below": Corruption Must,
        name "IrqlDispatch", stop "0xC4/0x40,0x41; 0x00020003", page "ddi wdm/nf-wdm-keacquirespinlockatdpclevel.md",
        "AtDpcLevel lock routines are called at DISPATCH_LEVEL.";
    RWLOCK_NO_PROMOTION = "rwlock-no-promotion": Hang Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisacquirerwlockread.md",
        "A processor holding an RW lock for read does not request write.";
    RWLOCK_SAME_CPU = "rwlock-same-cpu": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisreleaserwlock.md",
        "An RW lock is released on the processor that acquired it, at DISPATCH_LEVEL, with its own LOCK_STATE_EX.";
    RWLOCK_FREE_RELEASED = "rwlock-free-released": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfreerwlock.md",
        "An RW lock is released before it is freed.";
    CALLBACK_IRQL_RESTORED = "callback-irql-restored": BugCheck Derived,
        name None, stop "0xC8; 0xC4/0x0002001D", page "debugger/bug-check-0xc8",
        "Every callback returns at the IRQL it was called at.";
    CALLBACK_APC_BALANCED = "callback-apc-balanced": BugCheck Must,
        name None, stop "0x1; 0xC4/0xC5; 0x00040003, 0x0004000E", page "debugger/bug-check-0x1",
        "APC disable counts are unchanged after a callback or worker routine.";
    CALLBACK_AFFINITY_RESTORED = "callback-affinity-restored": Style Should,
        name None, stop None, page "ddi wdm/nf-wdm-kesetsystemaffinitythreadex.md",
        "A routine that sets the affinity of the thread that it runs on restores it before it returns.";
    TIMER_ALTERNATE = "timer-alternate": BugCheck Must,
        name "CancelTimerObject", stop "0xC7/0x0; 0x7C/0x09 (miniport)", page "devtest/ndis-canceltimerobject.md",
        "Set and cancel alternate so that no timer is set when the instance ends.";
    TIMER_PERIODIC_CANCEL_PASSIVE = "timer-periodic-cancel-passive": Hang Must,
        name "PeriodicTimer", stop None, page "devtest/ndis-periodictimer.md",
        "A periodic timer is cancelled only at PASSIVE_LEVEL.";
    TIMER_ONESHOT_SYNC = "timer-oneshot-sync": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndiscanceltimerobject.md",
        "Cancelling a one-shot timer is followed by own synchronization before its resources are freed.";
    TIMER_FREE_IDLE = "timer-free-idle": Corruption Derived,
        name None, stop "0xC4/0x15; 0xC7", page "ddi ndis/nf-ndis-ndisfreetimerobject.md",
        "A timer object is freed once, when neither queued nor in its callback.";
    EX_TIMER_DELETE = "ex-timer-delete": BugCheck Must,
        name None, stop None, page "kernel/deleting-a-system-allocated-timer-object.md",
        "ExDeleteTimer waits for a timer only where it cancels it too, and at or below APC_LEVEL.";
    TIMER_IRQL = "timer-irql": BugCheck Must,
        name "Irql_Timer_Function", stop None, page "devtest/ndis-irql-timer-function.md",
        "Timer functions are called at the documented IRQL.";
    TIMER_PERIOD_RANGE = "timer-period-range": Style Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndissettimerobject.md",
        "MillisecondsPeriod is at most MAXLONG.";
    TIMER_CALLBACK_DISPATCH = "timer-callback-dispatch": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-ndis_timer_function.md",
        "Timer callbacks run at DISPATCH_LEVEL and do nothing that needs PASSIVE.";
    EVENT_WAIT_PASSIVE = "event-wait-passive": BugCheck Must,
        name None, stop "0x7C/0x14", page "ddi ndis/nf-ndis-ndisinitializeevent.md",
        "NdisWaitEvent is called only at PASSIVE_LEVEL.";
    EVENT_WAIT_KERNEL = "event-wait-kernel": BugCheck Must,
        name "IrqlKeWaitForMutexObject / IrqlKeWaitForMultipleObjects", stop "0xC4/0x120-0x122, 0x3B; 0xB8 in a DPC", page "ddi wdm/nf-wdm-kewaitforsingleobject.md",
        "KeWait with a nonzero or NULL timeout is called at or below APC_LEVEL.";
    EVENT_STACK_USERMODE = "event-stack-usermode": BugCheck Must,
        name "Driver Verifier: Miscellaneous Checks", stop "0xC4/0x123", page "devtest/miscellaneous-checks.md",
        "A wait on an object on the kernel stack uses KernelMode.";
    EVENT_SET_IRQL = "event-set-irql": BugCheck Must,
        name "IrqlKeSetEvent", stop "0xC4/0x00020016, 0x80", page "devtest/wdm-irqlkesetevent.md",
        "KeSetEvent is called at or below DISPATCH_LEVEL with Wait FALSE, at or below APC_LEVEL with Wait TRUE.";
    EVENT_STACK_LIFETIME = "event-stack-lifetime": Corruption Must,
        name None, stop "0x139/3", page "debugger/bug-check-0x139",
        "A stack-based event does not go out of scope while another thread can still touch it.";
    SYNC_IRQL = "sync-irql": BugCheck Must,
        name "Irql_Synch_Function", stop None, page "devtest/ndis-irql-synch-function.md",
        "Synchronization functions are called at the documented IRQL.";
    IRQL_MISC = "irql-misc": BugCheck Must,
        name "Irql_Miscellaneous_Function", stop None, page "devtest/ndis-irql-miscellaneous-function.md",
        "The listed miscellaneous NDIS functions are called at the documented IRQL.";
    IRQL_NETBUFFER = "irql-netbuffer": BugCheck Must,
        name "Irql_NetBuffer_Function", stop None, page "devtest/ndis-irql-netbuffer-function.md",
        "NET_BUFFER functions are called at or below DISPATCH_LEVEL.";
    IRQL_FILTER_DRIVER = "irql-filter-driver": BugCheck Must,
        name "Irql_Filter_Driver_Function", stop None, page "devtest/ndis-irql-filter-driver-function.md",
        "The fourteen filter functions of the rule are called at the documented IRQL (PASSIVE: register, deregister, set attributes, restart complete, net and device PnP, enumerate; others <= DISPATCH).";
    IRQL_SETTING_MACROS = "irql-setting-macros": BugCheck Must,
        name "Irql_IrqlSetting_Function", stop "0xC4/0x30,0x31", page "devtest/ndis-irql-irqlsetting-function.md",
        "NDIS_RAISE_IRQL_TO_DISPATCH and NDIS_LOWER_IRQL are used at legal levels and paired.";
    IRQL_RAISE_LOWER = "irql-raise-lower": BugCheck Must,
        name "IrqlKeRaiseLower", stop "0xC4/0x30,0x31", page "devtest/wdm-irqlkeraiselower.md",
        "IRQL is raised only upward and lowered only after a raise.";
    STALL_LIMIT = "stall-limit": Style Must,
        name "NdisStallExecution_Delay", stop None, page "devtest/ndis-ndisstallexecution-delay.md",
        "NdisStallExecution is not asked for more than 50 microseconds.";
    SLEEP_LIMITS = "sleep-limits": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndismsleep.md",
        "NdisMSleep is called below DISPATCH_LEVEL and for at most 30 seconds.";
    DPC_TIME = "dpc-time": Hang Should,
        name None, stop "0x133", page "debugger/bug-check-0x133",
        "A DPC does not run longer than 100 microseconds (guideline) and never near the watchdog.";
    CONFIG_ALTERNATE = "config-alternate": Leak Must,
        name "NdisOpenConfigurationEx", stop None, page "devtest/ndis-ndisopenconfigurationex.md",
        "Configuration handles are closed; none is open when the instance ends.";
    CONFIG_PASSIVE = "config-passive": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisopenconfigurationex.md",
        "Configuration open, read, write and close run at PASSIVE_LEVEL.";
    CONFIG_SERIALIZED = "config-serialized": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisreadconfiguration.md",
        "NdisReadConfiguration and NdisWriteConfiguration are not called concurrently.";
    CONFIG_MEMORY_LIFETIME = "config-memory-lifetime": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisreadconfiguration.md",
        "Returned configuration data is not used after NdisCloseConfiguration.";
    CONFIG_VALIDATE = "config-validate": Corruption Should,
        name None, stop None, page "ddi ndis/nf-ndis-ndisreadconfiguration.md",
        "Values read from the registry are validated before use.";
    CONFIG_INSTANCE_FLAG = "config-instance-flag": BugCheck Must,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_configuration_object.md",
        "A modifying filter does not set NDIS_CONFIG_FLAG_FILTER_INSTANCE_CONFIGURATION.";
    CONFIG_WHEN = "config-when": Style Should,
        name None, stop None, page "network/accessing-configuration-information-for-a-filter-driver.md",
        "Configuration is read in attach, restart or PnP event context.";
}
