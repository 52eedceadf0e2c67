//! `NDIS_OID_REQUEST` in memory.

use lab_rules::Kind;
use lab_rules::event::{Exposure, Lent, OidKind, OidRequest};

use crate::OidAsk;
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, NDIS_OID_REQUEST_REVISION_2,
    NDIS_SIZEOF_OID_REQUEST_REVISION_1, NDIS_SIZEOF_OID_REQUEST_REVISION_2, NdisRequestMethod,
    NdisRequestQueryInformation, NdisRequestSetInformation,
};
use crate::abi::ndis::{NDIS_OBJECT_HEADER, NDIS_OID_REQUEST as R};
use crate::driver;
use crate::ndis::exposure;
use crate::ndis::register::write_header;
use crate::rt::mem::{self, BadAddress, Field};
use crate::rt::pool::{self, Reach};
use crate::rt::sched;
use crate::watch::{self, OrFault};

/// The members of one kind of request.
pub(super) struct Members {
    pub(super) kind: OidKind,
    pub(super) buffer: Field<u64>,
    /// The bytes that the request brings, or (of a query) has room for.
    pub(super) length: Field<u32>,
    /// The bytes that it has room for, of a method.
    pub(super) output_length: Option<Field<u32>>,
    pub(super) written: Option<Field<u32>>,
    pub(super) read: Option<Field<u32>>,
    pub(super) needed: Field<u32>,
}

const QUERY: Members = Members {
    kind: OidKind::Query,
    buffer: R::DATA_QUERY_INFORMATION_InformationBuffer,
    length: R::DATA_QUERY_INFORMATION_InformationBufferLength,
    output_length: None,
    written: Some(R::DATA_QUERY_INFORMATION_BytesWritten),
    read: None,
    needed: R::DATA_QUERY_INFORMATION_BytesNeeded,
};
const SET: Members = Members {
    kind: OidKind::Set,
    buffer: R::DATA_SET_INFORMATION_InformationBuffer,
    length: R::DATA_SET_INFORMATION_InformationBufferLength,
    output_length: None,
    written: None,
    read: Some(R::DATA_SET_INFORMATION_BytesRead),
    needed: R::DATA_SET_INFORMATION_BytesNeeded,
};
const METHOD: Members = Members {
    kind: OidKind::Method,
    buffer: R::DATA_METHOD_INFORMATION_InformationBuffer,
    length: R::DATA_METHOD_INFORMATION_InputBufferLength,
    output_length: Some(R::DATA_METHOD_INFORMATION_OutputBufferLength),
    written: Some(R::DATA_METHOD_INFORMATION_BytesWritten),
    read: Some(R::DATA_METHOD_INFORMATION_BytesRead),
    needed: R::DATA_METHOD_INFORMATION_BytesNeeded,
};

/// The members of a request, by its type.
pub(super) fn members(request: u64) -> Result<&'static Members, BadAddress> {
    let kind = R::RequestType.read(request)?;
    Ok(if kind == NdisRequestSetInformation {
        &SET
    } else if kind == NdisRequestMethod {
        &METHOD
    } else {
        &QUERY
    })
}

/// A request as monitors are told of it.
pub(super) fn read(request: u64) -> Result<OidRequest, BadAddress> {
    let members = members(request)?;
    let buffer = members.buffer.read(request)?;
    let length = members.output_length.unwrap_or(members.length);
    let done = members.written.or(members.read);
    Ok(OidRequest {
        request,
        oid: R::DATA_Oid.read(request)?,
        kind: members.kind,
        id: R::RequestId.read(request)?,
        handle: R::RequestHandle.read(request)?,
        port: R::PortNumber.read(request)?,
        buffer_len: length.read(request)?,
        bytes_done: done.map_or(Ok(0), |done| done.read(request))?,
        bytes_needed: members.needed.read(request)?,
        supported_revision: R::SupportedRevision.read(request)?,
        is_resident: is_resident(request) && is_resident(buffer),
    })
}

/// The event if a request that has succeeded tells of bytes that nobody wrote, of the `room` that it came with.
pub(super) fn exposed(request: u64, room: u32) -> Option<Kind> {
    let read = || -> Result<_, BadAddress> {
        let members = members(request)?;
        let Some(written) = members.written else {
            return Ok((0, 0));
        };
        let bytes = written.read(request)?.min(room);
        Ok((members.buffer.read(request)?, bytes))
    };
    let (buffer, bytes) = read().ok()?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    exposure::in_answer(Exposure::Oid { request }, buffer, bytes)
}

/// What is said of a request whose memory is gone.
pub(super) fn gone(request: u64) -> OidRequest {
    OidRequest {
        request,
        ..OidRequest::default()
    }
}

/// What a request that has ended tells who asked: the bytes that were written, and how many were written, of a set read.
/// What it says of the room by now is not believed.
pub(super) fn answer(request: u64, ask: &OidAsk) -> Result<(Vec<u8>, u32), BadAddress> {
    let members = members(request)?;
    let room = match members.output_length {
        Some(_) => ask.output_length,
        None => ask.length,
    };
    let Some(written) = members.written else {
        let read = members.read.map_or(Ok(0), |read| read.read(request))?;
        return Ok((Vec::new(), read));
    };
    let bytes = written.read(request)?;
    let there = bytes.min(room) as usize;
    let output = match there {
        0 => Vec::new(),
        _ => mem::read_bytes(members.buffer.read(request)?, there)?,
    };
    Ok((output, bytes))
}

