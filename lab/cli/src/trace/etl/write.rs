//! Writing a log.

use std::collections::BTreeMap;

use lab_kernel::{TraceBody, TraceEvent, TraceMessage, TraceRecord};

use super::{
    BUFFER_HEADER, EVENT_HEADER, FREQUENCY, LOG_HEADER, SYSTEM_HEADER, flag, item, kind, option,
};

/// Bytes of a buffer.
const BUFFER: usize = 0x1_0000;
/// The session's number.
const LOGGER: u16 = 1;
/// The process that drivers run in: `System`.
const PROCESS: u32 = 4;
/// When virtual time begins, as a `FILETIME`: 1 January 2026, UTC.
const START: u64 = 134_116_992_000_000_000;

/// The log of these records, which are in the order of their times.
pub(crate) fn write(records: &[TraceRecord]) -> Vec<u8> {
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut open: BTreeMap<u8, Buffer> = BTreeMap::new();
    for record in records {
        let bytes = encode(record);
        let buffer = open.entry(record.processor).or_default();
        if buffer.used() + bytes.len() > BUFFER {
            buffers.push(std::mem::take(buffer));
        }
        buffer.processor = record.processor;
        buffer.last_ns = record.time_ns;
        buffer.records.extend(bytes);
        // Each record begins at a multiple of 8.
        let end = buffer.records.len().next_multiple_of(8);
        buffer.records.resize(end, 0xFF);
    }
    buffers.extend(open.into_values());
    let header = Buffer {
        records: log_header(records, buffers.len() + 1),
        ..Buffer::default()
    };
    let mut log = Vec::with_capacity((buffers.len() + 1) * BUFFER);
    header.put(&mut log, 0);
    for (number, buffer) in (1..).zip(&buffers) {
        buffer.put(&mut log, number);
    }
    log
}

/// A buffer in the making.
#[derive(Default)]
struct Buffer {
    processor: u8,
    last_ns: u64,
    records: Vec<u8>,
}

impl Buffer {
    fn used(&self) -> usize {
        BUFFER_HEADER + self.records.len()
    }

    fn put(&self, log: &mut Vec<u8>, number: u64) {
        /// `Flushed`, and that the processor's number is valid.
        const FLAGS: u16 = 0x21;
        const STATE: u32 = 3;
        const HEADER_TYPE: u16 = 4;
        let is_header = number == 0;
        let used = self.used() as u32;
        let begin = log.len();
        log.extend((BUFFER as u32).to_le_bytes());
        log.extend(used.to_le_bytes());
        log.extend(used.to_le_bytes());
        log.extend(0_u32.to_le_bytes());
        let written_ns = if is_header { 0 } else { self.last_ns + 1 };
        log.extend(written_ns.to_le_bytes());
        log.extend(number.to_le_bytes());
        log.extend(0_u64.to_le_bytes());
        log.extend(u16::from(self.processor).to_le_bytes());
        log.extend(LOGGER.to_le_bytes());
        log.extend(STATE.to_le_bytes());
        log.extend(used.to_le_bytes());
        log.extend(FLAGS.to_le_bytes());
        log.extend(if is_header { HEADER_TYPE } else { 0 }.to_le_bytes());
        log.resize(begin + BUFFER_HEADER, 0);
        log.extend(&self.records);
        log.resize(begin + BUFFER, 0xFF);
    }
}

