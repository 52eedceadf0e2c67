//! Protocol above and miniport below: who sends, indicates, completes and returns.

use std::cell::Cell;
use std::rc::Rc;

use lab_rules::event::NblPath;

use super::adapter::{self, side};
use super::edge::{self, Edge};
use super::module::{self, State};
use super::nbl::Making;
use super::{disturbance, nbl, path, stack};
use crate::abi::constant::NDIS_STATUS_RESET_IN_PROGRESS;
use crate::rt::sched::{self, Wait};
use crate::{Direction, Frame, Outcome, Traffic};

/// The most structures of one call: of most, of one in [`BURSTS`], and of less than [`FEW_OFTEN`].
const BATCH: u64 = 16;
const BURST: u64 = 64;
const FEW: u64 = 3;
const BURSTS: u64 = 24;
const FEW_OFTEN: u64 = 13;
/// The longest pause between two batches, and before a neighbour finishes what it has, in ns.
const GAP_NS: u64 = 20_000;
/// One in so many receives comes with low resources, and where much is disturbed.
const LOW_RESOURCES: u64 = 12;
const LOW_RESOURCES_OFTEN: u64 = 4;
/// One in so many protocols lingers, so long and up to as long again, in ns.
const LINGERS: u64 = 4;
const LINGER_NS: u64 = 1_500_000_000;
/// How long packets wait for an adapter that is paused, and somebody for packets to come home, at most, in ns.
const PAUSED_NS: u64 = 12_000_000_000;
const AWAY_NS: u64 = 20_000_000_000;
/// The most NET_BUFFERs of one send.
const BUFFERS: usize = 4;

/// Starts the neighbours of an adapter.
pub(crate) fn start_neighbours(adapter: u32) {
    let edge = Edge::choose();
    stack::each(|| {
        adapter::with_mut(adapter, |adapter| {
            (adapter.edge, adapter.has_neighbour) = (edge, [true; 2]);
        });
    });
    let spawn = |path, name| {
        sched::spawn(&format!("{name} {adapter}"), None, move || {
            neighbour(adapter, path)
        });
    };
    stack::at_bottom(|| spawn(NblPath::Send, "miniport"));
    stack::at_top(|| spawn(NblPath::Receive, "protocol"));
}

/// Lets the neighbours end when they have nothing left.
pub(crate) fn stop_neighbours(adapter: u32) {
    stack::each(|| adapter::with_mut(adapter, |adapter| adapter.closing = true));
}

/// Finishes what lies with a neighbour: later, in another order, in other batches.
fn neighbour(adapter: u32, path: NblPath) {
    let side = side(path);
    loop {
        let mut is_over = false;
        sched::wait(&mut || {
            adapter::with(adapter, |adapter| {
                let is_empty = adapter.with_neighbour[side].is_empty();
                is_over = adapter.closing && is_empty;
                is_over || !is_empty && !adapter.is_changing_power
            })
        });
        if is_over {
            adapter::with_mut(adapter, |adapter| adapter.has_neighbour[side] = false);
            return;
        }
        pause();
        let failure = match path {
            NblPath::Send => adapter::with(adapter, |adapter| adapter.edge).delay(adapter),
            NblPath::Receive => {
                linger(adapter);
                None
            }
        };
        let mut held = adapter::with_mut(adapter, |adapter| {
            if adapter.is_changing_power {
                return Vec::new();
            }
            std::mem::take(&mut adapter.with_neighbour[side])
        });
        if held.is_empty() {
            // All was cancelled meanwhile, or rests.
            continue;
        }
        let count = match failure {
            Some(NDIS_STATUS_RESET_IN_PROGRESS) => held.len(),
            _ => 1 + sched::random(held.len() as u64) as usize,
        };
        shuffle(&mut held);
        let rest = held.split_off(count.min(held.len()));
        adapter::with_mut(adapter, |adapter| adapter.with_neighbour[side].extend(rest));
        at_some_level(move || match path {
            NblPath::Send if let Some(status) = failure => edge::fail(adapter, held, status),
            NblPath::Send => path::complete_up(adapter, held),
            NblPath::Receive => path::return_down(adapter, held),
        });
    }
}

/// Does something at PASSIVE_LEVEL or DISPATCH_LEVEL, by the seed.
pub(crate) fn at_some_level(body: impl FnOnce()) {
    if sched::chance(1, 2) {
        return body();
    }
    sched::at_dispatch(body);
}

