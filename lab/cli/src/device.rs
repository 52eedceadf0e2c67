//! What the driver says about itself: questions to its control device, and the answers read.
//!
//! The questions run inside the simulated machine, the answers are read after the run from the record
//! that the lab kept, so that nothing of ours lives where a driver's fault can cut.

use lab_kernel::{Answer, Control, ControlPhase, ControlRecord, Device, ParameterValue, Request};
use protocol::{
    AdapterRequest, AdapterStatistics, DEVICE_NAME, FLOW_CURSOR_END, FlowHeader, FlowQuery,
    FlowRecord, IOCTL_DEFERLWF_QUERY_FLOWS, IOCTL_DEFERLWF_QUERY_STATISTICS,
    IOCTL_DEFERLWF_REREAD_PARAMETERS, IOCTL_DEFERLWF_SET_MODE, Mode, ModeRequest, Record, Reply,
    StatisticsHeader, UNTRACED_EVENTS, UNTRACED_MESSAGES,
};

use crate::summary::ModeChange;

/// Adapters that the first statistics request has room for; one with exact room follows when there are more.
const FIRST_ROOM: u32 = 16;
/// Flows that one request has room for.
const FLOWS_PER_PAGE: u32 = 128;

/// The administrator who asks for everything there is. While packets flow he writes these registry values and has the driver
/// read them, and asks for these modes.
pub(crate) fn administrator(
    writes: Vec<(String, ParameterValue)>,
    modes: &[Mode],
    adapters: u32,
) -> Control {
    let indexes = || (0..adapters).map(lab_kernel::if_index);
    let rereads = indexes().map(reread).filter(|_| !writes.is_empty());
    let changes = modes
        .iter()
        .flat_map(|&mode| indexes().map(move |if_index| set_mode(if_index, mode)));
    Control {
        device: DEVICE_NAME.to_owned(),
        ask: Box::new(ask),
        during: rereads.chain(changes).collect(),
        writes,
    }
}

/// A request to read the parameters again.
pub(crate) fn reread(if_index: u32) -> Request {
    let request = AdapterRequest {
        if_index,
        ..AdapterRequest::default()
    };
    Request::io_control(IOCTL_DEFERLWF_REREAD_PARAMETERS, &encoded(&request), 0)
}

/// A request for a mode.
pub(crate) fn set_mode(if_index: u32, mode: Mode) -> Request {
    let request = ModeRequest {
        mode,
        if_index,
        ..ModeRequest::default()
    };
    Request::io_control(IOCTL_DEFERLWF_SET_MODE, &encoded(&request), 0)
}

/// The bytes of a record.
pub(crate) fn encoded<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = vec![0; R::SIZE];
    // The buffer has just the size of the record, so it fits; if it did not, a bad question is one too.
    let _ = record.encode(&mut bytes);
    bytes
}

/// Every change of mode that was asked for, and what the driver answered.
pub(crate) fn mode_changes(records: &[ControlRecord]) -> Vec<ModeChange> {
    let change = |record: &ControlRecord| {
        let request = ModeRequest::decode(&record.request.input).ok()?;
        Some(ModeChange {
            if_index: request.if_index,
            mode: mode_name(request.mode).to_owned(),
            status: record.answer.status,
        })
    };
    records
        .iter()
        .filter(|record| record.request.code() == Some(IOCTL_DEFERLWF_SET_MODE))
        .filter_map(change)
        .collect()
}

/// What people call a mode.
pub(crate) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::Tap => "tap",
        Mode::Inline => "inline",
    }
}

fn ask(_phase: ControlPhase, device: &mut dyn Device) {
    let mut answer = ask_statistics(device, FIRST_ROOM);
    if let Ok(reply) = statistics(&answer)
        && reply.header.adapter_count > FIRST_ROOM
    {
        answer = ask_statistics(device, reply.header.adapter_count);
    }
    let Ok(reply) = statistics(&answer) else {
        return;
    };
    for adapter in reply.records.flatten() {
        ask_flows(device, adapter.if_index);
    }
}

fn ask_statistics(device: &mut dyn Device, adapters: u32) -> Answer {
    let room = output_length::<StatisticsHeader, AdapterStatistics>(adapters);
    device.io_control(IOCTL_DEFERLWF_QUERY_STATISTICS, &[], room)
}

