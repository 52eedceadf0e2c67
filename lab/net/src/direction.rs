//! Which way a captured packet went.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::capture::Packet;
use crate::frame::{Direction, Mac};
use crate::offload::link_payload;

/// What is this machine's: option `--local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// A MAC address.
    Mac(Mac),
    /// The addresses that share the first bits of this one.
    Prefix(IpAddr, u8),
}

/// What `--local` was given that it does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no MAC address (02:00:00:00:00:01) and no address prefix (10.0.0.0/8, fd00::/8)")]
pub struct LocalError(String);

/// How the directions of a capture's packets were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectionRule {
    /// The file says it of every packet.
    Recorded,
    /// Packets were sent whose source is what the caller calls local.
    Given,
    /// Packets were sent whose source is the adapter's MAC address, taken to be the most frequent source.
    MostFrequentSource,
}

/// What was chosen for a capture.
pub(crate) struct Choice {
    pub(crate) directions: Vec<Direction>,
    pub(crate) adapter_mac: Mac,
    pub(crate) rule: DirectionRule,
}

impl fmt::Display for DirectionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recorded => "directions as the capture records them",
            Self::Given => "sent is what comes from the given local address",
            Self::MostFrequentSource => "sent is what comes from the most frequent source address",
        })
    }
}

impl FromStr for Local {
    type Err = LocalError;

    fn from_str(text: &str) -> Result<Self, LocalError> {
        parse_mac(text)
            .map(Self::Mac)
            .or_else(|| parse_prefix(text))
            .ok_or_else(|| LocalError(text.to_owned()))
    }
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(mac))
}

fn parse_prefix(text: &str) -> Option<Local> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(longest), |length| length.parse().ok())?;
    (length <= longest).then_some(Local::Prefix(address, length))
}

/// Chooses the directions of `packets`, all of them Ethernet.
pub(crate) fn choose(packets: &[Packet], local: &[Local]) -> Choice {
    if packets.iter().all(|packet| packet.direction.is_some()) {
        return recorded(packets);
    }
    if local.is_empty() {
        let adapter_mac = most_frequent(packets.iter().filter_map(source)).unwrap_or_default();
        let sent = |packet: &Packet| source(packet) == Some(adapter_mac);
        let directions = directions(packets, sent);
        return Choice {
            directions,
            adapter_mac,
            rule: DirectionRule::MostFrequentSource,
        };
    }
    let named = |packet: &Packet| local.iter().any(|local| local.is_source_of(packet));
    let macs: Vec<Mac> = packets
        .iter()
        .filter(|packet| named(packet))
        .filter_map(source)
        .collect();
    // What has no addresses to compare is told by the adapters from which local packets came.
    let sent = |packet: &Packet| match source_address(packet) {
        Some(_) => named(packet),
        None => source(packet).is_some_and(|mac| macs.contains(&mac)),
    };
    let directions = directions(packets, sent);
    let given = local.iter().find_map(|local| match local {
        Local::Mac(mac) => Some(*mac),
        Local::Prefix(..) => None,
    });
    let adapter_mac = given
        .or_else(|| most_frequent(macs.iter().copied()))
        .unwrap_or_default();
    Choice {
        directions,
        adapter_mac,
        rule: DirectionRule::Given,
    }
}

/// Takes the directions from the file.
fn recorded(packets: &[Packet]) -> Choice {
    let sent = packets
        .iter()
        .filter(|packet| packet.direction == Some(Direction::Send));
    // If all was received, the adapter is the destination, unless that is a group.
    let received = || {
        packets
            .iter()
            .filter_map(destination)
            .filter(|mac| mac.0[0] & 1 == 0)
    };
    let adapter_mac = most_frequent(sent.filter_map(source)).or_else(|| most_frequent(received()));
    Choice {
        directions: directions(packets, |_| false),
        adapter_mac: adapter_mac.unwrap_or_default(),
        rule: DirectionRule::Recorded,
    }
}

