//! A filter that asks for every path that `ndis` has, and does a little on each.
//!
//! | path | what it does there |
//! |---|---|
//! | send | holds each packet for its turn; a work item lets them go |
//! | receive | counts packets by EtherType (`kind.rs`: a reader-writer lock, a lookaside list, a DPC) and passes them on; of low-resources ones it passes copies on, in their place |
//! | stand in | mirrors some packets, lets clones and copies go in the place of others, counts what stands beside all (`beside.rs`); reads some in parts (`read.rs`) |
//! | originate | sends and indicates a frame of its own now and then |
//! | cancel | counts held sends that a protocol has cancelled |
//! | OID requests of three kinds | answers one, lets some wait for a work item, passes on the rest (`request.rs`) |
//! | own requests | a system thread asks for the adapter's packet filter, waits for the answer, and tells those above; it updates and changes nothing by the two other interfaces |
//! | status, Plug and Play | counts, and passes on |
//! | bypass | stays in the way, and is told so |
//! | control device | answers with what was counted; its work items, of every kind, run beside the module's |
//!
//! `cargo xtask build -p everything` makes `everything.sys`; `cargo lab stress everything.sys` plays hard lives of it.

#![cfg(windows)]
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

extern crate alloc;

mod beside;
mod device;
mod kind;
mod read;
mod request;

use alloc::vec::Vec;

use beside::Beside;
use ndis::config::Parameter;
use ndis::counter::Counter;
use ndis::driver::Installed;
use ndis::filter::{
    Attached, Attaching, BothWays, BypassPath, DevicePnpEvent, FilterModule, HoldPath, ModuleState,
    NetPnpEvent, OriginatePath, PnpPath, ReceivePath, Running, SendPath, StatusIndication,
    StatusPath,
};
use ndis::irql::{AtMostDispatch, Caller, Passive};
use ndis::nbl::{Direction, HoldLimit, LowResources, NblBatch, Nbls, OwnPackets, Rx, Tx};
use ndis::thread::SystemThread;
use ndis::timer::Timer;
use ndis::work::{NextRun, WorkItem};
use ndis::{Status, text};

use crate::kind::Kinds;

ndis::driver! {
    module: Everything,
    handlers: [
        hold, originate, oid, direct_oid, synchronous_oid, bypass, pnp, control_device
    ],
    unique_name: "{0b4a6b4e-7c40-4a1e-9a53-3b7d1d0e5a61}",
    service_name: "everything",
    friendly_name: "deferlwf example: every path",
    trace: beside::EVERYTHING,
}

/// How often frames of its own go out, unless parameter `EveryMs` says so.
const DEFAULT_EVERY_MS: u32 = 10;
/// How many of these times pass between requests of its own.
const TICKS_PER_ASK: u64 = 4;
/// Lists of one turn.
const LISTS_PER_TURN: u32 = 8;
/// Turns of one run, which bounds its time.
const TURNS_PER_RUN: u32 = 64;
/// Own packets that can be on the way, of each direction.
const OWN: OwnPackets = OwnPackets {
    packets: 16,
    bytes: 1514,
    clones: 16,
};
/// A frame of its own: to all, from nobody in particular, with an EtherType for local experiments (0x88B5).
const FRAME: [u8; 60] = {
    let mut frame = [0; 60];
    (frame[0], frame[1], frame[2]) = (0xFF, 0xFF, 0xFF);
    (frame[3], frame[4], frame[5]) = (0xFF, 0xFF, 0xFF);
    (frame[6], frame[11]) = (0x02, 0x01);
    (frame[12], frame[13]) = (0x88, 0xB5);
    frame
};

/// What one adapter has of this filter.
struct Everything {
    worker: WorkItem<Self>,
    releaser: WorkItem<Self>,
    asker: SystemThread<Self>,
    /// Never has enough while the module does not run, if parameter `Restless` is not 0.
    restless: WorkItem<Self>,
    is_restless: bool,
    timer: Timer<Self>,
    every_ns: Counter,
    ticks: Counter,
    kinds: Kinds,
    counts: Counts,
    beside: Beside,
}

/// What is counted, in the order of the control device's answer. It shares no cache line with anything else.
#[derive(Default)]
#[repr(align(64))]
struct Counts {
    sent: Counter,
    received: Counter,
    copied: Counter,
    originated: Counter,
    cancelled: Counter,
    drained: Counter,
    status: Counter,
    pnp: Counter,
    /// Requests that have come, of all kinds.
    requests: Counter,
    /// Of these: answered here; left waiting; those whose answer has passed.
    answered: Counter,
    pended: Counter,
    passed: Counter,
    /// Requests of the filter's own: answered, or not.
    asked: Counter,
    unanswered: Counter,
}

