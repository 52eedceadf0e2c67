//! Packets through a module's handlers as fast as they go, with neighbours that do nothing.
//!
//! A protocol sends and a miniport indicates at `DISPATCH_LEVEL`, one batch after another; what the filter passes on comes
//! back at once, as one list, after its handler has returned. Its work items run after every [`DEFERRED`] packets.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use lab_rules::event::NblPath;

use super::adapter::{self, side};
use super::filter::PathHandlers;
use super::module;
use super::nbl::Making;
use crate::abi::constant::{
    MDL_PAGES_LOCKED, MDL_SOURCE_IS_NONPAGED_POOL, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL,
    NDIS_RETURN_FLAGS_DISPATCH_LEVEL, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
    NDIS_SEND_FLAGS_DISPATCH_LEVEL,
};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::nt::mdl;
use crate::rt::mem::{self, BadAddress};
use crate::rt::meter::{self, Overhead};
use crate::rt::sched::{self, DISPATCH_LEVEL, Wait};
use crate::rt::{Call, Import, call_driver};
use crate::watch::OrFault;
use crate::{Direction, Load, NextLoad, Sample, worker};

/// Packets between two runs of what the filter deferred.
const DEFERRED: u64 = 256;
/// The longest virtual time that a filter may keep a packet, in ns.
const KEPT_NS: u64 = 10_000_000_000;
/// Virtual time of a batch, in ns.
const BATCH_NS: u64 = 1_000;
/// Batches between two looks at the clock.
const LOOK: u32 = 16;
/// The adapter, and the port of its packets.
const ADAPTER: u32 = 0;
const PORT: u64 = 0;
/// Bytes of a NET_BUFFER_LIST with its NET_BUFFER and MDL, and of all structures where caches are to miss.
const STRUCTURES: u64 = 1024;
const BEYOND_CACHES: u64 = 64 << 20;
/// Structures where caches are to hit, beside those of a batch: what a filter may have deferred.
const AT_HAND: u64 = 2 * DEFERRED;

/// The datapath in place of [`super::path`], and spin locks that nobody else can want.
const IMPORTS: [&Import; 8] = [
    &ndis("NdisFSendNetBufferLists", send),
    &ndis("NdisFIndicateReceiveNetBufferLists", indicate),
    &ndis("NdisFSendNetBufferListsComplete", finish),
    &ndis("NdisFReturnNetBufferLists", finish),
    &nt("KeAcquireSpinLockRaiseToDpc", raise),
    &nt("KeReleaseSpinLock", lower),
    &nt("KeAcquireSpinLockAtDpcLevel", stay),
    &nt("KeReleaseSpinLockFromDpcLevel", stay),
];

const fn ndis(name: &'static str, run: fn(&Call<'_>) -> u64) -> Import {
    let module = "ndis.sys";
    Import { module, name, run }
}

const fn nt(name: &'static str, run: fn(&Call<'_>) -> u64) -> Import {
    let module = "ntoskrnl.exe";
    Import { module, name, run }
}

thread_local! {
    /// First structures of the lists that the filter has passed on, per direction, and of those that are home.
    static PASSED: RefCell<[Vec<u64>; 2]> = const { RefCell::new([const { Vec::new() }; 2]) };
    static HOME: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static CIRCULATION: RefCell<Option<Circulation>> = const { RefCell::new(None) };
    static OVERHEAD: Cell<Option<Overhead>> = const { Cell::new(None) };
}

/// The structures of one load.
struct Circulation {
    load: Load,
    /// Those that nobody has.
    free: VecDeque<u64>,
    all: usize,
}

/// One direction of a module, or of the stack without it.
struct Side {
    context: u64,
    path: NblPath,
    /// The handler that is given packets; 0 where NDIS goes past the filter.
    give: u64,
    handlers: PathHandlers,
}

fn send(call: &Call<'_>) -> u64 {
    note_passed(NblPath::Send, call.arg(1))
}

fn indicate(call: &Call<'_>) -> u64 {
    note_passed(NblPath::Receive, call.arg(1))
}

fn note_passed(path: NblPath, first: u64) -> u64 {
    PASSED.with_borrow_mut(|passed| passed[side(path)].push(first));
    0
}

fn finish(call: &Call<'_>) -> u64 {
    note_home(call.arg(1));
    0
}

/// Acquires a spin lock: what else there is waits only outside of one.
fn raise(_: &Call<'_>) -> u64 {
    sched::raise(DISPATCH_LEVEL.max(sched::irql())).into()
}

