//! The plays by name: one file per area, joined here.
//!
//! Marks in these files say what comes of each play; `tests/faults.rs` reads them and nothing else:
//!
//! - `// caught: NAME by RULE` ends the line that the report must name (`; NAME by RULE` may follow);
//! - `// warned: NAME by RULE` the same, where the rule only warns and the run goes on to its end;
//! - `// legal: NAME near RULE, RULE` says that the play keeps all rules, and of which monitors it is the nearest
//!   neighbour (several such lines add up; `near` and what follows may be missing);
//! - `// declined: NAME near RULE` the same, where `DriverEntry` fails lawfully; `declined: NAME by RULE` says of which rule
//!   the line about it warns.
//!
//! ` with ARGUMENT …` at the end of a mark adds to the command line of the play's runs; `@NAME` is the capture of that
//! name in place of `ping`.
//!
//! A function with a marked call is `#[inline(never)]` where it is small, and [`stay`](crate::play::stay) comes behind
//! the call where nothing else does: the report shows the frame only then.

mod argument;
mod call;
mod calling;
mod control;
mod derived;
mod device;
mod dispatch;
mod ex_timer;
mod frame;
mod frame_hold;
mod fresh;
mod image;
mod irp;
mod irp_own;
mod irp_user;
mod irql;
mod irql_highest;
mod lifecycle;
mod lock;
mod mdl;
mod mdl_partial;
mod memory_gone;
mod memory_machine;
mod memory_null;
mod memory_owner;
mod memory_paged;
mod nbl;
mod nbl_alter;
mod nbl_lent;
mod nbl_own;
mod nbl_pause;
mod nbl_touch;
mod notification;
mod oid;
mod oid_calling;
mod oid_clone;
mod oid_finish;
mod oid_own;
mod oid_sync;
mod passage;
mod pause_timer;
mod pool;
mod pool_edge;
mod pool_free;
mod pool_request;
mod registered;
mod registration;
mod storage;
mod thread;
mod timer;
mod trace;
mod transition;
mod unload;
mod work;
mod zw;

use crate::play::{NOTHING, Play};

/// All plays, by area.
static AREAS: &[&[Play]] = &[
    &[NOTHING],
    argument::PLAYS,
    call::PLAYS,
    calling::PLAYS,
    device::PLAYS,
    derived::PLAYS,
    frame::PLAYS,
    frame_hold::PLAYS,
    fresh::PLAYS,
    dispatch::PLAYS,
    ex_timer::PLAYS,
    image::PLAYS,
    irp::PLAYS,
    irp_own::PLAYS,
    irp_user::PLAYS,
    irql::PLAYS,
    irql_highest::PLAYS,
    lifecycle::PLAYS,
    lock::PLAYS,
    mdl::PLAYS,
    mdl_partial::PLAYS,
    memory_gone::PLAYS,
    memory_machine::PLAYS,
    memory_null::PLAYS,
    memory_owner::PLAYS,
    memory_paged::PLAYS,
    nbl::PLAYS,
    nbl_alter::PLAYS,
    nbl_lent::PLAYS,
    nbl_own::PLAYS,
    nbl_pause::PLAYS,
    nbl_touch::PLAYS,
    notification::PLAYS,
    oid::PLAYS,
    oid_calling::PLAYS,
    oid_clone::PLAYS,
    oid_finish::PLAYS,
    oid_own::PLAYS,
    oid_sync::PLAYS,
    passage::PLAYS,
    pause_timer::PLAYS,
    pool::PLAYS,
    pool_edge::PLAYS,
    pool_free::PLAYS,
    pool_request::PLAYS,
    registered::PLAYS,
    registration::PLAYS,
    storage::PLAYS,
    thread::PLAYS,
    timer::PLAYS,
    trace::PLAYS,
    transition::PLAYS,
    unload::PLAYS,
    work::PLAYS,
    zw::PLAYS,
];

// legal: none

/// The play that breaks nothing.
pub(crate) fn plain() -> &'static Play {
    &NOTHING
}

/// The play called `name`.
pub(crate) fn named(name: &[u16]) -> Option<&'static Play> {
    let is_it = |play: &&Play| play.name.bytes().map(u16::from).eq(name.iter().copied());
    AREAS.iter().copied().flatten().find(is_it)
}
