//! What a step does, by its word.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lab_kernel::{
    Direction, Event, EventWay, FileCall, FileOperation, Frame, OidAsk, Operation, PowerState,
    Request, RequestKind, Requestor, StatusIndication, Traffic, UserMemory,
};
use lab_rules::event::{OidKind, OidPath};
use protocol::Mode;

use super::source::{Keys, Text, hexadecimal, wrong};
use super::step::{MOST_BYTES, Reader, code};
use crate::capture::{self, VlanTags};
use crate::device;
use crate::error::Error;

/// Lengths of a frame, in bytes.
const LEAST_FRAME: usize = 14;
const MOST_FRAME: usize = 65_535;
/// Frames of a step, at most.
const MOST_FRAMES: usize = 10_000;
/// Packets of one call, at most.
const MOST_BATCH: u32 = 256;
/// The longest name of a device or a file, in characters.
const MOST_NAME: usize = 1024;
/// The longest wait of a step, in ns.
const MOST_WAIT_NS: u64 = 20_000_000_000;
/// How long a step waits for all to settle if it does not say.
const SETTLE_NS: u64 = 1_000_000_000;

/// Frames of captures that were read, by path.
pub(super) type Captures = BTreeMap<PathBuf, Vec<Frame>>;

/// What a step does.
pub(super) struct Done {
    /// To what, for people.
    pub(super) about: String,
    pub(super) operation: Operation,
}

/// Reads what a step does to an adapter.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    keys: &mut Keys<'a>,
    word: &Text<'a>,
    adapter: u32,
) -> Result<Done, Error> {
    let plain = |operation| {
        Ok(Done {
            about: String::new(),
            operation,
        })
    };
    match word.text {
        "send" => traffic(reader, keys, Direction::Send),
        "receive" => traffic(reader, keys, Direction::Receive),
        "cancel-send" => plain(Operation::CancelSend),
        "oid" => oid(keys),
        "status" => status(keys),
        "net-event" => event(keys, EventWay::Up),
        "device-event" => event(keys, EventWay::Down),
        "power" => power(keys),
        "pause" => plain(Operation::Pause),
        "restart" => plain(Operation::Restart),
        "detach" => plain(Operation::Detach),
        "attach" => plain(Operation::Attach),
        "mode" => mode(keys, adapter),
        "open" | "ioctl" | "read" | "write" | "cleanup" | "close" => file(reader, keys, word),
        "wait" => wait(keys),
        "settle" => settle(keys),
        other => {
            let why = format!(
                "a step does not `{}`: it does send, receive, cancel-send, oid, status, net-event, device-event, power, pause, \
                 restart, detach, attach, mode, open, ioctl, read, write, cleanup, close, wait, settle or parallel",
                other.escape_debug()
            );
            Err(keys.source.refuse(&word.place, why))
        }
    }
}

fn traffic<'a>(
    reader: &mut Reader<'a>,
    keys: &mut Keys<'a>,
    direction: Direction,
) -> Result<Done, Error> {
    let vlan = keys.number_u32("vlan", 0..=0xFFFF)?;
    let vlan = vlan.and_then(|tag| u16::try_from(tag).ok());
    let mut frames = given_frames(keys)?;
    let captured = captured_frames(reader, keys)?;
    frames = match (frames.is_empty(), captured) {
        (false, None) => frames,
        (true, Some(captured)) => captured,
        _ => return Err(keys.refuse("a step has frames by `frames` or by `pcap`, and not by both")),
    };
    for frame in &mut frames {
        frame.vlan = vlan.or(frame.vlan);
    }
    let is_lent = match direction {
        Direction::Send => false,
        Direction::Receive => keys.flag("lent")?.unwrap_or(false),
    };
    Ok(Done {
        about: match frames.len() {
            1 => "1 frame".to_owned(),
            count => format!("{count} frames"),
        },
        operation: Operation::Traffic(Traffic {
            direction,
            frames,
            batch: keys.number_u32("batch", 1..=MOST_BATCH)?.unwrap_or(1),
            port: port(keys)?,
            is_lent,
        }),
    })
}

