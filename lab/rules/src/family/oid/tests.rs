//! Table tests of OID requests.

mod cancel;
mod life;
mod synchronous;

use super::OidMonitor;
use crate::event::{
    Callback, Event, HandlerSet, Header, Kind, Left, ModuleEvent, OidAlteration, OidEvent, OidKind,
    OidPath, OidRequest, PoolEvent,
};
use crate::table::{at, check, enter, import, leave, level, on};

const GIVEN: u64 = 0x100;
const CLONE: u64 = 0x200;
const OWN: u64 = 0x300;
const PENDING: u32 = 0x103;
const REGULAR: OidPath = OidPath::Regular;

fn request(address: u64) -> OidRequest {
    OidRequest {
        request: address,
        oid: 0x0001_010E,
        kind: OidKind::Query,
        id: 5,
        buffer_len: 4,
        bytes_done: 4,
        is_resident: true,
        ..OidRequest::default()
    }
}

fn oid(event: OidEvent) -> Event {
    at(Kind::Oid(event))
}

fn given_as(path: OidPath, request: OidRequest) -> Event {
    oid(OidEvent::Given {
        adapter: 0,
        path,
        request,
    })
}

fn given() -> Event {
    given_as(REGULAR, request(GIVEN))
}

fn answered(path: OidPath, status: u32) -> Event {
    oid(OidEvent::Answered {
        adapter: 0,
        path,
        request: request(GIVEN),
        status,
    })
}

fn pends() -> Event {
    answered(REGULAR, PENDING)
}

fn completed_as(request: OidRequest, status: u32) -> Event {
    oid(OidEvent::Completed {
        adapter: 0,
        path: REGULAR,
        request,
        status,
    })
}

fn completed() -> Event {
    completed_as(request(GIVEN), 0)
}

fn cloned(clone: u64) -> Event {
    oid(OidEvent::Cloned {
        adapter: 0,
        source: GIVEN,
        clone,
    })
}

fn freed() -> Event {
    oid(OidEvent::CloneFreed {
        adapter: 0,
        clone: CLONE,
    })
}

fn header(revision: u8) -> Header {
    Header {
        structure: "NDIS_OID_REQUEST",
        address: 1,
        object_type: 0x96,
        revision,
        size: 0xD0,
        expected_type: 0x96,
        expected_revision: 1,
        expected_size: 0xD0,
    }
}

fn sent_as(path: OidPath, request: OidRequest) -> Event {
    oid(OidEvent::Sent {
        adapter: 0,
        path,
        request,
        header: header(1),
    })
}

fn sent(address: u64) -> Event {
    sent_as(REGULAR, request(address))
}

fn back(address: u64, status: u32) -> Event {
    oid(OidEvent::Back {
        adapter: 0,
        path: REGULAR,
        request: request(address),
        status,
    })
}

/// Attached, with every handler.
fn start() -> Vec<Event> {
    with_handlers(HandlerSet {
        oid_request_complete: true,
        direct_oid_request_complete: true,
        cancel_oid_request: true,
        ..HandlerSet::default()
    })
}

fn with_handlers(handlers: HandlerSet) -> Vec<Event> {
    vec![
        enter(Callback::FilterAttach, Some(0)),
        leave(Callback::FilterAttach, Some(0), Some(0)),
        at(Kind::Module(ModuleEvent::HandlersChanged {
            adapter: 0,
            handlers,
            in_set_module_options: true,
        })),
    ]
}

fn after(events: Vec<Event>) -> Vec<Event> {
    let mut all = start();
    all.extend(events);
    all
}

fn later(seconds: u64, event: Event) -> Event {
    Event {
        time_ns: seconds * 1_000_000_000,
        ..event
    }
}

