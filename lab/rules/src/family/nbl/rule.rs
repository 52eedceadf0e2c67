//! The rules of the ledger.

use crate::{Rule, Severity, Strength};

pub(super) const NBL_NO_TOUCH_AFTER_SEND: Rule = Rule {
    id: "nbl-no-touch-after-send",
    official_name: None,
    statement: "After NdisFSendNetBufferLists the filter does not read or write the NBLs, NBs, MDLs or data until they come back.",
    page: "ddi ndis/nf-ndis-ndisfsendnetbufferlists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_NO_TOUCH_AFTER_INDICATE: Rule = Rule {
    id: "nbl-no-touch-after-indicate",
    official_name: None,
    statement: "NBLs indicated without RESOURCES are not touched until FilterReturnNetBufferLists.",
    page: "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_COMPLETE_ONLY_RECEIVED: Rule = Rule {
    id: "nbl-complete-only-received",
    official_name: None,
    statement: "Only NBLs received through FilterSendNetBufferLists of the same module are completed upward, each once.",
    page: "ddi ndis/nf-ndis-ndisfsendnetbufferlistscomplete.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_OWN_NOT_COMPLETED_UP: Rule = Rule {
    id: "nbl-own-not-completed-up",
    official_name: None,
    statement: "Own send NBLs coming back are freed or reused, never completed upward.",
    page: "ddi ndis/nc-ndis-filter_send_net_buffer_lists_complete.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_RETURN_ONLY_RECEIVED: Rule = Rule {
    id: "nbl-return-only-received",
    official_name: None,
    statement: "Only NBLs received through FilterReceiveNetBufferLists without RESOURCES are returned downward, each once.",
    page: "ddi ndis/nf-ndis-ndisfreturnnetbufferlists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_OWN_NOT_RETURNED_DOWN: Rule = Rule {
    id: "nbl-own-not-returned-down",
    official_name: None,
    statement: "Own receive NBLs coming back are freed or reused, never returned downward.",
    page: "ddi ndis/nc-ndis-filter_return_net_buffer_lists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_RETURN_NOT_RESOURCES: Rule = Rule {
    id: "nbl-return-not-resources",
    official_name: None,
    statement: "NdisFReturnNetBufferLists is not called for NBLs received with NDIS_RECEIVE_FLAGS_RESOURCES.",
    page: "network/pausing-a-filter-module.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_EVERY_SEND_SETTLED: Rule = Rule {
    id: "nbl-every-send-settled",
    official_name: None,
    statement: "Every send NBL is eventually passed down or completed.",
    page: "ddi ndis/nc-ndis-filter_send_net_buffer_lists.md",
    severity: Severity::Hang,
    strength: Strength::Must,
};

pub(super) const NBL_EVERY_RECEIVE_SETTLED: Rule = Rule {
    id: "nbl-every-receive-settled",
    official_name: None,
    statement: "Every receive NBL without RESOURCES is eventually passed up or returned.",
    page: "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
    severity: Severity::Hang,
    strength: Strength::Must,
};

pub(super) const RX_RESOURCES_CHAIN_RESTORED: Rule = Rule {
    id: "rx-resources-chain-restored",
    official_name: None,
    statement: "With RESOURCES the NBL chain on return is identical to the one passed in.",
    page: "ddi ndis/nc-ndis-filter_receive_net_buffer_lists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const RX_RESOURCES_REGAIN_BEFORE_RETURN: Rule = Rule {
    id: "rx-resources-regain-before-return",
    official_name: None,
    statement: "A RESOURCES receive passed up is back in the filter's hands before it returns.",
    page: "network/receiving-data-in-a-filter-driver.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const RX_RESOURCES_INDICATE_FLAG: Rule = Rule {
    id: "rx-resources-indicate-flag",
    official_name: None,
    statement: "Borrowed NBLs are indicated with RESOURCES set (otherwise the filter must wait for the return).",
    page: "network/receiving-data-in-a-filter-driver.md",
    severity: Severity::Corruption,
    strength: Strength::Derived,
};

