use super::FrameMonitor;
use crate::event::{
    Callback, Chain, Content, Event, HandedNbl, HandlerSet, Kind, Left, ModuleEvent, NblCall,
    NblEvent, NblFacts, NblPath,
};
use crate::table::{at, check, enter, leave, on, returned};

const NBL: u64 = 0x100;

fn nbl(event: NblEvent) -> Event {
    at(Kind::Nbl(event))
}

fn own() -> Event {
    nbl(NblEvent::Allocated { nbl: NBL, pool: 1 })
}

fn given(path: NblPath) -> Event {
    nbl(NblEvent::Given {
        adapter: 0,
        path,
        nbls: vec![NBL],
        contents: vec![Content::default()],
        low_resources: false,
    })
}

fn handed(call: NblCall, facts: NblFacts, status: u32, low_resources: bool) -> Event {
    nbl(NblEvent::Handed {
        adapter: 0,
        call,
        nbls: vec![HandedNbl {
            nbl: NBL,
            status,
            source_is_module: true,
            facts,
            frames: None,
        }],
        chain: Chain::WellFormed,
        count: None,
        dispatch_flag: false,
        low_resources,
        has_return_handler: true,
    })
}

fn hand(call: NblCall) -> Event {
    handed(call, NblFacts::default(), 0, false)
}

fn late(seconds: u64, event: Event) -> Event {
    Event {
        time_ns: seconds * 1_000_000_000,
        ..event
    }
}

fn running() -> Vec<Event> {
    let restart = Callback::FilterRestart;
    vec![
        enter(Callback::FilterAttach, Some(0)),
        leave(Callback::FilterAttach, Some(0), Some(0)),
        enter(restart, Some(0)),
        leave(restart, Some(0), Some(0)),
    ]
}

#[test]
fn structures_look_right() {
    let whole = NblFacts {
        buffers: 1,
        data_len: 60,
        first_span: 60,
        ..NblFacts::default()
    };
    let split = NblFacts {
        first_span: 13,
        ..whole
    };
    let two = NblFacts {
        buffers: 2,
        ..whole
    };
    let mixed = NblFacts {
        is_mixed: true,
        ..two
    };
    let large = NblFacts {
        is_large_send: true,
        ..two
    };
    let broken = NblFacts {
        is_inconsistent: true,
        ..whole
    };
    let send = |facts| handed(NblCall::Send, facts, 0, false);
    let indicate = |facts| handed(NblCall::Indicate, facts, 0, false);
    check::<FrameMonitor>(vec![
        ("whole", vec![own(), send(whole)], vec![]),
        (
            "broken",
            vec![own(), send(broken)],
            vec!["nb-geometry-consistent"],
        ),
        ("one", vec![own(), indicate(whole)], vec![]),
        ("two", vec![own(), indicate(two)], vec!["eth-rx-one-nb"]),
        ("two sent", vec![own(), send(two)], vec![]),
        ("split", vec![own(), send(split)], vec!["eth-tx-mac-header"]),
        (
            "split up",
            vec![own(), indicate(split)],
            vec!["eth-rx-header-split"],
        ),
        ("another's", vec![send(split)], vec![]),
        (
            "mixed",
            vec![own(), send(mixed)],
            vec!["eth-tx-homogeneous"],
        ),
        ("large", vec![send(large)], vec!["lso-single-nb"]),
    ]);
}

#[test]
fn structures_are_not_held_long() {
    use NblCall::{Indicate, Send, SendComplete};
    let sends = || given(NblPath::Send);
    let receives = || given(NblPath::Receive);
    check::<FrameMonitor>(vec![
        ("soon", vec![sends(), late(10, hand(SendComplete))], vec![]),
        (
            "held",
            vec![sends(), late(11, hand(Send))],
            vec!["hold-not-unbounded"],
        ),
        (
            "stands",
            vec![sends(), late(23, hand(Send))],
            vec!["sdv-ndistimeddatahang"],
        ),
        (
            "late",
            vec![sends(), late(31, hand(Send))],
            vec!["sdv-ndistimeddatasend"],
        ),
        (
            "completed late",
            vec![sends(), late(31, hand(SendComplete))],
            vec!["dv-filter-timed-send"],
        ),
        (
            "received late",
            vec![receives(), late(31, hand(Indicate))],
            vec!["dv-filter-timed-receive"],
        ),
    ]);
}