/// The first record: what the log is.
fn log_header(records: &[TraceRecord], buffers: usize) -> Vec<u8> {
    /// Windows 11 24H2.
    const VERSION: [u8; 4] = [10, 0, 1, 5];
    const BUILD: u32 = 26_100;
    const CLOCK_IS_COUNTER: u32 = 1;
    let last_ns = records.last().map_or(0, |record| record.time_ns);
    let processors = records.iter().map(|record| record.processor).max();
    let names: Vec<u8> = ["lwf-lab\0", "lwf-lab.etl\0"]
        .iter()
        .flat_map(|name| name.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let length = SYSTEM_HEADER + LOG_HEADER + names.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(2_u16.to_le_bytes());
    bytes.extend(kind::SYSTEM.to_le_bytes());
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(PROCESS.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes()); // the time at which virtual time begins
    bytes.resize(SYSTEM_HEADER, 0);

    let begin = bytes.len();
    let mut put = |offset: usize, value: &[u8]| {
        bytes.resize(bytes.len().max(begin + offset + value.len()), 0);
        bytes[begin + offset..][..value.len()].copy_from_slice(value);
    };
    put(0x00, &(BUFFER as u32).to_le_bytes());
    put(0x04, &VERSION);
    put(0x08, &BUILD.to_le_bytes());
    put(
        0x0C,
        &(u32::from(processors.unwrap_or(0)) + 1).to_le_bytes(),
    );
    put(0x10, &(START + last_ns / 100).to_le_bytes());
    put(0x18, &156_250_u32.to_le_bytes()); // TimerResolution
    put(0x20, &1_u32.to_le_bytes()); // LogFileMode: sequential
    put(0x24, &(buffers as u32).to_le_bytes());
    put(0x28, &1_u32.to_le_bytes()); // StartBuffers
    put(0x2C, &8_u32.to_le_bytes()); // PointerSize
    put(0x34, &1000_u32.to_le_bytes()); // CpuSpeedInMHz
    put(0xF8, &START.to_le_bytes()); // BootTime
    put(0x100, &FREQUENCY.to_le_bytes());
    put(0x108, &START.to_le_bytes());
    put(0x110, &CLOCK_IS_COUNTER.to_le_bytes());
    put(0x114, &0_u32.to_le_bytes()); // BuffersLost
    bytes.extend(names);
    bytes
}

fn encode(record: &TraceRecord) -> Vec<u8> {
    let event = match &record.body {
        TraceBody::Event(event) => event,
        TraceBody::Message(message) => return encode_message(record, message),
    };
    let mut bytes = header(record, event);
    let mut items = [
        (item::PROVIDER_TRAITS, &event.traits),
        (item::EVENT_SCHEMA, &event.metadata),
    ]
    .into_iter()
    .filter(|(_, data)| !data.is_empty())
    .peekable();
    while let Some((kind, data)) = items.next() {
        let begin = bytes.len();
        let length = (8 + data.len()).next_multiple_of(8);
        bytes.extend((length as u16).to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(u16::from(items.peek().is_some()).to_le_bytes());
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.extend(data);
        bytes.resize(begin + length, 0);
    }
    bytes.extend(&event.payload);
    let length = (bytes.len() as u16).to_le_bytes();
    bytes[..2].copy_from_slice(&length);
    bytes
}

/// The `EVENT_HEADER`, without the length.
fn header(record: &TraceRecord, event: &TraceEvent) -> Vec<u8> {
    let has_items = !event.traits.is_empty() || !event.metadata.is_empty();
    let mut flags = flag::HEADER_64_BIT;
    if has_items {
        flags |= flag::EXTENDED;
    }
    if event.is_string {
        flags |= flag::STRING;
    }
    let mut bytes = Vec::with_capacity(EVENT_HEADER);
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(kind::EVENT.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(record.thread.to_le_bytes());
    bytes.extend(PROCESS.to_le_bytes());
    bytes.extend(record.time_ns.to_le_bytes());
    bytes.extend(event.provider);
    bytes.extend(event.descriptor);
    bytes.resize(EVENT_HEADER, 0);
    bytes
}

/// What the system makes of `TRACE_MESSAGE_SEQUENCE | GUID | TIMESTAMP | SYSTEMINFO` in a session without sequence numbers.
fn encode_message(record: &TraceRecord, message: &TraceMessage) -> Vec<u8> {
    const OPTIONS: u16 =
        option::GUID | option::TIME_STAMP | option::SYSTEM_INFO | option::POINTER_64_BIT;
    let mut bytes = Vec::new();
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(kind::MESSAGE.to_le_bytes());
    bytes.extend(message.number.to_le_bytes());
    bytes.extend(OPTIONS.to_le_bytes());
    bytes.extend(message.guid);
    bytes.extend(record.time_ns.to_le_bytes());
    bytes.extend(record.thread.to_le_bytes());
    bytes.extend(PROCESS.to_le_bytes());
    bytes.extend(&message.arguments);
    let length = (bytes.len() as u16).to_le_bytes();
    bytes[..2].copy_from_slice(&length);
    bytes
}
