//! Streams that trip the lifecycle rules, and their neighbours.

use super::LifecycleMonitor;
use crate::event::{
    Callback, Event, HandlerSet, Header, Kind, ModuleEvent, NblCall, NblEvent, OidEvent, OidPath,
    OidRequest, Overdue,
};
use crate::table::{self, at, broken, enter, leave};

const FAILURE: u32 = 0xC000_0001;

fn header(revision: u8) -> Header {
    Header {
        structure: "NDIS_FILTER_ATTRIBUTES",
        address: 0,
        object_type: 0x8D,
        revision,
        size: 8,
        expected_type: 0x8D,
        expected_revision: 1,
        expected_size: 8,
    }
}

fn module(event: ModuleEvent) -> Event {
    at(Kind::Module(event))
}

fn attributes(revision: u8) -> Event {
    module(ModuleEvent::AttributesSet {
        adapter: 0,
        header: header(revision),
        context: 1,
        flags: 0,
    })
}

fn status(passed_on: bool, source_is_module: bool) -> Event {
    module(ModuleEvent::StatusIndicated {
        adapter: 0,
        header: header(1),
        code: 7,
        passed_on,
        source_is_module,
        destination: 0,
        request_id: 0,
    })
}

#[test]
fn attaching_and_entry_have_their_limits() {
    let handed = |call| {
        at(Kind::Nbl(NblEvent::Handed {
            adapter: 0,
            call,
            nbls: vec![],
            chain: crate::event::Chain::WellFormed,
            count: None,
            dispatch_flag: false,
            low_resources: false,
            has_return_handler: true,
        }))
    };
    let attach = || enter(Callback::FilterAttach, Some(0));
    let attributes = || {
        module(ModuleEvent::AttributesSet {
            adapter: 0,
            header: header(1),
            context: 1,
            flags: 0,
        })
    };
    let attached = || leave(Callback::FilterAttach, Some(0), Some(0));
    let entry = |status| leave(Callback::DriverEntry, None, Some(status));
    let indicate = |revision| {
        module(ModuleEvent::StatusIndicated {
            adapter: 0,
            header: header(revision),
            code: 7,
            passed_on: false,
            source_is_module: true,
            destination: 0,
            request_id: 0,
        })
    };
    for (events, expected) in [
        (
            vec![attach(), handed(NblCall::Send)],
            Some("attach-no-send"),
        ),
        (
            vec![attach(), handed(NblCall::Indicate)],
            Some("attach-no-receive"),
        ),
        (
            vec![attach(), attributes(), attached(), handed(NblCall::Send)],
            None,
        ),
        (vec![entry(0x103)], Some("reg-no-pending-driver-entry")),
        (vec![entry(0)], None),
        (
            vec![attach(), attributes(), attached(), indicate(9)],
            Some("status-header"),
        ),
        (vec![attach(), attributes(), attached(), indicate(1)], None),
    ] {
        assert_eq!(broken::<LifecycleMonitor>(events), Vec::from_iter(expected));
    }
}

#[test]
fn restart_attributes_are_left_alone() {
    for (status, was_null, has_changed, unknown_changed, expected) in [
        (0, true, false, false, None),
        (0, true, true, false, Some("restart-attributes-null")),
        (0, false, true, false, None),
        (0, false, true, true, Some("restart-attributes-unknown-oid")),
        (
            0xC000_0001,
            false,
            true,
            false,
            Some("restart-attributes-on-failure"),
        ),
        (0xC000_0001, false, false, false, None),
    ] {
        let returned = module(ModuleEvent::RestartReturned {
            adapter: 0,
            status,
            was_null,
            has_changed,
            unknown_changed,
            is_memory_wrong: false,
        });
        assert_eq!(
            broken::<LifecycleMonitor>([answers_oids(), returned]),
            Vec::from_iter(expected)
        );
    }
}

/// The filter has a handler for OID requests.
fn answers_oids() -> Event {
    module(ModuleEvent::HandlersChanged {
        adapter: 0,
        handlers: HandlerSet {
            oid_request: true,
            ..HandlerSet::default()
        },
        in_set_module_options: true,
    })
}