#[test]
fn cancelled_sends_are_found() {
    let cancel = Callback::FilterCancelSendNetBufferLists;
    let asked = || {
        nbl(NblEvent::CancelAsked {
            adapter: 0,
            nbls: vec![NBL],
        })
    };
    let complete = |status| handed(NblCall::SendComplete, NblFacts::default(), status, false);
    let run = |events: Vec<Event>| {
        let mut all = vec![given(NblPath::Send), asked(), enter(cancel, Some(0))];
        all.extend(events);
        all.push(leave(cancel, Some(0), None));
        all
    };
    let clone = || returned("NdisAllocateCloneNetBufferList", &[NBL, 0, 0, 0], 0x900);
    let handlers = |cancel_send| {
        at(Kind::Module(ModuleEvent::HandlersChanged {
            adapter: 0,
            handlers: HandlerSet {
                cancel_send,
                ..HandlerSet::default()
            },
            in_set_module_options: true,
        }))
    };
    let keeps = |cancel_send| {
        let mut all = running();
        all.push(handlers(cancel_send));
        all.push(given(NblPath::Send));
        all.push(nbl(NblEvent::HandlerReturned {
            adapter: 0,
            path: NblPath::Send,
            nbls: vec![NBL],
        }));
        all
    };
    let send = Callback::FilterSendNetBufferLists;
    let behind = vec![
        given(NblPath::Send),
        on(2, enter(send, Some(0)).kind),
        asked(),
        enter(cancel, Some(0)),
        on(2, leave(send, Some(0), None).kind),
        leave(cancel, Some(0), None),
    ];
    check::<FrameMonitor>(vec![
        ("aborted", run(vec![complete(0xC023_000C)]), vec![]),
        ("kept", run(vec![]), vec!["cancel-send-scan"]),
        ("cloned", run(vec![clone()]), vec![]),
        (
            "in another's hand",
            run(vec![on(2, enter(cancel, Some(0)).kind)]),
            vec![],
        ),
        ("put in a queue behind the scan", behind, vec![]),
        ("status", run(vec![complete(0)]), vec!["cancel-send-status"]),
        ("queues", keeps(true), vec![]),
        (
            "queues without cancel",
            keeps(false),
            vec!["reg-queue-sends-needs-cancel"],
        ),
    ]);
}

#[test]
fn own_traffic_has_its_time() {
    use NblCall::{Indicate, Send};
    let item = Callback::NdisIoWorkItemRoutine;
    let pause = || enter(Callback::FilterPause, Some(0));
    let restart = || enter(Callback::FilterRestart, Some(0));
    let fails = || leave(Callback::FilterRestart, Some(0), Some(0xC000_0001));
    let after = |events: Vec<Event>| {
        let mut all = running();
        all.push(own());
        all.extend(events);
        all
    };
    let left = || at(Kind::Left(Left::default()));
    let lend = || handed(Indicate, NblFacts::default(), 0, true);
    let freed = || {
        nbl(NblEvent::Freed {
            nbl: NBL,
            known: true,
        })
    };
    check::<FrameMonitor>(vec![
        (
            "running",
            after(vec![enter(item, None), hand(Send)]),
            vec![],
        ),
        (
            "pausing",
            after(vec![pause(), enter(item, None), hand(Send)]),
            vec!["wi-no-traffic-after-pause"],
        ),
        (
            "restarting",
            after(vec![restart(), hand(Indicate)]),
            vec!["restart-no-own-receive"],
        ),
        (
            "restart failed",
            after(vec![restart(), fails(), hand(Send)]),
            vec!["restart-failure-keeps-paused"],
        ),
        (
            "lent and freed",
            after(vec![lend(), freed(), left()]),
            vec![],
        ),
        (
            "lent and lost",
            after(vec![lend(), left()]),
            vec!["rx-resources-reclaim-inline"],
        ),
    ]);
}
