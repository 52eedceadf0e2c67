//! Table tests of the ledger.

mod pause;

use super::NblMonitor;
use crate::event::{
    Alteration, Callback, Chain, Content, Event, HandedNbl, Kind, Left, NblCall, NblEvent, NblPath,
    Overdue,
};
use crate::table::{at, broken, enter, leave, on};

const SUCCESS: u32 = 0;
const PAUSED: u32 = 0xC023_002A;

fn nbl(event: NblEvent) -> Event {
    at(Kind::Nbl(event))
}

fn given(path: NblPath, nbls: &[u64]) -> Event {
    nbl(NblEvent::Given {
        adapter: 0,
        path,
        nbls: nbls.to_vec(),
        contents: vec![Content::default(); nbls.len()],
        low_resources: false,
    })
}

fn lent(nbls: &[u64]) -> Event {
    nbl(NblEvent::Given {
        adapter: 0,
        path: NblPath::Receive,
        nbls: nbls.to_vec(),
        contents: vec![Content::default(); nbls.len()],
        low_resources: true,
    })
}

fn lent_back(given: &[u64], now: &[u64]) -> Event {
    nbl(NblEvent::LentBack {
        adapter: 0,
        given: given.to_vec(),
        now: now.to_vec(),
    })
}

fn back(path: NblPath, nbls: &[u64]) -> Event {
    nbl(NblEvent::Back {
        adapter: 0,
        path,
        nbls: nbls.to_vec(),
    })
}

fn returned(path: NblPath, nbls: &[u64]) -> Event {
    nbl(NblEvent::HandlerReturned {
        adapter: 0,
        path,
        nbls: nbls.to_vec(),
    })
}

fn handed(call: NblCall, nbls: &[u64], status: u32, low_resources: bool) -> Event {
    let count = (call == Indicate).then(|| u32::try_from(nbls.len()).unwrap());
    let nbls = nbls
        .iter()
        .map(|nbl| HandedNbl {
            nbl: *nbl,
            status,
            source_is_module: false,
            ..HandedNbl::default()
        })
        .collect();
    nbl(NblEvent::Handed {
        adapter: 0,
        call,
        nbls,
        chain: Chain::WellFormed,
        count,
        dispatch_flag: false,
        low_resources,
        has_return_handler: true,
    })
}

fn hand(call: NblCall, nbls: &[u64]) -> Event {
    handed(call, nbls, SUCCESS, false)
}

fn running() -> Vec<Event> {
    vec![
        enter(Callback::FilterRestart, Some(0)),
        leave(Callback::FilterRestart, Some(0), Some(0)),
    ]
}

fn pause() -> [Event; 2] {
    [
        enter(Callback::FilterPause, Some(0)),
        leave(Callback::FilterPause, Some(0), Some(0)),
    ]
}

fn check(name: &str, events: &[Event], expected: &[&str]) {
    let stream = running().into_iter().chain(events.iter().cloned());
    assert_eq!(broken::<NblMonitor>(stream), expected, "{name}");
}

use NblCall::{Indicate, Return, Send, SendComplete};
use NblPath::{Receive as Up, Send as Down};

#[test]
fn sends_are_completed_exactly_once() {
    check(
        "passed and completed",
        &[
            given(Down, &[1, 2]),
            hand(Send, &[1, 2]),
            back(Down, &[2, 1]),
            hand(SendComplete, &[2, 1]),
        ],
        &[],
    );
    check(
        "rejected",
        &[given(Down, &[1]), hand(SendComplete, &[1])],
        &[],
    );
    check(
        "completed twice",
        &[
            given(Down, &[1]),
            hand(SendComplete, &[1]),
            hand(SendComplete, &[1]),
        ],
        &["nbl-complete-only-received"],
    );
    check(
        "completed below",
        &[
            given(Down, &[1]),
            hand(Send, &[1]),
            hand(SendComplete, &[1]),
        ],
        &["nbl-complete-only-received"],
    );
    check(
        "sent twice",
        &[given(Down, &[1]), hand(Send, &[1]), hand(Send, &[1])],
        &["nbl-no-touch-after-send"],
    );
    check(
        "sent after completion",
        &[
            given(Down, &[1]),
            hand(SendComplete, &[1]),
            hand(Send, &[1]),
        ],
        &["nbl-no-touch-after-send"],
    );
    check(
        "returned",
        &[given(Down, &[1]), hand(Return, &[1])],
        &["nbl-return-only-received"],
    );
    check("from nowhere", &[hand(Send, &[9])], &["pool-origin"]);
    check(
        "address used again",
        &[
            given(Down, &[1]),
            hand(SendComplete, &[1]),
            given(Down, &[1]),
            hand(SendComplete, &[1]),
        ],
        &[],
    );
    let late = at(Kind::Overdue(Overdue::Sends {
        adapter: 0,
        waited_ns: 30_000_000_000,
    }));
    check(
        "leaked",
        &[given(Down, &[1]), late],
        &["nbl-every-send-settled"],
    );
}

