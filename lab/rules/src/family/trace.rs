//! What event tracing takes: the limits of a single record.

use crate::event::{Event, Kind, TraceWrite};
use crate::family::count_text;
use crate::{Finding, Monitor, Rule, catalogue as rule};

/// Bytes of a record, header included: their number is of 16 bits.
const MOST_BYTES: u64 = 0xFFFF;
/// `MAX_EVENT_DATA_DESCRIPTORS`.
const MOST_DESCRIPTORS: u32 = 128;

/// Looks at every record.
#[derive(Debug, Default)]
pub(crate) struct TraceMonitor;

impl Monitor for TraceMonitor {
    fn rules(&self) -> &'static [&'static Rule] {
        &[&rule::TRACE_RECORD_SIZE, &rule::TRACE_DESCRIPTORS]
    }

    fn observe(&mut self, event: &Event) -> Option<Finding> {
        let Kind::Trace(TraceWrite {
            function,
            bytes,
            descriptors,
        }) = &event.kind
        else {
            return None;
        };
        if *descriptors > MOST_DESCRIPTORS {
            let given = count_text(*descriptors as usize, "data descriptor");
            let happened = format!("{function} was called with {given}");
            return Some(Finding::new(&rule::TRACE_DESCRIPTORS, happened));
        }
        (*bytes > MOST_BYTES).then(|| {
            let happened =
                format!("{function} was called with a record of {bytes} bytes, header included");
            Finding::new(&rule::TRACE_RECORD_SIZE, happened)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TraceMonitor;
    use crate::event::{Kind, TraceWrite};
    use crate::table::{at, broken};

    #[test]
    fn records_have_their_limits() {
        for (bytes, descriptors, expected) in [
            (0xFFFF, 128, None),
            (0x1_0000, 128, Some("trace-record-size")),
            (80, 129, Some("trace-descriptors")),
            (0xFFFF, 0, None),
            (0x1_0000, 0, Some("trace-record-size")),
        ] {
            let write = TraceWrite {
                function: "EtwWrite",
                bytes,
                descriptors,
            };
            let found = broken::<TraceMonitor>(vec![at(Kind::Trace(write))]);
            assert_eq!(found, Vec::from_iter(expected), "{bytes} {descriptors}");
        }
    }
}
