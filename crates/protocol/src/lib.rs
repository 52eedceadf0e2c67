//! IOCTL codes and records shared by the driver and whoever asks it: the control tool, and the lab.
//!
//! Key types: [`StatisticsHeader`] and [`AdapterStatistics`] answer [`IOCTL_DEFERLWF_QUERY_STATISTICS`]; [`FlowQuery`]
//! asks and [`FlowHeader`] and [`FlowRecord`] answer [`IOCTL_DEFERLWF_QUERY_FLOWS`]. A reply is one header and as many
//! records as fit; [`ReplyWriter`] makes it, [`Reply`] reads it. [`ModeRequest`] and [`AdapterRequest`] change something,
//! and are answered by the request's status alone.
//!
//! # Wire form
//!
//! Little endian, fixed sizes, no padding that is not a field, nothing that depends on a compiler's layout. Each header
//! starts with [`VERSION`]; a reader refuses a version that it does not know. Times are nanoseconds of the driver's
//! interrupt-time clock, so they can be subtracted, and mean nothing as a date.
//!
//! # Panics
//!
//! None: nothing here indexes, divides or allocates, because it also runs in the kernel.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod change;
mod flow;
mod reply;
mod statistics;
mod wire;

pub use change::{AdapterRequest, ModeRequest};
pub use flow::{FLOW_CURSOR_END, FlowHeader, FlowKind, FlowQuery, FlowRecord, TcpState};
pub use reply::{Records, Reply, ReplyWriter};
pub use statistics::{
    AdapterStatistics, DirectionCounters, DriverVersion, FlowCounters, Mode, ModuleState,
    RingCounters, StatisticsHeader, UNTRACED_EVENTS, UNTRACED_MESSAGES, WorkItemCounters,
};
pub use wire::{DecodeError, Record, ShortBuffer, Wire};

/// Version of the records; the first field of every header and query.
pub const VERSION: u16 = 1;

/// Name of the control device object.
pub const DEVICE_NAME: &str = r"\Device\Deferlwf";

/// Name of the symbolic link through which user mode opens the device, as `\\.\Deferlwf`.
pub const LINK_NAME: &str = r"\DosDevices\Deferlwf";

/// Device type of the control device: from the range (0x8000 and above) that is not Microsoft's.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/kernel/specifying-device-types>
pub const DEVICE_TYPE: u32 = 0x8DEF;

/// Asks for the driver's statistics.
///
/// Input: none. Output: a [`StatisticsHeader`], then one [`AdapterStatistics`] per attached filter module, as many as
/// fit: [`StatisticsHeader::adapter_count`] says how many there are, so a caller that got fewer asks again with more
/// room. Output shorter than the header fails with `STATUS_BUFFER_TOO_SMALL`, any input with
/// `STATUS_INVALID_PARAMETER`.
pub const IOCTL_DEFERLWF_QUERY_STATISTICS: u32 = query_code(0x800);

/// Asks for the flows of one adapter.
///
/// Input: a [`FlowQuery`]. Output: a [`FlowHeader`], then the [`FlowRecord`]s that fit;
/// [`FlowHeader::next_cursor`] continues. Output shorter than the header fails with `STATUS_BUFFER_TOO_SMALL`, a
/// malformed query with `STATUS_INVALID_PARAMETER`, an interface that is not attached with `STATUS_NOT_FOUND`.
pub const IOCTL_DEFERLWF_QUERY_FLOWS: u32 = query_code(0x801);

/// Changes the mode of one adapter, until its parameters are read again. Succeeds when the new mode is in effect.
///
/// Input: a [`ModeRequest`]. Output: none. Between `tap` and `inline` no packet is delayed or lost. To and from `off` NDIS
/// pauses and restarts the adapter's stack, which can lose packets above and below the driver, and takes up to 20 seconds.
///
/// When it fails, the old mode is in effect: `STATUS_INVALID_PARAMETER` for a malformed request, `STATUS_NOT_FOUND` for an
/// interface that is not attached, or goes meanwhile, `STATUS_DEVICE_BUSY` when another request is changing the mode,
/// `STATUS_IO_TIMEOUT` when NDIS does not restart the stack in time, `STATUS_INSUFFICIENT_RESOURCES` or
/// `STATUS_UNSUCCESSFUL` when it cannot.
pub const IOCTL_DEFERLWF_SET_MODE: u32 = change_code(0x802);

/// Makes one adapter use what its parameters in the registry are now, but for those that memory was allocated by
/// (`SnapLen`, `RingEntries`, `MaxFlows`).
///
/// NDIS pauses the adapter's filter module and restarts it, in which they are read; packets that come meanwhile may be lost
/// above or below.
///
/// Input: an [`AdapterRequest`]. Output: none. Fails as [`IOCTL_DEFERLWF_SET_MODE`] does, with the old mode in effect and
/// the other parameters read; or, when NDIS cannot open them, as NDIS says, with nothing changed.
pub const IOCTL_DEFERLWF_REREAD_PARAMETERS: u32 = change_code(0x803);

/// A code that asks for `FILE_READ_ACCESS`.
const fn query_code(function: u32) -> u32 {
    const FILE_READ_ACCESS: u32 = 1;
    code(function, FILE_READ_ACCESS)
}

/// A code that asks for `FILE_WRITE_ACCESS`.
const fn change_code(function: u32) -> u32 {
    const FILE_WRITE_ACCESS: u32 = 2;
    code(function, FILE_WRITE_ACCESS)
}

/// An IOCTL code with `METHOD_BUFFERED`; `function` is 0x800 to 0xFFF, the range for drivers that are not Microsoft's.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/kernel/defining-i-o-control-codes>
const fn code(function: u32, access: u32) -> u32 {
    const METHOD_BUFFERED: u32 = 0;
    (DEVICE_TYPE << 16) | (access << 14) | (function << 2) | METHOD_BUFFERED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ioctl_codes_hold_their_fields() {
        const FILE_READ_ACCESS: u32 = 1;
        const FILE_WRITE_ACCESS: u32 = 2;
        for (code, access, function) in [
            (IOCTL_DEFERLWF_QUERY_STATISTICS, FILE_READ_ACCESS, 0x800),
            (IOCTL_DEFERLWF_QUERY_FLOWS, FILE_READ_ACCESS, 0x801),
            (IOCTL_DEFERLWF_SET_MODE, FILE_WRITE_ACCESS, 0x802),
            (IOCTL_DEFERLWF_REREAD_PARAMETERS, FILE_WRITE_ACCESS, 0x803),
        ] {
            assert_eq!(code >> 16, DEVICE_TYPE);
            assert_eq!((code >> 14) & 3, access);
            assert_eq!((code >> 2) & 0xFFF, function);
            assert_eq!(code & 3, 0, "METHOD_BUFFERED");
        }
    }

    #[test]
    fn device_type_is_not_microsofts() {
        const { assert!(DEVICE_TYPE >= 0x8000 && DEVICE_TYPE <= 0xFFFF) }
    }
}
