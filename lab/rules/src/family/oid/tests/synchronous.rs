//! Synchronous requests.

use super::*;

#[test]
fn synchronous_requests_do_not_wait() {
    let synchronous = OidPath::Synchronous;
    let given = || given_as(synchronous, request(GIVEN));
    let altered = |alteration| {
        oid(OidEvent::Altered {
            adapter: 0,
            request: GIVEN,
            alteration,
        })
    };
    let ends = |request, status| {
        oid(OidEvent::Completed {
            adapter: 0,
            path: synchronous,
            request,
            status,
        })
    };
    let moves = || OidRequest {
        oid: 0x0001_02C0,
        ..request(GIVEN)
    };
    let whole = |end| {
        let begin = given_as(synchronous, moves());
        after(vec![begin, answered(synchronous, 0), end])
    };
    check::<OidMonitor>(vec![
        ("whole", whole(ends(moves(), 0)), vec![]),
        ("failed", whole(ends(moves(), 0xC000_0001)), vec![]),
        (
            "completed as pending",
            whole(ends(moves(), PENDING)),
            vec!["sync-oid-no-pending"],
        ),
        (
            "completed as already complete",
            whole(ends(moves(), 0xFF)),
            vec!["sync-oid-no-pending"],
        ),
        (
            "delayed",
            whole(later(1, ends(moves(), 0))),
            vec!["rssv2-oid-not-delayed"],
        ),
        (
            "another, delayed",
            after(vec![
                given(),
                answered(synchronous, 0),
                later(1, ends(request(GIVEN), 0)),
            ]),
            vec![],
        ),
        (
            "passed on",
            after(vec![given(), answered(synchronous, 0)]),
            vec![],
        ),
        (
            "pends",
            after(vec![given(), answered(synchronous, PENDING)]),
            vec!["sync-oid-no-pending"],
        ),
        (
            "unknown",
            after(vec![given(), answered(synchronous, 0xC000_00BB)]),
            vec!["sync-oid-unknown-success"],
        ),
        (
            "cloned",
            after(vec![given(), cloned(CLONE)]),
            vec!["sync-oid-no-clone"],
        ),
        (
            "changed",
            vec![altered(OidAlteration::Synchronous)],
            vec!["sync-oid-field-access"],
        ),
        (
            "reserved",
            vec![altered(OidAlteration::Reserved)],
            vec!["oid-reserved-areas"],
        ),
        (
            "pending",
            vec![altered(OidAlteration::Pending)],
            vec!["oid-request-not-touched-pending"],
        ),
    ]);
}