impl FilterModule for Everything {
    type Departed = ();

    fn attach(attaching: &mut Attaching<'_, Self>, irql: &mut Passive) -> Result<Self, Status> {
        let every_ns = Counter::new();
        let read = attaching.configuration(irql, |configuration, irql| {
            let is_restless = configuration.integer(text!("Restless"), irql);
            (
                every_ns_of(configuration, irql),
                matches!(is_restless, Parameter::Integer(1..)),
            )
        });
        let (every, is_restless) = read.unwrap_or((nanoseconds(DEFAULT_EVERY_MS), false));
        every_ns.add(every);
        check_global_memory()?;
        Ok(Self {
            worker: attaching.work_item(work, irql)?,
            releaser: attaching.work_item(request::release, irql)?,
            asker: attaching.thread(request::ask_on_call, irql)?,
            restless: attaching.work_item(rest_not, irql)?,
            is_restless,
            timer: attaching.timer(tick, irql)?,
            every_ns,
            ticks: Counter::new(),
            kinds: Kinds::new(attaching, irql)?,
            counts: Counts::default(),
            beside: Beside::default(),
        })
    }

    fn restart(this: &Attached<'_, Self>, irql: &mut Passive) -> Result<(), Status> {
        check_place(&raw const this.counts)?;
        // Refused only when the module is detaching, and then it is not restarted.
        let _ = this.timer.set(this.every_ns.value(), irql);
        Ok(())
    }

    fn pause(this: &Attached<'_, Self>, _irql: &mut Passive) {
        this.beside.tell();
    }
}

/// A work item that keeps neither pause nor detach, though it always wants to run again: they grant it one run more.
fn rest_not(this: &Attached<'_, Everything>, _irql: &mut Passive) -> NextRun {
    if this.state() == ModuleState::Running {
        NextRun::WhenQueued
    } else {
        NextRun::Again
    }
}

impl Everything {
    fn unsettle(&self, irql: &mut impl Caller) {
        if self.is_restless {
            // Refused only when the module is detaching.
            let _ = self.restless.queue(irql);
        }
    }
}

/// Refuses a place that does not have the alignment of what lies there, which would be a fault of pool's.
fn check_place<T>(place: *const T) -> Result<(), Status> {
    // The compiler takes the answer for granted.
    if core::hint::black_box(place.addr()).is_multiple_of(align_of::<T>()) {
        Ok(())
    } else {
        Err(Status::FAILURE)
    }
}

/// As above, for memory that comes by way of `alloc`: more alignment than pool has of its own.
fn check_global_memory() -> Result<(), Status> {
    let mut rows = Vec::<Counts>::new();
    rows.try_reserve_exact(3).map_err(|_| Status::RESOURCES)?;
    check_place(rows.as_ptr())
}

/// How often, in nanoseconds: `EveryMs` from 1 to 1000.
fn every_ns_of(configuration: &mut ndis::config::Configuration<'_>, irql: &mut Passive) -> u64 {
    match configuration.integer(text!("EveryMs"), irql) {
        Parameter::Integer(every_ms @ 1..=1000) => nanoseconds(every_ms),
        Parameter::Integer(_)
        | Parameter::Absent
        | Parameter::WrongType
        | Parameter::Unreadable(_) => nanoseconds(DEFAULT_EVERY_MS),
    }
}

const fn nanoseconds(milliseconds: u32) -> u64 {
    (milliseconds as u64).saturating_mul(1_000_000)
}

/// The timer, at `DISPATCH_LEVEL`: the work is for the work item.
fn tick(this: &Attached<'_, Everything>, irql: &mut AtMostDispatch) {
    let _ = this.worker.queue(irql);
    this.ticks.add(1);
    if this.ticks.value().is_multiple_of(TICKS_PER_ASK) {
        request::ask_for_entries(this, irql);
        this.asker.call(irql);
    }
}

