//! The simulated adapters: what is configured, what is outstanding, what was counted.

use std::cell::RefCell;

use lab_rules::event::NblPath;

use super::edge::Edge;
use super::stack;
use crate::per_image::per_image;
use crate::rt::sched::{self, Wait};
use crate::{AdapterConfig, Direction, Frame, TrafficCount};

/// Structures that may be outstanding per adapter and direction.
const WINDOW: usize = 96;

/// One adapter.
pub(crate) struct Adapter {
    pub(crate) name: String,
    pub(crate) mac: [u8; 6],
    pub(crate) frames: Vec<Frame>,
    pub(crate) counts: [TrafficCount; 2],
    /// The same before the pause at the end.
    pub(crate) counts_before_pause: Option<[TrafficCount; 2]>,
    /// How the miniport treats sends.
    pub(crate) edge: Edge,
    /// NBLs with the miniport (sends) and with the protocol (receives).
    pub(crate) with_neighbour: [Vec<u64>; 2],
    /// NBLs that are not home.
    pub(crate) outstanding: [usize; 2],
    /// Threads that still have frames to give to the stack, per direction.
    pub(crate) sources: [u32; 2],
    /// Whether nothing new may enter the stack in a direction: its source is paused.
    closed: [bool; 2],
    /// Whether it goes to another power state: its neighbours finish nothing meanwhile.
    pub(crate) is_changing_power: bool,
    /// Whether the miniport (sends) and the protocol (receives) have threads that finish later what comes to them.
    pub(crate) has_neighbour: [bool; 2],
    /// Calls that are inside the stack.
    inside: [u32; 2],
    /// A change of the stack (pause, restart, detach, attach) is under way: one at a time.
    changing: bool,
    /// Whether control calls (status, PnP, power) no longer reach the filter: it is being detached.
    control_closed: bool,
    /// Control calls that are inside the filter.
    inside_control: u32,
    /// The stack has been told of events.
    pub(crate) events_done: bool,
    /// Frames whose buffers are home again, per direction.
    pub(crate) done: [u64; 2],
    /// The neighbours' threads may end.
    pub(crate) closing: bool,
    /// The protocol has taken its time in a pause.
    pub(super) has_lingered: bool,
}

per_image! {
    static ADAPTERS: RefCell<Vec<Adapter>> = const { RefCell::new(Vec::new()) };
}

/// Index of a direction in an adapter's pairs.
pub(crate) fn side(path: NblPath) -> usize {
    match path {
        NblPath::Send => 0,
        NblPath::Receive => 1,
    }
}

/// Takes from the adapters what enters the stack at the running image: sends at the topmost, receives at the lowest.
pub(crate) fn share(adapters: &mut [AdapterConfig]) -> Vec<AdapterConfig> {
    let running = Some(sched::image());
    let has_sends = stack::from_top().next() == running;
    let has_receives = stack::from_top().next_back() == running;
    let enters = |frame: &mut Frame| match frame.direction {
        Direction::Send => has_sends,
        Direction::Receive => has_receives,
    };
    let of = |adapter: &mut AdapterConfig| AdapterConfig {
        name: adapter.name.clone(),
        mac: adapter.mac,
        frames: if has_sends && has_receives {
            std::mem::take(&mut adapter.frames)
        } else {
            adapter.frames.extract_if(.., enters).collect()
        },
    };
    adapters.iter_mut().map(of).collect()
}

/// Runs `body` on behalf of the image at which a direction enters the stack.
fn at_source<R>(path: NblPath, body: impl FnOnce() -> R) -> R {
    match path {
        NblPath::Send => stack::at_top(body),
        NblPath::Receive => stack::at_bottom(body),
    }
}

/// Sets the running image's adapters up.
pub(crate) fn configure(adapters: Vec<AdapterConfig>) {
    let adapters = adapters.into_iter().map(|config| Adapter {
        name: config.name,
        mac: config.mac,
        frames: config.frames,
        counts: Default::default(),
        counts_before_pause: None,
        edge: Edge::default(),
        with_neighbour: Default::default(),
        outstanding: [0; 2],
        sources: [0; 2],
        closed: [false; 2],
        is_changing_power: false,
        has_neighbour: [false; 2],
        inside: [0; 2],
        changing: false,
        control_closed: false,
        inside_control: 0,
        // The stack as a whole is told of events: the first image keeps whether it was.
        events_done: sched::image() != 0,
        done: [0; 2],
        closing: false,
        has_lingered: false,
    });
    ADAPTERS.set(adapters.collect());
}

/// How many there are.
pub(crate) fn count() -> u32 {
    ADAPTERS.with_borrow(|adapters| u32::try_from(adapters.len()).unwrap_or(u32::MAX))
}

/// Looks at an adapter.
pub(crate) fn with<T>(adapter: u32, look: impl FnOnce(&Adapter) -> T) -> T {
    ADAPTERS.with_borrow(|adapters| look(&adapters[adapter as usize]))
}

/// Changes an adapter. `change` must not call into the driver, switch or stop.
pub(crate) fn with_mut<T>(adapter: u32, change: impl FnOnce(&mut Adapter) -> T) -> T {
    ADAPTERS.with_borrow_mut(|adapters| change(&mut adapters[adapter as usize]))
}

/// The interface index of an adapter.
pub(crate) fn if_index(adapter: u32) -> u32 {
    adapter + 2
}

/// Waits until another structure may go out in this direction.
pub(crate) fn wait_for_window(adapter: u32, path: NblPath) {
    sched::wait(&mut || with(adapter, |adapter| adapter.outstanding[side(path)] < WINDOW));
}

