//! The machine, as NDIS tells of it: its processors in detail, its load, its hypervisor, its event log; and that no
//! adapter is an extensible switch.

use super::handle;
use super::register::read_header;
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_DEFAULT, NDIS_STATUS_BUFFER_TOO_SHORT, NDIS_STATUS_INVALID_PARAMETER,
    NDIS_STATUS_NOT_SUPPORTED,
};
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::mem::{self, BadAddress, Field};
use crate::rt::{Call, processor, sched};
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisGetProcessorInformation => processors,
    NdisGetProcessorInformationEx => processors_ex,
    NdisGetRssProcessorInformation => rss_processors,
    NdisGetCurrentProcessorCpuUsage => usage,
    NdisGetCurrentProcessorCounts => counts,
    NdisGetSystemUpTime => up_time,
    NdisGetHypervisorInfo => hypervisor,
    NdisWriteEventLogEntry => write_event,
    NdisFGetOptionalSwitchHandlers => switch_handlers,
}

/// Bytes of an NDIS_SYSTEM_PROCESSOR_INFO, and where in it the list of RSS processors and that of all are.
const INFO_BYTES: u16 = 1072;
const RSS_LIST: Field<u64> = Field::at(40);
const FIRST_PROCESSOR: u64 = 48;

/// Writes words one after another.
fn write_words(at: u64, words: &[u32]) -> Result<(), BadAddress> {
    (0..)
        .zip(words)
        .try_for_each(|(index, word)| mem::write(at.wrapping_add(4 * index), *word))
}

/// Each processor is a core of its own, in one package; all of them may be used for RSS.
fn processors(call: &Call<'_>) -> u64 {
    let info = call.arg(0);
    let expected = (NDIS_OBJECT_TYPE_DEFAULT, 1, INFO_BYTES);
    let header = read_header("NDIS_SYSTEM_PROCESSOR_INFO", info, expected).or_fault();
    if header.size < INFO_BYTES {
        return status(NDIS_STATUS_BUFFER_TOO_SHORT);
    }
    let count = sched::processors();
    let list = RSS_LIST.read(info).or_fault();
    let fill = || {
        // Flags, vendor, packages, cores, cores of a package, threads of a core, first for RSS, how many.
        write_words(info.wrapping_add(4), &[0, 0, 1, count, count, 1, 0, count])?;
        for number in 0..count {
            let at = info.wrapping_add(FIRST_PROCESSOR + 16 * u64::from(number));
            write_words(at, &[number, 0, number, 0])?;
            if list != 0 {
                mem::write(list.wrapping_add(number.into()), number as u8)?;
            }
        }
        Ok(())
    };
    let filled: Result<(), BadAddress> = fill();
    filled.or_fault();
    SUCCESS
}

/// Writes a structure with an array where there is room, and how much that needs anyway.
fn give(out: u64, size_at: u64, words: &[u32]) -> u64 {
    let bytes = 4 * words.len() as u64;
    let room = mem::read::<u64>(size_at).or_fault();
    let has_room = out != 0 && room >= bytes;
    let write = || {
        mem::write(size_at, bytes)?;
        if has_room {
            write_words(out, words)
        } else {
            Ok(())
        }
    };
    write().or_fault();
    if has_room {
        SUCCESS
    } else {
        status(NDIS_STATUS_BUFFER_TOO_SHORT)
    }
}

/// A header as the first word of a structure has it.
fn header(revision: u8, bytes: u16) -> u32 {
    let [low, high] = bytes.to_le_bytes();
    u32::from_le_bytes([NDIS_OBJECT_TYPE_DEFAULT, revision, low, high])
}

