//! Question and answer of [`IOCTL_DEFERLWF_QUERY_FLOWS`](crate::IOCTL_DEFERLWF_QUERY_FLOWS).

use crate::wire::{enumeration, record};

/// Value of [`FlowHeader::next_cursor`] when there are no more flows.
pub const FLOW_CURSOR_END: u32 = u32::MAX;

record! {
    /// Asks for flows of one adapter.
    versioned pub struct FlowQuery {
        /// Must be zero.
        pub reserved: u16,
        /// Interface index of the adapter ([`AdapterStatistics::if_index`](crate::AdapterStatistics::if_index)).
        pub if_index: u32,
        /// Where to go on: 0 at first, then the last answer's [`FlowHeader::next_cursor`].
        pub cursor: u32,
    }
}

record! {
    /// First part of the answer.
    versioned pub struct FlowHeader {
        /// Must be zero.
        pub reserved: u16,
        /// Interface index of the adapter.
        pub if_index: u32,
        /// Flows that the adapter's table holds, not those that fit.
        pub flow_count: u32,
        /// Cursor for the next query, or [`FLOW_CURSOR_END`]. Flows do not move while they live, so that a walk over
        /// all pages meets once each flow that lives throughout.
        pub next_cursor: u32,
        /// The driver's clock, in nanoseconds.
        pub now_ns: u64,
    }
}

record! {
    /// One flow: what two ends exchanged, as one adapter saw it.
    ///
    /// End A sent the packet that made the flow.
    pub struct FlowRecord {
        /// What identifies the flow.
        pub kind: FlowKind,
        /// 4 or 6.
        pub ip_version: u8,
        /// Protocol of the payload, by its IANA number: 6 is TCP, 17 UDP.
        pub protocol: u8,
        /// State of a TCP connection.
        pub tcp_state: TcpState,
        /// Flags that A's TCP segments carried, together, as in the header's low byte.
        pub tcp_flags_a: u8,
        /// Flags that B's carried.
        pub tcp_flags_b: u8,
        /// 1 when the packet that made the flow was sent, 0 when it was received.
        pub a_is_local: u8,
        /// Must be zero.
        pub reserved: u8,
        /// Port of A.
        pub port_a: u16,
        /// Port of B.
        pub port_b: u16,
        /// Address of A: 16 bytes for IPv6; for IPv4 the first four, and zeros.
        pub address_a: [u8; 16],
        /// Address of B.
        pub address_b: [u8; 16],
        /// Packets from A to B.
        pub packets_ab: u64,
        /// Packets from B to A.
        pub packets_ba: u64,
        /// Bytes of whole frames from A to B.
        pub bytes_ab: u64,
        /// Bytes of whole frames from B to A.
        pub bytes_ba: u64,
        /// When the first packet was seen, in nanoseconds of the driver's clock.
        pub first_ns: u64,
        /// When the last packet was seen.
        pub last_ns: u64,
        /// Nanoseconds from a connection's SYN to the ACK that completes its handshake; 0 while unknown.
        pub handshake_ns: u64,
    }
}

enumeration! {
    /// What identifies a flow beside the two addresses and the protocol.
    pub enum FlowKind {
        /// Nothing, and the ports are zero. Flows of what has no ports, of second and later fragments, and of packets
        /// whose transport header cannot be read.
        #[default]
        Address = 0,
        /// The two ports, of TCP or UDP.
        Port = 1,
    }
}

enumeration! {
    /// What the segments of a TCP connection, seen from outside, say about it.
    pub enum TcpState {
        /// The flow is not TCP.
        #[default]
        None = 0,
        /// A SYN was seen.
        SynSent = 1,
        /// A SYN was answered with SYN and ACK.
        SynReceived = 2,
        /// Both ends agreed, or the flow was under way when first seen.
        Established = 3,
        /// One end has sent FIN.
        Closing = 4,
        /// Both ends have sent FIN.
        Closed = 5,
        /// An end has sent RST.
        Reset = 6,
    }
}