#[test]
fn changed_attributes_are_pool_and_answered_for() {
    let returned = |has_changed, is_memory_wrong| {
        module(ModuleEvent::RestartReturned {
            adapter: 0,
            status: 0,
            was_null: false,
            has_changed,
            unknown_changed: false,
            is_memory_wrong,
        })
    };
    table::check::<LifecycleMonitor>(vec![
        ("left alone", vec![returned(false, false)], vec![]),
        (
            "changed",
            vec![answers_oids(), returned(true, false)],
            vec![],
        ),
        (
            "changed without a handler",
            vec![returned(true, false)],
            vec!["restart-attributes-need-oid"],
        ),
        (
            "not allocated",
            vec![answers_oids(), returned(true, true)],
            vec!["restart-attributes-memory"],
        ),
    ]);
}

#[test]
fn some_words_have_rules_of_their_own() {
    let pause = Callback::FilterPause;
    let indicate = |destination, request_id| {
        module(ModuleEvent::StatusIndicated {
            adapter: 0,
            header: header(1),
            code: 7,
            passed_on: false,
            source_is_module: true,
            destination,
            request_id,
        })
    };
    let given = |handle, id| {
        at(Kind::Oid(OidEvent::Given {
            adapter: 0,
            path: OidPath::Regular,
            request: OidRequest {
                handle,
                id,
                ..OidRequest::default()
            },
        }))
    };
    let late = |function| {
        module(ModuleEvent::BadHandle {
            function,
            handle: 1,
            was_alive: true,
            is_module: true,
        })
    };
    let attached = |event| {
        vec![
            enter(Callback::FilterAttach, Some(0)),
            module(ModuleEvent::AttributesSet {
                adapter: 0,
                header: header(1),
                context: 1,
                flags: 0,
            }),
            leave(Callback::FilterAttach, Some(0), Some(0)),
            event,
        ]
    };
    for (events, expected) in [
        (
            vec![
                enter(pause, Some(0)),
                leave(pause, Some(0), Some(0xC000_0001)),
            ],
            Some("pause-return-values"),
        ),
        (
            vec![
                enter(pause, Some(0)),
                leave(pause, Some(0), Some(0x4000_0001)),
            ],
            Some("sdv-miniportpause-return"),
        ),
        (attached(indicate(0, 0)), None),
        ([vec![given(3, 5)], attached(indicate(3, 5))].concat(), None),
        (
            [vec![given(3, 5)], attached(indicate(3, 0))].concat(),
            Some("status-destination-pair"),
        ),
        (
            [vec![given(3, 5)], attached(indicate(3, 6))].concat(),
            Some("status-destination-pair"),
        ),
        (
            vec![late("NdisFIndicateStatus")],
            Some("status-after-mindicate"),
        ),
        (
            vec![late("NdisFPauseComplete")],
            Some("detach-no-use-after"),
        ),
    ] {
        assert_eq!(broken::<LifecycleMonitor>(events), Vec::from_iter(expected));
    }
}

fn pause_complete() -> Event {
    module(ModuleEvent::PauseCompleted { adapter: 0 })
}

fn call(callback: Callback, status: u32) -> [Event; 2] {
    [
        enter(callback, Some(0)),
        leave(callback, Some(0), Some(status)),
    ]
}

fn check(name: &str, events: &[&[Event]], expected: &[&str]) {
    assert_eq!(
        broken::<LifecycleMonitor>(events.concat()),
        expected,
        "{name}"
    );
}

#[test]
fn attach_sets_attributes_and_returns_a_final_status() {
    use Callback::FilterAttach;
    let enter = enter(FilterAttach, Some(0));
    let leave = |status| leave(FilterAttach, Some(0), Some(status));
    check("good", &[&[enter.clone(), attributes(1), leave(0)]], &[]);
    check(
        "none",
        &[&[enter.clone(), leave(0)]],
        &["attach-must-set-attributes"],
    );
    check("none, but failed", &[&[enter.clone(), leave(FAILURE)]], &[]);
    check(
        "pending",
        &[&[enter.clone(), attributes(1), leave(0x103)]],
        &["attach-return-code"],
    );
    check(
        "header",
        &[&[enter.clone(), attributes(2), leave(0)]],
        &["attach-attributes-valid"],
    );
    check(
        "status first",
        &[&[enter.clone(), status(false, true)]],
        &["status-lifetime"],
    );
    check(
        "status later",
        &[&[enter, attributes(1), status(false, true)]],
        &["attach-no-status"],
    );
}

