//! Trace logs (`.etl`) as Windows writes them: buffers of one size, each with a header and records behind it.
//!
//! What is not in Windows' headers (`evntrace.h`, `evntcons.h`) is what genuine logs and other readers show.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

/// Bytes of a buffer's header (`WMI_BUFFER_HEADER`).
const BUFFER_HEADER: usize = 0x48;
/// Bytes of an `EVENT_HEADER`.
const EVENT_HEADER: usize = 0x50;
/// Bytes of the header of the log's first record, and of the `TRACE_LOGFILE_HEADER` behind it.
const SYSTEM_HEADER: usize = 0x20;
const LOG_HEADER: usize = 0x118;

/// Kinds of records: bytes 2 and 3 of each.
mod kind {
    pub(super) const SYSTEM: u16 = 0xC002;
    pub(super) const EVENT: u16 = 0xC013;
    pub(super) const MESSAGE: u16 = 0x9000;
}

/// Flags of an `EVENT_HEADER`.
mod flag {
    pub(super) const EXTENDED: u16 = 1;
    pub(super) const STRING: u16 = 4;
    pub(super) const HEADER_64_BIT: u16 = 0x40;
}

/// What stands in front of a message's values (`TRACE_MESSAGE_…`), in this order.
mod option {
    pub(super) const SEQUENCE: u16 = 1;
    pub(super) const GUID: u16 = 2;
    pub(super) const COMPONENT: u16 = 4;
    pub(super) const TIME_STAMP: u16 = 8;
    pub(super) const SYSTEM_INFO: u16 = 0x20;
    pub(super) const POINTER_64_BIT: u16 = 0x80;
}

/// Kinds of extended items.
mod item {
    pub(super) const EVENT_SCHEMA: u16 = 11;
    pub(super) const PROVIDER_TRAITS: u16 = 12;
}

/// Ticks of a log's clock in a second: nanoseconds.
const FREQUENCY: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use lab_kernel::{TraceBody, TraceEvent, TraceMessage, TraceRecord};

    use super::*;

    fn records() -> Vec<TraceRecord> {
        let event = |payload: usize| TraceEvent {
            provider: *b"0123456789abcdef",
            traits: b"\x05\0Ab\0".to_vec(),
            descriptor: [7; 16],
            metadata: b"\x08\0\0Name\0".to_vec(),
            payload: vec![9; payload],
            is_string: false,
        };
        (0..200)
            .map(|number| TraceRecord {
                time_ns: 10 * number,
                processor: (number % 3) as u8,
                irql: 0,
                thread: 5,
                body: if number % 5 == 0 {
                    TraceBody::Message(TraceMessage {
                        guid: *b"fedcba9876543210",
                        number: 10,
                        arguments: vec![3; number as usize],
                    })
                } else {
                    TraceBody::Event(event(number as usize * 7))
                },
            })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let records = records();
        let log = write(&records);
        let read = read(&log);
        assert_eq!(read.problem, None);
        assert_eq!(read.records, records);
    }

    #[test]
    fn a_log_that_ends_anywhere_is_read_to_there() {
        let log = write(&records());
        for length in (0..log.len()).step_by(997) {
            let read = read(&log[..length]);
            assert!(read.problem.is_some(), "{length}");
        }
    }

    #[test]
    fn no_byte_of_a_log_makes_the_reader_fail() {
        let log = write(&records());
        for at in (0..log.len()).step_by(61) {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut log = log.clone();
                log[at] = value;
                let _ = read(&log);
            }
        }
    }
}
