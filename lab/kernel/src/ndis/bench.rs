//! Packets through a module's handlers as fast as they go, with neighbours that do nothing.
//!
//! A protocol sends and a miniport indicates at `DISPATCH_LEVEL`, one batch after another; what the filter passes on comes
//! back at once, as one list, after its handler has returned. Its work items run after every [`DEFERRED`] packets. What it
//! calls often ([`LEAVES`]) runs on its own stack and costs next to nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use lab_rules::event::NblPath;

use super::adapter;
use super::filter::PathHandlers;
use super::module;
use super::nbl::Making;
use crate::abi::constant::{
    MDL_PAGES_LOCKED, MDL_SOURCE_IS_NONPAGED_POOL, NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL,
    NDIS_RETURN_FLAGS_DISPATCH_LEVEL, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
    NDIS_SEND_FLAGS_DISPATCH_LEVEL,
};
use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST};
use crate::nt::{ke, mdl};
use crate::rt::leaf::{self, Leaf, LeafImport, List};
use crate::rt::mem::{self, BadAddress};
use crate::rt::meter::{self, Overhead};
use crate::rt::sched::{self, Wait};
use crate::watch::OrFault;
use crate::{Direction, Load, NextLoad, Sample, worker};

/// Packets between two runs of what the filter deferred, and two looks at the time.
const DEFERRED: u64 = 256;
/// Packets in a row that the filter gets at least, in one call or more, before any of them comes back. The clock is read
/// once for all of them.
const ROW: usize = 32;
/// The longest virtual time that a filter may keep a packet, in ns.
const KEPT_NS: u64 = 10_000_000_000;
/// Virtual time of a packet, in ns.
const PACKET_NS: u64 = 100;
/// The adapter, and the port of its packets.
const ADAPTER: u32 = 0;
const PORT: u64 = 0;
/// Bytes of a NET_BUFFER_LIST with its NET_BUFFER and MDL, and of all structures where caches are to miss.
const STRUCTURES: u64 = 1024;
const BEYOND_CACHES: u64 = 64 << 20;
/// Structures where caches are to hit, beside those of a batch: what a filter may have deferred.
const AT_HAND: u64 = 2 * DEFERRED;

/// Chains that the filter has passed on, per direction, and those that are home.
const SENT: List = List::First;
const INDICATED: List = List::Second;
const HOME: List = List::Third;

/// The datapath in place of [`super::path`], spin locks that nobody else can want, the level, the time, and copies.
const LEAVES: [LeafImport; 24] = [
    ndis("NdisFSendNetBufferLists", Leaf::Note(SENT)),
    ndis("NdisFIndicateReceiveNetBufferLists", Leaf::Note(INDICATED)),
    ndis("NdisFSendNetBufferListsComplete", Leaf::Note(HOME)),
    ndis("NdisFReturnNetBufferLists", Leaf::Note(HOME)),
    nt("KeAcquireSpinLockRaiseToDpc", Leaf::RaiseToDispatch),
    nt("KeReleaseSpinLock", Leaf::LowerToSecond),
    nt("KeAcquireSpinLockAtDpcLevel", Leaf::Nothing),
    nt("KeReleaseSpinLockFromDpcLevel", Leaf::Nothing),
    nt("KeTryToAcquireSpinLockAtDpcLevel", Leaf::True),
    nt("KeGetCurrentIrql", Leaf::Level),
    nt("KeRaiseIrqlToDpcLevel", Leaf::RaiseToDispatch),
    nt("KfRaiseIrql", Leaf::Raise),
    nt("KeLowerIrql", Leaf::Lower),
    nt("KeQueryPerformanceCounter", Leaf::Counter),
    nt("KeQueryInterruptTimePrecise", Leaf::Time),
    nt("KeQueryUnbiasedInterruptTimePrecise", Leaf::Time),
    nt("KeQueryUnbiasedInterruptTime", Leaf::Counter),
    nt("KeAcquireInStackQueuedSpinLock", Leaf::RaiseQueued),
    nt("KeReleaseInStackQueuedSpinLock", Leaf::LowerQueued),
    nt("KeAcquireInStackQueuedSpinLockAtDpcLevel", Leaf::Nothing),
    nt("KeReleaseInStackQueuedSpinLockFromDpcLevel", Leaf::Nothing),
    nt("memcpy", Leaf::Copy),
    nt("memmove", Leaf::Copy),
    nt("memset", Leaf::Fill),
];

const fn ndis(name: &'static str, leaf: Leaf) -> LeafImport {
    let module = "ndis.sys";
    LeafImport { module, name, leaf }
}

const fn nt(name: &'static str, leaf: Leaf) -> LeafImport {
    let module = "ntoskrnl.exe";
    LeafImport { module, name, leaf }
}

thread_local! {
    static CIRCULATION: RefCell<Option<Circulation>> = const { RefCell::new(None) };
    static OVERHEAD: RefCell<Option<Overhead>> = const { RefCell::new(None) };
}