#[test]
fn requests_are_finished_once() {
    let item = Callback::NdisIoWorkItemRoutine;
    let direct = oid(OidEvent::Completed {
        adapter: 0,
        path: OidPath::Direct,
        request: request(GIVEN),
        status: 0,
    });
    check::<OidMonitor>(vec![
        (
            "at once",
            after(vec![given(), answered(REGULAR, 0)]),
            vec![],
        ),
        ("later", after(vec![given(), pends(), completed()]), vec![]),
        (
            "twice",
            after(vec![given(), pends(), completed(), completed()]),
            vec!["oid-complete-once"],
        ),
        (
            "twice, by a work item",
            after(vec![
                given(),
                pends(),
                completed(),
                enter(item, None),
                completed(),
            ]),
            vec!["oid-double-complete-workitem"],
        ),
        (
            "twice, direct",
            after(vec![
                given_as(OidPath::Direct, request(GIVEN)),
                answered(OidPath::Direct, 0),
                direct,
            ]),
            vec!["oid-double-complete-dv"],
        ),
        (
            "never given",
            after(vec![completed()]),
            vec!["oid-complete-same-pointer"],
        ),
        (
            "own, back again",
            after(vec![sent(OWN), back(OWN, 0), completed_as(request(OWN), 0)]),
            vec!["oid-own-not-completed-up"],
        ),
        (
            "direct ones overlap",
            after(vec![
                given(),
                pends(),
                given_as(OidPath::Direct, request(GIVEN + 8)),
            ]),
            vec![],
        ),
        (
            "late",
            after(vec![given(), pends(), later(13, completed())]),
            vec!["oid-timed"],
        ),
        (
            "late in the handler",
            after(vec![given(), later(13, answered(REGULAR, 0))]),
            vec!["oid-one-at-a-time"],
        ),
        (
            "in time",
            after(vec![given(), pends(), later(12, completed())]),
            vec![],
        ),
    ]);
}

#[test]
fn results_are_sound() {
    let result = |change: fn(&mut OidRequest), status| {
        let mut request = request(GIVEN);
        change(&mut request);
        after(vec![given(), pends(), completed_as(request, status)])
    };
    let power = || {
        given_as(
            REGULAR,
            OidRequest {
                oid: 0xFD01_0101,
                ..request(GIVEN)
            },
        )
    };
    let table = || {
        given_as(
            REGULAR,
            OidRequest {
                oid: 0x0001_02C0,
                ..request(GIVEN)
            },
        )
    };
    let set_power = |status| {
        completed_as(
            OidRequest {
                oid: 0xFD01_0101,
                ..request(GIVEN)
            },
            status,
        )
    };
    let moved = || {
        oid(OidEvent::Answered {
            adapter: 0,
            path: REGULAR,
            request: OidRequest {
                oid: 0x0001_02C0,
                ..request(GIVEN)
            },
            status: 0,
        })
    };
    check::<OidMonitor>(vec![
        ("fits", result(|_| (), 0), vec![]),
        (
            "too much",
            result(|request| request.bytes_done = 5, 0),
            vec!["oid-bytes-in-bounds"],
        ),
        (
            "too much, and room made for it",
            result(
                |request| (request.bytes_done, request.buffer_len) = (5, 5),
                0,
            ),
            vec!["oid-bytes-in-bounds"],
        ),
        (
            "too short",
            result(|request| request.bytes_done = 0, 0xC001_0014),
            vec!["oid-query-buffer-length"],
        ),
        (
            "too short, with the length",
            result(
                |request| (request.bytes_done, request.bytes_needed) = (0, 8),
                0xC001_0014,
            ),
            vec![],
        ),
        (
            "set",
            result(
                |request| (request.kind, request.supported_revision) = (OidKind::Set, 1),
                0,
            ),
            vec![],
        ),
        (
            "set without revision",
            result(|request| request.kind = OidKind::Set, 0),
            vec!["oid-supported-revision"],
        ),
        (
            "power refused",
            after(vec![power(), pends(), set_power(0xC000_0001)]),
            vec!["oid-must-succeed-list"],
        ),
        (
            "power set",
            after(vec![power(), pends(), set_power(0)]),
            vec![],
        ),
        ("table moved", after(vec![table(), moved()]), vec![]),
        (
            "table moved elsewhere",
            after(vec![
                table(),
                Event {
                    processor: 1,
                    ..moved()
                },
            ]),
            vec!["rssv2-oid-not-delayed"],
        ),
    ]);
}