/// The direction of each packet: what the file says, else by `sent`.
fn directions(packets: &[Packet], sent: impl Fn(&Packet) -> bool) -> Vec<Direction> {
    let direction = |packet: &Packet| match packet.direction {
        Some(direction) => direction,
        None if sent(packet) => Direction::Send,
        None => Direction::Receive,
    };
    packets.iter().map(direction).collect()
}

impl Local {
    fn is_source_of(&self, packet: &Packet) -> bool {
        match *self {
            Self::Mac(mac) => source(packet) == Some(mac),
            Self::Prefix(prefix, length) => {
                source_address(packet).is_some_and(|address| shares_prefix(address, prefix, length))
            }
        }
    }
}

fn shares_prefix(a: IpAddr, b: IpAddr, length: u8) -> bool {
    let differing = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits())) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(length)
}

fn destination(packet: &Packet) -> Option<Mac> {
    packet.data.first_chunk().copied().map(Mac)
}

fn source(packet: &Packet) -> Option<Mac> {
    packet
        .data
        .get(6..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .map(Mac)
}

/// Source address of an IP packet, or the sender's of an ARP packet.
fn source_address(packet: &Packet) -> Option<IpAddr> {
    let (ethertype, payload) = link_payload(&packet.data)?;
    let v4 = |at: usize| {
        payload
            .get(at..)?
            .first_chunk::<4>()
            .copied()
            .map(IpAddr::from)
    };
    match ethertype {
        0x0800 => v4(12),
        0x0806 => v4(14),
        0x86DD => payload
            .get(8..)?
            .first_chunk::<16>()
            .copied()
            .map(IpAddr::from),
        _ => None,
    }
}

/// The most frequent address; of several, the one that comes first.
fn most_frequent(macs: impl Iterator<Item = Mac>) -> Option<Mac> {
    let mut counts: BTreeMap<Mac, (usize, usize)> = BTreeMap::new();
    for (place, mac) in macs.enumerate() {
        counts.entry(mac).or_insert((0, place)).0 += 1;
    }
    let best = counts
        .into_iter()
        .max_by_key(|&(_, (count, place))| (count, usize::MAX - place));
    best.map(|(mac, _)| mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_takes_addresses_and_prefixes() {
        let mac = Ok(Local::Mac(Mac([2, 0, 0, 0, 0, 0xA])));
        assert_eq!("02:00:00:00:00:0a".parse(), mac);
        assert_eq!("02-00-00-00-00-0A".parse(), mac);
        assert_eq!(
            "10.1.2.3".parse(),
            Ok(Local::Prefix([10, 1, 2, 3].into(), 32))
        );
        assert_eq!(
            "10.0.0.0/8".parse(),
            Ok(Local::Prefix([10, 0, 0, 0].into(), 8))
        );
        assert_eq!(
            "::/0".parse::<Local>().ok(),
            Some(Local::Prefix("::".parse().unwrap(), 0))
        );
        for wrong in [
            "",
            "x",
            "02:00:00:00:00",
            "02:00:00:00:00:0a:0b",
            "2:0:0:0:0:a",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
        ] {
            let error = wrong.parse::<Local>().unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{wrong:?} is no MAC address"))
            );
        }
    }

    #[test]
    fn prefixes_compare_their_bits() {
        let ip = |text: &str| text.parse().unwrap();
        assert!(shares_prefix(ip("10.1.255.255"), ip("10.1.0.0"), 16));
        assert!(!shares_prefix(ip("10.2.0.0"), ip("10.1.0.0"), 15 + 1));
        assert!(shares_prefix(ip("1.2.3.4"), ip("9.9.9.9"), 0));
        assert!(shares_prefix(ip("fd00::1"), ip("fdff::"), 8));
        assert!(!shares_prefix(ip("fd00::1"), ip("fd00::2"), 128));
        assert!(!shares_prefix(ip("::ffff"), ip("0.0.0.0"), 0));
    }
}