/// Once in a run, and not in each, a protocol takes its time while the stack pauses, longer than some drivers wait.
fn linger(adapter: u32) {
    if disturbance::is_on()
        && module::state(adapter) == State::Pausing
        && sched::chance(1, LINGERS)
        && !adapter::with_mut(adapter, |adapter| {
            std::mem::replace(&mut adapter.has_lingered, true)
        })
    {
        sched::sleep_until(sched::now() + LINGER_NS + sched::random(LINGER_NS));
    }
}

fn pause() {
    if sched::chance(1, 2) {
        sched::sleep_until(sched::now() + sched::random(GAP_NS));
    }
}

fn shuffle(nbls: &mut [u64]) {
    for last in (1..nbls.len()).rev() {
        nbls.swap(last, sched::random(last as u64 + 1) as usize);
    }
}

/// Starts to give an adapter its frames, in both directions, from so many threads each.
pub(crate) fn start_traffic(adapter: u32, lanes: usize) {
    let begin = |path| {
        adapter::with_mut(adapter, |adapter| {
            adapter.sources[side(path)] = lanes as u32;
        });
    };
    stack::at_top(|| begin(NblPath::Send));
    stack::at_bottom(|| begin(NblPath::Receive));
    for lane in 0..lanes {
        stack::at_top(|| {
            let sends = frames_of(adapter, Direction::Send, lane, lanes);
            sched::spawn(&format!("sender {adapter}"), None, move || {
                send_all(adapter, &sends)
            });
        });
        stack::at_bottom(|| {
            let receives = frames_of(adapter, Direction::Receive, lane, lanes);
            sched::spawn(&format!("receiver {adapter}"), None, move || {
                receive_all(adapter, &receives)
            });
        });
    }
}

/// The indices of an adapter's frames of one direction, in capture order: those of one lane.
fn frames_of(adapter: u32, direction: Direction, lane: usize, lanes: usize) -> Vec<usize> {
    adapter::with(adapter, |adapter| {
        let frames = adapter.frames.iter().enumerate();
        frames
            .filter(|(_, frame)| frame.direction == direction)
            .map(|(index, _)| index)
            .skip(lane)
            .step_by(lanes)
            .collect()
    })
}

/// How many structures the next call has, at most.
fn batch_len() -> u64 {
    let most = match sched::random(BURSTS) {
        0 => BURST,
        1..FEW_OFTEN => FEW,
        _ => BATCH,
    };
    1 + sched::random(most)
}

fn frame(adapter: u32, index: usize) -> Frame {
    adapter::with(adapter, |adapter| adapter.frames[index].clone())
}

/// A protocol thread sends an adapter's frames.
fn send_all(adapter: u32, frames: &[usize]) {
    let mut next = 0;
    while next < frames.len() {
        adapter::enter(adapter, NblPath::Send);
        // Nobody waits with a part of a batch: two who did would wait for each other.
        adapter::wait_for_window(adapter, NblPath::Send);
        let mut batch = Vec::new();
        // A protocol may give several sends one id to cancel them together.
        let mut making = Making::of(Direction::Send);
        let has_one_id = sched::chance(1, 2);
        let looped_back = disturbance::wants_loopback().then(|| frame(adapter, frames[next]));
        for _ in 0..batch_len() {
            let Some(first) = frames.get(next) else { break };
            let mut buffers = vec![frame(adapter, *first)];
            next += 1;
            // Several frames of one connection may share a structure.
            while let Some(index) = frames.get(next)
                && buffers.len() < BUFFERS
                && sched::chance(1, 3)
            {
                let more = frame(adapter, *index);
                if !is_same_connection(&buffers[0], &more) {
                    break;
                }
                buffers.push(more);
                next += 1;
            }
            if !has_one_id {
                making = Making::of(Direction::Send);
            }
            batch.push(nbl::build(adapter, &buffers, making));
        }
        at_some_level(move || path::send_down(adapter, batch));
        disturbance::cancel(adapter, making.cancel_id);
        if let Some(frame) = looped_back {
            disturbance::loop_back(adapter, frame);
        }
        adapter::leave(adapter, NblPath::Send);
        pause();
    }
    adapter::with_mut(adapter, |adapter| adapter.sources[side(NblPath::Send)] -= 1);
}