/// Whether what lies there cannot be paged out, as far as the lab knows.
fn is_resident(address: u64) -> bool {
    pool::find(address).is_none_or(|block| block.kind != pool::Kind::Paged)
}

/// Bytes of the structure by its header: those that its owner must leave alone while it is pending.
pub(super) fn image(request: u64) -> Result<Vec<u8>, BadAddress> {
    let size = usize::from(NDIS_OBJECT_HEADER::Size.read(request)?).min(R::SIZE);
    mem::read_bytes(request, size)
}

/// A request that was built, and what its parts are.
pub(super) struct Built {
    pub(super) request: u64,
    pub(super) id: u64,
    buffer: u64,
}

impl Built {
    /// Takes its memory away.
    pub(super) fn release(self) {
        driver::release(self.buffer);
        driver::release(self.request);
    }
}

/// Builds a request; what its receiver has no business with is rubbish.
pub(super) fn build(ask: &OidAsk, id: u64) -> Built {
    let request = driver::lend(Lent::Request, R::SIZE);
    let (revision, size) = if sched::chance(1, 2) {
        (
            NDIS_OID_REQUEST_REVISION_1,
            NDIS_SIZEOF_OID_REQUEST_REVISION_1,
        )
    } else {
        (
            NDIS_OID_REQUEST_REVISION_2,
            NDIS_SIZEOF_OID_REQUEST_REVISION_2,
        )
    };
    match (ask.has_header, sched::chance(1, 2)) {
        (true, _) => write_header(request, NDIS_OBJECT_TYPE_OID_REQUEST, revision, size),
        (false, true) => write_header(request, 0, 0, 0),
        (false, false) => write_header(
            request,
            NDIS_OBJECT_TYPE_OID_REQUEST,
            revision,
            sched::random(u64::from(size)) as u16,
        ),
    }
    let room = ask.length.max(ask.output_length);
    // What is asked for is not there yet.
    let buffer = driver::rubbish(Lent::Request, room as usize);
    let is_given = room > 0;
    if ask.kind != OidKind::Query && is_given {
        let input: Vec<u8> = (0..room.min(ask.length))
            .map(|_| sched::random(256) as u8)
            .collect();
        driver::write(buffer, &input);
        if let Some(given) = &ask.input {
            driver::write(buffer, &given[..given.len().min(input.len())]);
        }
    }
    if !is_given {
        // No byte may be touched.
        pool::restrict(&[buffer], Reach::None);
    }
    let fill = || {
        let (kind, members) = match ask.kind {
            OidKind::Query => (NdisRequestQueryInformation, &QUERY),
            OidKind::Set => (NdisRequestSetInformation, &SET),
            OidKind::Method => (NdisRequestMethod, &METHOD),
        };
        R::RequestType.write(request, kind)?;
        R::PortNumber.write(request, ask.port)?;
        R::RequestId.write(request, id)?;
        R::RequestHandle.write(request, sched::random(u64::MAX) | 1)?;
        R::DATA_Oid.write(request, ask.oid)?;
        members.buffer.write(
            request,
            if is_given || id.is_multiple_of(2) {
                buffer
            } else {
                0
            },
        )?;
        members.length.write(request, ask.length)?;
        if let Some(output_length) = members.output_length {
            output_length.write(request, ask.output_length)?;
        }
        for (start, bytes) in reserved(request) {
            for word in 0..bytes / 8 {
                mem::write(start + 8 * word, sched::random(u64::MAX))?;
            }
        }
        Ok(())
    };
    let filled: Result<(), BadAddress> = fill();
    filled.or_fault();
    watch::note_parts(request, &[buffer]);
    Built {
        request,
        id,
        buffer,
    }
}

/// What a filter must leave alone in a request that it was given: address and bytes.
fn reserved(request: u64) -> [(u64, u64); 3] {
    [
        (R::NdisReserved.of(request), R::NdisReserved_COUNT),
        (R::MiniportReserved.of(request), R::MiniportReserved_COUNT),
        (R::SourceReserved.of(request), R::SourceReserved_COUNT),
    ]
}

/// The bytes of those members.
pub(super) fn reserved_bytes(request: u64) -> Result<Vec<u8>, BadAddress> {
    let mut all = Vec::new();
    for (start, bytes) in reserved(request) {
        all.extend(mem::read_bytes(start, bytes as usize)?);
    }
    Ok(all)
}

/// The bytes that a filter must leave alone in a synchronous request: all up to the information
/// buffer and its length.
pub(super) fn fixed_bytes(request: u64) -> Result<Vec<u8>, BadAddress> {
    let end = members(request)?.length.offset() + 4;
    mem::read_bytes(request, end as usize)
}

/// Copies what a clone has of its original.
pub(super) fn copy(source: u64, clone: u64) -> Result<(), BadAddress> {
    let end = R::NdisReserved.offset() as usize;
    mem::write_bytes(clone, &mem::read_bytes(source, end)?)?;
    let revision = R::SupportedRevision.read(source)?;
    R::SupportedRevision.write(clone, revision)
}