fn lower(call: &Call<'_>) -> u64 {
    sched::lower(call.arg_u8(1).min(sched::irql()));
    0
}

fn stay(_: &Call<'_>) -> u64 {
    0
}

fn note_home(first: u64) {
    HOME.with_borrow_mut(|home| home.push(first));
}

/// Measures what `next` asks for, until it asks no more.
pub(crate) fn measure_all(next: &mut NextLoad) {
    meter::configure(&IMPORTS);
    let mut outcome = None;
    match meter::calibrate() {
        Ok(overhead) => OVERHEAD.set(Some(overhead)),
        Err(error) => {
            outcome = Some(Err(format!(
                "the measurement cannot be calibrated: {error}"
            )))
        }
    }
    while let Some(load) = next(outcome.take()) {
        outcome = Some(measure(load));
    }
    CIRCULATION.take();
}

fn measure(load: Load) -> Result<Sample, String> {
    let overhead = OVERHEAD.get().ok_or("the measurement is not calibrated")?;
    prepare(load)?;
    let (context, handlers) = module::path(ADAPTER).ok_or("the filter is not attached")?;
    let (path, handler) = match load.direction {
        Direction::Send => (NblPath::Send, handlers.send),
        Direction::Receive => (NblPath::Receive, handlers.receive),
    };
    let side = Side {
        context,
        path,
        give: if load.is_past { 0 } else { handler },
        handlers,
    };
    sched::wait(&mut worker::is_idle);
    let mut packets = 0;
    let (began, first_tick) = (Instant::now(), meter::now());
    meter::start();
    let done = play(load, &side, began, &mut packets);
    let reading = meter::stop();
    let (elapsed, ticks) = (began.elapsed(), meter::now().wrapping_sub(first_tick));
    done?;
    let elapsed_ns = elapsed.as_nanos() as f64;
    let ns_per_tick = elapsed_ns / ticks.max(1) as f64;
    Ok(Sample {
        packets,
        elapsed_ns,
        driver_ns: reading.driver_ticks(overhead) * ns_per_tick,
        imports: reading.imports,
    })
}

fn play(load: Load, side: &Side, began: Instant, packets: &mut u64) -> Result<(), String> {
    let batch = u64::from(load.batch);
    let mut deferred = 0;
    loop {
        for _ in 0..LOOK {
            let old = sched::raise(DISPATCH_LEVEL);
            give(load, side)?;
            settle(side);
            sched::lower(old);
            sched::charge(BATCH_NS);
            *packets += batch;
            deferred += batch;
            if deferred >= DEFERRED {
                deferred = 0;
                drain(side)?;
            }
        }
        if began.elapsed().as_nanos() >= u128::from(load.least_ns) {
            return drain(side);
        }
    }
}

/// Gives the filter one batch.
fn give(load: Load, side: &Side) -> Result<(), String> {
    let first = CIRCULATION.with_borrow_mut(|circulation| {
        let free = &mut circulation.as_mut()?.free;
        let mut first = 0;
        for _ in 0..load.batch {
            // The last that came home is the one that caches hold, the first the one that they have lost.
            let next = if load.is_hot {
                free.pop_back()
            } else {
                free.pop_front()
            };
            let nbl = next?;
            NET_BUFFER_LIST::Next.write(nbl, first).or_fault();
            first = nbl;
        }
        Some(first)
    });
    let first = first.ok_or("there are no packets left: the filter keeps them")?;
    if side.give == 0 {
        note_home(first);
        return Ok(());
    }
    let (count, send_flags, receive_flags) = (
        load.batch.into(),
        NDIS_SEND_FLAGS_DISPATCH_LEVEL.into(),
        NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL.into(),
    );
    match side.path {
        NblPath::Send => call_driver(side.give, &[side.context, first, PORT, send_flags]),
        NblPath::Receive => call_driver(
            side.give,
            &[side.context, first, PORT, count, receive_flags],
        ),
    };
    Ok(())
}

