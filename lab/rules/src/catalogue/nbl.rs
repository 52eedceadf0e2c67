//! NET_BUFFER_LIST structures.

super::rules! {
    NBL:
    NBL_NO_TOUCH_AFTER_SEND = "nbl-no-touch-after-send": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsendnetbufferlists.md",
        "After NdisFSendNetBufferLists the filter does not read or write the NBLs, NBs, MDLs or data until they come back.";
    NBL_NO_TOUCH_AFTER_COMPLETE = "nbl-no-touch-after-complete": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsendnetbufferlistscomplete.md",
        "After NdisFSendNetBufferListsComplete the NBLs belong to the overlying driver.";
    NBL_NO_TOUCH_AFTER_INDICATE = "nbl-no-touch-after-indicate": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
        "NBLs indicated without RESOURCES are not touched until FilterReturnNetBufferLists.";
    NBL_NO_TOUCH_AFTER_RETURN = "nbl-no-touch-after-return": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfreturnnetbufferlists.md",
        "NBLs are not touched after NdisFReturnNetBufferLists.";
    NBL_COMPLETE_ONLY_RECEIVED = "nbl-complete-only-received": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsendnetbufferlistscomplete.md",
        "Only NBLs received through FilterSendNetBufferLists of the same module are completed upward, each once.";
    NBL_OWN_NOT_COMPLETED_UP = "nbl-own-not-completed-up": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_send_net_buffer_lists_complete.md",
        "Own send NBLs coming back are freed or reused, never completed upward.";
    NBL_RETURN_ONLY_RECEIVED = "nbl-return-only-received": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfreturnnetbufferlists.md",
        "Only NBLs received through FilterReceiveNetBufferLists without RESOURCES are returned downward, each once.";
    NBL_OWN_NOT_RETURNED_DOWN = "nbl-own-not-returned-down": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_return_net_buffer_lists.md",
        "Own receive NBLs coming back are freed or reused, never returned downward.";
    NBL_RETURN_NOT_RESOURCES = "nbl-return-not-resources": Corruption Must,
        name None, stop None, page "network/pausing-a-filter-module.md",
        "NdisFReturnNetBufferLists is not called for NBLs received with NDIS_RECEIVE_FLAGS_RESOURCES.";
    NBL_EVERY_SEND_SETTLED = "nbl-every-send-settled": Hang Must,
        name None, stop "0x7C/0x27", page "ddi ndis/nc-ndis-filter_send_net_buffer_lists.md",
        "Every send NBL is eventually passed down or completed.";
    NBL_EVERY_RECEIVE_SETTLED = "nbl-every-receive-settled": Hang Must,
        name None, stop "0x7C/0x27", page "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
        "Every receive NBL without RESOURCES is eventually passed up or returned.";
    RX_RESOURCES_NOT_KEPT = "rx-resources-not-kept": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
        "With RESOURCES set the filter keeps no pointer to NBL, NB, MDL or data after the handler returns.";
    RX_RESOURCES_COPY_TO_QUEUE = "rx-resources-copy-to-queue": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
        "To process a RESOURCES receive later the filter copies it before returning.";
    RX_RESOURCES_CHAIN_RESTORED = "rx-resources-chain-restored": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
        "With RESOURCES the NBL chain on return is identical to the one passed in.";
    RX_RESOURCES_REGAIN_BEFORE_RETURN = "rx-resources-regain-before-return": Corruption Must,
        name None, stop None, page "network/receiving-data-in-a-filter-driver.md",
        "A RESOURCES receive passed up is back in the filter's hands before it returns.";
    RX_RESOURCES_INDICATE_FLAG = "rx-resources-indicate-flag": Corruption Derived,
        name None, stop None, page "network/receiving-data-in-a-filter-driver.md",
        "Borrowed NBLs are indicated with RESOURCES set (otherwise the filter must wait for the return).";
    RX_RESOURCES_RECLAIM_INLINE = "rx-resources-reclaim-inline": Leak Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
        "NBLs the filter indicates with RESOURCES are reclaimed on return; no FilterReturnNetBufferLists call will come.";
    RX_RESOURCES_FAST = "rx-resources-fast": Style Should,
        name None, stop None, page "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
        "With RESOURCES the handler returns as quickly as possible.";
    NBL_SOURCEHANDLE_OWN_SEND = "nbl-sourcehandle-own-send": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsendnetbufferlists.md",
        "NBLs created by the filter carry SourceHandle equal to the module handle when sent.";
    NBL_SOURCEHANDLE_OWN_RECEIVE = "nbl-sourcehandle-own-receive": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
        "NBLs created by the filter carry SourceHandle equal to the module handle when indicated.";
    NBL_SOURCEHANDLE_FOREIGN = "nbl-sourcehandle-foreign": Corruption Must,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "SourceHandle of foreign NBLs is never changed.";
    NBL_SOURCEHANDLE_NOT_READ = "nbl-sourcehandle-not-read": Style Should,
        name None, stop None, page "network/net-buffer-list-structure.md",
        "Drivers do not read SourceHandle to identify NBLs.";
    NBL_COUNT_MATCHES = "nbl-count-matches": Corruption Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
        "NumberOfNetBufferLists equals the length of the indicated chain.";
    NBL_LIST_WELL_FORMED = "nbl-list-well-formed": Corruption Must,
        name None, stop None, page "network/network-data-structures.md",
        "NBL and NB lists handed to NDIS are NULL-terminated, acyclic and not empty.";
    NBL_EMPTY_LIST_NOT_PASSED = "nbl-empty-list-not-passed": BugCheck Sample,
        name None, stop None, page "samples network/ndis/filter/filter.c (comment)",
        "After stripping own NBLs an empty list is not handed to NDIS.";
    FLAGS_DISPATCH_TRUTHFUL = "flags-dispatch-truthful": Corruption Must,
        name None, stop None, page "network/dispatch-irql-tracking.md",
        "A dispatch-level flag is set only when the call is made at DISPATCH_LEVEL.";
    FLAGS_DISPATCH_USED = "flags-dispatch-used": Style Should,
        name None, stop None, page "network/dispatch-irql-tracking.md",
        "The flag is set when the IRQL is known to be DISPATCH_LEVEL.";
    FLAGS_IRQL_NO_PROBE = "flags-irql-no-probe": Style Must,
        name "Flags_Irql", stop None, page "devtest/ndis-flags-irql.md",
        "KeGetCurrentIrql is not called inside callbacks that receive a dispatch-level flag.";
    FLAGS_RECEIVE_CLAIMS = "flags-receive-claims": Corruption Derived,
        name None, stop None, page "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
        "Receive flags that describe the whole list (single EtherType, VLAN, queue, perfect filtered, shared memory valid) stay true for the list actually indicated.";
    FLAGS_MORE_NBLS_RESERVED = "flags-more-nbls-reserved": Style Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
        "NDIS_RECEIVE_FLAGS_MORE_NBLS is not set by drivers.";
    FLAGS_UNDEFINED_BITS = "flags-undefined-bits": Style Derived,
        name None, stop None, page "ddi ndis/nf-ndis-ndisfsendnetbufferlists.md",
        "Only documented flag bits are passed to data path functions.";
    FLAGS_LOOPBACK_PASSED_ON = "flags-loopback-passed-on": Style Should,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "CHECK_FOR_LOOPBACK received in SendFlags is preserved when the send is forwarded.";
    FLAGS_SWITCH_ONLY = "flags-switch-only": Corruption Must,
        name None, stop "0xC4/0xA00C, 0xA00D", page "ddi ndis/nc-ndis-filter_send_net_buffer_lists.md",
        "Switch flags are used only in an extensible switch stack and hold for every NBL.";
    NBL_NB_LIST_UNMODIFIED_AT_HANDBACK = "nbl-nb-list-unmodified-at-handback": Corruption Must,
        name None, stop None, page "network/sending-ethernet-frames.md",
        "NB and MDL links changed by the filter are restored before the NBL goes back to its previous owner.";
    NBL_DESCRIPTOR_UNDO = "nbl-descriptor-undo": Corruption Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_send_net_buffer_lists.md",
        "Descriptor modifications (offsets, lengths, context) are reversed before completing or returning a foreign NBL.";
    NB_NOT_MOVED_BETWEEN_NBLS = "nb-not-moved-between-nbls": Corruption Must,
        name None, stop None, page "ddi nbl/ns-nbl-net_buffer_list.md",
        "NBs of foreign NBLs stay with their NBL when handed to another driver.";
    NBL_CONTEXT_BALANCED = "nbl-context-balanced": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisfreenetbufferlist.md",
        "Context space allocated on an NBL is freed (LIFO) before the NBL is handed back or freed.";
    NBL_CONTEXT_ALLOC_CAN_FAIL = "nbl-context-alloc-can-fail": BugCheck Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbufferlistcontext.md",
        "Failure of NdisAllocateNetBufferListContext is handled.";
    NBL_CONTEXT_SIZE_MULTIPLE = "nbl-context-size-multiple": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbufferlistcontext.md",
        "Context size and backfill are multiples of sizeof(void*) (MEMORY_ALLOCATION_ALIGNMENT for pool and NBL allocation).";
    NBL_CONTEXT_PREALLOC_NOT_FREED = "nbl-context-prealloc-not-freed": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisfreenetbufferlist.md",
        "Context space that came with NdisAllocateNetBufferList is not freed with NdisFreeNetBufferListContext.";
    NBL_RESERVED_FIELDS = "nbl-reserved-fields": Corruption Derived,
        name None, stop None, page "ddi nbl/ns-nbl-net_buffer_list.md",
        "Filters do not use MiniportReserved, ProtocolReserved or NDIS reserved members of foreign NBLs and NBs.";
    NBL_SCRATCH_NOT_PERSISTENT = "nbl-scratch-not-persistent": Corruption Must,
        name None, stop None, page "ddi nbl/ns-nbl-net_buffer_list.md",
        "Scratch and scratch flag bits are not relied on across a hand-over.";
    NBL_PARENT_NOT_OVERWRITTEN = "nbl-parent-not-overwritten": Corruption Must,
        name None, stop None, page "network/relationships-between-net-buffer-list-generations.md",
        "ParentNetBufferList of a received NBL is not changed.";
    NBL_PARENT_RETAINED = "nbl-parent-retained": Corruption Must,
        name None, stop None, page "network/relationships-between-net-buffer-list-generations.md",
        "A parent NBL is kept, not handed to another driver, while children exist.";
    NBL_CHILDREN_FREED_FIRST = "nbl-children-freed-first": Corruption Must,
        name None, stop None, page "network/relationships-between-net-buffer-list-generations.md",
        "All children are freed before the parent is completed, returned or freed.";
    NBL_CHILD_REFCOUNT = "nbl-child-refcount": Style Should,
        name None, stop None, page "network/relationships-between-net-buffer-list-generations.md",
        "The creator maintains ChildRefCount of the parent and ParentNetBufferList of the child.";
    CLONE_FREE_FLAGS_MATCH = "clone-free-flags-match": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisfreeclonenetbufferlist.md",
        "NdisFreeCloneNetBufferList gets the same flags as the allocation.";
    DERIVED_FREE_API_MATCH = "derived-free-api-match": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocateclonenetbufferlist.md",
        "Clones, fragments and reassembled NBLs are freed with their own free function.";
    DERIVED_NO_CONTEXT = "derived-no-context": BugCheck Derived,
        name None, stop None, page "network/derived-net-buffer-list-structures.md",
        "Derived NBLs have no context structure until one is allocated.";
    CLONE_COPY_OOB = "clone-copy-oob": Corruption Should,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndiscopysendnetbufferlistinfo.md",
        "A new or cloned NBL that carries on a request gets the OOB data through NdisCopySend/ReceiveNetBufferListInfo.";
    CLONE_COPY_RIGHT_DIRECTION = "clone-copy-right-direction": Corruption Should,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndiscopyreceivenetbufferlistinfo.md",
        "The send variant is used on the send path and the receive variant on the receive path.";
    POOL_FREED_AFTER_NBLS = "pool-freed-after-nbls": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisfreenetbufferlistpool.md",
        "A pool is freed only after all its NBLs/NBs were freed.";
    POOL_ORIGIN = "pool-origin": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbufferlist.md",
        "NBLs and NBs handed to NDIS come from NDIS pools, not from stack or private memory.";
    POOL_PARAMETERS = "pool-parameters": Corruption Must,
        name None, stop None, page "ddi nblapi/ns-nblapi-net_buffer_list_pool_parameters.md",
        "Pool parameters are consistent: header type DEFAULT rev 1, ProtocolId 0, DataSize only with fAllocateNetBuffer, aligned ContextSize, tag set.";
    POOL_ALLOC_KIND = "pool-alloc-kind": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbufferandnetbufferlist.md",
        "NdisAllocateNetBufferAndNetBufferList is used only on pools with fAllocateNetBuffer TRUE and DataSize 0; MdlAndData only on NB pools with data.";
    POOL_ALLOC_NULL = "pool-alloc-null": BugCheck Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbufferlist.md",
        "NULL from NBL, NB, MDL and pool allocation is handled.";
    NBL_FREE_PREALLOCATED_ONCE = "nbl-free-preallocated-once": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbufferlistpool.md",
        "Preallocated NB, MDL and data are freed only with their NBL.";
    NBL_FREE_NB_FIRST = "nbl-free-nb-first": Leak Should,
        name None, stop None, page "network/filter-driver-buffer-management.md",
        "Separately allocated NBs are freed or detached before their NBL is freed.";
    NBL_FREE_OWNED_ONLY = "nbl-free-owned-only": Corruption Derived,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisfreenetbufferlist.md",
        "Only NBLs the driver created and currently owns are freed.";
    GETDATABUFFER_NULL = "getdatabuffer-null": BugCheck Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisgetdatabuffer.md",
        "NULL from NdisGetDataBuffer is handled even when data is contiguous or storage was given.";
    GETDATABUFFER_STORAGE_SIZE = "getdatabuffer-storage-size": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisgetdatabuffer.md",
        "Storage is at least BytesNeeded long.";
    GETDATABUFFER_RANGE = "getdatabuffer-range": Corruption Derived,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisgetdatabuffer.md",
        "No more than BytesNeeded bytes are accessed through the returned pointer.";
    GETDATABUFFER_ARGS = "getdatabuffer-args": Style Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisgetdatabuffer.md",
        "AlignMultiple is a power of two (1 = no requirement).";
    NB_MULTIPLE_MDLS = "nb-multiple-mdls": Corruption Must,
        name None, stop None, page "network/supporting-header-data-split-in-protocol-driver-and-filter-drivers.md",
        "Receive and send parsing copes with several MDLs per NB at any legal split.";
    NB_CURRENT_OFFSET = "nb-current-offset": Corruption Must,
        name None, stop None, page "ddi nbl/ns-nbl-net_buffer.md",
        "Data is located through CurrentMdl and CurrentMdlOffset, limited by DataLength.";
    NB_UNUSED_SPACE_PRESERVED = "nb-unused-space-preserved": Corruption Derived,
        name None, stop None, page "network/net-buffer-structure.md",
        "Unused data space on the receive path is not overwritten.";
    NB_GEOMETRY_CONSISTENT = "nb-geometry-consistent": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisallocatenetbuffer.md",
        "CurrentMdl, CurrentMdlOffset, DataOffset and DataLength are mutually consistent and inside the chain at every hand-out.";
    NB_RETREAT_STATUS = "nb-retreat-status": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisretreatnetbufferdatastart.md",
        "Retreat failure is checked.";
    NB_RETREAT_ADVANCE_BALANCED = "nb-retreat-advance-balanced": Corruption Must,
        name None, stop None, page "network/retreat-and-advance-operations.md",
        "A retreat on the send path is undone by an advance at completion, an advance on receive by a retreat before return.";
    NB_ADVANCE_FREE_HANDLER = "nb-advance-free-handler": Corruption Must,
        name None, stop None, page "network/advance-operations.md",
        "MDLs allocated by a custom allocate handler are freed by the matching free handler.";
    NB_ADVANCE_WITHIN_DATA = "nb-advance-within-data": Corruption Derived,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndisadvancenetbufferdatastart.md",
        "Advance does not exceed DataLength.";
    NB_COPY_SHORT = "nb-copy-short": Corruption Must,
        name None, stop None, page "ddi nblapi/nf-nblapi-ndiscopyfromnetbuffertonetbuffer.md",
        "BytesCopied is checked and destination length fields are set by the caller.";
    NBL_READ_ONLY = "nbl-read-only": Corruption Must,
        name None, stop None, page "ddi nbl/ns-nbl-net_buffer_list.md",
        "Data of NBLs flagged SEND_READ_ONLY or RECV_READ_ONLY is not modified.";
}
