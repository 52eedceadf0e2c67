//! What NDIS counted, and what the driver did.

use lab_kernel::AdapterReport;
use protocol::AdapterStatistics;

use crate::summary::{Counted, Directions, DriverDirections, DriverPackets};

/// An adapter with what was counted before the pause at the end, if that was kept.
pub(super) fn before_last_pause(adapter: &AdapterReport) -> AdapterReport {
    let [send, receive] = adapter
        .before_pause
        .unwrap_or([adapter.send, adapter.receive]);
    AdapterReport {
        send,
        receive,
        ..adapter.clone()
    }
}

pub(super) fn ndis_packets(adapter: &AdapterReport) -> Directions {
    Directions {
        send: adapter.send.packets,
        receive: adapter.receive.packets,
    }
}

pub(super) fn ndis_bytes(adapter: &AdapterReport) -> Directions {
    Directions {
        send: adapter.send.bytes,
        receive: adapter.receive.bytes,
    }
}

pub(super) fn driver_packets(statistics: &AdapterStatistics) -> DriverPackets {
    DriverPackets {
        seen: DriverDirections {
            send: Some(statistics.send.packets),
            receive: Some(statistics.receive.packets),
        },
        not_inspected: Some(statistics.send.not_inspected() + statistics.receive.not_inspected()),
    }
}

pub(super) fn driver_bytes(statistics: &AdapterStatistics) -> DriverDirections {
    DriverDirections {
        send: Some(statistics.send.bytes),
        receive: Some(statistics.receive.bytes),
    }
}

pub(super) fn counted<D: Default>(ndis: Directions, driver: Option<D>) -> Counted<D> {
    Counted {
        ndis,
        driver: driver.unwrap_or_default(),
    }
}
