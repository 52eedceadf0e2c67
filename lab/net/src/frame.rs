//! A frame on its way through an adapter.

use std::fmt;

use crate::offload;

/// Which way a frame passes the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From this machine to the wire.
    Send,
    /// From the wire to this machine.
    Receive,
}

/// A MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// One frame: what one `NET_BUFFER` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which way it goes.
    pub direction: Direction,
    /// The frame from the destination address on, without frame check sequence and without the tag in `vlan`.
    pub data: Vec<u8>,
    /// Tag control information of a VLAN tag that travels beside the frame. A capture has its tags in the frame:
    /// [`Self::strip_vlan`] takes one out, as hardware does. Never 0, which drivers read as no tag.
    pub vlan: Option<u16>,
    /// Nanoseconds since the capture's first frame; never less than those of the frame before.
    pub time_ns: u64,
    /// Segments on the wire that it stands for: above 1 when it is longer than Ethernet's usual 1500 bytes of payload
    /// and holds TCP or UDP, because then segmentation was left to the adapter, or segments were coalesced by it.
    pub segments: u16,
    /// Whether the TCP or UDP checksum in `data` is only the sum over the pseudo header that an adapter is meant to complete.
    pub checksum_offloaded: bool,
}

impl Frame {
    /// A frame as it was captured; what was left to the adapter is found out from its bytes.
    #[must_use]
    pub fn new(direction: Direction, data: Vec<u8>, time_ns: u64) -> Self {
        let offload::Facts {
            segments,
            checksum_offloaded,
        } = offload::facts(&data);
        Self {
            direction,
            data,
            vlan: None,
            time_ns,
            segments,
            checksum_offloaded,
        }
    }

    /// Bytes of the frame on the wire, a tag beside it included.
    #[must_use]
    pub fn wire_length(&self) -> usize {
        self.data.len() + if self.vlan.is_some() { 4 } else { 0 }
    }

    /// Moves the outermost 802.1Q tag from the frame to [`Self::vlan`]; leaves a frame alone that has none, or one
    /// stripped already. 802.1ad service tags stay, as with most hardware. So does a tag of control information 0:
    /// the out-of-band slot of a driver has no other sign for no tag at all.
    pub fn strip_vlan(&mut self) {
        if self.vlan.is_none()
            && let Some(&[0x81, 0x00, high, low]) = self.data.get(12..16)
            && [high, low] != [0, 0]
        {
            self.vlan = Some(u16::from_be_bytes([high, low]));
            self.data.drain(12..16);
        }
    }
}
