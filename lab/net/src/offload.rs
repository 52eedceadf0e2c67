//! What a captured frame shows of work that was left to the adapter, or done by it.

/// Bytes of Ethernet payload that one segment can have.
const USUAL_MTU: usize = 1500;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What was found out.
pub(crate) struct Facts {
    /// Segments that the frame stands for.
    pub(crate) segments: u16,
    /// Whether its checksum is that of the pseudo header only.
    pub(crate) checksum_offloaded: bool,
}

/// EtherType behind all VLAN tags, and what follows it.
pub(crate) fn link_payload(frame: &[u8]) -> Option<(u16, &[u8])> {
    let mut rest = frame.get(12..)?;
    loop {
        let (ethertype, payload) = rest.split_first_chunk::<2>()?;
        match u16::from_be_bytes(*ethertype) {
            0x8100 | 0x88A8 | 0x9100 => rest = payload.get(2..)?,
            ethertype => return Some((ethertype, payload)),
        }
    }
}

/// The parts of a packet that has a TCP or UDP header whole in front of it.
struct Segment<'a> {
    /// Source and destination address.
    addresses: &'a [u8],
    protocol: u8,
    /// Length of the IP header, or headers.
    ip_header_length: usize,
    /// TCP or UDP, up to the end of the packet.
    transport: &'a [u8],
}

/// Finds out what can be told of `frame`; it stands for itself alone if it is no TCP or UDP packet, or a fragment.
pub(crate) fn facts(frame: &[u8]) -> Facts {
    let Some(segment) = segment(frame) else {
        return Facts {
            segments: 1,
            checksum_offloaded: false,
        };
    };
    Facts {
        segments: segments(&segment).unwrap_or(1),
        checksum_offloaded: has_partial_checksum(&segment).unwrap_or(false),
    }
}

fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    let (ethertype, packet) = link_payload(frame)?;
    match ethertype {
        0x0800 => {
            let header = packet.first_chunk::<20>()?;
            let ip_header_length = usize::from(header[0] & 0x0F) * 4;
            let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3FFF != 0;
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let packet = if total == 0 {
                packet
            } else {
                packet.get(..total).unwrap_or(packet)
            };
            let transport = packet.get(ip_header_length.max(20)..)?;
            let protocol = header[9];
            (!is_fragment).then_some(())?;
            Some(Segment {
                addresses: packet.get(12..20)?,
                protocol,
                ip_header_length,
                transport,
            })
        }
        0x86DD => {
            let header = packet.first_chunk::<40>()?;
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            let payload = packet.get(40..)?;
            let transport = if length == 0 {
                payload
            } else {
                payload.get(..length).unwrap_or(payload)
            };
            // Extension headers and segmentation do not go together.
            Some(Segment {
                addresses: packet.get(8..40)?,
                protocol: header[6],
                ip_header_length: 40,
                transport,
            })
        }
        _ => None,
    }
}

/// How many segments of the usual size hold the payload.
fn segments(segment: &Segment<'_>) -> Option<u16> {
    let header_length = match segment.protocol {
        TCP => usize::from(segment.transport.get(12)? >> 4) * 4,
        UDP => 8,
        _ => return None,
    };
    if segment.ip_header_length + segment.transport.len() <= USUAL_MTU {
        return None;
    }
    let payload = segment.transport.len().checked_sub(header_length)?;
    let room = USUAL_MTU.checked_sub(segment.ip_header_length + header_length)?;
    u16::try_from(payload.div_ceil(room)).ok()
}

/// Whether the checksum field holds the sum over the pseudo header, not inverted: what a sender leaves for the adapter
/// to complete.
fn has_partial_checksum(segment: &Segment<'_>) -> Option<bool> {
    let at = match segment.protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    let field = segment
        .transport
        .get(at..)?
        .first_chunk::<2>()
        .copied()
        .map(u16::from_be_bytes)?;
    let words = segment
        .addresses
        .chunks_exact(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1]));
    let mut sum = words.sum::<u64>() + u64::from(segment.protocol) + segment.transport.len() as u64;
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    Some(u64::from(field) == sum)
}