fn processors_ex(call: &Call<'_>) -> u64 {
    /// Bytes of an NDIS_SYSTEM_PROCESSOR_INFO_EX, and of an NDIS_PROCESSOR_INFO_EX.
    const HEAD: u32 = 40;
    const ENTRY: u32 = 20;
    if call.arg(0) != 0
        && !handle::is_driver_or_module("NdisGetProcessorInformationEx", call.arg(0))
    {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let count = sched::processors();
    let head = [
        header(1, HEAD as u16),
        0,
        0,
        1,
        count,
        count,
        1,
        HEAD,
        count,
        ENTRY,
    ];
    // A processor number, socket, core, thread; then the node and how far that is.
    let entries = (0..count).flat_map(|number| [number << 16, 0, number, 0, 0]);
    let words: Vec<u32> = head.into_iter().chain(entries).collect();
    give(call.arg(1), call.arg(2), &words)
}

/// All processors, none preferred.
fn rss_processors(call: &Call<'_>) -> u64 {
    /// Bytes of an NDIS_RSS_PROCESSOR_INFO of revision 2, and of an NDIS_RSS_PROCESSOR.
    const HEAD: u32 = 40;
    const ENTRY: u32 = 8;
    /// `NdisRssProfileClosest`.
    const CLOSEST: u32 = 1;
    if !handle::is_driver_or_module("NdisGetRssProcessorInformation", call.arg(0)) {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let count = sched::processors();
    let last = (count - 1) << 16;
    let head = [
        header(2, HEAD as u16),
        0,
        0,
        count,
        0,
        HEAD,
        count,
        ENTRY,
        last,
        CLOSEST,
    ];
    let entries = (0..count).flat_map(|number| [number << 16, 0]);
    let words: Vec<u32> = head.into_iter().chain(entries).collect();
    give(call.arg(1), call.arg(2), &words)
}

/// What part of the time the processor has worked, in percent.
fn usage(call: &Call<'_>) -> u64 {
    let percent = (100 * sched::processor_time())
        .checked_div(sched::now())
        .unwrap_or(0);
    mem::write(call.arg(0), percent as u32).or_fault();
    0
}

/// In clock ticks: those that were idle, and all.
fn counts(call: &Call<'_>) -> u64 {
    let (now, spent) = (sched::now(), sched::processor_time());
    let idle = processor::tick_count(now.saturating_sub(spent));
    let words = [
        idle as u32,
        processor::tick_count(now) as u32,
        sched::processor(),
    ];
    for (place, word) in (0..).zip(words) {
        mem::write(call.arg(place), word).or_fault();
    }
    0
}

/// In milliseconds, and no more of them than a ULONG holds.
fn up_time(call: &Call<'_>) -> u64 {
    const PER_MILLISECOND: u64 = 10_000;
    let time = processor::tick_count(sched::now()) * processor::tick_100ns();
    mem::write(call.arg(0), (time / PER_MILLISECOND) as u32).or_fault();
    0
}

/// There is none.
fn hypervisor(call: &Call<'_>) -> u64 {
    const BYTES: u16 = 12;
    let expected = (NDIS_OBJECT_TYPE_DEFAULT, 1, BYTES);
    let header = read_header("NDIS_HYPERVISOR_INFO", call.arg(0), expected).or_fault();
    if header.size < BYTES {
        return status(NDIS_STATUS_BUFFER_TOO_SHORT);
    }
    write_words(call.arg(0).wrapping_add(4), &[0, 0]).or_fault();
    SUCCESS
}

/// Texts and data must fit in a record of the log, of which nobody reads more in the lab.
fn write_event(call: &Call<'_>) -> u64 {
    /// `NDIS_MAX_EVENT_LOG_DATA_SIZE` on x64.
    const MOST: u64 = 196;
    let (count, texts) = (call.arg_u16(3), call.arg(4));
    let (data_bytes, data) = (u64::from(call.arg_u32(5)), call.arg(6));
    let text_bytes = (0..u64::from(count)).map(|index| {
        let text = mem::read::<u64>(texts.wrapping_add(8 * index)).or_fault();
        let units = driver::read_text(text, None)
            .or_fault()
            .encode_utf16()
            .count();
        2 * (units as u64 + 1)
    });
    if text_bytes.sum::<u64>() + data_bytes > MOST {
        return status(NDIS_STATUS_BUFFER_TOO_SHORT);
    }
    drop(mem::read_bytes(data, data_bytes as usize).or_fault());
    SUCCESS
}

/// No module is on an extensible switch.
fn switch_handlers(call: &Call<'_>) -> u64 {
    let Some(_) = handle::module("NdisFGetOptionalSwitchHandlers", call.arg(0)) else {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    };
    mem::read::<u32>(call.arg(2)).or_fault();
    status(NDIS_STATUS_NOT_SUPPORTED)
}
