//! OID requests, status indications, PnP events.

super::rules! {
    OID:
    OID_ONE_AT_A_TIME = "oid-one-at-a-time": Hang Must,
        name None, stop "0x7C/0x25 op 0x24", page "ddi ndis/nc-ndis-filter_oid_request.md",
        "A module gets one regular OID at a time; the driver must finish it for the next to arrive.";
    OID_COMPLETE_ONCE = "oid-complete-once": BugCheck Must,
        name "DoubleComplete", stop "0x7C/0x26; 0xC4/0x00091002", page "ddi ndis/nf-ndis-ndisfoidrequestcomplete.md",
        "Each received OID request is finished exactly once: by return value or, after PENDING, by one NdisFOidRequestComplete.";
    OID_DOUBLE_COMPLETE_WORKITEM = "oid-double-complete-workitem": BugCheck Must,
        name "DoubleCompleteWorkItem", stop "0xC4/0x00091002", page "devtest/ndis-doublecompleteworkitem.md",
        "A request whose completion is deferred to a work item is not completed twice.";
    OID_DOUBLE_COMPLETE_DV = "oid-double-complete-dv": BugCheck Must,
        name "NdisOidDoubleComplete", stop "0xC4/0x00091002", page "devtest/ndis-ndisoiddoublecomplete.md",
        "The OID completion routine is not called twice for one request (documented for miniports).";
    OID_DOUBLE_REQUEST = "oid-double-request": BugCheck Must,
        name "NdisOidDoubleRequest", stop "0xC4/0x0009100E", page "devtest/ndis-ndisoiddoublerequest.md",
        "The pending OID request is completed before another is processed (documented for miniports).";
    OID_COMPLETE_STATUS = "oid-complete-status": Hang Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfoidrequestcomplete.md",
        "Completion status is never NDIS_STATUS_PENDING.";
    OID_COMPLETE_SAME_POINTER = "oid-complete-same-pointer": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfoidrequestcomplete.md",
        "NdisFOidRequestComplete gets the pointer received in FilterOidRequest, not the clone.";
    OID_OWN_NOT_COMPLETED_UP = "oid-own-not-completed-up": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_oid_request_complete.md",
        "Own requests are not completed with NdisFOidRequestComplete.";
    OID_FORWARD_NEEDS_CLONE = "oid-forward-needs-clone": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisallocatecloneoidrequest.md",
        "A received request is forwarded only as a clone.";
    OID_CLONE_FREED_FIRST = "oid-clone-freed-first": Leak Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_oid_request_complete.md",
        "The clone is freed before the original is completed.";
    OID_CLONE_BALANCED = "oid-clone-balanced": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfreecloneoidrequest.md",
        "Each clone is freed exactly once with the module handle used to allocate it, and not while pending below.";
    OID_CLONE_NULL = "oid-clone-null": Hang Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisallocatecloneoidrequest.md",
        "Clone allocation failure is handled by completing the original with a failure.";
    OID_COPY_BACK = "oid-copy-back": Corruption Should,
        name None, stop None, page "network/example-boilerplate-for-handling-regular-or-direct-oid-requests.md",
        "Result fields of the clone are copied to the original according to the request type.";
    OID_SUPPORTED_REVISION = "oid-supported-revision": Style Must,
        name None, stop None, page "network/filtering-oid-requests-in-an-ndis-filter-driver.md",
        "A successful set request comes back with SupportedRevision set.";
    OID_BYTES_IN_BOUNDS = "oid-bytes-in-bounds": BugCheck Must,
        name None, stop "0x7C/0x1D", page "ddi oidrequest/ns-oidrequest-ndis_oid_request.md",
        "BytesWritten and BytesRead do not exceed the buffer lengths.";
    OID_QUERY_BUFFER_LENGTH = "oid-query-buffer-length": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_oid_request.md",
        "If the information buffer is too small the filter fails with INVALID_LENGTH or BUFFER_TOO_SHORT and sets BytesNeeded, without writing past the buffer.";
    OID_REQUEST_HEADER = "oid-request-header": BugCheck Must,
        name None, stop "0x7C/0x21", page "ddi ndis/nf-ndis-ndisfoidrequest.md",
        "What a filter sends or clones has header type OID_REQUEST and a valid revision/size, whoever has made the request.";
    OID_REQUEST_NONPAGED = "oid-request-nonpaged": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisoidrequest.md",
        "OID request and information buffer are nonpaged and stay valid until completion.";
    OID_REQUEST_NOT_TOUCHED_PENDING = "oid-request-not-touched-pending": Corruption Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfoidrequest.md",
        "A pending own request is not modified or freed before completion.";
    OID_BOTH_COMPLETION_PATHS = "oid-both-completion-paths": Hang Must,
        name None, stop None, page "network/generating-oid-requests-from-an-ndis-filter-driver.md",
        "Synchronous and asynchronous results of NdisFOidRequest are both handled; for synchronous ones the callback does not come.";
    OID_REQUEST_STATE = "oid-request-state": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfoidrequest.md",
        "NdisFOidRequest and NdisFDirectOidRequest are called only in Restarting, Running, Pausing or Paused.";
    OID_REQUEST_IRQL = "oid-request-irql": BugCheck Must,
        name "Irql_OID_Function", stop None, page "ddi ndis/nf-ndis-ndisfoidrequest.md",
        "OID functions are called at or below DISPATCH_LEVEL.";
    OID_WAIT_PASSIVE = "oid-wait-passive": BugCheck Must,
        name None, stop "0x7C/0x14", page "ddi ndis/nf-ndis-ndiswaitevent.md",
        "Waiting for an own OID happens at PASSIVE_LEVEL.";
    OID_HANDLER_NO_PASSIVE_ASSUMPTION = "oid-handler-no-passive-assumption": BugCheck Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_oid_request.md",
        "FilterOidRequest copes with DISPATCH_LEVEL.";
    OID_CANCEL_FORWARD = "oid-cancel-forward": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_cancel_oid_request.md",
        "FilterCancelOidRequest forwards the cancel for a forwarded request with the id used downward.";
    OID_CANCEL_LOCAL = "oid-cancel-local": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_cancel_oid_request.md",
        "A cancelled request still held in the filter completes with NDIS_STATUS_REQUEST_ABORTED.";
    OID_TIMED = "oid-timed": Hang Must,
        name "NdisTimedOidComplete", stop "0xC4/0x00092003", page "devtest/ndis-ndistimedoidcomplete.md",
        "An OID request completes within 12 seconds (documented for miniports; about 1 s is advised).";
    OID_MUST_SUCCEED_LIST = "oid-must-succeed-list": BugCheck Must,
        name "NdisOidComplete", stop "0xC4/0x00091001; 0x7C/0x1C", page "devtest/ndis-ndisoidcomplete.md",
        "Certain OIDs may only complete with the listed statuses (set power; clear filter; free queue; free VF; delete switch; delete multicast; remove WOL; remove protocol offload; release tunnel; IPsec delete SA).";
    OID_NO_NETPNP_IN_HANDLER = "oid-no-netpnp-in-handler": Hang Must,
        name "NdisMNetPnPEventInOIDRequest", stop None, page "ddi ndis/nf-ndis-ndisfnetpnpevent.md",
        "NdisFNetPnPEvent is not called in the context of FilterOidRequest (SDV rule covers the miniport variant).";
    OID_RESERVED_AREAS = "oid-reserved-areas": Corruption Derived,
        name None, stop None, page "ddi oidrequest/ns-oidrequest-ndis_oid_request.md",
        "Only SourceReserved of requests the filter allocated is used; NdisReserved and MiniportReserved are not.";
    OID_CLONE_REQUEST_ID = "oid-clone-request-id": Style Sample,
        name None, stop None, page "samples network/ndis/filter/filter.c",
        "The clone carries the RequestId of the original.";
    OID_PASS_UNKNOWN = "oid-pass-unknown": Style Should,
        name None, stop None, page "network/supporting-rss-in-intermediate-drivers-or-filter-drivers.md",
        "OIDs, requests and status indications the filter does not care about are passed on.";
    OID_HEADER_INSERT_MTU = "oid-header-insert-mtu": Style Derived,
        name None, stop None, page "network/filtering-oid-requests-in-an-ndis-filter-driver.md",
        "A filter that inserts headers reduces the frame size reported upward.";
    DIRECT_OID_SUPPORTED_ONLY = "direct-oid-supported-only": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfdirectoidrequest.md",
        "NdisFDirectOidRequest is used only for OIDs the direct interface supports.";
    DIRECT_OID_CONCURRENT = "direct-oid-concurrent": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_direct_oid_request.md",
        "Direct OID handlers tolerate concurrent direct and regular requests at DISPATCH_LEVEL.";
    SYNC_OID_NO_PENDING = "sync-oid-no-pending": Hang Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "FilterSynchronousOidRequest never returns PENDING and its Complete handler never writes PENDING or ALREADY_COMPLETE.";
    SYNC_OID_UNKNOWN_SUCCESS = "sync-oid-unknown-success": Style Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "Unknown synchronous OIDs return NDIS_STATUS_SUCCESS, not NOT_SUPPORTED.";
    SYNC_OID_NO_CLONE = "sync-oid-no-clone": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "A synchronous OID is not cloned, cancelled or reissued with NdisFSynchronousOidRequest.";
    SYNC_OID_FIELD_ACCESS = "sync-oid-field-access": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "Fields marked do-not-access or read-only in a synchronous OID are left alone.";
    SYNC_OID_IRQL_RESTORED = "sync-oid-irql-restored": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "IRQL at exit equals IRQL at entry.";
    SYNC_OID_NO_BLOCK = "sync-oid-no-block": Hang Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "Synchronous OID handlers do not block, wait or sleep.";
    SYNC_OID_VS_PAUSE = "sync-oid-vs-pause": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-filter_synchronous_oid_request.md",
        "The handlers synchronize themselves against FilterPause and other OIDs.";
    RSSV2_OID_NOT_DELAYED = "rssv2-oid-not-delayed": Corruption Must,
        name None, stop None, page "network/receive-side-scaling-version-2-rssv2-.md",
        "The RSSv2 indirection table OID is not delayed or moved to another processor.";
    STATUS_HEADER = "status-header": BugCheck Must,
        name None, stop "0x7C/0x20", page "ddi ndis/ns-ndis-_ndis_status_indication.md",
        "Originated status indications have a valid header, SourceHandle and buffer size.";
    STATUS_SOURCEHANDLE = "status-sourcehandle": Corruption Should,
        name None, stop None, page "network/filter-module-status-indications.md",
        "Originated status has SourceHandle equal to the module handle; forwarded status keeps its own.";
    STATUS_DESTINATION_PAIR = "status-destination-pair": Corruption Must,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_status_indication.md",
        "DestinationHandle and RequestId are set together, from the OID request they belong to.";
    STATUS_IRQL = "status-irql": BugCheck Must,
        name "Irql_StatusIndication_Function", stop None, page "ddi ndis/nf-ndis-ndisfindicatestatus.md",
        "NdisFIndicateStatus is called at or below DISPATCH_LEVEL.";
    STATUS_LIFETIME = "status-lifetime": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatestatus.md",
        "No status is indicated before NdisFSetAttributes returned or after FilterDetach returned.";
    STATUS_BUFFER_NOT_KEPT = "status-buffer-not-kept": Corruption Derived,
        name None, stop None, page "ddi ndis/ns-ndis-_ndis_status_indication.md",
        "The indication structure and buffer are not used after FilterStatus returns.";
    STATUS_AFTER_MINDICATE = "status-after-mindicate": BugCheck Must,
        name "NdisMIndicateStatusEx", stop None, page "devtest/ndis-ndismindicatestatusex.md",
        "Status is not indicated after the instance ended (miniport halt; filter detach by analogy).";
    NETPNP_RETURN = "netpnp-return": Style Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_net_pnp_event.md",
        "FilterNetPnPEvent fails only NetEventQueryPower and NetEventQueryRemoveDevice.";
    NETPNP_SETPOWER_NO_WAIT = "netpnp-setpower-no-wait": Hang Should,
        name None, stop None, page "network/summary-of-changes-required-to-port-a-protocol-or-filter-driver-to-ndis-6-30.md",
        "NetEventSetPower is completed without waiting for packets.";
    NETPNP_FORWARD_CONTEXT = "netpnp-forward-context": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfnetpnpevent.md",
        "NdisFNetPnPEvent is called at PASSIVE_LEVEL from FilterNetPnPEvent.";
    NETPNP_FORBIDDEN_EVENTS = "netpnp-forbidden-events": BugCheck Must,
        name None, stop "0x7C/0x22", page "ddi netpnp/ns-netpnp-_net_pnp_event.md",
        "Filters do not issue NetEventInhibitBindsAbove, AllowBindsAbove, RequirePause or AllowStart.";
    DEVPNP_FORWARD_BEFORE_RETURN = "devpnp-forward-before-return": BugCheck Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfdevicepnpeventnotify.md",
        "Device PnP events are forwarded before FilterDevicePnPEventNotify returns, at PASSIVE_LEVEL.";
    POWER_NO_PAUSE_ASSUMPTION = "power-no-pause-assumption": Corruption Derived,
        name None, stop None, page "network/oid-pnp-set-power.md",
        "A 6.30+ filter does not assume it is paused across power transitions.";
}