/// Frames that stand in the script itself.
fn given_frames(keys: &mut Keys<'_>) -> Result<Vec<Frame>, Error> {
    let mut frames = Vec::new();
    for value in keys.list("frames").into_iter().flatten() {
        let refuse = |why| keys.source.refuse(&value.span(), format!("a frame {why}"));
        let Some(text) = value.get_ref().as_str() else {
            return Err(wrong(keys.source, "a frame", value, "bytes in hexadecimal"));
        };
        let data = hexadecimal(text, MOST_FRAME).map_err(refuse)?;
        if data.len() < LEAST_FRAME {
            let count = data.len();
            let why = format!("has {count} bytes: {LEAST_FRAME} at least, an Ethernet header");
            return Err(refuse(why));
        }
        if frames.len() == MOST_FRAMES {
            return Err(keys.refuse(format!("a step has {MOST_FRAMES} frames at most")));
        }
        frames.push(Frame {
            direction: Direction::Send,
            data,
            vlan: None,
            time_ns: 0,
            segments: 1,
            checksum_offloaded: false,
        });
    }
    Ok(frames)
}

/// Frames of a capture, if the step names one: all, or `count` of them from number `from` on.
fn captured_frames(
    reader: &mut Reader<'_>,
    keys: &mut Keys<'_>,
) -> Result<Option<Vec<Frame>>, Error> {
    let path = keys.text("pcap")?;
    let from = keys.number("from", 0..=u32::MAX.into())?;
    let count = keys.number("count", 1..=MOST_FRAMES as u64)?;
    let Some(path) = path else {
        return match (from, count) {
            (None, None) => Ok(None),
            _ => Err(keys.refuse("`from` and `count` are of a `pcap`")),
        };
    };
    // A script names what lies beside it.
    let folder = reader.source.path.parent().unwrap_or("".as_ref());
    let file = folder.join(path.text);
    let refuse = |why: &str| keys.source.refuse(&path.place, why);
    if !reader.captures.contains_key(&file) {
        let read = capture::read(&file, String::new(), &[], VlanTags::OutOfBand);
        let read = read.map_err(|error| refuse(&error.line))?;
        if let Some(damage) = read.damage {
            return Err(refuse(&damage));
        }
        reader.captures.insert(file.clone(), read.adapter.frames);
    }
    let all = reader.captures.get(&file).map_or(&[][..], Vec::as_slice);
    let from = usize::try_from(from.unwrap_or(0)).unwrap_or(usize::MAX);
    let rest = all.get(from..).unwrap_or_default();
    let count = count.map_or(rest.len(), |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    match rest.get(..count) {
        Some(slice) if slice.len() > MOST_FRAMES => Err(refuse(&format!(
            "a step has {MOST_FRAMES} frames at most: give `count`"
        ))),
        Some(slice) if !slice.is_empty() => Ok(Some(slice.to_vec())),
        _ => {
            let has = all.len();
            Err(refuse(&format!(
                "{} has {has} frames: `from` and `count` lie beyond",
                file.display()
            )))
        }
    }
}

fn port(keys: &mut Keys<'_>) -> Result<u32, Error> {
    // NDIS numbers ports with 24 bits.
    Ok(keys.number_u32("port", 0..=0xFF_FFFF)?.unwrap_or(0))
}

/// Takes one of several words, if it is there.
fn choice<T: Copy>(
    keys: &mut Keys<'_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Result<Option<(String, T)>, Error> {
    let Some(text) = keys.text(key)? else {
        return Ok(None);
    };
    let chosen = words.iter().find(|(word, _)| *word == text.text);
    let (word, value) = chosen.ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let (found, all) = (text.text.escape_debug(), all.join(", "));
        let why = format!("`{key}` is `{found}`: it is one of {all}");
        keys.source.refuse(&text.place, why)
    })?;
    Ok(Some(((*word).to_owned(), *value)))
}

fn oid(keys: &mut Keys<'_>) -> Result<Done, Error> {
    let kinds = [
        ("query", OidKind::Query),
        ("set", OidKind::Set),
        ("method", OidKind::Method),
    ];
    let paths = [
        ("regular", OidPath::Regular),
        ("direct", OidPath::Direct),
        ("synchronous", OidPath::Synchronous),
    ];
    let kind = choice(keys, "kind", &kinds)?;
    let (kind_word, kind) = keys.need("kind", kind)?;
    let path = choice(keys, "interface", &paths)?;
    let path = path.map_or(OidPath::Regular, |(_, path)| path);
    let value = keys.take("oid");
    let value = keys.need("oid", value)?;
    let oid = code(keys.source, "oid", value, &["OID_"])?;
    let input = keys.bytes("input", MOST_BYTES)?;
    let room = room(keys)?;
    let is_cancelled = keys.flag("cancel")?.unwrap_or(false);
    if is_cancelled && path == OidPath::Synchronous {
        return Err(keys.refuse("nobody can `cancel` a synchronous request"));
    }
    let (input, length, output_length) = match kind {
        OidKind::Query => {
            if input.is_some() {
                return Err(keys.refuse("a query has `room`, and no `input`"));
            }
            (None, room.unwrap_or(0), 0)
        }
        OidKind::Set => {
            if room.is_some() {
                return Err(keys.refuse("a set has `input`, and no `room`"));
            }
            let input = input.unwrap_or_default();
            let length = input.len() as u32;
            (Some(input), length, 0)
        }
        OidKind::Method => {
            let input = input.unwrap_or_default();
            let length = input.len() as u32;
            (Some(input), length, room.unwrap_or(0))
        }
    };
    let name = named(oid, "OID_");
    Ok(Done {
        about: format!("{kind_word} {name}"),
        operation: Operation::Oid(Some(OidAsk {
            path,
            kind,
            oid,
            port: port(keys)?,
            input,
            length,
            output_length,
            has_header: true,
            is_cancelled: Some(is_cancelled),
        })),
    })
}

