//! Frames, offloads, cancellation.

super::rules! {
    FRAME:
    HDSPLIT_HEADER_LIFETIME = "hdsplit-header-lifetime": Corruption Must,
        name None, stop None, page "network/supporting-header-data-split-in-protocol-driver-and-filter-drivers.md",
        "Header MDLs are not accessed after the receive indication returned to the miniport, even without RESOURCES, when header-data split is on.";
    ETH_RX_ONE_NB = "eth-rx-one-nb": Corruption Must,
        name None, stop None, page "network/indicating-received-ethernet-frames.md",
        "An originated Ethernet receive has exactly one NB per NBL.";
    ETH_RX_HEADER_SPLIT = "eth-rx-header-split": Corruption Must,
        name None, stop None, page "network/indicating-received-ethernet-frames.md",
        "Originated receives do not split inside protocol headers unless the first MDL has the lookahead size.";
    ETH_TX_MAC_HEADER = "eth-tx-mac-header": Corruption Must,
        name None, stop None, page "network/sending-ethernet-frames.md",
        "The MAC header including VLAN tag of a sent frame lies in one MDL.";
    ETH_TX_HOMOGENEOUS = "eth-tx-homogeneous": Corruption Must,
        name None, stop None, page "network/sending-ethernet-frames.md",
        "All NBs of a sent NBL share frame type, IP version, MAC pair and TCP/UDP connection.";
    RSC_LARGE_RECEIVE = "rsc-large-receive": Corruption Must,
        name None, stop None, page "network/programming-considerations-for-rsc-drivers.md",
        "A 6.30+ filter handles received packets larger than the MTU.";
    URO_DECLARE = "uro-declare": Corruption Must,
        name None, stop None, page "network/udp-rsc-offload.md",
        "A 6.89 filter handles URO packets or sets NDIS_FILTER_DRIVER_UDP_RSC_NOT_SUPPORTED.";
    LSO_SINGLE_NB = "lso-single-nb": Corruption Must,
        name None, stop None, page "network/offloading-the-segmentation-of-large-tcp-packets.md",
        "An NBL with LSO or USO OOB data has one NB and keeps its OOB when forwarded, copied or cloned.";
    LSO_LARGE_SEND = "lso-large-send": Corruption Derived,
        name None, stop None, page "network/offloading-the-segmentation-of-large-tcp-packets.md",
        "Send parsing does not assume frame size within the MTU or a valid IP total length (LSOv2 sends it as 0).";
    CHECKSUM_OOB_CONSISTENT = "checksum-oob-consistent": Corruption Derived,
        name None, stop None, page "ddi nblchecksum/ns-nblchecksum-ndis_tcp_ip_checksum_net_buffer_list_info.md",
        "A filter that alters checksummed bytes keeps OOB and packet checksums consistent (no stale Succeeded bits, offload requests kept).";
    CHECKSUM_VALUE_INVALID = "checksum-value-invalid": Corruption Derived,
        name None, stop None, page "network/indicating-coalesced-segments.md",
        "Packets with ChecksumValueInvalid bits are not rejected for a wrong in-packet checksum.";
    CANCEL_SEND_SCAN = "cancel-send-scan": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_cancel_send_net_buffer_lists.md",
        "FilterCancelSend completes every queued NBL with the given id.";
    CANCEL_SEND_STATUS = "cancel-send-status": Style Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_cancel_send_net_buffer_lists.md",
        "Cancelled NBLs carry NDIS_STATUS_SEND_ABORTED.";
    CANCEL_SEND_FORWARD = "cancel-send-forward": Hang Must,
        name None, stop None, page "ddi ndis/nc-ndis-filter_cancel_send_net_buffer_lists.md",
        "FilterCancelSend passes the id down with NdisFCancelSendNetBufferLists.";
    CANCEL_ID_HIGH_BYTE = "cancel-id-high-byte": Style Must,
        name None, stop None, page "ddi ndis/nf-ndis-ndisgeneratepartialcancelid.md",
        "Cancel ids assigned by the driver use the high byte from NdisGeneratePartialCancelId.";
    CANCEL_FOREIGN_ID_KEPT = "cancel-foreign-id-kept": Hang Derived,
        name None, stop None, page "network/canceling-a-send-request-in-a-filter-driver.md",
        "A filter does not replace the cancel id of foreign NBLs.";
    MONITORING_FILTER_READ_ONLY = "monitoring-filter-read-only": Corruption Must,
        name None, stop None, page "network/types-of-filter-drivers.md",
        "A monitoring filter does not modify or originate data.";
    PROMISCUOUS_EXTRA_NOT_PASSED = "promiscuous-extra-not-passed": Style Should,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "A filter that widens the packet filter does not pass the extra packets up.";
    LOOPBACK_SERVICE_PROVIDED = "loopback-service-provided": Style Must,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "A filter that hides or changes the MAC address performs loopback for it.";
    HOLD_NOT_UNBOUNDED = "hold-not-unbounded": Hang Sample,
        name None, stop None, page "samples network/ndis/filter/filter.c (comment)",
        "An NBL that must be held for an unbounded time is deep-copied and the original settled.";
}
