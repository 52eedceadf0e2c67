//! What is passed on, what is not asked for, and requests of a paused module.

use super::*;

#[test]
fn requests_that_nobody_knows_go_on() {
    const NOT_SUPPORTED: u32 = 0xC000_00BB;
    let refused = || answered(REGULAR, NOT_SUPPORTED);
    check::<OidMonitor>(vec![
        (
            "refused",
            after(vec![given(), refused()]),
            vec!["oid-pass-unknown"],
        ),
        (
            "refused below",
            after(vec![
                given(),
                cloned(CLONE),
                sent(CLONE),
                back(CLONE, NOT_SUPPORTED),
                freed(),
                refused(),
            ]),
            vec![],
        ),
        (
            "no clone to be had",
            after(vec![given(), cloned(0), refused()]),
            vec![],
        ),
    ]);
}

#[test]
fn what_the_attach_parameters_tell_is_not_asked_for() {
    let own = |oid| OidRequest {
        oid,
        ..request(OWN)
    };
    check::<OidMonitor>(vec![
        (
            "the address",
            after(vec![sent_as(REGULAR, own(0x0101_0102))]),
            vec!["attach-prefer-parameters"],
        ),
        (
            "the link state",
            after(vec![sent_as(REGULAR, own(0x0001_0207))]),
            vec![],
        ),
        (
            "the address, for somebody above",
            after(vec![
                given(),
                cloned(OWN),
                sent_as(REGULAR, own(0x0101_0102)),
            ]),
            vec![],
        ),
    ]);
}

#[test]
fn requests_end_also_while_the_module_is_paused() {
    let overdue = || {
        oid(OidEvent::Overdue {
            adapter: 0,
            request: GIVEN,
            waited_ns: 12_500_000_000,
        })
    };
    let pause = [
        enter(Callback::FilterPause, Some(0)),
        leave(Callback::FilterPause, Some(0), Some(0)),
    ];
    let paused = after(pause.to_vec());
    let works = || {
        vec![
            enter(Callback::FilterRestart, Some(0)),
            leave(Callback::FilterRestart, Some(0), Some(0)),
            given(),
            answered(REGULAR, 0),
        ]
    };
    check::<OidMonitor>(vec![
        (
            "paused, and never finished any",
            [paused.clone(), vec![given(), pends(), overdue()]].concat(),
            vec!["oid-timed"],
        ),
        (
            "running",
            after(vec![given(), pends(), overdue()]),
            vec!["oid-timed"],
        ),
        (
            "paused",
            [
                after(works()),
                pause.to_vec(),
                vec![given(), pends(), overdue()],
            ]
            .concat(),
            vec!["pause-oids-continue"],
        ),
        (
            "finished",
            [paused, vec![given(), answered(REGULAR, 0)]].concat(),
            vec![],
        ),
    ]);
}
