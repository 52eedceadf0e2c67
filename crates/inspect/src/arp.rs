//! ARP.

use core::net::Ipv4Addr;

use crate::error::{Layer, ParseError};
use crate::link::Mac;
use crate::reader::Reader;

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Sender's MAC address.
    pub sender_mac: Mac,
    /// Sender's IPv4 address; zero in a probe.
    pub sender: Ipv4Addr,
    /// Target's MAC address; has no meaning in a question.
    pub target_mac: Mac,
    /// Target's IPv4 address.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads an ARP packet; `None` when it is for other kinds of addresses.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Option<Self>, ParseError> {
        /// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
        const IPV4_OVER_ETHERNET: [u8; 6] = [0, 1, 8, 0, 6, 4];
        let [h0, h1, p0, p1, hardware_length, protocol_length, o0, o1] =
            *reader.take::<8>(Layer::Arp)?;
        if [h0, h1, p0, p1, hardware_length, protocol_length] != IPV4_OVER_ETHERNET {
            return Ok(None);
        }
        let [
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            a0,
            a1,
            a2,
            a3,
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            b0,
            b1,
            b2,
            b3,
        ] = *reader.take::<20>(Layer::Arp)?;
        Ok(Some(Self {
            operation: u16::from_be_bytes([o0, o1]),
            sender_mac: [s0, s1, s2, s3, s4, s5],
            sender: Ipv4Addr::new(a0, a1, a2, a3),
            target_mac: [t0, t1, t2, t3, t4, t5],
            target: Ipv4Addr::new(b0, b1, b2, b3),
        }))
    }
}
