//! What a pause finds, and what arrives in one.

use super::NblCall::{Indicate, Return, Send, SendComplete};
use super::NblPath::{Receive as Up, Send as Down};
use super::*;

#[test]
fn a_pause_finds_nothing_held() {
    let with_pause = |events: &[Event]| [events, &pause()].concat();
    check(
        "idle",
        &with_pause(&[given(Down, &[1]), hand(SendComplete, &[1])]),
        &[],
    );
    check(
        "passed on",
        &with_pause(&[given(Down, &[1]), hand(Send, &[1])]),
        &[],
    );
    check(
        "held send",
        &with_pause(&[given(Down, &[1])]),
        &["pause-flush-held-sends"],
    );
    check(
        "held receive",
        &with_pause(&[given(Up, &[1])]),
        &["pause-flush-held-receives"],
    );
    let on = |thread, event: Event| Event { thread, ..event };
    let returning = [
        on(1, given(Up, &[1])),
        on(1, hand(Indicate, &[1])),
        on(2, back(Up, &[1])),
        on(2, enter(Callback::FilterReturnNetBufferLists, Some(0))),
        on(3, enter(Callback::FilterPause, Some(0))),
        on(3, leave(Callback::FilterPause, Some(0), Some(0))),
    ];
    let left = on(
        2,
        leave(Callback::FilterReturnNetBufferLists, Some(0), None),
    );
    check(
        "a return on another processor while the pause completes",
        &[&returning[..], &[on(2, hand(Return, &[1])), left.clone()]].concat(),
        &[],
    );
    check(
        "the same, and kept",
        &[&returning[..], &[left]].concat(),
        &["pause-flush-held-receives"],
    );
}

#[test]
fn sends_that_arrive_while_paused_are_rejected() {
    let paused = |events: &[Event]| [&pause()[..], events].concat();
    let reject = |status| handed(SendComplete, &[1], status, false);
    check(
        "rejected",
        &paused(&[given(Down, &[1]), reject(PAUSED), returned(Down, &[1])]),
        &[],
    );
    check(
        "other status",
        &paused(&[given(Down, &[1]), reject(SUCCESS)]),
        &["pause-reject-status-code"],
    );
    check(
        "forwarded",
        &paused(&[given(Down, &[1]), hand(Send, &[1])]),
        &["pause-reject-sends"],
    );
    check(
        "forwarded, and completed as others are",
        &paused(&[
            given(Down, &[1]),
            hand(Send, &[1]),
            returned(Down, &[1]),
            back(Down, &[1]),
            hand(SendComplete, &[1]),
        ]),
        &["pause-reject-sends"],
    );
    check(
        "forwarded while the pause completes, which nothing is held in",
        &[
            enter(Callback::FilterPause, Some(0)),
            given(Down, &[1]),
            hand(Send, &[1]),
            returned(Down, &[1]),
            leave(Callback::FilterPause, Some(0), Some(0)),
            back(Down, &[1]),
            hand(SendComplete, &[1]),
        ],
        &["pause-reject-sends"],
    );
    check(
        "kept",
        &paused(&[given(Down, &[1]), returned(Down, &[1])]),
        &["pause-reject-sends"],
    );
    check(
        "receive kept",
        &paused(&[given(Up, &[1]), returned(Up, &[1])]),
        &["pause-receive-not-kept"],
    );
    check(
        "receive passed on",
        &paused(&[given(Up, &[1]), hand(Indicate, &[1]), returned(Up, &[1])]),
        &[],
    );
}

#[test]
fn what_comes_back_before_its_handler_returns_is_not_kept() {
    let on = |thread, event: Event| Event { thread, ..event };
    let events = [
        on(1, given(Up, &[1])),
        on(1, hand(Indicate, &[1])),
        on(2, back(Up, &[1])),
        on(1, returned(Up, &[1])),
        on(2, hand(Return, &[1])),
    ];
    check(
        "a receive that arrived while paused",
        &[&pause()[..], &events].concat(),
        &[],
    );
}