#[test]
fn requests_go_on_as_clones() {
    let whole = |back_early: bool| {
        let mut events = vec![given(), cloned(CLONE), sent(CLONE)];
        if back_early {
            events.push(back(CLONE, 0));
        } else {
            events.extend([back(CLONE, PENDING), pends(), back(CLONE, 0)]);
        }
        events.push(freed());
        events.push(completed());
        events
    };
    let left = || at(Kind::Left(Left::default()));
    let another_id = sent_as(
        REGULAR,
        OidRequest {
            id: 6,
            ..request(CLONE)
        },
    );
    let short = completed_as(
        OidRequest {
            bytes_done: 0,
            ..request(GIVEN)
        },
        0,
    );
    check::<OidMonitor>(vec![
        ("synchronous", after(whole(true)), vec![]),
        ("asynchronous", after(whole(false)), vec![]),
        (
            "itself",
            after(vec![given(), sent(GIVEN)]),
            vec!["oid-forward-needs-clone"],
        ),
        (
            "not freed first",
            after(vec![
                given(),
                cloned(CLONE),
                sent(CLONE),
                back(CLONE, 0),
                completed(),
            ]),
            vec!["oid-clone-freed-first"],
        ),
        (
            "still below",
            after(vec![
                given(),
                cloned(CLONE),
                sent(CLONE),
                back(CLONE, PENDING),
                completed(),
            ]),
            vec!["oid-both-completion-paths"],
        ),
        (
            "freed below",
            after(vec![
                given(),
                cloned(CLONE),
                sent(CLONE),
                back(CLONE, PENDING),
                freed(),
            ]),
            vec!["oid-clone-balanced"],
        ),
        (
            "freed twice",
            after(vec![given(), cloned(CLONE), freed(), freed()]),
            vec!["oid-clone-balanced"],
        ),
        (
            "left",
            after(vec![given(), cloned(CLONE), left()]),
            vec!["oid-clone-balanced"],
        ),
        (
            "completed instead",
            after(vec![
                given(),
                cloned(CLONE),
                pends(),
                completed_as(request(CLONE), 0),
            ]),
            vec!["oid-complete-same-pointer"],
        ),
        (
            "no clone",
            after(vec![given(), cloned(0), pends()]),
            vec!["oid-clone-null"],
        ),
        (
            "no clone for who took it from a queue meanwhile",
            after(vec![
                given(),
                on(
                    2,
                    Kind::Oid(OidEvent::Cloned {
                        adapter: 0,
                        source: GIVEN,
                        clone: 0,
                    }),
                ),
                pends(),
                completed_as(request(GIVEN), 0xC000_009A),
            ]),
            vec![],
        ),
        (
            "no clone, refused",
            after(vec![given(), cloned(0), answered(REGULAR, 0xC000_009A)]),
            vec![],
        ),
        (
            "another id",
            after(vec![given(), cloned(CLONE), another_id]),
            vec!["oid-clone-request-id"],
        ),
        (
            "not copied back",
            after(vec![
                given(),
                cloned(CLONE),
                sent(CLONE),
                back(CLONE, PENDING),
                pends(),
                back(CLONE, 0),
                freed(),
                short,
            ]),
            vec!["oid-copy-back"],
        ),
    ]);
}

#[test]
fn own_requests_are_sound() {
    let none = HandlerSet::default();
    let without = |event: Event| {
        let mut events = with_handlers(none);
        events.push(event);
        events
    };
    let bad_header = oid(OidEvent::Sent {
        adapter: 0,
        path: REGULAR,
        request: request(OWN),
        header: header(0),
    });
    let paged = sent_as(
        REGULAR,
        OidRequest {
            is_resident: false,
            ..request(OWN)
        },
    );
    let detach = || leave(Callback::FilterDetach, Some(0), None);
    let wait = |irql| level(irql, import("NdisWaitEvent", &[]).kind);
    let queued = || {
        let mut events = with_handlers(none);
        events.extend([given(), pends()]);
        events
    };
    check::<OidMonitor>(vec![
        (
            "whole",
            after(vec![sent(OWN), back(OWN, PENDING), back(OWN, 0), detach()]),
            vec![],
        ),
        (
            "header",
            after(vec![bad_header]),
            vec!["oid-request-header"],
        ),
        ("paged", after(vec![paged]), vec!["oid-request-nonpaged"]),
        (
            "completed up",
            after(vec![sent(OWN), completed_as(request(OWN), 0)]),
            vec!["oid-own-not-completed-up"],
        ),
        (
            "at detach",
            after(vec![sent(OWN), back(OWN, PENDING), detach()]),
            vec!["detach-no-own-oid"],
        ),
        ("wait", after(vec![sent(OWN), wait(0)]), vec![]),
        (
            "wait at DISPATCH_LEVEL",
            after(vec![sent(OWN), wait(2)]),
            vec!["oid-wait-passive"],
        ),
        (
            "no handler",
            without(sent(OWN)),
            vec!["reg-pair-oid-call-needs-complete"],
        ),
        (
            "no direct handler",
            without(sent_as(OidPath::Direct, request(OWN))),
            vec!["reg-pair-direct-call-needs-complete"],
        ),
        (
            "queued without cancel",
            queued(),
            vec!["reg-queue-oids-needs-cancel"],
        ),
        (
            "not attached",
            start().into_iter().skip(2).chain([sent(OWN)]).collect(),
            vec!["oid-request-state"],
        ),
    ]);
}