fn ask_flows(device: &mut dyn Device, if_index: u32) {
    let mut cursor = 0;
    while cursor != FLOW_CURSOR_END {
        let query = FlowQuery {
            if_index,
            cursor,
            ..FlowQuery::default()
        };
        let room = output_length::<FlowHeader, FlowRecord>(FLOWS_PER_PAGE);
        let answer = device.io_control(IOCTL_DEFERLWF_QUERY_FLOWS, &encoded(&query), room);
        match flows(&answer) {
            // A cursor that stands still would ask for ever.
            Ok(reply) if reply.header.next_cursor != cursor => cursor = reply.header.next_cursor,
            _ => return,
        }
    }
}

fn output_length<H: Record, R: Record>(records: u32) -> u32 {
    H::SIZE as u32 + records * R::SIZE as u32
}

type StatisticsReply<'a> = Reply<'a, StatisticsHeader, AdapterStatistics>;
type FlowReply<'a> = Reply<'a, FlowHeader, FlowRecord>;

fn statistics(answer: &Answer) -> Result<StatisticsReply<'_>, String> {
    decode(answer, "IOCTL_DEFERLWF_QUERY_STATISTICS")
}

fn flows(answer: &Answer) -> Result<FlowReply<'_>, String> {
    decode(answer, "IOCTL_DEFERLWF_QUERY_FLOWS")
}

fn decode<'a, H: Record, R: Record>(
    answer: &'a Answer,
    name: &str,
) -> Result<Reply<'a, H, R>, String> {
    if answer.status != 0 {
        return Err(format!(
            "the driver refused {name} with status {:#010x}",
            answer.status
        ));
    }
    Reply::decode(&answer.output)
        .map_err(|error| format!("the driver's answer to {name} cannot be read: {error}"))
}

/// One reading of the driver's counters.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) header: StatisticsHeader,
    pub(crate) adapters: Vec<AdapterStatistics>,
    /// Flows with the interface index of their adapter.
    pub(crate) flows: Vec<(u32, FlowRecord)>,
}

impl Reading {
    /// Reads what was answered in `phase`; `None` when nothing was asked then.
    ///
    /// # Errors
    ///
    /// One line, when the driver refused a request or answered nonsense.
    pub(crate) fn of_phase(
        phase: ControlPhase,
        records: &[ControlRecord],
    ) -> Result<Option<Self>, String> {
        let mut reading: Option<Self> = None;
        for record in records.iter().filter(|record| record.phase == phase) {
            if record.request.code() == Some(IOCTL_DEFERLWF_QUERY_STATISTICS) {
                let reply = statistics(&record.answer)?;
                let adapters = reply
                    .records
                    .collect::<Result<_, _>>()
                    .map_err(|error| format!("an adapter's statistics cannot be read: {error}"))?;
                reading = Some(Self {
                    header: reply.header,
                    adapters,
                    flows: Vec::new(),
                });
            } else if let Some(reading) = &mut reading {
                let reply = flows(&record.answer)?;
                for flow in reply.records {
                    let flow = flow.map_err(|error| format!("a flow cannot be read: {error}"))?;
                    reading.flows.push((reply.header.if_index, flow));
                }
            }
        }
        Ok(reading)
    }

    /// That the driver could not register for tracing, if so.
    pub(crate) fn untraced(&self) -> Option<String> {
        let kinds = [
            (UNTRACED_EVENTS, "events (ETW)"),
            (UNTRACED_MESSAGES, "messages (WPP)"),
        ];
        let missing = kinds
            .iter()
            .filter(|(bit, _)| self.header.untraced & bit != 0)
            .map(|(_, name)| *name)
            .collect::<Vec<_>>();
        let names = missing.join(" and ");
        (!missing.is_empty()).then(|| format!("the driver could not register its {names}"))
    }

    /// Records that the system did not take of the driver, if there are any.
    pub(crate) fn refused(&self) -> Option<String> {
        let (events, messages) = (self.header.refused_events, self.header.refused_messages);
        (events > 0 || messages > 0).then(|| {
            format!("the system did not take {events} events (ETW) and {messages} messages (WPP) of the driver")
        })
    }

    /// What the driver counted on the adapter with this interface index.
    pub(crate) fn adapter(&self, if_index: u32) -> Option<&AdapterStatistics> {
        self.adapters
            .iter()
            .find(|adapter| adapter.if_index == if_index)
    }

    /// The sum over all adapters, departed ones included.
    pub(crate) fn total(&self) -> AdapterStatistics {
        let mut total = self.header.departed;
        for adapter in &self.adapters {
            total.add_departed(adapter);
        }
        total
    }
}
