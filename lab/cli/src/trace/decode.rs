//! From the bytes of a record to names and values.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lab_kernel::{TraceBody, TraceEvent, TraceMessage, TraceRecord};

use super::tmf::Formats;

/// A record with everything that it says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) time_ns: u64,
    pub(crate) processor: u8,
    /// Not in a log.
    pub(crate) irql: Option<u8>,
    pub(crate) thread: u32,
    /// The provider's name; its GUID when it does not say.
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) level: u8,
    pub(crate) opcode: u8,
    pub(crate) keywords: u64,
    pub(crate) fields: Vec<(String, Value)>,
    /// Of a WPP message: its text with its values, and the function that it is in.
    pub(crate) text: Option<String>,
    pub(crate) function: String,
    /// What could not be decoded, and why.
    pub(crate) problem: Option<String>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Hex(u64),
    Bool(bool),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Self>),
}

/// Decodes a record; what cannot be is shown as bytes.
pub(crate) fn decode(record: &TraceRecord, formats: &Formats) -> Decoded {
    match &record.body {
        TraceBody::Event(event) => decode_event(record, event),
        TraceBody::Message(message) => decode_message(record, message, formats),
    }
}

/// A message of WPP; what has no format is shown as bytes.
fn decode_message(record: &TraceRecord, message: &TraceMessage, formats: &Formats) -> Decoded {
    let mut decoded = Decoded {
        time_ns: record.time_ns,
        processor: record.processor,
        irql: Some(record.irql),
        thread: record.thread,
        provider: guid(&message.guid),
        name: format!("#{}", message.number),
        level: 0,
        opcode: 0,
        keywords: 0,
        fields: Vec::new(),
        text: None,
        function: String::new(),
        problem: None,
    };
    let (guid, number) = (&message.guid, message.number);
    match formats.show(guid, number, &message.arguments) {
        Some(shown) => {
            decoded.provider = shown.component;
            decoded.name = format!("{}:{}", shown.source, shown.line);
            decoded.level = level_of(&shown.level);
            decoded.fields = shown.fields;
            decoded.text = Some(shown.text);
            decoded.function = shown.function;
            decoded.problem = shown.problem;
        }
        None => {
            let arguments = Value::Bytes(message.arguments.clone());
            decoded.fields.push(("Arguments".to_owned(), arguments));
            decoded.problem = Some(formats.refusal(guid, number));
        }
    }
    decoded
}

/// The number of a `TRACE_LEVEL_…`.
fn level_of(name: &str) -> u8 {
    const NAMES: [&str; 5] = ["CRITICAL", "ERROR", "WARNING", "INFORMATION", "VERBOSE"];
    let name = name.strip_prefix("TRACE_LEVEL_").unwrap_or(name);
    let place = NAMES.iter().position(|known| *known == name);
    place.map_or(0, |place| place as u8 + 1)
}

fn decode_event(record: &TraceRecord, event: &TraceEvent) -> Decoded {
    let descriptor = &event.descriptor;
    let id = u16::from_le_bytes([descriptor[0], descriptor[1]]);
    let mut keywords = [0; 8];
    keywords.copy_from_slice(&descriptor[8..]);
    let mut decoded = Decoded {
        time_ns: record.time_ns,
        processor: record.processor,
        irql: Some(record.irql),
        thread: record.thread,
        provider: name_of(&event.traits).unwrap_or_else(|| guid(&event.provider)),
        name: format!("#{id}"),
        level: descriptor[4],
        opcode: descriptor[5],
        keywords: u64::from_le_bytes(keywords),
        fields: Vec::new(),
        text: None,
        function: String::new(),
        problem: None,
    };
    if event.is_string {
        let text = utf16(&event.payload);
        decoded
            .fields
            .push(("String".to_owned(), Value::Text(text)));
    } else if event.metadata.is_empty() {
        if !event.payload.is_empty() {
            let bytes = Value::Bytes(event.payload.clone());
            decoded.fields.push(("Payload".to_owned(), bytes));
        }
    } else if let Err(problem) = describe(event, &mut decoded) {
        decoded.problem = Some(problem.to_owned());
    }
    decoded
}