#[test]
fn a_pause_completes_once() {
    use Callback::FilterPause;
    check("at once", &[&call(FilterPause, 0)], &[]);
    check(
        "pending",
        &[&call(FilterPause, 0x103), &[pause_complete()]],
        &[],
    );
    check(
        "completed before it returns",
        &[&[
            enter(FilterPause, Some(0)),
            pause_complete(),
            leave(FilterPause, Some(0), Some(0x103)),
        ]],
        &[],
    );
    check(
        "twice",
        &[
            &call(FilterPause, 0x103),
            &[pause_complete(), pause_complete()],
        ],
        &["pause-complete-once"],
    );
    check(
        "both ways",
        &[&call(FilterPause, 0), &[pause_complete()]],
        &["pause-complete-once"],
    );
    check(
        "both ways, other order",
        &[&[
            enter(FilterPause, Some(0)),
            pause_complete(),
            leave(FilterPause, Some(0), Some(0)),
        ]],
        &["pause-complete-once"],
    );
    check(
        "failed",
        &[&call(FilterPause, FAILURE)],
        &["pause-return-values"],
    );
    let overdue = at(Kind::Overdue(Overdue::Pause {
        adapter: 0,
        waited_ns: 10_000_000_000,
    }));
    check(
        "never",
        &[&call(FilterPause, 0x103), &[overdue]],
        &["pause-within-10s"],
    );
}

#[test]
fn a_restart_completes_once() {
    use Callback::FilterRestart;
    let complete = module(ModuleEvent::RestartCompleted {
        adapter: 0,
        status: 0,
    });
    check("at once", &[&call(FilterRestart, 0)], &[]);
    check("failed", &[&call(FilterRestart, FAILURE)], &[]);
    check(
        "pending",
        &[&call(FilterRestart, 0x103), std::slice::from_ref(&complete)],
        &[],
    );
    check(
        "both ways",
        &[&call(FilterRestart, 0), &[complete]],
        &["restart-complete-once"],
    );
    check(
        "odd status",
        &[&call(FilterRestart, 1)],
        &["restart-return-values"],
    );
}

#[test]
fn status_has_a_lifetime_and_a_source() {
    let attached = [
        enter(Callback::FilterAttach, Some(0)),
        attributes(1),
        leave(Callback::FilterAttach, Some(0), Some(0)),
    ];
    check("passed on", &[&attached, &[status(true, false)]], &[]);
    check("own", &[&attached, &[status(false, true)]], &[]);
    check(
        "foreign source",
        &[&attached, &[status(false, false)]],
        &["status-sourcehandle"],
    );
    check("detached", &[&[status(true, false)]], &["status-lifetime"]);
}

#[test]
fn hangs_are_told_apart() {
    for (overdue, expected) in [
        (Overdue::Deadlock, "lab-no-hang"),
        (Overdue::EndlessLoop, "lab-no-hang"),
        (Overdue::EndlessCalls, "lab-no-hang"),
        (Overdue::Run, "lab-no-hang"),
        (Overdue::Workers, "wi-routine-short"),
        (Overdue::Dispatch, "dpc-time"),
        (
            Overdue::Restart {
                adapter: 0,
                waited_ns: 1,
            },
            "restart-complete-once",
        ),
        (
            Overdue::Callback {
                callback: Callback::FilterPause,
                adapter: None,
                waited_ns: 1,
            },
            "pause-within-10s",
        ),
        (
            Overdue::Callback {
                callback: Callback::FilterDetach,
                adapter: None,
                waited_ns: 1,
            },
            "detach-time",
        ),
        (
            Overdue::Callback {
                callback: Callback::FilterAttach,
                adapter: None,
                waited_ns: 1,
            },
            "lab-no-hang",
        ),
    ] {
        check("overdue", &[&[at(Kind::Overdue(overdue))]], &[expected]);
    }
}

#[test]
fn dead_handles_are_named() {
    let bad = |is_module| {
        module(ModuleEvent::BadHandle {
            function: "NdisFPauseComplete",
            handle: 1,
            was_alive: true,
            is_module,
        })
    };
    check("module", &[&[bad(true)]], &["detach-no-use-after"]);
    check(
        "driver",
        &[&[bad(false)]],
        &["unload-no-use-after-deregister"],
    );
    let again = module(ModuleEvent::Deregistered {
        in_unload_or_entry: true,
        known: false,
    });
    check("twice", &[&[again]], &["unload-deregister-once"]);
}
