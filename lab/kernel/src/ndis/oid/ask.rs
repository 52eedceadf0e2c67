//! What is asked, by the seed: what adapters know, with buffers that fit or do not, and what nobody knows.

use lab_rules::event::{OidKind, OidPath};

use crate::OidAsk;
use crate::abi::constant::{
    OID_802_3_CURRENT_ADDRESS, OID_802_3_MULTICAST_LIST, OID_GEN_CURRENT_PACKET_FILTER,
    OID_GEN_LINK_STATE, OID_GEN_MAXIMUM_FRAME_SIZE, OID_GEN_RCV_OK,
    OID_GEN_RECEIVE_SCALE_PARAMETERS, OID_GEN_STATISTICS, OID_PM_PARAMETERS, OID_PNP_SET_POWER,
    OID_TCP_OFFLOAD_PARAMETERS,
};
use crate::ndis::is_disturbed;
use crate::rt::sched;

/// An OID that the adapter knows.
pub(super) struct Known {
    path: OidPath,
    kind: OidKind,
    oid: u32,
    /// Bytes of information.
    pub(super) length: u32,
}

const fn known(path: OidPath, kind: OidKind, oid: u32, length: u32) -> Known {
    Known {
        path,
        kind,
        oid,
        length,
    }
}

/// `OID_RECEIVE_FILTER_ALLOCATE_QUEUE`, `OID_RECEIVE_FILTER_FREE_QUEUE`,
/// `OID_RECEIVE_FILTER_CLEAR_FILTER`.
const ALLOCATE_QUEUE: u32 = 0x0001_0223;
const FREE_QUEUE: u32 = 0x0001_0224;
const CLEAR_FILTER: u32 = 0x0001_0228;
/// `OID_TCP_TASK_IPSEC_OFFLOAD_V2_ADD_SA`, `_DELETE_SA` and `_UPDATE_SA`.
const ADD_SA: u32 = 0xFC03_0202;
const DELETE_SA: u32 = 0xFC03_0203;
const UPDATE_SA: u32 = 0xFC03_0204;
/// `OID_GEN_RSS_SET_INDIRECTION_TABLE_ENTRIES`.
const RSS_TABLE: u32 = 0x0001_02C0;

/// In a hard life one in so many requests has no header.
const NO_HEADER: u64 = 16;

/// What may not be refused.
pub(super) const MUST_SUCCEED: [u32; 4] = [OID_PNP_SET_POWER, FREE_QUEUE, CLEAR_FILTER, DELETE_SA];

const KNOWN: &[Known] = {
    use OidKind::{Method, Query, Set};
    use OidPath::{Direct, Regular, Synchronous};
    &[
        known(Regular, Query, OID_GEN_MAXIMUM_FRAME_SIZE, 4),
        known(Regular, Query, OID_GEN_CURRENT_PACKET_FILTER, 4),
        known(Regular, Query, OID_802_3_CURRENT_ADDRESS, 6),
        known(Regular, Query, OID_GEN_LINK_STATE, 40),
        known(Regular, Query, OID_GEN_STATISTICS, 160),
        known(Regular, Query, OID_GEN_RCV_OK, 8),
        known(Regular, Set, OID_GEN_CURRENT_PACKET_FILTER, 4),
        known(Regular, Set, OID_802_3_MULTICAST_LIST, 12),
        known(Regular, Set, OID_GEN_RECEIVE_SCALE_PARAMETERS, 52),
        known(Regular, Set, OID_PM_PARAMETERS, 20),
        known(Regular, Set, OID_TCP_OFFLOAD_PARAMETERS, 36),
        known(Regular, Set, OID_PNP_SET_POWER, 4),
        known(Regular, Set, CLEAR_FILTER, 16),
        known(Regular, Set, FREE_QUEUE, 12),
        known(Regular, Method, ALLOCATE_QUEUE, 48),
        known(Direct, Method, ADD_SA, 120),
        known(Direct, Set, DELETE_SA, 24),
        known(Direct, Method, UPDATE_SA, 64),
        known(Synchronous, Method, RSS_TABLE, 32),
    ]
};

/// What the adapter knows of an OID.
pub(super) fn find(kind: OidKind, oid: u32) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.oid == oid && known.kind == kind)
}

/// To another power state.
pub(super) fn power(state: i32) -> OidAsk {
    OidAsk {
        path: OidPath::Regular,
        kind: OidKind::Set,
        oid: OID_PNP_SET_POWER,
        port: 0,
        input: Some(state.to_le_bytes().to_vec()),
        length: 4,
        output_length: 0,
        has_header: true,
        is_cancelled: None,
    }
}

/// Whether nobody cancels a request who does not say so: it may not fail.
pub(super) fn must_succeed(ask: &OidAsk) -> bool {
    MUST_SUCCEED.contains(&ask.oid)
}

/// All that the adapter knows of an interface, with buffers that fit.
pub(super) fn all(path: OidPath) -> Vec<OidAsk> {
    let known = KNOWN.iter().filter(|known| known.path == path);
    known
        .map(|known| OidAsk {
            path,
            kind: known.kind,
            oid: known.oid,
            port: 0,
            input: None,
            length: known.length,
            output_length: if known.kind == OidKind::Method {
                known.length
            } else {
                0
            },
            has_header: true,
            is_cancelled: None,
        })
        .collect()
}

/// Anything, on an interface.
pub(super) fn any(path: OidPath) -> OidAsk {
    /// The longest buffer: far more than anything needs, in bytes.
    const LONG: u64 = 256 * 1024;
    /// Vendors' OIDs begin here.
    const PRIVATE: u32 = 0xFF00_0000;
    let of_path: Vec<&Known> = KNOWN.iter().filter(|known| known.path == path).collect();
    let pick = of_path[sched::random(of_path.len() as u64) as usize];
    let (mut kind, mut oid, needed) = (pick.kind, pick.oid, u64::from(pick.length));
    if sched::chance(1, 8) {
        oid = PRIVATE | sched::random(0x1_0000) as u32;
        kind = [OidKind::Query, OidKind::Set, OidKind::Method][sched::random(3) as usize];
    }
    let length = || match sched::random(8) {
        _ if MUST_SUCCEED.contains(&oid) => needed,
        0 => 0,
        1 => sched::random(needed),
        2 => needed + sched::random(needed),
        3 => LONG - sched::random(needed),
        _ => needed,
    } as u32;
    let (length, more) = (length(), length());
    OidAsk {
        path,
        kind,
        oid,
        port: if sched::chance(3, 4) { 0 } else { 1 },
        input: None,
        length,
        output_length: if kind == OidKind::Method { more } else { 0 },
        has_header: !(is_disturbed()
            && !MUST_SUCCEED.contains(&oid)
            && sched::chance(1, NO_HEADER)),
        is_cancelled: None,
    }
}