/// What was passed on comes back, and what is home can be given again. At `DISPATCH_LEVEL`.
fn settle(whole: &Side) {
    for path in [NblPath::Send, NblPath::Receive] {
        let (handler, flags) = match path {
            NblPath::Send => (
                whole.handlers.send_complete,
                NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
            ),
            NblPath::Receive => (whole.handlers.return_, NDIS_RETURN_FLAGS_DISPATCH_LEVEL),
        };
        while let Some(first) = PASSED.with_borrow_mut(|passed| passed[side(path)].pop()) {
            if handler == 0 {
                note_home(first);
            } else {
                call_driver(handler, &[whole.context, first, flags.into()]);
            }
        }
    }
    while let Some(first) = HOME.with_borrow_mut(Vec::pop) {
        CIRCULATION.with_borrow_mut(|circulation| {
            let mut nbl = first;
            while let Some(circulation) = circulation
                && nbl != 0
            {
                circulation.free.push_back(nbl);
                nbl = NET_BUFFER_LIST::Next.read(nbl).or_fault();
            }
        });
    }
}

/// Lets the filter do what it has deferred, until all packets are home.
fn drain(side: &Side) -> Result<(), String> {
    let deadline_ns = sched::now() + KEPT_NS;
    loop {
        let waited = sched::wait_until(deadline_ns, &mut || worker::is_idle() || has_news());
        let old = sched::raise(DISPATCH_LEVEL);
        settle(side);
        sched::lower(old);
        let missing = CIRCULATION
            .with_borrow(|circulation| circulation.as_ref().map_or(0, |it| it.all - it.free.len()));
        if missing == 0 && worker::is_idle() {
            return Ok(());
        }
        if waited == Wait::TimedOut || sched::now() >= deadline_ns {
            let s = KEPT_NS / 1_000_000_000;
            return Err(format!(
                "the filter keeps {missing} packets for more than {s} s (virtual)"
            ));
        }
        if worker::is_idle() {
            // A timer of the filter's may come.
            sched::wait_until(deadline_ns, &mut || !worker::is_idle() || has_news());
        }
    }
}

fn has_news() -> bool {
    PASSED.with_borrow(|passed| passed.iter().any(|lists| !lists.is_empty()))
        || HOME.with_borrow(|home| !home.is_empty())
}

/// Makes the structures of a load, unless the last one had the same.
fn prepare(load: Load) -> Result<(), String> {
    let is_ready = CIRCULATION.with_borrow(|circulation| {
        let ready = circulation.as_ref().map(|circulation| circulation.load);
        ready.is_some_and(|ready| ready.has_same_structures(load))
    });
    if is_ready {
        return Ok(());
    }
    CIRCULATION.take();
    let stride = (STRUCTURES + u64::from(load.bytes)).next_multiple_of(64);
    let all = if load.is_hot {
        AT_HAND + u64::from(load.batch)
    } else {
        (BEYOND_CACHES / stride).max(AT_HAND + u64::from(load.batch))
    };
    let bytes = usize::try_from(all * stride).map_err(|error| error.to_string())?;
    let room = meter::map(bytes).map_err(|error| format!("no memory for packets: {error}"))?;
    let frames: Vec<Vec<u8>> = adapter::with(ADAPTER, |adapter| {
        let frames = adapter.frames.iter();
        let fit = frames.filter(|frame| {
            frame.direction == load.direction && frame.data.len() == load.bytes as usize
        });
        fit.map(|frame| frame.data.clone()).collect()
    });
    if frames.is_empty() {
        return Err(format!("no frames of {} bytes are configured", load.bytes));
    }
    let mut free = VecDeque::new();
    for (index, frame) in (0..all).zip(frames.iter().cycle()) {
        let nbl = room + index * stride;
        build(nbl, load.direction, frame).or_fault();
        free.push_back(nbl);
    }
    CIRCULATION.set(Some(Circulation {
        load,
        all: free.len(),
        free,
    }));
    Ok(())
}

/// One structure at `nbl`, with the frame behind it.
fn build(nbl: u64, direction: Direction, frame: &[u8]) -> Result<(), BadAddress> {
    let nb = nbl + (NET_BUFFER_LIST::SIZE as u64).next_multiple_of(16);
    let mdl = nb + (NET_BUFFER::SIZE as u64).next_multiple_of(16);
    let data = nbl + STRUCTURES;
    let length = frame.len() as u32;
    NET_BUFFER_LIST::FirstNetBuffer.write(nbl, nb)?;
    NET_BUFFER_LIST::SourceHandle.write(nbl, Making::of(direction).source)?;
    NET_BUFFER::MdlChain.write(nb, mdl)?;
    NET_BUFFER::CurrentMdl.write(nb, mdl)?;
    NET_BUFFER::DataLength.write(nb, length)?;
    let flags = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL;
    mdl::initialize(mdl, data, length, flags)?;
    mem::write_bytes(data, frame)
}