/// The structures of one load.
struct Circulation {
    load: Load,
    /// Chains of a whole batch that nobody has, by their first structures.
    batches: VecDeque<u64>,
    /// First structures of others, and how many they are in all.
    loose: VecDeque<u64>,
    loose_length: usize,
    /// Structures that the filter has.
    away: usize,
}

impl Circulation {
    /// A chain for the filter.
    fn take(&mut self) -> Option<u64> {
        let is_loose_enough = self.loose_length >= self.load.batch as usize;
        // What came home last is what caches hold, what came first is what they have lost.
        let batch = if self.load.is_hot {
            self.batches.pop_back()
        } else if is_loose_enough {
            None
        } else {
            self.batches.pop_front()
        };
        let batch = match batch {
            None if is_loose_enough => self.join(),
            batch => batch,
        }?;
        self.away += self.load.batch as usize;
        Some(batch)
    }

    /// Makes a batch of what is loose, which is enough.
    fn join(&mut self) -> Option<u64> {
        let wanted = self.load.batch as usize;
        let (mut first, mut last, mut length) = (0, 0, 0);
        while length < wanted {
            let loose = if self.load.is_hot {
                self.loose.pop_back()
            } else {
                self.loose.pop_front()
            }?;
            let chain = meter::follow(loose, wanted - length)?;
            if chain.next != 0 {
                self.loose.push_front(chain.next);
                NET_BUFFER_LIST::Next.write(chain.last, 0).or_fault();
            }
            if first == 0 {
                first = loose;
            } else {
                NET_BUFFER_LIST::Next.write(last, loose).or_fault();
            }
            last = chain.last;
            length += chain.length;
        }
        self.loose_length -= wanted;
        Some(first)
    }

    /// Takes a chain back. None if it is not of what was given.
    fn give_back(&mut self, first: u64) -> Option<()> {
        let chain = meter::follow(first, self.away + 1).filter(|chain| chain.length > 0)?;
        self.away = self.away.checked_sub(chain.length)?;
        if chain.length == self.load.batch as usize {
            self.batches.push_back(first);
        } else {
            self.loose.push_back(first);
            self.loose_length += chain.length;
        }
        Some(())
    }
}

/// One direction of a module, or of the stack without it.
struct Side {
    context: u64,
    path: NblPath,
    /// The handler that is given packets; 0 where NDIS goes past the filter.
    give: u64,
    handlers: PathHandlers,
}

/// Measures what `next` asks for, until it asks no more.
pub(crate) fn measure_all(next: &mut NextLoad) {
    let mut outcome = None;
    meter::stay();
    match meter::calibrate(&LEAVES) {
        Ok(overhead) => OVERHEAD.set(Some(overhead)),
        Err(error) => {
            outcome = Some(Err(format!(
                "the measurement cannot be calibrated: {error}"
            )))
        }
    }
    while let Some(load) = next(outcome.take()) {
        let measured = measure(load);
        if measured.is_err() {
            // Nobody knows where its packets are.
            CIRCULATION.take();
        }
        outcome = Some(measured);
    }
    CIRCULATION.take();
    OVERHEAD.take();
    meter::unmap();
}

/// Does something with what the calibration found.
fn with_overhead<R>(body: impl FnOnce(&Overhead) -> io::Result<R>) -> Result<R, String> {
    OVERHEAD.with_borrow(|overhead| {
        let overhead = overhead
            .as_ref()
            .ok_or("the measurement is not calibrated")?;
        body(overhead).map_err(|error| format!("imports cannot be exchanged: {error}"))
    })
}

fn measure(load: Load) -> Result<Sample, String> {
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
    leaf::clear();
    let mut packets = 0;
    let interruptions = meter::interruptions();
    with_overhead(|overhead| meter::start(overhead, load.again))?;
    let (began, first_tick) = (Instant::now(), meter::now());
    let done = play(load, &side, began, &mut packets);
    let (elapsed, ticks) = (began.elapsed(), meter::now().wrapping_sub(first_tick));
    let reading = with_overhead(meter::stop)?;
    done?;
    if leaf::clear() {
        return Err("the filter passes on more chains at once than can be noted".to_owned());
    }
    let elapsed_ns = elapsed.as_nanos() as f64;
    let ns_per_tick = elapsed_ns / ticks.max(1) as f64;
    let driver = with_overhead(|overhead| Ok(reading.driver_ticks(overhead)))?;
    Ok(Sample {
        packets,
        elapsed_ns,
        driver_ns: driver.ticks * ns_per_tick,
        doubt_ns: driver.doubt * ns_per_tick,
        imports: reading.imports(),
        is_interrupted: meter::interruptions() != interruptions,
    })
}