/// The name in a provider's traits.
fn name_of(traits: &[u8]) -> Option<String> {
    let name = traits.get(2..)?.split(|&byte| byte == 0).next()?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// A GUID as people write it.
pub(crate) fn guid(bytes: &[u8; 16]) -> String {
    let [a0, a1, a2, a3, b0, b1, c0, c1, d @ ..] = *bytes;
    let a = u32::from_le_bytes([a0, a1, a2, a3]);
    let (b, c) = (u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1]));
    let mut text = format!("{a:08x}-{b:04x}-{c:04x}-");
    for (index, byte) in d.iter().enumerate() {
        if index == 2 {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads names and types from an event's metadata, and the values from its payload.
fn describe(event: &TraceEvent, decoded: &mut Decoded) -> Result<(), &'static str> {
    const CUT: &str = "its metadata is cut off";
    let mut names = Cursor(&event.metadata);
    let length = names.u16().ok_or(CUT)?;
    if usize::from(length) != event.metadata.len() {
        return Err("its metadata has another length than it says");
    }
    // Tag bytes: each but the last has its highest bit set.
    while names.u8().ok_or(CUT)? & 0x80 != 0 {}
    decoded.name = names.text().ok_or(CUT)?;
    let mut values = Cursor(&event.payload);
    while !names.0.is_empty() {
        let name = names.text().ok_or(CUT)?;
        let mut in_type = names.u8().ok_or(CUT)?;
        let mut out_type = 0;
        if in_type & 0x80 != 0 {
            in_type &= 0x7F;
            out_type = names.u8().ok_or(CUT)?;
            if out_type & 0x80 != 0 {
                out_type &= 0x7F;
                while names.u8().ok_or(CUT)? & 0x80 != 0 {}
            }
        }
        let count = match in_type & 0x60 {
            0 => None,
            0x20 => Some(names.u16().ok_or(CUT)?),
            0x40 => Some(values.u16().ok_or("its payload is cut off")?),
            _ => return Err("it has a field of a type of its own"),
        };
        let mut one = || values.value(in_type & 0x1F, out_type);
        let value = match count {
            None => one()?,
            Some(count) => Value::List((0..count).map(|_| one()).collect::<Result<_, _>>()?),
        };
        decoded.fields.push((name, value));
    }
    if values.0.is_empty() {
        Ok(())
    } else {
        Err("its payload has more than its fields")
    }
}

/// What is left of some bytes.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Bytes up to a zero.
    fn text(&mut self) -> Option<String> {
        let length = self.0.iter().position(|&byte| byte == 0)?;
        let text = self.take(length)?;
        self.take(1)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// UTF-16 up to a zero.
    fn wide_text(&mut self) -> Option<String> {
        let length = self.0.chunks_exact(2).position(|unit| unit == [0, 0])?;
        let text = self.take(2 * length)?;
        self.take(2)?;
        Some(utf16(text))
    }

    /// Bytes, and before them how many they are.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// The value of a field (`TlgIn_t`, `TlgOut_t`).
    fn value(&mut self, in_type: u8, out_type: u8) -> Result<Value, &'static str> {
        const HEX: u8 = 4;
        const SOCKET_ADDRESS: u8 = 10;
        const STATUSES: [u8; 3] = [13, 14, 15];
        let value = match in_type {
            1 => self.wide_text().map(Value::Text),
            2 => self.text().map(Value::Text),
            3 => self
                .array()
                .map(|b| Value::Signed(i8::from_le_bytes(b).into())),
            4 => self
                .array()
                .map(|b| Value::Unsigned(u8::from_le_bytes(b).into())),
            5 => self
                .array()
                .map(|b| Value::Signed(i16::from_le_bytes(b).into())),
            6 => self
                .array()
                .map(|b| Value::Unsigned(u16::from_le_bytes(b).into())),
            7 if STATUSES.contains(&out_type) => self
                .array()
                .map(|b| Value::Hex(u32::from_le_bytes(b).into())),
            7 => self
                .array()
                .map(|b| Value::Signed(i32::from_le_bytes(b).into())),
            8 => self
                .array()
                .map(|b| Value::Unsigned(u32::from_le_bytes(b).into())),
            9 => self.array().map(|b| Value::Signed(i64::from_le_bytes(b))),
            10 | 17 => self.array().map(|b| Value::Unsigned(u64::from_le_bytes(b))),
            11 => self
                .array()
                .map(|b| Value::Float(f32::from_le_bytes(b).into())),
            12 => self.array().map(|b| Value::Float(f64::from_le_bytes(b))),
            13 => self
                .array()
                .map(|b| Value::Bool(u32::from_le_bytes(b) != 0)),
            14 | 25 => self.counted().map(|bytes| {
                let address = (out_type == SOCKET_ADDRESS).then(|| socket_address(bytes));
                address
                    .flatten()
                    .map_or_else(|| Value::Bytes(bytes.to_owned()), Value::Text)
            }),
            15 => self.array().map(|b| Value::Text(guid(&b))),
            20 => self
                .array()
                .map(|b| Value::Hex(u32::from_le_bytes(b).into())),
            21 => self.array().map(|b| Value::Hex(u64::from_le_bytes(b))),
            22 => self.counted().map(|bytes| Value::Text(utf16(bytes))),
            23 => self
                .counted()
                .map(|bytes| Value::Text(String::from_utf8_lossy(bytes).into_owned())),
            _ => return Err("it has a field of a type that is not decoded"),
        };
        match value {
            Some(Value::Unsigned(number)) if out_type == HEX => Ok(Value::Hex(number)),
            Some(value) => Ok(value),
            None => Err("its payload is cut off"),
        }
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    String::from_utf16_lossy(&units)
        .trim_end_matches('\0')
        .to_owned()
}

/// A `SOCKADDR_IN` or `SOCKADDR_IN6` as people write it.
fn socket_address(bytes: &[u8]) -> Option<String> {
    let mut cursor = Cursor(bytes);
    let family = cursor.u16()?;
    let port = u16::from_be_bytes(cursor.array()?);
    let address: IpAddr = match family {
        2 => Ipv4Addr::from(cursor.array::<4>()?).into(),
        23 => {
            cursor.take(4)?;
            Ipv6Addr::from(cursor.array::<16>()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port).to_string())
}
