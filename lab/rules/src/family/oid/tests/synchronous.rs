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
    check::<OidMonitor>(vec![
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
