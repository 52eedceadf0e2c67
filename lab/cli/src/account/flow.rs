//! The driver's flow records as a reader wants them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lab_kernel::Report;
use protocol::{FlowKind, FlowRecord, TcpState};

use crate::device::Reading;
use crate::summary::{Amount, Flow};

/// The flows of `reading` with their adapters' names, most bytes first.
pub(super) fn summarise(reading: &Reading, report: &Report) -> Vec<Flow> {
    let mut flows: Vec<Flow> = reading
        .flows
        .iter()
        .map(|(if_index, record)| {
            let adapter = report
                .adapters
                .iter()
                .find(|adapter| adapter.if_index == *if_index);
            let name = adapter.map_or_else(|| format!("interface {if_index}"), |a| a.name.clone());
            flow(name, record)
        })
        .collect();
    // The order of the driver's table depends on the schedule; this one does not.
    flows.sort_by_cached_key(|flow| {
        let bytes = flow.a_to_b.bytes + flow.b_to_a.bytes;
        let name = (&flow.adapter, &flow.protocol, &flow.a, &flow.b);
        (std::cmp::Reverse(bytes), format!("{name:?}"))
    });
    flows
}

fn flow(adapter: String, record: &FlowRecord) -> Flow {
    let end = |address, port| {
        let address = address_of(record.ip_version, address);
        match record.kind {
            FlowKind::Port => SocketAddr::new(address, port).to_string(),
            FlowKind::Address => address.to_string(),
        }
    };
    Flow {
        adapter,
        protocol: match record.protocol {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            58 => "icmpv6".to_owned(),
            other => format!("ip-{other}"),
        },
        by_port: record.kind == FlowKind::Port,
        a: end(record.address_a, record.port_a),
        b: end(record.address_b, record.port_b),
        a_is_local: record.a_is_local != 0,
        a_to_b: Amount {
            packets: record.packets_ab,
            bytes: record.bytes_ab,
        },
        b_to_a: Amount {
            packets: record.packets_ba,
            bytes: record.bytes_ba,
        },
        tcp_state: match record.tcp_state {
            TcpState::None => None,
            TcpState::SynSent => Some("syn sent"),
            TcpState::SynReceived => Some("syn received"),
            TcpState::Established => Some("established"),
            TcpState::Closing => Some("closing"),
            TcpState::Closed => Some("closed"),
            TcpState::Reset => Some("reset"),
        }
        .map(str::to_owned),
        first_ns: record.first_ns,
        last_ns: record.last_ns,
    }
}

fn address_of(ip_version: u8, octets: [u8; 16]) -> IpAddr {
    if ip_version == 4 {
        let [a, b, c, d, ..] = octets;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(octets))
    }
}