/// Enters the stack from one of its ends, once that is not paused.
pub(crate) fn enter(adapter: u32, path: NblPath) {
    at_source(path, || sched::wait(&mut || try_to_enter(adapter, path)));
}

/// The same, if that is so before `deadline_ns`; tells whether it was.
pub(crate) fn enter_until(adapter: u32, path: NblPath, deadline_ns: u64) -> bool {
    at_source(path, || {
        sched::wait_until(deadline_ns, &mut || try_to_enter(adapter, path)) == Wait::Satisfied
    })
}

fn try_to_enter(adapter: u32, path: NblPath) -> bool {
    let side = side(path);
    with_mut(adapter, |adapter| {
        let is_open = !adapter.closed[side];
        adapter.inside[side] += u32::from(is_open);
        is_open
    })
}

/// Leaves the stack again.
pub(crate) fn leave(adapter: u32, path: NblPath) {
    at_source(path, || {
        with_mut(adapter, |adapter| adapter.inside[side(path)] -= 1);
    });
}

/// Pauses an end of the stack: returns when no call is inside.
pub(crate) fn close(adapter: u32, path: NblPath) {
    let side = side(path);
    at_source(path, || {
        with_mut(adapter, |adapter| adapter.closed[side] = true);
        sched::wait(&mut || with(adapter, |adapter| adapter.inside[side] == 0));
    });
}

/// Whether an end of the stack is paused, or about to be.
pub(crate) fn is_closed(adapter: u32, path: NblPath) -> bool {
    at_source(path, || with(adapter, |adapter| adapter.closed[side(path)]))
}

/// Whether every structure of an adapter that the running image could have is home.
pub(crate) fn is_empty(adapter: u32) -> bool {
    with(adapter, |adapter| adapter.outstanding == [0; 2])
}

/// Whether every send of an adapter is home.
pub(crate) fn has_no_sends(adapter: u32) -> bool {
    stack::at_top(|| with(adapter, |adapter| adapter.outstanding[0] == 0))
}

/// Begins a change of the stack, when no other is under way.
pub(crate) fn begin_change(adapter: u32) {
    let mut begin = || {
        with_mut(adapter, |adapter| {
            !std::mem::replace(&mut adapter.changing, true)
        })
    };
    stack::at_top(|| sched::wait(&mut begin));
}

/// Ends it.
pub(crate) fn end_change(adapter: u32) {
    stack::at_top(|| with_mut(adapter, |adapter| adapter.changing = false));
}

/// Enters the filter with a control call, unless it is being detached.
pub(crate) fn enter_control(adapter: u32) -> bool {
    with_mut(adapter, |adapter| {
        adapter.inside_control += u32::from(!adapter.control_closed);
        !adapter.control_closed
    })
}

/// Leaves it again.
pub(crate) fn leave_control(adapter: u32) {
    with_mut(adapter, |adapter| adapter.inside_control -= 1);
}

/// Lets no control call in any more, and waits for those that are inside.
pub(crate) fn close_control(adapter: u32) {
    with_mut(adapter, |adapter| adapter.control_closed = true);
    sched::wait(&mut || with(adapter, |adapter| adapter.inside_control == 0));
}

/// Lets control calls in again: a module is attached.
pub(crate) fn open_control(adapter: u32) {
    with_mut(adapter, |adapter| adapter.control_closed = false);
}

/// Keeps what was counted up to now, before the pause at the end.
pub(crate) fn keep_counts() {
    stack::each(|| {
        ADAPTERS.with_borrow_mut(|adapters| {
            for adapter in adapters {
                adapter.counts_before_pause = Some(adapter.counts);
            }
        });
    });
}

/// Restarts it.
pub(crate) fn open(adapter: u32, path: NblPath) {
    at_source(path, || {
        with_mut(adapter, |adapter| adapter.closed[side(path)] = false);
    });
}

/// Frames that are home, over all adapters.
pub(crate) fn frames_done() -> u64 {
    stack::sum(|| {
        ADAPTERS.with_borrow(|adapters| adapters.iter().flat_map(|adapter| adapter.done).sum())
    })
}

/// Whether most frames of each direction are home, over all adapters: all but one in eight.
pub(crate) fn most_done() -> bool {
    let directions = [
        (Direction::Send, NblPath::Send),
        (Direction::Receive, NblPath::Receive),
    ];
    directions.into_iter().all(|(direction, path)| {
        at_source(path, || {
            ADAPTERS.with_borrow(|adapters| {
                let is_of = |frame: &&Frame| frame.direction == direction;
                let frames = adapters.iter().flat_map(|adapter| &adapter.frames);
                let total = frames.filter(is_of).count() as u64;
                let done: u64 = adapters
                    .iter()
                    .map(|adapter| adapter.done[side(path)])
                    .sum();
                done >= total - total / 8
            })
        })
    })
}

/// Whether every adapter of every image is as wanted.
fn every(is: impl Fn(&Adapter) -> bool) -> bool {
    stack::all(|| ADAPTERS.with_borrow(|adapters| adapters.iter().all(&is)))
}

/// Whether every structure of every adapter is home.
pub(crate) fn all_quiet() -> bool {
    every(|adapter| adapter.outstanding == [0; 2])
}

/// Whether every adapter's stack has been told of events.
pub(crate) fn all_events_done() -> bool {
    every(|adapter| adapter.events_done)
}

/// Whether every frame and event was given.
pub(crate) fn all_given() -> bool {
    every(|adapter| adapter.sources == [0; 2] && adapter.events_done)
}

/// Whether every frame and event was given and every structure is home.
pub(crate) fn all_home() -> bool {
    every(|adapter| {
        adapter.sources == [0; 2] && adapter.outstanding == [0; 2] && adapter.events_done
    })
}
