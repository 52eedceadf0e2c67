//! Flows: packets that belong together.

mod key;
mod table;
mod tcp;

pub use key::{Endpoint, FlowKey, FlowKind};
pub use table::{FlowTable, Recorded, Slot};
pub use tcp::{TcpFlow, TcpState};

use crate::packet::{PacketFacts, Transport};

/// Which way a packet passes the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this machine to the wire.
    Send,
    /// From the wire to this machine.
    Receive,
}

/// Packets and bytes that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of whole frames, as [`PacketFacts::wire_length`] counts them.
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, bytes: u32) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(bytes));
    }
}

/// What a packet did to a flow, beside adding to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowChange {
    /// It made the flow, or opened its connection anew.
    Started,
    /// The flow is over.
    Ended(FlowEnd),
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// Both ends have closed the connection.
    Closed,
    /// An end has reset the connection.
    Reset,
    /// It had been silent for long, and gave way to another.
    Silent,
}

/// What two ends exchanged. End A sent the packet that made the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What identifies it.
    pub key: FlowKey,
    /// Whether A is the end of the key that is called `low`.
    a_is_low: bool,
    /// Which way the packet went that made the flow: [`Direction::Send`] means that A is this machine's side.
    pub first_direction: Direction,
    /// From A to B.
    pub ab: Traffic,
    /// From B to A.
    pub ba: Traffic,
    /// When the first packet was seen, in nanoseconds of the caller's clock.
    pub first_ns: u64,
    /// When the last packet was seen.
    pub last_ns: u64,
    /// For TCP flows by port.
    pub tcp: Option<TcpFlow>,
}

impl Flow {
    /// The end that sent the packet that made the flow.
    #[must_use]
    pub const fn a(&self) -> Endpoint {
        if self.a_is_low {
            self.key.low
        } else {
            self.key.high
        }
    }

    /// The other end.
    #[must_use]
    pub const fn b(&self) -> Endpoint {
        if self.a_is_low {
            self.key.high
        } else {
            self.key.low
        }
    }

    /// Why the connection of a TCP flow is over, if it is. More packets of it may come.
    #[must_use]
    pub fn end(&self) -> Option<FlowEnd> {
        match self.tcp?.state() {
            TcpState::Closed => Some(FlowEnd::Closed),
            TcpState::Reset => Some(FlowEnd::Reset),
            TcpState::SynSent
            | TcpState::SynReceived
            | TcpState::Established
            | TcpState::Closing => None,
        }
    }

    /// A flow that has no packets yet; `from_low` says which end sends the first.
    const fn new(key: FlowKey, from_low: bool, direction: Direction, now_ns: u64) -> Self {
        Self {
            key,
            a_is_low: from_low,
            first_direction: direction,
            ab: Traffic {
                packets: 0,
                bytes: 0,
            },
            ba: Traffic {
                packets: 0,
                bytes: 0,
            },
            first_ns: now_ns,
            last_ns: now_ns,
            tcp: None,
        }
    }

    fn add(&mut self, facts: &PacketFacts, from_low: bool, now_ns: u64) {
        let from_a = from_low == self.a_is_low;
        let traffic = if from_a { &mut self.ab } else { &mut self.ba };
        traffic.add(facts.wire_length);
        // Packets of several processors may come out of order.
        self.last_ns = self.last_ns.max(now_ns);
        if let Transport::Tcp(tcp) = &facts.transport {
            self.tcp
                .get_or_insert_default()
                .observe(tcp.flags, from_a, now_ns);
        }
    }
}