fn play(load: Load, side: &Side, began: Instant, packets: &mut u64) -> Result<(), String> {
    let batches = (ROW / load.batch as usize).max(1);
    let row = batches as u64 * u64::from(load.batch);
    loop {
        sched::at_dispatch(|| {
            for _ in 0..(DEFERRED / row).max(1) {
                give(load, side, batches)?;
                settle(side)?;
                *packets += row;
            }
            Ok::<_, String>(())
        })?;
        sched::charge(PACKET_NS * DEFERRED);
        leaf::set_time(ke::interrupt_time());
        drain(side)?;
        if began.elapsed().as_nanos() >= u128::from(load.least_ns) {
            return Ok(());
        }
    }
}

fn with_circulation<R>(body: impl FnOnce(&mut Circulation) -> Option<R>) -> Option<R> {
    CIRCULATION.with_borrow_mut(|circulation| body(circulation.as_mut()?))
}

/// Gives the filter so many batches.
fn give(load: Load, side: &Side, batches: usize) -> Result<(), String> {
    let mut calls = [[side.context, 0, PORT, 0, 0]; ROW];
    let calls = &mut calls[..batches];
    with_circulation(|circulation| {
        for [_, first, ..] in calls.iter_mut() {
            *first = circulation.take()?;
        }
        Some(())
    })
    .ok_or("there are no packets left: the filter keeps them")?;
    if side.give == 0 {
        calls.iter().for_each(|[_, first, ..]| HOME.push(*first));
        return Ok(());
    }
    let arguments = match side.path {
        NblPath::Send => 4,
        NblPath::Receive => 5,
    };
    for [.., third, fourth] in calls.iter_mut() {
        (*third, *fourth) = match side.path {
            NblPath::Send => (NDIS_SEND_FLAGS_DISPATCH_LEVEL.into(), 0),
            NblPath::Receive => (load.batch.into(), NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL.into()),
        };
    }
    meter::call_each(side.give, calls.iter().map(|call| &call[..arguments]));
    Ok(())
}

/// What was passed on comes back, and what is home can be given again. At `DISPATCH_LEVEL`.
fn settle(whole: &Side) -> Result<(), String> {
    let passed = [
        (
            SENT,
            whole.handlers.send_complete,
            NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
        ),
        (
            INDICATED,
            whole.handlers.return_,
            NDIS_RETURN_FLAGS_DISPATCH_LEVEL,
        ),
    ];
    for (list, handler, flags) in passed {
        while !list.is_empty() {
            let mut calls = [[whole.context, 0, flags.into()]; ROW];
            let mut length = 0;
            for (call, first) in calls.iter_mut().zip(std::iter::from_fn(|| list.pop())) {
                call[1] = first;
                length += 1;
            }
            let calls = &calls[..length];
            if handler == 0 {
                calls.iter().for_each(|[_, first, _]| HOME.push(*first));
            } else {
                meter::call_each(handler, calls.iter().map(<[u64; 3]>::as_slice));
            }
        }
    }
    with_circulation(|circulation| {
        while let Some(first) = HOME.pop() {
            circulation.give_back(first)?;
        }
        Some(())
    })
    .ok_or_else(|| "the filter gave back a chain of packets that it was not given".to_owned())
}

/// Lets the filter do what it has deferred, until all packets are home.
fn drain(side: &Side) -> Result<(), String> {
    let deadline_ns = sched::now() + KEPT_NS;
    loop {
        let waited = sched::wait_until(deadline_ns, &mut || worker::is_idle() || has_news());
        sched::at_dispatch(|| settle(side))?;
        let missing = with_circulation(|circulation| Some(circulation.away)).unwrap_or(0);
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
    [SENT, INDICATED, HOME].iter().any(|list| !list.is_empty())
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
    let mut loose = VecDeque::new();
    for (index, frame) in (0..all).zip(frames.iter().cycle()) {
        let nbl = room + index * stride;
        build(nbl, load.direction, frame).or_fault();
        loose.push_back(nbl);
    }
    CIRCULATION.set(Some(Circulation {
        load,
        batches: VecDeque::new(),
        loose_length: loose.len(),
        loose,
        away: 0,
    }));
    Ok(())
}

/// One structure at `nbl`, with the frame behind it.
fn build(nbl: u64, direction: Direction, frame: &[u8]) -> Result<(), BadAddress> {
    let nb = nbl + (NET_BUFFER_LIST::SIZE as u64).next_multiple_of(16);
    let mdl = nb + (NET_BUFFER::SIZE as u64).next_multiple_of(16);
    let data = nbl + STRUCTURES;
    let length = frame.len() as u32;
    mem::fill(nbl, STRUCTURES as usize, 0)?;
    NET_BUFFER_LIST::FirstNetBuffer.write(nbl, nb)?;
    NET_BUFFER_LIST::SourceHandle.write(nbl, Making::of(direction).source)?;
    NET_BUFFER::MdlChain.write(nb, mdl)?;
    NET_BUFFER::CurrentMdl.write(nb, mdl)?;
    NET_BUFFER::DataLength.write(nb, length)?;
    let flags = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL;
    mdl::initialize(mdl, data, length, flags)?;
    mem::write_bytes(data, frame)
}
