//! Cancelled requests.

use super::*;

fn cancel() -> Event {
    oid(OidEvent::CancelGiven { adapter: 0, id: 5 })
}

fn forward(id: u64) -> Event {
    oid(OidEvent::CancelSent { adapter: 0, id })
}

fn end() -> Event {
    leave(Callback::FilterCancelOidRequest, Some(0), None)
}

/// Events while a clone is below.
fn below(events: Vec<Event>) -> Vec<Event> {
    let mut all = after(vec![
        given(),
        cloned(CLONE),
        sent(CLONE),
        back(CLONE, PENDING),
        pends(),
    ]);
    all.extend(events);
    all
}

#[test]
fn cancellation_reaches_the_request() {
    check::<OidMonitor>(vec![
        (
            "forwarded",
            below(vec![cancel(), forward(5), end()]),
            vec![],
        ),
        (
            "not forwarded",
            below(vec![cancel(), end()]),
            vec!["oid-cancel-forward"],
        ),
        (
            "another id",
            below(vec![cancel(), forward(6), end()]),
            vec!["oid-cancel-forward"],
        ),
        (
            "aborted",
            after(vec![
                given(),
                pends(),
                cancel(),
                end(),
                completed_as(request(GIVEN), 0xC001_000C),
            ]),
            vec![],
        ),
        (
            "its end was on the way",
            after(vec![given(), pends(), cancel(), end(), completed()]),
            vec![],
        ),
        (
            "completed all the same",
            after(vec![
                given(),
                pends(),
                cancel(),
                end(),
                later(1, completed()),
            ]),
            vec!["oid-cancel-local"],
        ),
        (
            "came before the handler had returned",
            after(vec![
                given(),
                cancel(),
                end(),
                pends(),
                later(1, completed()),
            ]),
            vec![],
        ),
        (
            "went down meanwhile",
            after(vec![
                given(),
                cancel(),
                cloned(CLONE),
                sent(CLONE),
                back(CLONE, PENDING),
                end(),
            ]),
            vec![],
        ),
        (
            "aborted much later",
            after(vec![
                given(),
                pends(),
                cancel(),
                end(),
                later(2, completed_as(request(GIVEN), 0xC001_000C)),
            ]),
            vec!["oid-cancel-local"],
        ),
    ]);
}

/// On another thread.
fn elsewhere(mut event: Event) -> Event {
    event.thread += 1;
    event
}

#[test]
fn cancellations_of_several_adapters_do_not_mix() {
    let other = || oid(OidEvent::CancelGiven { adapter: 1, id: 6 });
    check::<OidMonitor>(vec![
        (
            "the other one ends first",
            below(vec![
                elsewhere(other()),
                cancel(),
                elsewhere(end()),
                forward(5),
                end(),
            ]),
            vec![],
        ),
        (
            "what the other one has passed on does not count",
            below(vec![
                elsewhere(other()),
                cancel(),
                elsewhere(forward(5)),
                end(),
            ]),
            vec!["oid-cancel-forward"],
        ),
    ]);
}

#[test]
fn what_is_not_finished_is_told_of() {
    let overdue = || {
        oid(OidEvent::Overdue {
            adapter: 0,
            request: GIVEN,
            waited_ns: 13_000_000_000,
        })
    };
    check::<OidMonitor>(vec![
        (
            "pending",
            after(vec![given(), pends(), overdue()]),
            vec!["oid-timed"],
        ),
        (
            "in the handler",
            after(vec![given(), overdue()]),
            vec!["oid-one-at-a-time"],
        ),
        (
            "finished meanwhile",
            after(vec![given(), pends(), completed(), overdue()]),
            vec![],
        ),
    ]);
}

#[test]
fn what_is_no_request_is_not_cloned() {
    let refused = || oid(OidEvent::CloneRefused { source: GIVEN });
    check::<OidMonitor>(vec![
        (
            "cloned",
            after(vec![given(), refused()]),
            vec!["oid-request-header"],
        ),
        (
            "refused by the filter",
            after(vec![given(), answered(REGULAR, 0xC000_000D)]),
            vec![],
        ),
    ]);
}

#[test]
fn memory_of_a_request_below_stays() {
    let free = || {
        at(Kind::Pool(PoolEvent::Freed {
            block: OWN - 8,
            size: 64,
            tag: 0,
        }))
    };
    check::<OidMonitor>(vec![
        (
            "below",
            after(vec![sent(OWN), back(OWN, PENDING), free()]),
            vec!["oid-request-not-touched-pending"],
        ),
        ("back", after(vec![sent(OWN), back(OWN, 0), free()]), vec![]),
    ]);
}

#[test]
fn a_direct_request_is_queued_where_it_can_be_cancelled() {
    let queues = |cancel_direct_oid_request: bool| {
        let mut all = with_handlers(HandlerSet {
            cancel_oid_request: !cancel_direct_oid_request,
            cancel_direct_oid_request,
            ..HandlerSet::default()
        });
        all.push(given_as(OidPath::Direct, request(GIVEN)));
        all.push(answered(OidPath::Direct, PENDING));
        all
    };
    check::<OidMonitor>(vec![
        ("with a handler", queues(true), vec![]),
        (
            "without",
            queues(false),
            vec!["reg-queue-oids-needs-cancel"],
        ),
    ]);
}