fn status(keys: &mut Keys<'_>) -> Result<Done, Error> {
    let value = keys.take("code");
    let value = keys.need("code", value)?;
    let code = code(keys.source, "code", value, &["NDIS_STATUS_"])?;
    let name = named(code, "NDIS_STATUS_");
    Ok(Done {
        about: name,
        operation: Operation::Status(Some(StatusIndication {
            code,
            port: port(keys)?,
            data: keys.bytes("data", MOST_BYTES)?.unwrap_or_default(),
        })),
    })
}

fn event(keys: &mut Keys<'_>, way: EventWay) -> Result<Done, Error> {
    let prefix = match way {
        EventWay::Up => "NetEvent",
        EventWay::Down => "NdisDevicePnPEvent",
    };
    let value = keys.take("event");
    let value = keys.need("event", value)?;
    let code = code(keys.source, "event", value, &[prefix])?;
    Ok(Done {
        about: named(code, prefix),
        operation: Operation::Event(Some(Event {
            way,
            code,
            data: keys.bytes("data", MOST_BYTES)?.unwrap_or_default(),
        })),
    })
}

/// The name of a value, or its digits.
fn named(value: u32, prefix: &str) -> String {
    let name = lab_kernel::name_of(value, &[prefix]);
    name.map_or_else(|| format!("{value:#010x}"), str::to_owned)
}

fn power(keys: &mut Keys<'_>) -> Result<Done, Error> {
    let states = [
        ("D0", PowerState::D0),
        ("D1", PowerState::D1),
        ("D2", PowerState::D2),
        ("D3", PowerState::D3),
    ];
    let state = choice(keys, "state", &states)?;
    let (about, state) = keys.need("state", state)?;
    Ok(Done {
        about,
        operation: Operation::Power(Some(state)),
    })
}

fn mode(keys: &mut Keys<'_>, adapter: u32) -> Result<Done, Error> {
    let named = |mode: &Mode| (device::mode_name(*mode), *mode);
    let modes: Vec<(&str, Mode)> = Mode::ALL.iter().map(named).collect();
    let mode = choice(keys, "mode", &modes)?;
    let (about, mode) = keys.need("mode", mode)?;
    let request = device::set_mode(lab_kernel::if_index(adapter), mode);
    Ok(Done {
        about,
        operation: Operation::Control(request),
    })
}

fn file<'a>(reader: &mut Reader<'a>, keys: &mut Keys<'a>, word: &Text<'a>) -> Result<Done, Error> {
    let name = keys.text("file")?;
    let name = keys.need("file", name)?;
    let mut about = name.text.to_owned();
    let call = match word.text {
        "open" => {
            let device = keys.text("device")?;
            let device = long_enough(keys, keys.need("device", device)?)?;
            let file_name = match keys.text("name")? {
                Some(name) => long_enough(keys, name)?,
                None => String::new(),
            };
            about = format!("{about} = {device}{file_name}");
            let next = reader.files.len() as u32;
            reader.files.entry(name.text.to_owned()).or_insert(next);
            FileCall::Open {
                device,
                name: file_name,
            }
        }
        "ioctl" => {
            let value = keys.take("code");
            let value = keys.need("code", value)?;
            let code = code(keys.source, "code", value, &["IOCTL_"])?;
            about = format!("{about} {code:#010x}");
            let kind = RequestKind::IoControl { code };
            let request = Request {
                input: keys.bytes("input", MOST_BYTES)?.unwrap_or_default(),
                output: keys.bytes("output", MOST_BYTES)?.unwrap_or_default(),
                output_len: room(keys)?.unwrap_or(0),
                input_memory: memory(keys, "input-memory")?,
                output_memory: memory(keys, "output-memory")?,
                ..sent(keys, kind)?
            };
            FileCall::Send(request)
        }
        "read" => {
            let room = room(keys)?;
            let kind = RequestKind::Read {
                offset: offset(keys)?,
            };
            let request = Request {
                output_len: keys.need("room", room)?,
                output_memory: memory(keys, "output-memory")?,
                ..sent(keys, kind)?
            };
            FileCall::Send(request)
        }
        "write" => {
            let data = keys.bytes("data", MOST_BYTES)?;
            let kind = RequestKind::Write {
                offset: offset(keys)?,
            };
            let request = Request {
                input: keys.need("data", data)?,
                input_memory: memory(keys, "input-memory")?,
                ..sent(keys, kind)?
            };
            FileCall::Send(request)
        }
        "cleanup" => FileCall::Cleanup,
        _ => FileCall::Close,
    };
    let Some(number) = reader.files.get(name.text) else {
        let why = format!("no step before opens a file `{}`", name.text.escape_debug());
        return Err(keys.source.refuse(&name.place, why));
    };
    Ok(Done {
        about,
        operation: Operation::File(FileOperation {
            file: *number,
            call,
        }),
    })
}