#[test]
fn receives_are_returned_exactly_once() {
    check(
        "passed and returned",
        &[
            given(Up, &[1, 2]),
            hand(Indicate, &[1, 2]),
            back(Up, &[1, 2]),
            hand(Return, &[2, 1]),
        ],
        &[],
    );
    check("dropped", &[given(Up, &[1]), hand(Return, &[1])], &[]);
    check(
        "returned twice",
        &[given(Up, &[1]), hand(Return, &[1]), hand(Return, &[1])],
        &["nbl-return-only-received"],
    );
    check(
        "indicated twice",
        &[given(Up, &[1]), hand(Indicate, &[1]), hand(Indicate, &[1])],
        &["nbl-no-touch-after-indicate"],
    );
    check(
        "completed",
        &[given(Up, &[1]), hand(SendComplete, &[1])],
        &["nbl-complete-only-received"],
    );
    let late = at(Kind::Overdue(Overdue::Receives {
        adapter: 0,
        waited_ns: 30_000_000_000,
    }));
    check(
        "leaked",
        &[given(Up, &[1]), late],
        &["nbl-every-receive-settled"],
    );
}

#[test]
fn what_is_lent_goes_back_when_the_handler_returns() {
    let up = || handed(Indicate, &[1, 2], SUCCESS, true);
    check(
        "passed on",
        &[
            lent(&[1, 2]),
            up(),
            back(Up, &[1, 2]),
            lent_back(&[1, 2], &[1, 2]),
        ],
        &[],
    );
    check(
        "dropped",
        &[lent(&[1, 2]), lent_back(&[1, 2], &[1, 2])],
        &[],
    );
    check(
        "returned",
        &[lent(&[1]), hand(Return, &[1])],
        &["nbl-return-not-resources"],
    );
    check(
        "order",
        &[lent(&[1, 2]), lent_back(&[1, 2], &[2, 1])],
        &["rx-resources-chain-restored"],
    );
    check(
        "shortened",
        &[lent(&[1, 2]), lent_back(&[1, 2], &[1])],
        &["rx-resources-chain-restored"],
    );
    check(
        "passed on as if owned",
        &[lent(&[1]), hand(Indicate, &[1]), lent_back(&[1], &[1])],
        &["rx-resources-indicate-flag"],
    );
    check(
        "waited for",
        &[
            lent(&[1]),
            hand(Indicate, &[1]),
            back(Up, &[1]),
            lent_back(&[1], &[1]),
        ],
        &[],
    );
    check(
        "still above",
        &[lent(&[1, 2]), up(), lent_back(&[1, 2], &[1, 2])],
        &["rx-resources-regain-before-return"],
    );
}

#[test]
fn own_structures_stay_own() {
    let allocated = || nbl(NblEvent::Allocated { nbl: 7, pool: 1 });
    let own = |call| {
        let handed = HandedNbl {
            nbl: 7,
            status: SUCCESS,
            source_is_module: true,
            ..HandedNbl::default()
        };
        nbl(NblEvent::Handed {
            adapter: 0,
            call,
            nbls: vec![handed],
            chain: Chain::WellFormed,
            count: (call == Indicate).then_some(1),
            dispatch_flag: false,
            low_resources: false,
            has_return_handler: true,
        })
    };
    let freed = |known| nbl(NblEvent::Freed { nbl: 7, known });
    check(
        "sent and freed",
        &[allocated(), own(Send), back(Down, &[7]), freed(true)],
        &[],
    );
    check(
        "completed up",
        &[allocated(), own(Send), back(Down, &[7]), own(SendComplete)],
        &["nbl-own-not-completed-up"],
    );
    check(
        "returned down",
        &[allocated(), own(Indicate), back(Up, &[7]), own(Return)],
        &["nbl-own-not-returned-down"],
    );
    let pool_freed = || nbl(NblEvent::PoolFreed { pool: 1 });
    check(
        "pool first",
        &[allocated(), pool_freed()],
        &["pool-freed-after-nbls"],
    );
    check("pool last", &[allocated(), freed(true), pool_freed()], &[]);
    check(
        "freed while out",
        &[allocated(), own(Send), freed(true)],
        &["nbl-free-owned-only"],
    );
    check(
        "foreign freed",
        &[given(Down, &[7]), freed(false)],
        &["nbl-free-owned-only"],
    );
    check(
        "foreign source",
        &[allocated(), hand(Send, &[7])],
        &["nbl-sourcehandle-own-send"],
    );
    check(
        "foreign source, up",
        &[allocated(), hand(Indicate, &[7])],
        &["nbl-sourcehandle-own-receive"],
    );
    check(
        "out at pause",
        &[&[allocated(), own(Send)][..], &pause()].concat(),
        &["pause-wait-own-sends"],
    );
    check(
        "up at pause",
        &[&[allocated(), own(Indicate)][..], &pause()].concat(),
        &["pause-wait-own-receives"],
    );
    let pausing = || on(2, enter(Callback::FilterPause, Some(0)).kind);
    check(
        "indicated by who was at it when the pause began",
        &[
            allocated(),
            enter(Callback::TimerFunction, None),
            pausing(),
            own(Indicate),
        ],
        &[],
    );
    check(
        "indicated by who came before FilterPause could tell",
        &[
            allocated(),
            pausing(),
            enter(Callback::TimerFunction, None),
            own(Indicate),
        ],
        &[],
    );
    const PENDING: Option<u32> = Some(0x103);
    check(
        "indicated by who came after FilterPause had returned",
        &[
            allocated(),
            pausing(),
            on(2, leave(Callback::FilterPause, Some(0), PENDING).kind),
            enter(Callback::TimerFunction, None),
            own(Indicate),
        ],
        &["pause-no-new-receive"],
    );
    check(
        "indicated by FilterPause",
        &[
            allocated(),
            enter(Callback::FilterPause, Some(0)),
            own(Indicate),
        ],
        &["pause-no-new-receive"],
    );
    check(
        "sent while paused",
        &[&pause()[..], &[allocated(), own(Send)]].concat(),
        &["pause-no-new-send"],
    );
    check(
        "indicated while paused",
        &[&pause()[..], &[allocated(), own(Indicate)]].concat(),
        &["pause-no-new-receive"],
    );
    check(
        "sent while restarting",
        &[
            &pause()[..],
            &[
                enter(Callback::FilterRestart, Some(0)),
                allocated(),
                own(Send),
            ],
        ]
        .concat(),
        &["restart-no-own-send"],
    );
}

