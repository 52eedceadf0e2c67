//! Bytes to packet facts, and packet facts to flows.
//!
//! Key types: [`parse`] turns the front of a frame into [`PacketFacts`]; [`FlowTable`] keeps a [`Flow`] per
//! conversation, in storage that the caller provides.
//!
//! ```
//! use inspect::{Direction, FlowTable, Recorded, Slot, Transport, parse};
//!
//! # let frame = [
//! #     2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, // Ethernet
//! #     0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
//! #     0x30, 0x39, 0, 53, 0, 8, 0, 0, // UDP
//! # ];
//! let facts = parse(&frame, 42, None);
//! assert!(matches!(facts.transport, Transport::Udp(udp) if udp.destination_port == 53));
//!
//! let mut slots = [Slot::EMPTY; 64];
//! let mut flows = FlowTable::new(&mut slots[..], 0x5EED, 60_000_000_000);
//! assert_eq!(flows.record(&facts, Direction::Send, 1_000), Recorded::New);
//! ```
//!
//! # What is parsed
//!
//! Ethernet II and 802.3 with LLC and SNAP; VLAN tags in the frame, stacked, and beside the frame; ARP; IPv4 with
//! options and fragments; IPv6 with extension headers and fragments; TCP, UDP, ICMPv4, ICMPv6. Not: what tunnels carry
//! (IP in IP, GRE, MPLS, PPPoE), and the packet inside an ICMP error. Checksums are not verified: when the adapter
//! computes them, they are not there yet.
//!
//! # Panics
//!
//! None, whatever the bytes: nothing here indexes by a variable, divides, or allocates. There is no clock and no I/O.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod arp;
mod block;
mod error;
mod flow;
mod icmp;
mod ip;
mod ipv4;
mod ipv6;
mod link;
mod packet;
mod reader;
mod tcp;
mod udp;

pub use arp::Arp;
pub use block::{BadRules, BlockTable, Verdict};
pub use error::{Layer, ParseError, Problem};
pub use flow::{
    Direction, Endpoint, Flow, FlowChange, FlowEnd, FlowKey, FlowKind, FlowTable, Recorded, Slot,
    TcpFlow, TcpState, Traffic,
};
pub use icmp::Icmp;
pub use ip::{Fragment, Ip, ip_protocol};
pub use link::{Link, Mac, VlanTag, ethertype};
pub use packet::{Network, PacketFacts, Transport, parse};
pub use tcp::{Tcp, TcpFlags};
pub use udp::Udp;