pub(super) const NBL_SOURCEHANDLE_OWN_SEND: Rule = Rule {
    id: "nbl-sourcehandle-own-send",
    official_name: None,
    statement: "NBLs created by the filter carry SourceHandle equal to the module handle when sent.",
    page: "ddi ndis/nf-ndis-ndisfsendnetbufferlists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_SOURCEHANDLE_OWN_RECEIVE: Rule = Rule {
    id: "nbl-sourcehandle-own-receive",
    official_name: None,
    statement: "NBLs created by the filter carry SourceHandle equal to the module handle when indicated.",
    page: "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_SOURCEHANDLE_FOREIGN: Rule = Rule {
    id: "nbl-sourcehandle-foreign",
    official_name: None,
    statement: "SourceHandle of foreign NBLs is never changed.",
    page: "network/sending-data-from-a-filter-driver.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_COUNT_MATCHES: Rule = Rule {
    id: "nbl-count-matches",
    official_name: None,
    statement: "NumberOfNetBufferLists equals the length of the indicated chain.",
    page: "ddi ndis/nf-ndis-ndisfindicatereceivenetbufferlists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_LIST_WELL_FORMED: Rule = Rule {
    id: "nbl-list-well-formed",
    official_name: None,
    statement: "NBL and NB lists handed to NDIS are NULL-terminated, acyclic and not empty.",
    page: "network/network-data-structures.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_EMPTY_LIST_NOT_PASSED: Rule = Rule {
    id: "nbl-empty-list-not-passed",
    official_name: None,
    statement: "After stripping own NBLs an empty list is not handed to NDIS.",
    page: "samples network/ndis/filter/filter.c (comment)",
    severity: Severity::BugCheck,
    strength: Strength::Sample,
};

pub(super) const NBL_NB_LIST_UNMODIFIED_AT_HANDBACK: Rule = Rule {
    id: "nbl-nb-list-unmodified-at-handback",
    official_name: None,
    statement: "NB and MDL links changed by the filter are restored before the NBL goes back to its previous owner.",
    page: "network/sending-ethernet-frames.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_DESCRIPTOR_UNDO: Rule = Rule {
    id: "nbl-descriptor-undo",
    official_name: None,
    statement: "Descriptor modifications (offsets, lengths, context) are reversed before completing or returning a foreign NBL.",
    page: "ddi ndis/nc-ndis-filter_send_net_buffer_lists.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_RESERVED_FIELDS: Rule = Rule {
    id: "nbl-reserved-fields",
    official_name: None,
    statement: "Filters do not use MiniportReserved, ProtocolReserved or NDIS reserved members of foreign NBLs and NBs.",
    page: "ddi nbl/ns-nbl-net_buffer_list.md",
    severity: Severity::Corruption,
    strength: Strength::Derived,
};

pub(super) const NBL_READ_ONLY: Rule = Rule {
    id: "nbl-read-only",
    official_name: None,
    statement: "Data of NBLs flagged SEND_READ_ONLY or RECV_READ_ONLY is not modified.",
    page: "ddi nbl/ns-nbl-net_buffer_list.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_FREE_OWNED_ONLY: Rule = Rule {
    id: "nbl-free-owned-only",
    official_name: None,
    statement: "Only NBLs the driver created and currently owns are freed.",
    page: "ddi nblapi/nf-nblapi-ndisfreenetbufferlist.md",
    severity: Severity::Corruption,
    strength: Strength::Derived,
};

pub(super) const POOL_ORIGIN: Rule = Rule {
    id: "pool-origin",
    official_name: None,
    statement: "NBLs and NBs handed to NDIS come from NDIS pools, not from stack or private memory.",
    page: "ddi nblapi/nf-nblapi-ndisallocatenetbufferlist.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const PAUSE_FLUSH_HELD_SENDS: Rule = Rule {
    id: "pause-flush-held-sends",
    official_name: None,
    statement: "All queued foreign send NBLs are completed before the pause completes.",
    page: "ddi ndis/nc-ndis-filter_pause.md",
    severity: Severity::Hang,
    strength: Strength::Must,
};

pub(super) const PAUSE_FLUSH_HELD_RECEIVES: Rule = Rule {
    id: "pause-flush-held-receives",
    official_name: None,
    statement: "All queued foreign receive NBLs are returned before the pause completes.",
    page: "ddi ndis/nc-ndis-filter_pause.md",
    severity: Severity::Hang,
    strength: Strength::Must,
};

