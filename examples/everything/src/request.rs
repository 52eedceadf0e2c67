//! OID requests: those that pass, and the filter's own.

use ndis::Status;
use ndis::filter::{Attached, StatusIndication};
use ndis::irql::{AtMostDispatch, Caller, Passive};
use ndis::oid::{
    Answered, Ask, Direct, DirectOid, DirectOidPath, Oid, OidPath, OidRequest, Refusal, Regular,
    RequestKind, Settled, SyncOidPath, Synchronous,
};
use ndis::work::NextRun;

use crate::Everything;

/// What the filter says frames may have at most: as if it put 4 bytes of its own into each, below 1500.
const FRAME_SIZE: u32 = 1496;
/// How long the filter waits for an answer to a request of its own.
const PATIENCE_MS: u32 = 50;

impl OidPath for Everything {
    fn oid_request<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Regular>,
        _irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        this.counts.requests.add(1);
        match (request.kind(), request.oid()) {
            // Other ports are not the filter's business.
            _ if request.port() != 0 => request.forward(),
            (RequestKind::Query, Oid::GEN_MAXIMUM_FRAME_SIZE) => {
                this.counts.answered.add(1);
                request.answer(&FRAME_SIZE.to_le_bytes(), 0)
            }
            (RequestKind::Set, Oid::ETHERNET_MULTICAST_LIST)
                if !request.input_length().is_multiple_of(6) =>
            {
                this.counts.answered.add(1);
                request.complete(Status::INVALID_DATA)
            }
            // This may take its time: it waits for the work item.
            (RequestKind::Query, Oid::GEN_STATISTICS) => match request.pend() {
                Ok(settled) => {
                    this.counts.pended.add(1);
                    settled
                }
                Err(request) => request.forward(),
            },
            _ => request.forward(),
        }
    }

    fn oid_pended(this: &Attached<'_, Self>, irql: &mut impl Caller) {
        let _ = this.asker.queue(irql);
    }

    fn oid_answered(this: &Attached<'_, Self>, answer: &mut Answered<'_>, _irql: &mut impl Caller) {
        this.counts.passed.add(1);
        // Those above have received more than the adapter knows of: what this filter has indicated.
        if answer.oid() == Oid::GEN_RCV_OK
            && let Ok(received) = answer.read(0)
        {
            let own = this.counts.originated.value();
            let received = u64::from_le_bytes(received).wrapping_add(own);
            // It is as long as what was just read.
            let _ = answer.overwrite(0, &received.to_le_bytes());
        }
    }
}

impl DirectOidPath for Everything {
    fn direct_oid_request<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Direct>,
        _irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        this.counts.requests.add(1);
        if request.oid() != DirectOid::IPSEC_UPDATE_SA.into() {
            return request.forward();
        }
        match request.pend() {
            Ok(settled) => {
                this.counts.pended.add(1);
                settled
            }
            Err(request) => request.forward(),
        }
    }

    fn direct_oid_pended(this: &Attached<'_, Self>, irql: &mut impl Caller) {
        let _ = this.asker.queue(irql);
    }

    fn direct_oid_answered(
        this: &Attached<'_, Self>,
        _answer: &mut Answered<'_>,
        _irql: &mut impl Caller,
    ) {
        this.counts.passed.add(1);
    }
}

impl SyncOidPath for Everything {
    fn synchronous_oid<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Synchronous>,
        _irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        this.counts.requests.add(1);
        // The call context is the filter's: here, how much room there is for the answer.
        let room = usize::try_from(request.output_length()).unwrap_or(usize::MAX);
        request.forward(room)
    }

    fn synchronous_oid_answered(
        this: &Attached<'_, Self>,
        call_context: usize,
        answer: &mut Answered<'_>,
        _irql: &mut AtMostDispatch,
    ) {
        let written = usize::try_from(answer.output_length()).unwrap_or(usize::MAX);
        if written <= call_context {
            this.counts.passed.add(1);
        }
    }
}

/// The work item of requests: lets go those that wait, asks for the packet filter, and tells those above.
pub(crate) fn ask(this: &Attached<'_, Everything>, irql: &mut Passive) -> NextRun {
    while this.take_pended_oid(irql, |request, _| request.forward()) {}
    while this.take_pended_direct_oid(irql, |request, _| request.forward()) {}
    match packet_filter(this, irql) {
        Ok(mut filter) => {
            this.counts.asked.add(1);
            // Refused only when the module is detaching, and then nobody listens.
            let _ = this.indicate_status(StatusIndication::PACKET_FILTER, 0, &mut filter, irql);
        }
        // The adapter was too slow, had no memory, or there was none here.
        Err(Refusal { .. }) => this.counts.unanswered.add(1),
    }
    NextRun::WhenQueued
}

/// Asks the adapter for its packet filter.
fn packet_filter(this: &Attached<'_, Everything>, irql: &mut Passive) -> Result<[u8; 4], Refusal> {
    let mut filter = [0; 4];
    let ask = Ask::query(Oid::GEN_CURRENT_PACKET_FILTER, &mut filter).within_ms(PATIENCE_MS);
    let answer = this.ask_oid(ask, irql)?;
    if answer.written < 4 {
        return Err(Status::INVALID_LENGTH.into());
    }
    Ok(filter)
}