/// Who sends a request, and when it is cancelled.
fn sent(keys: &mut Keys<'_>, kind: RequestKind) -> Result<Request, Error> {
    let requestors = [("user", Requestor::User), ("kernel", Requestor::Kernel)];
    let requestor = choice(keys, "requestor", &requestors)?;
    let cancelled_after_us = keys.number("cancel-us", 0..=MOST_WAIT_NS / 1000)?;
    Ok(Request {
        kind,
        requestor: requestor.map_or(Requestor::User, |(_, requestor)| requestor),
        cancelled_after_ns: cancelled_after_us.map(|us| us * 1000),
        ..Request::default()
    })
}

fn room(keys: &mut Keys<'_>) -> Result<Option<u32>, Error> {
    keys.number_u32("room", 0..=MOST_BYTES as u32)
}

fn offset(keys: &mut Keys<'_>) -> Result<u64, Error> {
    let most = i64::MAX.unsigned_abs();
    Ok(keys.number("offset", 0..=most)?.unwrap_or(0))
}

/// What a buffer of a sender's is.
fn memory(keys: &mut Keys<'_>, key: &'static str) -> Result<UserMemory, Error> {
    let kinds = [
        ("valid", UserMemory::Valid),
        ("misaligned", UserMemory::Misaligned),
        ("read-only", UserMemory::ReadOnly),
        ("unmapped", UserMemory::Unmapped),
        ("vanishing", UserMemory::Vanishing),
        ("system", UserMemory::System),
    ];
    let kind = choice(keys, key, &kinds)?;
    Ok(kind.map_or(UserMemory::Valid, |(_, kind)| kind))
}

/// A name of a device or of a file, if it is one.
fn long_enough(keys: &Keys<'_>, name: Text<'_>) -> Result<String, Error> {
    let count = name.text.chars().count();
    if !(1..=MOST_NAME).contains(&count) {
        let why = format!("a name has 1 to {MOST_NAME} characters, and this {count}");
        return Err(keys.source.refuse(&name.place, why));
    }
    Ok(name.text.to_owned())
}

/// A time, if one is given: `ns`, `us` or `ms`.
fn time(keys: &mut Keys<'_>) -> Result<Option<u64>, Error> {
    let mut found = None;
    for (unit, ns) in [("ns", 1), ("us", 1_000), ("ms", 1_000_000)] {
        if let Some(number) = keys.number(unit, 0..=MOST_WAIT_NS / ns)?
            && found.replace(number * ns).is_some()
        {
            return Err(keys.refuse("a time is in `ns`, `us` or `ms`, and not in two of them"));
        }
    }
    Ok(found)
}

fn wait(keys: &mut Keys<'_>) -> Result<Done, Error> {
    let ns = time(keys)?;
    let ns = ns.ok_or_else(|| keys.refuse("a step `wait` has no `ns`, `us` or `ms`"))?;
    Ok(Done {
        about: crate::quantity::nanoseconds(ns),
        operation: Operation::Sleep(ns),
    })
}

fn settle(keys: &mut Keys<'_>) -> Result<Done, Error> {
    let ns = time(keys)?.unwrap_or(SETTLE_NS);
    Ok(Done {
        about: format!("within {}", crate::quantity::nanoseconds(ns)),
        operation: Operation::Settle(ns),
    })
}
