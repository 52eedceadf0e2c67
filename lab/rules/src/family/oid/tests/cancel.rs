//! Cancelled requests.

use super::*;

#[test]
fn cancellation_reaches_the_request() {
    let cancel = || oid(OidEvent::CancelGiven { adapter: 0, id: 5 });
    let forward = |id| oid(OidEvent::CancelSent { adapter: 0, id });
    let end = || leave(Callback::FilterCancelOidRequest, Some(0), None);
    let below = |events: Vec<Event>| {
        let mut all = after(vec![
            given(),
            cloned(CLONE),
            sent(CLONE),
            back(CLONE, PENDING),
            pends(),
        ]);
        all.extend(events);
        all
    };
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
            "completed all the same",
            after(vec![given(), pends(), cancel(), end(), completed()]),
            vec!["oid-cancel-local"],
        ),
    ]);
}
