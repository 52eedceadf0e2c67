//! OID requests: those that pass, and the filter's own.
//!
//! Of its own it sends regular and direct ones where it may wait, and synchronous ones where it may not: from the timer, and
//! while it has somebody else's request in hand.

use ndis::Status;
use ndis::filter::{Attached, StatusIndication};
use ndis::irql::{AtMostDispatch, Caller, Passive};
use ndis::oid::{
    Answer, Answered, Ask, Direct, DirectOid, DirectOidPath, Oid, OidPath, OidRequest, Refusal,
    Regular, RequestKind, Settled, SyncOidPath, Synchronous,
};
use ndis::thread::{Calls, Next};
use ndis::work::NextRun;

use crate::Everything;

/// What the filter says frames may have at most: as if it put 4 bytes of its own into each, below 1500.
const FRAME_SIZE: u32 = 1496;
/// `OID_GEN_RSS_SET_INDIRECTION_TABLE_ENTRIES`, which comes and goes by the synchronous interface.
const RSS_ENTRIES: Oid = Oid::from_raw(0x0001_02C0);
/// No entries to be changed: an `NDIS_RSS_SET_INDIRECTION_ENTRIES` with a header, and room behind it.
const NO_RSS_ENTRIES: [u8; 32] = {
    let mut entries = [0; 32];
    (entries[0], entries[1], entries[2]) = (0xC9, 1, 20);
    entries
};
/// An update of no security association.
const NO_ASSOCIATION: [u8; 64] = [0; 64];
/// How long the filter waits for an answer to a request of its own.
const PATIENCE_MS: u32 = 50;
/// How long its thread waits to be called before it asks of itself.
const IDLE_MS: u32 = 1000;

impl OidPath for Everything {
    fn oid_request<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Regular>,
        irql: &mut AtMostDispatch,
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
            (RequestKind::Query, oid) if oid == Oid::GEN_STATISTICS || is_own(oid) => {
                match request.pend() {
                    Ok(settled) => {
                        this.counts.pended.add(1);
                        settled
                    }
                    Err(request) => request.forward(),
                }
            }
            (RequestKind::Set, Oid::GEN_RECEIVE_SCALE_PARAMETERS) => {
                // While this one is under way the filter asks on its own account.
                ask_for_entries(this, irql);
                request.forward()
            }
            _ => request.forward(),
        }
    }

    fn oid_pended(this: &Attached<'_, Self>, irql: &mut impl Caller) {
        let _ = this.releaser.queue(irql);
    }

    fn oid_answered(this: &Attached<'_, Self>, answer: &mut Answered<'_>, _irql: &mut impl Caller) {
        count_passed(this, answer, 1);
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
        let _ = this.releaser.queue(irql);
    }

    fn direct_oid_answered(
        this: &Attached<'_, Self>,
        answer: &mut Answered<'_>,
        _irql: &mut impl Caller,
    ) {
        count_passed(this, answer, 1);
    }
}

impl SyncOidPath for Everything {
    fn synchronous_oid<'c>(
        this: &Attached<'_, Self>,
        request: OidRequest<'c, Synchronous>,
        _irql: &mut AtMostDispatch,
    ) -> Settled<'c> {
        this.counts.requests.add(1);
        // The call context is the filter's: here, what the answer counts for.
        request.forward(1)
    }

    fn synchronous_oid_answered(
        this: &Attached<'_, Self>,
        call_context: u32,
        answer: &mut Answered<'_>,
        _irql: &mut AtMostDispatch,
    ) {
        count_passed(this, answer, call_context);
    }
}

/// Counts an answer that has passed and is as long as those below say: its last byte can be read.
fn count_passed(this: &Attached<'_, Everything>, answer: &Answered<'_>, weight: u32) {
    let last = answer.output_length().checked_sub(1);
    if last.is_none_or(|last| core::hint::black_box(answer.read::<1>(last)).is_ok()) {
        this.counts.passed.add(weight.into());
    }
}

/// Whether it is an OID of the filter's own: of those that vendors may use, every other one.
fn is_own(oid: Oid) -> bool {
    oid.into_raw() & 0xFF00_0001 == 0xFF00_0000
}

/// The work item of requests: lets go those that wait, answers some of them, and tells who asked.
pub(crate) fn release(this: &Attached<'_, Everything>, irql: &mut Passive) -> NextRun {
    let mut is_left = true;
    while is_left {
        let mut requester = None;
        is_left = this.take_pended_oid(irql, |request, _| {
            if is_own(request.oid()) {
                requester = Some(request.requester());
                this.counts.answered.add(1);
                return request.complete(Status::INDICATION_REQUIRED);
            }
            request.forward()
        });
        // It has an answer, and here is what it was about.
        if let Some(requester) = requester {
            let (code, mut size) = (StatusIndication::MEDIA_SPECIFIC, FRAME_SIZE.to_le_bytes());
            // Refused only when the module is detaching, and then nobody listens.
            let _ = this.indicate_status_to(requester, code, 0, &mut size, irql);
        }
    }
    while this.take_pended_direct_oid(irql, |request, _| request.forward()) {}
    NextRun::WhenQueued
}

/// The thread: asks at once, and when it is called. An answer may be long in coming, which is nothing for a work item.
pub(crate) fn ask_on_call(this: &Attached<'_, Everything>, calls: &Calls<'_>, irql: &mut Passive) {
    // Refused if NDIS has not called the module yet: its attach may not have returned.
    ask(this, irql);
    while calls.wait_for(IDLE_MS, irql) != Next::Stop {
        ask(this, irql);
    }
}

/// Updates nothing, asks for the packet filter, and tells those above.
pub(crate) fn ask(this: &Attached<'_, Everything>, irql: &mut Passive) {
    let mut association = NO_ASSOCIATION;
    let update = Ask::method(
        DirectOid::IPSEC_UPDATE_SA,
        &NO_ASSOCIATION,
        &mut association,
    );
    let updated = this.ask_direct_oid(update.within_ms(PATIENCE_MS), irql);
    count(this, updated);
    let mut filter = [0; 4];
    let ask = Ask::query(Oid::GEN_CURRENT_PACKET_FILTER, &mut filter).within_ms(PATIENCE_MS);
    let asked = this.ask_oid(ask, irql);
    count(this, asked);
    if asked.is_ok_and(|answer| answer.written == 4) {
        // As above.
        let _ = this.indicate_status(StatusIndication::PACKET_FILTER, 0, &mut filter, irql);
    }
}

/// Asks the adapter to change none of the entries of its table: from any callback, which need not wait for the answer.
pub(crate) fn ask_for_entries(this: &Attached<'_, Everything>, irql: &mut impl Caller) {
    let mut entries = NO_RSS_ENTRIES;
    let ask = Ask::method(RSS_ENTRIES, &NO_RSS_ENTRIES, &mut entries);
    count(this, this.ask_synchronous_oid(ask, irql));
}

/// Counts what came of a request of the filter's own.
fn count(this: &Attached<'_, Everything>, result: Result<Answer, Refusal>) {
    match result {
        Ok(_) => this.counts.asked.add(1),
        // The adapter was too slow, had no memory, or there was none here.
        Err(Refusal { .. }) => this.counts.unanswered.add(1),
    }
}