pub(super) const PAUSE_WAIT_OWN_SENDS: Rule = Rule {
    id: "pause-wait-own-sends",
    official_name: None,
    statement: "Every send the filter originated has come back before the pause completes.",
    page: "ddi ndis/nc-ndis-filter_pause.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const PAUSE_WAIT_OWN_RECEIVES: Rule = Rule {
    id: "pause-wait-own-receives",
    official_name: None,
    statement: "Every receive the filter originated has been returned before the pause completes.",
    page: "ddi ndis/nc-ndis-filter_pause.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const PAUSE_NO_NEW_SEND: Rule = Rule {
    id: "pause-no-new-send",
    official_name: None,
    statement: "From FilterPause entry until Running the filter originates no send.",
    page: "ddi ndis/nc-ndis-filter_pause.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

pub(super) const PAUSE_NO_NEW_RECEIVE: Rule = Rule {
    id: "pause-no-new-receive",
    official_name: None,
    statement: "From FilterPause entry until restart the filter originates no receive indication.",
    page: "ddi ndis/nc-ndis-filter_pause.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

pub(super) const PAUSE_REJECT_SENDS: Rule = Rule {
    id: "pause-reject-sends",
    official_name: None,
    statement: "Sends received while Pausing, Paused or Restarting are completed at once and not forwarded.",
    page: "network/pausing-a-filter-module.md",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

pub(super) const PAUSE_REJECT_STATUS_CODE: Rule = Rule {
    id: "pause-reject-status-code",
    official_name: None,
    statement: "Sends rejected because of the state carry Status NDIS_STATUS_PAUSED in every NBL.",
    page: "network/pausing-a-filter-module.md",
    severity: Severity::Style,
    strength: Strength::Should,
};

pub(super) const PAUSE_RECEIVE_NOT_KEPT: Rule = Rule {
    id: "pause-receive-not-kept",
    official_name: None,
    statement: "Receives arriving while Pausing or Paused are returned (or passed on) at once, not queued as originals.",
    page: "network/pausing-a-filter-module.md",
    severity: Severity::Hang,
    strength: Strength::Should,
};

pub(super) const RESTART_NO_OWN_SEND: Rule = Rule {
    id: "restart-no-own-send",
    official_name: None,
    statement: "No own send is originated while Restarting.",
    page: "network/starting-a-filter-module.md",
    severity: Severity::BugCheck,
    strength: Strength::Should,
};

pub(super) const DETACH_NO_NBL: Rule = Rule {
    id: "detach-no-nbl",
    official_name: None,
    statement: "No NBL of the module is outstanding when it detaches or the driver deregisters.",
    page: "debugger/bug-check-0x7c",
    severity: Severity::BugCheck,
    strength: Strength::Must,
};

pub(super) const POOL_FREED_AFTER_NBLS: Rule = Rule {
    id: "pool-freed-after-nbls",
    official_name: None,
    statement: "A pool is freed only after all its NBLs/NBs were freed.",
    page: "ddi nblapi/nf-nblapi-ndisfreenetbufferlistpool.md",
    severity: Severity::Corruption,
    strength: Strength::Must,
};

pub(super) const NBL_OOB_INTACT: Rule = Rule {
    id: "lab-nbl-oob-intact",
    official_name: None,
    statement: "A filter that only passes a foreign NBL on leaves its out-of-band data as it is.",
    page: "network/net-buffer-list-structure.md",
    severity: Severity::Corruption,
    strength: Strength::Derived,
};

/// All of them.
pub(super) const ALL: &[&Rule] = &[
    &NBL_NO_TOUCH_AFTER_SEND,
    &NBL_NO_TOUCH_AFTER_INDICATE,
    &NBL_COMPLETE_ONLY_RECEIVED,
    &NBL_OWN_NOT_COMPLETED_UP,
    &NBL_RETURN_ONLY_RECEIVED,
    &NBL_OWN_NOT_RETURNED_DOWN,
    &NBL_RETURN_NOT_RESOURCES,
    &NBL_EVERY_SEND_SETTLED,
    &NBL_EVERY_RECEIVE_SETTLED,
    &RX_RESOURCES_CHAIN_RESTORED,
    &RX_RESOURCES_REGAIN_BEFORE_RETURN,
    &RX_RESOURCES_INDICATE_FLAG,
    &NBL_SOURCEHANDLE_OWN_SEND,
    &NBL_SOURCEHANDLE_OWN_RECEIVE,
    &NBL_SOURCEHANDLE_FOREIGN,
    &NBL_COUNT_MATCHES,
    &NBL_LIST_WELL_FORMED,
    &NBL_EMPTY_LIST_NOT_PASSED,
    &NBL_NB_LIST_UNMODIFIED_AT_HANDBACK,
    &NBL_DESCRIPTOR_UNDO,
    &NBL_RESERVED_FIELDS,
    &NBL_READ_ONLY,
    &NBL_FREE_OWNED_ONLY,
    &POOL_ORIGIN,
    &PAUSE_FLUSH_HELD_SENDS,
    &PAUSE_FLUSH_HELD_RECEIVES,
    &PAUSE_WAIT_OWN_SENDS,
    &PAUSE_WAIT_OWN_RECEIVES,
    &PAUSE_NO_NEW_SEND,
    &PAUSE_NO_NEW_RECEIVE,
    &PAUSE_REJECT_SENDS,
    &PAUSE_REJECT_STATUS_CODE,
    &PAUSE_RECEIVE_NOT_KEPT,
    &RESTART_NO_OWN_SEND,
    &DETACH_NO_NBL,
    &POOL_FREED_AFTER_NBLS,
    &NBL_OOB_INTACT,
];