#[test]
fn lists_are_well_formed() {
    let list = |chain, count| {
        nbl(NblEvent::Handed {
            adapter: 0,
            call: Indicate,
            nbls: vec![],
            chain,
            count,
            dispatch_flag: false,
            low_resources: false,
            has_return_handler: true,
        })
    };
    check(
        "empty",
        &[list(Chain::Empty, Some(0))],
        &["nbl-empty-list-not-passed"],
    );
    check(
        "cyclic",
        &[list(Chain::Cyclic, Some(0))],
        &["nbl-list-well-formed"],
    );
    check(
        "broken",
        &[list(Chain::Broken, Some(0))],
        &["nbl-list-well-formed"],
    );
    check(
        "miscounted",
        &[list(Chain::WellFormed, Some(1))],
        &["nbl-count-matches"],
    );
}

#[test]
fn foreign_structures_come_back_as_they_were() {
    for (alteration, expected) in [
        (Alteration::SourceHandle, "nbl-sourcehandle-foreign"),
        (Alteration::Chain, "nbl-nb-list-unmodified-at-handback"),
        (Alteration::Geometry, "nbl-descriptor-undo"),
        (Alteration::OutOfBand(3), "lab-nbl-oob-intact"),
        (Alteration::Reserved, "nbl-reserved-fields"),
        (Alteration::Data, "nbl-read-only"),
    ] {
        check(
            "altered",
            &[nbl(NblEvent::Altered {
                adapter: 0,
                nbl: 1,
                alteration,
            })],
            &[expected],
        );
    }
}

#[test]
fn nothing_is_left_at_detach_or_unload() {
    let detach = leave(Callback::FilterDetach, Some(0), None);
    check(
        "nothing",
        &[given(Down, &[1]), hand(SendComplete, &[1]), detach.clone()],
        &[],
    );
    check("held", &[given(Down, &[1]), detach], &["detach-no-nbl"]);
    let own = nbl(NblEvent::Allocated { nbl: 7, pool: 1 });
    check(
        "own at unload",
        &[own, at(Kind::Left(Left::default()))],
        &["detach-no-nbl"],
    );
}

#[test]
fn what_is_not_the_filters_comes_back_unchanged() {
    for (alteration, expected) in [
        (Alteration::Buffers, "nb-not-moved-between-nbls"),
        (Alteration::Chain, "nbl-nb-list-unmodified-at-handback"),
        (Alteration::Offset, "nb-retreat-advance-balanced"),
        (Alteration::Geometry, "nbl-descriptor-undo"),
        (Alteration::Mdl, "mdl-not-modified"),
        (Alteration::Context, "nbl-context-balanced"),
        (Alteration::Parent, "nbl-parent-not-overwritten"),
        (Alteration::OutOfBand(5), "cancel-foreign-id-kept"),
        (Alteration::OutOfBand(1), "lab-nbl-oob-intact"),
    ] {
        let altered = nbl(NblEvent::Altered {
            adapter: 0,
            nbl: 7,
            alteration,
        });
        assert_eq!(broken::<NblMonitor>([altered]), [expected]);
    }
}
