//! Reading a log, of the lab's or of anybody's.

use lab_kernel::{TraceBody, TraceEvent, TraceMessage, TraceRecord};

use super::{BUFFER_HEADER, EVENT_HEADER, LOG_HEADER, SYSTEM_HEADER, flag, item, kind, option};

/// What could be read of a log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The records, by their times.
    pub(crate) records: Vec<TraceRecord>,
    /// The first thing that is wrong with it.
    pub(crate) problem: Option<String>,
}

impl Log {
    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

/// What the first record says.
struct Clock {
    frequency: u64,
    start: u64,
}

impl Clock {
    fn time_ns(&self, stamp: u64) -> u64 {
        let ticks = u128::from(stamp.saturating_sub(self.start));
        let ns = ticks * 1_000_000_000 / u128::from(self.frequency.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// Reads all records that are there. It never fails: what is wrong is noted.
pub(crate) fn read(bytes: &[u8]) -> Log {
    let mut log = Log::default();
    let Some((buffer_length, buffers, clock)) = header(bytes) else {
        log.note("is no trace log (.etl), or ends within its header".to_owned());
        return log;
    };
    let mut count: u32 = 0;
    for (number, buffer) in bytes.chunks(buffer_length).enumerate() {
        let at = number * buffer_length;
        if buffer.len() < buffer_length {
            log.note(format!("ends within the buffer at byte {at}"));
        }
        count += 1;
        read_buffer(buffer, at, &clock, &mut log);
    }
    if count < buffers {
        log.note(format!("has {count} of {buffers} buffers"));
    }
    log.records.sort_by_key(|record| record.time_ns);
    log
}

/// The length of the buffers, their number, and the clock, from the first record.
fn header(bytes: &[u8]) -> Option<(usize, u32, Clock)> {
    let record = bytes.get(BUFFER_HEADER..)?;
    if u16_at(record, 2)? != kind::SYSTEM {
        return None;
    }
    let fields = record.get(SYSTEM_HEADER..SYSTEM_HEADER + LOG_HEADER)?;
    let length = u32_at(bytes, 0)? as usize;
    if !(0x400..=1 << 26).contains(&length) || u32_at(fields, 0)? as usize != length {
        return None;
    }
    /// A clock of `FILETIME`s.
    const SYSTEM_TIME: u32 = 2;
    let frequency = match u32_at(fields, 0x110)? {
        SYSTEM_TIME => 10_000_000,
        _ => u64_at(fields, 0x100)?,
    };
    let clock = Clock {
        frequency,
        start: u64_at(record, 0x10)?,
    };
    Some((length, u32_at(fields, 0x24)?, clock))
}

fn read_buffer(buffer: &[u8], at: usize, clock: &Clock, log: &mut Log) {
    let (Some(used), Some(processor)) = (u32_at(buffer, 0x30), u16_at(buffer, 0x28)) else {
        return;
    };
    let used = (used as usize).min(buffer.len());
    let mut offset = BUFFER_HEADER;
    while offset + 8 <= used {
        let record = &buffer[offset..used];
        let (Some(first), Some(what)) = (u16_at(record, 0), u16_at(record, 2)) else {
            return;
        };
        let length = match what {
            // Of the kernel's own: their length stands behind a version. What they say is nobody's who asks here.
            0xC001..=0xC004 | 0xC010 | 0xC011 => u16_at(record, 4).unwrap_or(0),
            _ => first,
        };
        let length = usize::from(length);
        if length < 8 || length > record.len() || what & 0x8000 == 0 {
            log.note(format!(
                "has no record where one should be, at byte {}",
                at + offset
            ));
            return;
        }
        let content = &record[..length];
        let found = match what {
            kind::EVENT => Some(event(content)),
            kind::MESSAGE => Some(message(content)),
            // Of the kernel, or of a kind that Windows no longer writes.
            _ => None,
        };
        match found {
            Some(Some((stamp, thread, body))) => log.records.push(TraceRecord {
                time_ns: clock.time_ns(stamp),
                processor: u8::try_from(processor).unwrap_or(u8::MAX),
                irql: 0,
                thread,
                body,
            }),
            Some(None) => log.note(format!("has a broken record at byte {}", at + offset)),
            None => {}
        }
        offset += length.next_multiple_of(8);
    }
}

/// Time stamp, thread and content of an event.
fn event(record: &[u8]) -> Option<(u64, u32, TraceBody)> {
    let flags = u16_at(record, 4)?;
    let mut event = TraceEvent {
        provider: *record.get(0x18..)?.first_chunk()?,
        descriptor: *record.get(0x28..)?.first_chunk()?,
        is_string: flags & flag::STRING != 0,
        ..TraceEvent::default()
    };
    let mut rest = record.get(EVENT_HEADER..)?;
    let mut has_more = flags & flag::EXTENDED != 0;
    while has_more {
        let length = usize::from(u16_at(rest, 0)?).next_multiple_of(8);
        let data_length = usize::from(u16_at(rest, 6)?);
        let data = rest.get(8..8 + data_length)?;
        match u16_at(rest, 2)? {
            item::PROVIDER_TRAITS => event.traits = data.to_owned(),
            item::EVENT_SCHEMA => event.metadata = data.to_owned(),
            _ => {}
        }
        has_more = u16_at(rest, 4)? & 1 != 0;
        if length < 8 {
            return None;
        }
        rest = rest.get(length..)?;
    }
    event.payload = rest.to_owned();
    let body = TraceBody::Event(event);
    Some((u64_at(record, 0x10)?, u32_at(record, 8)?, body))
}

/// Time stamp, thread and content of a message; what its options leave out is zero.
fn message(record: &[u8]) -> Option<(u64, u32, TraceBody)> {
    let options = u16_at(record, 6)?;
    let mut message = TraceMessage {
        number: u16_at(record, 4)?,
        ..TraceMessage::default()
    };
    let mut rest = record.get(8..)?;
    let mut take = |option: u16, length: usize| {
        if options & option == 0 {
            return Some(None);
        }
        let (taken, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(Some(taken))
    };
    take(option::SEQUENCE, 4)?;
    if options & option::COMPONENT != 0 {
        take(option::COMPONENT, 4)?;
    } else if let Some(guid) = take(option::GUID, 16)? {
        message.guid.copy_from_slice(guid);
    }
    let stamp = take(option::TIME_STAMP, 8)?.and_then(|stamp| u64_at(stamp, 0));
    let thread = take(option::SYSTEM_INFO, 8)?.and_then(|ids| u32_at(ids, 0));
    message.arguments = rest.to_owned();
    let body = TraceBody::Message(message);
    Some((stamp.unwrap_or(0), thread.unwrap_or(0), body))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