/// The work item of packets: lets go what is held, sends and indicates something, and sets the timer again.
fn work(this: &Attached<'_, Everything>, irql: &mut Passive) -> NextRun {
    // There may be no device yet, or none any more.
    let _ = Everything::driver().with_device(irql, |bench, irql| bench.queue_all(irql));
    this.unsettle(irql);
    let left = this.while_running(irql, |running, irql| {
        let released = running.release::<Tx, _, _>(irql, |release, irql| {
            for _ in 0..TURNS_PER_RUN {
                let Some(turn) = release.next(LISTS_PER_TURN, irql) else {
                    break;
                };
                turn.packets.forward(irql);
            }
        });
        let sent = running.originate::<Tx>(&FRAME, 0, irql);
        let indicated = running.originate::<Rx>(&FRAME, 0, irql);
        let originated = u64::from(sent.is_ok()).saturating_add(u64::from(indicated.is_ok()));
        running.counts.originated.add(originated);
        let _ = running.timer.set(running.every_ns.value(), irql);
        released.is_some_and(|released| released.oldest_ns.is_some())
    });
    if left == Some(true) {
        NextRun::Again
    } else {
        NextRun::WhenQueued
    }
}

impl SendPath for Everything {
    fn send(this: &Running<'_, Self>, packets: NblBatch<'_, Tx>, irql: &mut AtMostDispatch) {
        this.counts.sent.add(count(packets.iter()));
        this.beside.look_at_sends(packets.iter());
        let cast = beside::cast_sends(this, packets, irql);
        let hold = this.hold(cast.on, HoldLimit::UNJUDGED, irql);
        // Sends can always wait for their turn, so there is nothing here.
        hold.refused.refuse(irql);
        let [clones, copies] = cast.beside;
        clones.forward(irql);
        copies.forward(irql);
        cast.done.complete(Status::SUCCESS, irql);
        let _ = this.worker.queue(irql);
    }
}

impl ReceivePath for Everything {
    fn receive(this: &Running<'_, Self>, packets: NblBatch<'_, Rx>, irql: &mut AtMostDispatch) {
        this.counts.received.add(count(packets.iter()));
        this.kinds.count(packets.iter(), irql);
        this.beside.look_at_receives(packets.iter());
        let cast = beside::cast_receives(this, packets, irql);
        cast.on.forward(irql);
        let [clones, copies] = cast.beside;
        clones.forward(irql);
        copies.forward(irql);
        cast.done.return_(irql);
    }

    fn receive_low_resources(
        this: &Running<'_, Self>,
        packets: LowResources<'_>,
        irql: &mut AtMostDispatch,
    ) {
        this.counts.received.add(count(packets.iter()));
        this.kinds.count(packets.iter(), irql);
        this.beside.look_at_receives(packets.iter());
        let mut missed: u64 = 0;
        let copies = this.copy(&packets, |_| missed = missed.saturating_add(1), irql);
        if missed == 0 {
            this.counts.copied.add(count(copies.iter()));
            copies.forward(irql);
        } else {
            copies.return_(irql);
            packets.forward(irql);
        }
    }
}

impl HoldPath for Everything {
    fn sends_drained(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        this.counts.drained.add(count(packets));
    }

    fn sends_cancelled(this: &Attached<'_, Self>, packets: Nbls<'_, Tx>) {
        this.counts.cancelled.add(count(packets));
    }
}

impl OriginatePath for Everything {
    fn own_packets(_this: &Attached<'_, Self>, _irql: &mut Passive) -> BothWays<OwnPackets> {
        BothWays {
            send: OWN,
            receive: OWN,
        }
    }
}

impl BypassPath for Everything {
    fn is_bypassed(_this: &Attached<'_, Self>, _irql: &mut Passive) -> bool {
        false
    }
}

impl StatusPath for Everything {
    fn status(
        this: &Attached<'_, Self>,
        indication: StatusIndication<'_>,
        irql: &mut AtMostDispatch,
    ) {
        this.counts.status.add(1);
        indication.forward(irql);
    }
}

impl PnpPath for Everything {
    fn pre_detach(this: &Attached<'_, Self>, irql: &mut Passive) {
        // The last chance to ask those below, and to tell those above.
        let _ = request::release(this, irql);
        request::ask(this, irql);
        this.unsettle(irql);
    }

    fn net_pnp_event(
        this: &Attached<'_, Self>,
        event: NetPnpEvent<'_>,
        irql: &mut Passive,
    ) -> Result<(), Status> {
        this.counts.pnp.add(1);
        event.forward(irql)
    }

    fn device_pnp_event(this: &Attached<'_, Self>, event: DevicePnpEvent<'_>, irql: &mut Passive) {
        this.counts.pnp.add(1);
        event.forward(irql);
    }
}

/// Packets in lists of them.
fn count<D: Direction>(lists: Nbls<'_, D>) -> u64 {
    lists
        .flat_map(|list| list.packets())
        .fold(0, |sum: u64, _| sum.wrapping_add(1))
}
