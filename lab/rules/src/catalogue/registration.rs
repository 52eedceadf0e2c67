//! Registration, DriverEntry and unload.

super::rules! {
    REGISTRATION:
    REG_IN_DRIVER_ENTRY = "reg-in-driver-entry": Style Should,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfregisterfilterdriver.md",
        "NdisFRegisterFilterDriver is called from DriverEntry.";
    REG_PASSIVE = "reg-passive": BugCheck Must,
        name "Irql_Filter_Driver_Function", stop None, page "ddi ndis/nf-ndis-ndisfregisterfilterdriver.md",
        "NdisFRegisterFilterDriver is called at PASSIVE_LEVEL.";
    REG_CHARACTERISTICS_HEADER = "reg-characteristics-header": BugCheck Must,
        name None, stop "0x7C/0x21", page "ddi ndis/ns-ndis-_ndis_filter_driver_characteristics.md",
        "The characteristics header has the filter-driver type, a revision that fits the registered NDIS minor version (3 from 6.80, 2 from 6.1) and the matching size.";
    REG_VERSION_NOT_ABOVE_RUNTIME = "reg-version-not-above-runtime": Style Must,
        name None, stop None, page "network/version-information-requirements-for-ndis-drivers.md",
        "A driver registers for an NDIS version no higher than the one the machine runs and lowers its version on older systems.";
    REG_MANDATORY_HANDLERS = "reg-mandatory-handlers": BugCheck Must,
        name None, stop None, page "network/initializing-a-filter-driver.md",
        "FilterAttach, FilterDetach, FilterRestart and FilterPause entry points are non-NULL.";
    REG_PAIR_OID = "reg-pair-oid": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_oid_request.md",
        "FilterOidRequest and FilterOidRequestComplete are both present or both NULL.";
    REG_PAIR_DIRECT_OID = "reg-pair-direct-oid": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_direct_oid_request.md",
        "FilterDirectOidRequest and FilterDirectOidRequestComplete are both present or both NULL.";
    REG_PAIR_RECEIVE_NEEDS_STATUS = "reg-pair-receive-needs-status": Corruption Must,
        name None, stop None, page "network/data-bypass-mode.md",
        "A driver that supplies FilterReceiveNetBufferLists or FilterReturnNetBufferLists also supplies FilterStatus.";
    REG_PAIR_SEND_CALL_NEEDS_COMPLETE = "reg-pair-send-call-needs-complete": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_send_net_buffer_lists_complete.md",
        "NdisFSendNetBufferLists is called only while FilterSendNetBufferListsComplete is registered for the module.";
    REG_PAIR_INDICATE_NEEDS_RETURN = "reg-pair-indicate-needs-return": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_return_net_buffer_lists.md",
        "NdisFIndicateReceiveNetBufferLists is used to originate an indication only while FilterReturnNetBufferLists is registered.";
    REG_PAIR_OID_CALL_NEEDS_COMPLETE = "reg-pair-oid-call-needs-complete": Hang Must,
        name None, stop None, page "network/data-bypass-mode.md",
        "NdisFOidRequest is called only by drivers that supply FilterOidRequestComplete.";
    REG_PAIR_DIRECT_CALL_NEEDS_COMPLETE = "reg-pair-direct-call-needs-complete": Hang Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfdirectoidrequest.md",
        "NdisFDirectOidRequest is called only by drivers that supply FilterDirectOidRequestComplete.";
    REG_QUEUE_SENDS_NEEDS_CANCEL = "reg-queue-sends-needs-cancel": Style Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_send_net_buffer_lists.md",
        "A filter with a send handler that keeps NBLs after FilterSendNetBufferLists returns supplies FilterCancelSendNetBufferLists.";
    REG_QUEUE_OIDS_NEEDS_CANCEL = "reg-queue-oids-needs-cancel": Style Should,
        name None, stop None, page "ddi ndis/nc-ndis-filter_cancel_oid_request.md",
        "A filter that queues OID requests (pends without having forwarded a clone) supplies FilterCancelOidRequest.";
    REG_UNIQUE_NAME_IS_NETCFG_GUID = "reg-unique-name-is-netcfg-guid": BugCheck Must,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_filter_driver_characteristics.md",
        "UniqueName is a brace-enclosed GUID equal to NetCfgInstanceId in the INF.";
    REG_SERVICE_NAME_MATCHES_INF = "reg-service-name-matches-inf": BugCheck Must,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_filter_driver_characteristics.md",
        "ServiceName equals the AddService name and Ndi\\Service in the INF.";
    REG_READY_BEFORE_REGISTER = "reg-ready-before-register": BugCheck Must,
        name None, stop None, page "network/initializing-a-filter-driver.md",
        "All state used by handlers is initialized before registration because any FilterXxx may be called before the call returns.";
    REG_NO_PENDING_DRIVER_ENTRY = "reg-no-pending-driver-entry": BugCheck Must,
        name None, stop None, page "network/initializing-a-filter-driver.md",
        "DriverEntry does not return STATUS_PENDING.";
    REG_FAIL_UNDO = "reg-fail-undo": Leak Must,
        name None, stop None, page "kernel/unload-routine-environment.md",
        "If DriverEntry fails after registering, it deregisters and frees everything, since Unload is not called.";
    REG_SETOPTIONS_UNDO = "reg-setoptions-undo": Leak Must,
        name None, stop None, page "ddi ndis/nc-ndis-set_options.md",
        "FilterSetOptions undoes its own allocations if it returns failure.";
    UNLOAD_PRESENT = "unload-present": Style Should,
        name None, stop None, page "kernel/writing-an-unload-routine.md",
        "The driver object has a DriverUnload routine.";
    UNLOAD_DEREGISTER = "unload-deregister": BugCheck Must,
        name "NdisFDeregisterFilterDriver", stop None, page "devtest/ndis-ndisfderegisterfilterdriver.md",
        "NdisFDeregisterFilterDriver is called from the unload routine.";
    UNLOAD_DEREGISTER_ONCE = "unload-deregister-once": BugCheck Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfderegisterfilterdriver.md",
        "The driver handle is deregistered exactly once and at PASSIVE_LEVEL.";
    UNLOAD_NO_USE_AFTER_DEREGISTER = "unload-no-use-after-deregister": Corruption Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfderegisterfilterdriver.md",
        "No NDIS call uses the driver handle or any module handle after NdisFDeregisterFilterDriver returned.";
    UNLOAD_DEVICES_GONE = "unload-devices-gone": Leak Must,
        name None, stop None, page "network/unloading-a-filter-driver.md",
        "Every device object the filter created is destroyed by the unload routine.";
    UNLOAD_POOL_FREED = "unload-pool-freed": Leak Must,
        name "Driver Verifier: Pool Tracking", stop "0xC4/0x62", page "devtest/pool-tracking.md",
        "All pool allocated by the driver is freed when Unload returns.";
    UNLOAD_NOTHING_PENDING = "unload-nothing-pending": BugCheck Must,
        name None, stop "0xCE (on next use); 0xC7 at once with DV", page "kernel/releasing-driver-allocated-resources.md",
        "No timer, DPC, work item, thread or lookaside list of the driver is active when Unload returns.";
    UNLOAD_WMI_ETW = "unload-wmi-etw": BugCheck Must,
        name "Driver Verifier: Miscellaneous Checks", stop "0xC4/0xDA, 0xC4/0xDD", page "devtest/miscellaneous-checks.md",
        "WMI callbacks and ETW providers are unregistered before unload.";
    UNLOAD_HANDLES_CLOSED = "unload-handles-closed": Leak Must,
        name None, stop None, page "kernel/object-handles.md",
        "Handles of keys, files, threads and other objects are closed when they are no longer needed.";
    UNLOAD_WFP_GONE = "unload-wfp-gone": BugCheck Must,
        name None, stop None, page "network/unloading-a-callout-driver.md",
        "Callouts are unregistered, and engine, injection and enumeration handles closed, before unload.";
    UNLOAD_IRPS_GONE = "unload-irps-gone": Leak Must,
        name None, stop None, page "ddi wdm/nf-wdm-iofreeirp.md",
        "IRPs that the driver has made are back and freed before unload.";
    UNLOAD_NOTIFICATIONS_GONE = "unload-notifications-gone": Corruption Must,
        name None, stop None, page "ddi wdm/nf-wdm-iounregisterplugplaynotificationex.md",
        "What the driver has registered for shutdown, Plug and Play and with callback objects is unregistered before unload.";
    UNLOAD_CALLBACKS_GONE = "unload-callbacks-gone": BugCheck Must,
        name None, stop "0xCE", page "ddi wdm/nf-wdm-keregisterbugcheckcallback.md",
        "Routines and interfaces that are registered with the system are deregistered before Unload returns.";
    UNLOAD_LOCKS_OUTLIVE_DETACH = "unload-locks-outlive-detach": Corruption Derived,
        name None, stop None, page "network/unloading-a-filter-driver.md",
        "Locks and lists used by FilterDetach are not freed before NdisFDeregisterFilterDriver returns.";
    HDR_CHECK_BEFORE_READ = "hdr-check-before-read": Corruption Must,
        name None, stop None, page "network/version-information-requirements-for-ndis-drivers.md",
        "A driver checks Header.Revision and Size before reading members and reads only members of that revision.";
    HDR_FILL_CORRECT = "hdr-fill-correct": BugCheck Must,
        name None, stop "0x7C/0x21", page "network/version-information-requirements-for-ndis.md",
        "Structures passed to NDIS carry the type, revision and size required for the registered version.";
}
