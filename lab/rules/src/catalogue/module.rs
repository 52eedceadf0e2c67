//! The states of a filter module.

super::rules! {
    MODULE:
    ATTACH_MUST_SET_ATTRIBUTES = "attach-must-set-attributes": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_attach.md",
        "FilterAttach that returns success has called NdisFSetAttributes for its handle.";
    ATTACH_SET_ATTRIBUTES_CONTEXT = "attach-set-attributes-context": Corruption Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsetattributes.md",
        "NdisFSetAttributes is called only from FilterAttach, once, with the handle given to that call, at PASSIVE_LEVEL.";
    ATTACH_ATTRIBUTES_VALID = "attach-attributes-valid": BugCheck Must,
        name None, stop "0x7C/0x21", page "ddi ndis/ns-ndis-_ndis_filter_attributes.md",
        "NDIS_FILTER_ATTRIBUTES has type FILTER_ATTRIBUTES, revision 1, correct size and Flags 0.";
    ATTACH_RETURN_CODE = "attach-return-code": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_attach.md",
        "FilterAttach returns a final status, never NDIS_STATUS_PENDING.";
    ATTACH_FAILURE_CLEANS_UP = "attach-failure-cleans-up": Leak Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_attach.md",
        "A failing FilterAttach releases everything it allocated.";
    ATTACH_NO_SEND = "attach-no-send": BugCheck Must,
        name None, stop None, page "network/attaching-a-filter-module.md",
        "No send request is made while the module is Attaching.";
    ATTACH_NO_RECEIVE = "attach-no-receive": BugCheck Must,
        name None, stop None, page "network/attaching-a-filter-module.md",
        "No receive indication is made while the module is Attaching.";
    ATTACH_NO_OID = "attach-no-oid": BugCheck Must,
        name None, stop None, page "network/attaching-a-filter-module.md",
        "No regular or direct OID request is made while the module is Attaching.";
    ATTACH_NO_STATUS = "attach-no-status": BugCheck Must,
        name None, stop None, page "network/attaching-a-filter-module.md",
        "No status indication is made while the module is Attaching (another page allows it once NdisFSetAttributes returned).";
    ATTACH_PREFER_PARAMETERS = "attach-prefer-parameters": Style Should,
        name None, stop None, page "ddi ndis/nc-ndis-filter_attach.md",
        "Information available in the attach parameters or restart attributes is not queried again with OIDs.";
    ATTACH_PARAMS_NOT_RETAINED = "attach-params-not-retained": Corruption Derived,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_filter_attach_parameters.md",
        "Pointers from the attach parameters are not used after FilterAttach returns.";
    ATTACH_NULL_CAPABILITIES = "attach-null-capabilities": BugCheck Must,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_filter_attach_parameters.md",
        "Optional capability pointers in the attach parameters may be NULL and are tested.";
    PAUSE_RETURN_VALUES = "pause-return-values": BugCheck Must,
        name "NdisFilterTimedPauseComplete", stop "0xC4/0x00092010", page "ddi ndis/nc-ndis-filter_pause.md",
        "FilterPause returns only NDIS_STATUS_SUCCESS or NDIS_STATUS_PENDING.";
    PAUSE_COMPLETE_ONCE = "pause-complete-once": BugCheck Must,
        name "NdisFilterTimedPauseComplete", stop "0xC4/0x00092010", page "devtest/ndisfiltertimedpausecomplete-.md",
        "A pause is completed once: by SUCCESS or by one NdisFPauseComplete after PENDING.";
    PAUSE_WITHIN_10S = "pause-within-10s": Hang Must,
        name "NdisFilterTimedPauseComplete", stop "0xC4/0x00092010; 0x7C/0x25 op 0x11", page "devtest/ndisfiltertimedpausecomplete-.md",
        "A pause completes within 10 seconds.";
    PAUSE_FLUSH_HELD_SENDS = "pause-flush-held-sends": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "All queued foreign send NBLs are completed before the pause completes.";
    PAUSE_FLUSH_HELD_RECEIVES = "pause-flush-held-receives": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "All queued foreign receive NBLs are returned before the pause completes.";
    PAUSE_WAIT_OWN_SENDS = "pause-wait-own-sends": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "Every send the filter originated has come back before the pause completes.";
    PAUSE_WAIT_OWN_RECEIVES = "pause-wait-own-receives": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "Every receive the filter originated has been returned before the pause completes.";
    PAUSE_NO_NEW_SEND = "pause-no-new-send": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "From FilterPause entry until Running the filter originates no send.";
    PAUSE_NO_NEW_RECEIVE = "pause-no-new-receive": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "From FilterPause entry until restart the filter originates no receive indication.";
    PAUSE_REJECT_SENDS = "pause-reject-sends": BugCheck Must,
        name None, stop None, page "network/pausing-a-filter-module.md",
        "Sends received while Pausing, Paused or Restarting are completed at once and not forwarded.";
    PAUSE_REJECT_STATUS_CODE = "pause-reject-status-code": Style Should,
        name None, stop None, page "network/pausing-a-filter-module.md",
        "Sends rejected because of the state carry Status NDIS_STATUS_PAUSED in every NBL.";
    PAUSE_RECEIVE_NOT_KEPT = "pause-receive-not-kept": Hang Should,
        name None, stop None, page "network/pausing-a-filter-module.md",
        "Receives arriving while Pausing or Paused are returned (or passed on) at once, not queued as originals.";
    PAUSE_KEEP_ATTACH_RESOURCES = "pause-keep-attach-resources": Style Should,
        name None, stop None, page "network/pausing-a-filter-module.md",
        "Attach-time resources are not freed during pause.";
    PAUSE_STOP_TIMERS = "pause-stop-timers": Style Should,
        name None, stop None, page "network/pausing-a-filter-module.md",
        "Timers that drive data flow are cancelled for the pause.";
    PAUSE_OIDS_CONTINUE = "pause-oids-continue": Hang Should,
        name None, stop None, page "ddi ndis/nc-ndis-filter_pause.md",
        "OID requests and status indications are still handled while Pausing and Paused.";
    PAUSEDPARAMS_REASON = "pausedparams-reason": Style Derived,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_filter_pause_parameters.md",
        "PauseReason is not used for decisions by 6.40+ filters.";
    RESTART_RETURN_VALUES = "restart-return-values": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_restart.md",
        "FilterRestart returns SUCCESS, PENDING, or a failure status.";
    RESTART_COMPLETE_ONCE = "restart-complete-once": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfrestartcomplete.md",
        "NdisFRestartComplete is called exactly once after PENDING and never otherwise, with a final status.";
    RESTART_COMPLETE_PASSIVE = "restart-complete-passive": BugCheck Must,
        name "Irql_Filter_Driver_Function", stop None, page "ddi ndis/nf-ndis-ndisfrestartcomplete.md",
        "NdisFRestartComplete is called at PASSIVE_LEVEL.";
    RESTART_NO_OWN_SEND = "restart-no-own-send": BugCheck Should,
        name None, stop None, page "network/starting-a-filter-module.md",
        "No own send is originated while Restarting.";
    RESTART_NO_OWN_RECEIVE = "restart-no-own-receive": Style Should,
        name None, stop None, page "network/starting-a-filter-module.md",
        "No own receive is indicated while Restarting (another page permits resuming early).";
    RESTART_ATTRIBUTES_NULL = "restart-attributes-null": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_restart.md",
        "If RestartAttributes is NULL nothing is added or modified.";
    RESTART_ATTRIBUTES_UNKNOWN_OID = "restart-attributes-unknown-oid": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_restart.md",
        "Restart attributes with an OID the filter does not know are left untouched.";
    RESTART_ATTRIBUTES_MEMORY = "restart-attributes-memory": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_restart.md",
        "A new or enlarged attribute entry is separately allocated (NdisAllocateMemoryWithTagPriority is the documented example), a replaced one is freed with NdisFreeMemory, and the driver does not free linked entries afterwards because NDIS does.";
    RESTART_ATTRIBUTES_ON_FAILURE = "restart-attributes-on-failure": Style Should,
        name None, stop None, page "ddi ndis/nc-ndis-filter_restart.md",
        "A restart that fails leaves the attribute list unmodified.";
    RESTART_ATTRIBUTES_NEED_OID = "restart-attributes-need-oid": Style Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_restart.md",
        "A filter that changes restart attributes supplies FilterOidRequest and answers the matching OIDs consistently.";
    RESTART_FAILURE_KEEPS_PAUSED = "restart-failure-keeps-paused": BugCheck Must,
        name None, stop None, page "network/filter-module-states-and-operations.md",
        "After a failed restart the module behaves as Paused and accepts FilterDetach.";
    RESTART_FILTER_IRQL = "restart-filter-irql": BugCheck Must,
        name "Irql_Filter_Driver_Function", stop None, page "ddi ndis/nf-ndis-ndisfrestartfilter.md",
        "NdisFRestartFilter is called at or below DISPATCH_LEVEL on an attached module.";
    SETMODULE_OPTIONS_CONTEXT = "setmodule-options-context": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_set_module_options.md",
        "NdisSetOptionalHandlers is called only inside FilterSetOptions or FilterSetModuleOptions, on the same thread, at PASSIVE_LEVEL.";
    SETMODULE_HANDLE_KIND = "setmodule-handle-kind": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndissetoptionalhandlers.md",
        "NdisSetOptionalHandlers gets the driver handle in FilterSetOptions and the module handle in FilterSetModuleOptions.";
    SETMODULE_PARTIAL_HEADER = "setmodule-partial-header": BugCheck Must,
        name None, stop "0x7C/0x21", page "ddi ndis/ns-ndis-_ndis_filter_partial_characteristics.md",
        "NDIS_FILTER_PARTIAL_CHARACTERISTICS has its own type, revision 1 and size.";
    SETMODULE_PAIRING_AFTER_CHANGE = "setmodule-pairing-after-change": Corruption Derived,
        name None, stop None, page "network/data-bypass-mode.md",
        "Handler pairing rules also hold for the effective per-module set after a change.";
    SETMODULE_UNDO_AT_DETACH = "setmodule-undo-at-detach": Leak Should,
        name None, stop None, page "ddi ndis/nc-ndis-filter_set_module_options.md",
        "What FilterSetModuleOptions allocated is undone by FilterDetach.";
    DETACH_FREES_EVERYTHING = "detach-frees-everything": Leak Must,
        name None, stop None, page "network/detaching-a-filter-module.md",
        "FilterDetach frees the module context, pools and every other per-module resource.";
    DETACH_NO_NBL = "detach-no-nbl": BugCheck Must,
        name None, stop "0x7C/0x27", page "debugger/bug-check-0x7c",
        "No NBL of the module is outstanding when it detaches or the driver deregisters.";
    DETACH_NO_OWN_OID = "detach-no-own-oid": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsynchronousoidrequest.md",
        "Own OID requests (stated for synchronous ones) are finished before FilterDetach returns.";
    DETACH_NO_WORKITEM = "detach-no-workitem": Corruption Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisallocateioworkitem.md",
        "No work item that refers to the module is queued or running when FilterDetach returns.";
    DETACH_NO_TIMER = "detach-no-timer": Corruption Derived,
        name None, stop "0xC7", page "ddi ndis/nf-ndis-ndiscanceltimerobject.md",
        "No timer of the module is queued or its callback running when FilterDetach returns.";
    DETACH_NO_FAIL_PATH = "detach-no-fail-path": Leak Should,
        name None, stop None, page "network/detaching-a-filter-module.md",
        "FilterDetach does not depend on allocations that can fail.";
    DETACH_NO_USE_AFTER = "detach-no-use-after": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatestatus.md",
        "No NDIS call uses the module handle after FilterDetach returned.";
    DETACH_CONTEXT_UAF = "detach-context-uaf": Corruption Derived,
        name None, stop "0xD5/0xD1", page "ddi ndis/nc-ndis-filter_detach.md",
        "Module context is not touched after it was freed in FilterDetach.";
    DETACH_CLOSED_PATHS = "detach-closed-paths": BugCheck Derived,
        name None, stop None, page "ddi netpnp/ns-netpnp-_net_pnp_event.md",
        "Inside FilterDetach the OID and indication paths are closed; no OID, status, send or receive call is made.";
    DETACH_TIME = "detach-time": Hang Must,
        name None, stop "0x7C/0x25 op 0x14", page "debugger/bug-check-0x7c",
        "FilterDetach returns promptly.";
}
