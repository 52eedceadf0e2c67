//! An independent count of a capture, by `tshark`.
//!
//! Conversations are what the driver calls flows by port: by addresses and ports; a first fragment counts, a later one
//! does not; a packet that an ICMP error quotes does not.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

/// Protocol and the two ends, the lesser first.
pub type Conversation = (&'static str, SocketAddr, SocketAddr);

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Packets.
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
}

impl Amount {
    /// Adds packets and their bytes.
    pub fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// What `tshark` counts in a capture.
#[derive(Debug, Default)]
pub struct Count {
    /// Everything.
    pub all: Amount,
    /// By TCP or UDP conversation.
    pub conversations: BTreeMap<Conversation, Amount>,
    /// By pair of IP addresses, the lesser first; later fragments count. (The table of `tshark -z conv,ipv6` leaves
    /// them out, that of `conv,ip` does not.)
    pub addresses: BTreeMap<(IpAddr, IpAddr), Amount>,
}

/// The key of the conversation between `a` and `b`.
pub fn conversation(protocol: &'static str, a: SocketAddr, b: SocketAddr) -> Conversation {
    (protocol, a.min(b), a.max(b))
}

/// Counts frame by frame.
///
/// # Panics
///
/// When `tshark` is not there or cannot read the capture.
pub fn count(capture: &Path) -> Count {
    const FIELDS: [&str; 10] = [
        "frame.len",
        "frame.protocols",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "tcp.srcport",
        "tcp.dstport",
        "udp.srcport",
        "udp.dstport",
    ];
    let mut arguments = vec!["-T", "fields", "-E", "occurrence=f", "-E", "separator=/t"];
    for field in FIELDS {
        arguments.extend(["-e", field]);
    }
    let mut count = Count::default();
    for line in tshark(capture, &arguments).lines() {
        let values: Vec<&str> = line.split('\t').collect();
        let [
            length,
            protocols,
            src4,
            dst4,
            src6,
            dst6,
            tcp_src,
            tcp_dst,
            udp_src,
            udp_dst,
        ] = values[..]
        else {
            panic!("tshark gave {line:?}");
        };
        let bytes = length.parse().expect("a length");
        count.all.add(1, bytes);
        let (src, dst) = if src4.is_empty() {
            (src6, dst6)
        } else {
            (src4, dst4)
        };
        if !src.is_empty() {
            let [src, dst] = [src, dst].map(address);
            count
                .addresses
                .entry((src.min(dst), src.max(dst)))
                .or_default()
                .add(1, bytes);
        }
        if protocols
            .split(':')
            .any(|protocol| protocol.starts_with("icmp"))
        {
            continue;
        }
        for (protocol, src_port, dst_port) in [("tcp", tcp_src, tcp_dst), ("udp", udp_src, udp_dst)]
        {
            if !src_port.is_empty() {
                let key = conversation(protocol, end(src, src_port), end(dst, dst_port));
                count.conversations.entry(key).or_default().add(1, bytes);
            }
        }
    }
    count
}

/// Packets by conversation, from the table that `tshark -z conv,<protocol>` prints.
///
/// `tshark` parts a port pair that is used again into several lines; here they are one conversation.
///
/// # Panics
///
/// When `tshark` is not there or cannot read the capture.
pub fn conversation_table(capture: &Path, protocol: &'static str) -> BTreeMap<Conversation, u64> {
    let mut conversations = BTreeMap::new();
    let text = tshark(capture, &["-q", "-z", &format!("conv,{protocol}")]);
    for line in text.lines().filter(|line| line.contains("<->")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Each way, and then both, have packets, bytes, and the unit of the bytes.
        let [a, _, b, _, _, _, _, _, _, packets, ..] = words[..] else {
            panic!("tshark gave {line:?}");
        };
        let [a, b] = [a, b].map(|text| {
            let (host, port) = text.rsplit_once(':').expect("address and port");
            end(host, port)
        });
        let packets: u64 = packets.parse().expect("a number of packets");
        *conversations
            .entry(conversation(protocol, a, b))
            .or_default() += packets;
    }
    conversations
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn end(host: &str, port: &str) -> SocketAddr {
    SocketAddr::new(address(host), port.parse().expect("a port"))
}

fn tshark(capture: &Path, arguments: &[&str]) -> String {
    let output = Command::new("tshark")
        .args([
            "-n",
            "-o",
            "ip.defragment:FALSE",
            "-o",
            "ipv6.defragment:FALSE",
            "-r",
        ])
        .arg(capture)
        .args(arguments)
        .output()
        .expect("tshark can be started (Debian package tshark; `cargo xtask test` installs it)");
    assert!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("output is UTF-8")
}