/// A miniport indicates an adapter's frames, one DPC at a time.
fn receive_all(adapter: u32, frames: &[usize]) {
    let mut next = 0;
    while next < frames.len() {
        adapter::enter(adapter, NblPath::Receive);
        adapter::wait_for_window(adapter, NblPath::Receive);
        let mut batch = Vec::new();
        for _ in 0..batch_len() {
            let Some(index) = frames.get(next) else { break };
            let making = Making::of(Direction::Receive);
            batch.push(nbl::build(adapter, &[frame(adapter, *index)], making));
            next += 1;
        }
        let one_in = if disturbance::is_on() {
            LOW_RESOURCES_OFTEN
        } else {
            LOW_RESOURCES
        };
        indicate(adapter, batch, sched::chance(1, one_in));
        adapter::leave(adapter, NblPath::Receive);
        pause();
    }
    adapter::with_mut(adapter, |adapter| {
        adapter.sources[side(NblPath::Receive)] -= 1
    });
}

/// A miniport indicates structures, in a DPC of its own or not.
fn indicate(adapter: u32, batch: Vec<u64>, low_resources: bool) {
    if sched::chance(1, 4) {
        return path::indicate_up(adapter, batch, low_resources);
    }
    let processor = sched::random(sched::processors().into()) as u32;
    let is_over = Rc::new(Cell::new(false));
    let ends = Rc::clone(&is_over);
    sched::queue_dpc(&format!("receive {adapter}"), processor, move || {
        path::indicate_up(adapter, batch, low_resources);
        ends.set(true);
    });
    sched::wait(&mut || is_over.get());
}

/// Gives an adapter's stack packets, and waits until they are home.
pub(crate) fn give(adapter: u32, traffic: &Traffic) -> Outcome {
    let path = match traffic.direction {
        Direction::Send => NblPath::Send,
        Direction::Receive => NblPath::Receive,
    };
    let waiter = nbl::count::open();
    let mut undone = None;
    for frames in traffic.frames.chunks(traffic.batch.max(1) as usize) {
        if !adapter::enter_until(adapter, path, sched::now() + PAUSED_NS) {
            undone = Some("the adapter stays paused");
            break;
        }
        adapter::wait_for_window(adapter, path);
        nbl::count::note_given(waiter, frames.len() as u64);
        give_batch(adapter, traffic, frames, waiter);
        adapter::leave(adapter, path);
        pause();
    }
    let until = sched::now() + AWAY_NS;
    let are_home = sched::wait_until(until, &mut || nbl::count::are_home(waiter));
    Outcome {
        undone,
        note: (are_home == Wait::TimedOut).then_some("not all packets are home"),
        packets: Some(nbl::count::close(waiter)),
        ..Outcome::default()
    }
}

fn give_batch(adapter: u32, traffic: &Traffic, frames: &[Frame], waiter: u32) {
    let direction = traffic.direction;
    let build = |frame: &Frame| {
        let making = Making {
            is_extra: true,
            port: traffic.port,
            waiter,
            ..Making::of(direction)
        };
        let frame = Frame {
            direction,
            ..frame.clone()
        };
        nbl::build(adapter, &[frame], making)
    };
    match direction {
        Direction::Send => stack::at_top(|| {
            let batch = frames.iter().map(build).collect();
            at_some_level(|| path::send_down(adapter, batch));
        }),
        Direction::Receive => stack::at_bottom(|| {
            let batch = frames.iter().map(build).collect();
            indicate(adapter, batch, traffic.is_lent);
        }),
    }
}

/// Whether two sends may share a structure: same headers up to the ports, no fragments, no
/// offloads, and the same tag.
fn is_same_connection(a: &Frame, b: &Frame) -> bool {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let plain = |frame: &Frame| {
        let data = &frame.data;
        let is_ipv4 = data.get(12..15) == Some(&[0x08, 0x00, 0x45]);
        // Neither more fragments nor an offset.
        let is_whole = data
            .get(20..22)
            .is_some_and(|word| word[0] & 0x3F == 0 && word[1] == 0);
        is_ipv4 && is_whole && matches!(data.get(23), Some(&TCP | &UDP)) && frame.segments <= 1
    };
    plain(a)
        && plain(b)
        && a.vlan == b.vlan
        && a.checksum_offloaded == b.checksum_offloaded
        && a.data.get(..12) == b.data.get(..12)
        && a.data.get(23) == b.data.get(23)
        && a.data.get(26..38) == b.data.get(26..38)
}
