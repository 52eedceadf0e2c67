//! How requests end.

use super::{Given, NDIS_STATUS_NOT_SUPPORTED, OidMonitor, PENDING, about};
use crate::event::{Event, OidKind, OidPath, OidRequest};
use crate::family::state::ModuleState;
use crate::{BugCheck, Finding, Origin, catalogue as rule};

/// Driver Verifier's limit for a request, in ns.
const LIMIT_NS: u64 = 12_000_000_000;
/// How long after its cancellation a request may end otherwise: its end was on the way, in ns.
const RACE_NS: u64 = 100_000_000;
/// How long a cancelled request may stay, in ns.
const CANCEL_NS: u64 = 1_000_000_000;
/// How long a synchronous request may take, in ns: several milliseconds.
const SYNCHRONOUS_NS: u64 = 20_000_000;
const NDIS_STATUS_ALREADY_COMPLETE: u32 = 0xFF;
const NDIS_STATUS_REQUEST_ABORTED: u32 = 0xC001_000C;
const NDIS_STATUS_INVALID_LENGTH: u32 = 0xC001_0014;
const NDIS_STATUS_BUFFER_TOO_SHORT: u32 = 0xC001_0016;
/// `OID_PNP_SET_POWER`, `OID_RECEIVE_FILTER_CLEAR_FILTER`, `OID_RECEIVE_FILTER_FREE_QUEUE`.
const MUST_SUCCEED: [u32; 3] = [0xFD01_0101, 0x0001_0228, 0x0001_0224];
/// `OID_GEN_RSS_SET_INDIRECTION_TABLE_ENTRIES`.
const RSS_TABLE: u32 = 0x0001_02C0;

impl Given {
    /// The finding if more is done than the buffer has.
    fn beyond_buffer(&self, request: &OidRequest) -> Option<Finding> {
        // A method's room may have been written over since.
        let room = request.buffer_len.min(self.buffer_len);
        (request.bytes_done > room).then(|| {
            let why = "came back with more bytes done than its buffer has";
            let finding = about(&rule::OID_BYTES_IN_BOUNDS, request.request, why);
            finding.with(BugCheck::new(0x7C, &[0x1D, request.request]))
        })
    }
}

impl OidMonitor {
    /// A synchronous request is back with the one who asked.
    pub(super) fn end_synchronously(
        &mut self,
        event: &Event,
        request: &OidRequest,
        status: u32,
    ) -> Option<Finding> {
        let given = self.given.remove(&request.request)?;
        if let Some(finding) = given.beyond_buffer(request) {
            return Some(finding.since(Origin::Given(request.request)));
        }
        let took_ns = event.time_ns.saturating_sub(given.since_ns);
        let (rule, why) = if [PENDING, NDIS_STATUS_ALREADY_COMPLETE].contains(&status) {
            (
                &rule::SYNC_OID_NO_PENDING,
                "is synchronous and was completed with a status that is none",
            )
        } else if request.oid == RSS_TABLE && took_ns > SYNCHRONOUS_NS {
            (
                &rule::RSSV2_OID_NOT_DELAYED,
                "moves indirection entries and was delayed",
            )
        } else {
            return None;
        };
        Some(about(rule, request.request, why).since(Origin::Given(request.request)))
    }

    /// A given request ends with a final status.
    pub(super) fn finish(
        &mut self,
        event: &Event,
        path: OidPath,
        request: &OidRequest,
        status: u32,
    ) -> Option<Finding> {
        let address = request.request;
        let given = self.given.remove(&address)?;
        self.finished.insert(address, path);
        self.has_finished |= self.states.of(given.adapter) == ModuleState::Running;
        let had_no_clone = self.refused.iter().any(|(refused, _)| *refused == address);
        self.refused.retain(|(refused, _)| *refused != address);
        let fail = |rule, why: &str| Some(about(rule, address, why));
        let clone = self.own.iter().find(|(_, own)| own.source == Some(address));
        if let Some((_, own)) = clone {
            return if own.is_below {
                fail(
                    &rule::OID_BOTH_COMPLETION_PATHS,
                    "was finished while its clone is below",
                )
            } else {
                fail(
                    &rule::OID_CLONE_FREED_FIRST,
                    "was finished before its clone was freed",
                )
            };
        }
        let age_ns = event.time_ns.saturating_sub(given.since_ns);
        let age_ns = age_ns.saturating_sub(given.below_ns);
        if age_ns > LIMIT_NS {
            let rule = if given.is_pending {
                &rule::OID_TIMED
            } else {
                &rule::OID_ONE_AT_A_TIME
            };
            let finding = about(rule, address, "took longer than 12 seconds");
            return Some(finding.with(BugCheck::new(0xC4, &[0x0009_2003])));
        }
        if let Some(finding) = given.beyond_buffer(request) {
            return Some(finding);
        }
        if [NDIS_STATUS_INVALID_LENGTH, NDIS_STATUS_BUFFER_TOO_SHORT].contains(&status)
            && request.bytes_needed == 0
        {
            return fail(
                &rule::OID_QUERY_BUFFER_LENGTH,
                "was refused for its length, and BytesNeeded is not set",
            );
        }
        if let Some(cancelled_ns) = given.cancelled_ns {
            let stayed_ns = event.time_ns.saturating_sub(cancelled_ns);
            let is_aborted = status == NDIS_STATUS_REQUEST_ABORTED;
            let limit_ns = if is_aborted { CANCEL_NS } else { RACE_NS };
            if given.below.is_none() && stayed_ns > limit_ns {
                return fail(
                    &rule::OID_CANCEL_LOCAL,
                    "was cancelled, and did not end at once with NDIS_STATUS_REQUEST_ABORTED",
                );
            }
        }
        let is_failure = status >= 0xC000_0000;
        let is_own_decision = given.below.is_none() && !had_no_clone;
        if is_failure && is_own_decision && MUST_SUCCEED.contains(&request.oid) {
            let finding = about(
                &rule::OID_MUST_SUCCEED_LIST,
                address,
                "was failed and is one that may not fail",
            );
            return Some(finding.with(BugCheck::new(0xC4, &[0x0009_1001, request.oid.into()])));
        }
        if status == NDIS_STATUS_NOT_SUPPORTED && is_own_decision && !given.is_cloned {
            return fail(
                &rule::OID_PASS_UNKNOWN,
                "was refused as unknown, and nobody below was asked",
            );
        }
        if request.oid == RSS_TABLE && (given.is_pending || given.processor != event.processor) {
            return fail(
                &rule::RSSV2_OID_NOT_DELAYED,
                "moves indirection entries and was delayed, or moved to another processor",
            );
        }
        if let Some(below) = given.below {
            let is_copied = request.bytes_done == below.bytes_done
                && request.bytes_needed == below.bytes_needed;
            if !is_copied {
                return fail(
                    &rule::OID_COPY_BACK,
                    "does not have the byte counts that its clone came back with",
                );
            }
        }
        let wanted = given.below.map_or(1, |below| below.supported_revision);
        (!is_failure
            && request.kind == OidKind::Set
            && wanted != 0
            && request.supported_revision == 0)
            .then(|| {
                about(
                    &rule::OID_SUPPORTED_REVISION,
                    address,
                    "was set, and SupportedRevision is 0",
                )
            })
    }
}
