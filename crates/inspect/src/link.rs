//! Ethernet, VLAN, LLC and SNAP.

use crate::error::{Layer, ParseError};
use crate::reader::Reader;

/// A MAC address.
pub type Mac = [u8; 6];

/// EtherTypes that are told apart here.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// 802.1Q VLAN tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86DD;
    /// 802.1ad service VLAN tag.
    pub const SERVICE_VLAN: u16 = 0x88A8;
    /// VLAN tag of stacks older than 802.1ad.
    pub const OLD_STACKED_VLAN: u16 = 0x9100;
}

/// The two bytes of a VLAN tag that say something. Zero is a tag like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag(u16);

impl VlanTag {
    /// A tag from its tag control information, in host byte order.
    #[must_use]
    pub const fn new(tci: u16) -> Self {
        Self(tci)
    }

    /// The tag control information, in host byte order.
    #[must_use]
    pub const fn tci(self) -> u16 {
        self.0
    }

    /// VLAN identifier, 0 to 4095; 0 when the tag is for its priority only.
    #[must_use]
    pub const fn id(self) -> u16 {
        self.0 & 0xFFF
    }

    /// Priority code point, 0 to 7.
    #[must_use]
    pub const fn priority(self) -> u8 {
        (self.0 >> 13) as u8
    }

    /// Drop eligible indicator.
    #[must_use]
    pub const fn drop_eligible(self) -> bool {
        self.0 & 0x1000 != 0
    }
}

/// What the link layer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Destination address.
    pub destination: Mac,
    /// Source address.
    pub source: Mac,
    /// VLAN tags that the frame has, the one beside the frame included.
    pub vlan_count: u16,
    /// The outermost tag.
    pub outer_vlan: Option<VlanTag>,
    /// The innermost tag, when there are at least two.
    pub inner_vlan: Option<VlanTag>,
    /// EtherType of the payload: behind all tags, and from SNAP where there is one. `None` for other LLC payloads.
    pub ethertype: Option<u16>,
}

impl Link {
    fn push_vlan(&mut self, tag: VlanTag) {
        if self.outer_vlan.is_none() {
            self.outer_vlan = Some(tag);
        } else {
            self.inner_vlan = Some(tag);
        }
        self.vlan_count = self.vlan_count.saturating_add(1);
    }

    /// Reads the link layer; `link` keeps what was found before an error.
    pub(crate) fn parse(
        link: &mut Self,
        reader: &mut Reader<'_>,
        stripped_tag: Option<u16>,
    ) -> Result<(), ParseError> {
        let header = reader.take::<14>(Layer::Ethernet)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        link.destination = [d0, d1, d2, d3, d4, d5];
        link.source = [s0, s1, s2, s3, s4, s5];
        // The adapter strips the outermost tag.
        if let Some(tci) = stripped_tag {
            link.push_vlan(VlanTag::new(tci));
        }
        let mut type_or_length = u16::from_be_bytes([t0, t1]);
        // Each turn takes four bytes, so the frame's length bounds the loop.
        while let ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_STACKED_VLAN =
            type_or_length
        {
            let [c0, c1, t0, t1] = *reader.take::<4>(Layer::Vlan)?;
            link.push_vlan(VlanTag::new(u16::from_be_bytes([c0, c1])));
            type_or_length = u16::from_be_bytes([t0, t1]);
        }
        // 802.3: up to 1500 it is a length, from 1536 a type; between them it is neither.
        if type_or_length > 1500 {
            link.ethertype = (type_or_length >= 1536).then_some(type_or_length);
            return Ok(());
        }
        reader.limit(u32::from(type_or_length));
        link.ethertype = llc(reader)?;
        Ok(())
    }
}

/// Reads an LLC header, and gives the EtherType if SNAP follows with one.
fn llc(reader: &mut Reader<'_>) -> Result<Option<u16>, ParseError> {
    const SNAP: u8 = 0xAA;
    const UNNUMBERED_INFORMATION: u8 = 0x03;
    // 802.1H: the second one is for protocols that bridges must not change to Ethernet II.
    const RFC_1042: [u8; 3] = [0, 0, 0];
    const BRIDGE_TUNNEL: [u8; 3] = [0, 0, 0xF8];
    let [destination, source, control] = *reader.take::<3>(Layer::Llc)?;
    if (destination, source, control) != (SNAP, SNAP, UNNUMBERED_INFORMATION) {
        return Ok(None);
    }
    let [o0, o1, o2, t0, t1] = *reader.take::<5>(Layer::Llc)?;
    let organisation = [o0, o1, o2];
    Ok((organisation == RFC_1042 || organisation == BRIDGE_TUNNEL)
        .then(|| u16::from_be_bytes([t0, t1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_fields() {
        let tag = VlanTag::new(0xB123);
        assert_eq!(
            (tag.id(), tag.priority(), tag.drop_eligible()),
            (0x123, 5, true)
        );
        assert_eq!(VlanTag::new(0x0FFF).id(), 4095);
        assert_eq!(VlanTag::new(0xE000).priority(), 7);
    }
}
