//! The four functions of the datapath, and the neighbours on both sides of the filter.

use lab_rules::Kind;
use lab_rules::event::{Callback, NblCall, NblEvent, NblPath};

use super::adapter::{self, side};
use super::{content, disturbance, edge, exposure, handle, module, nbl, own, stack};
use crate::abi::constant::{
    NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL, NDIS_RECEIVE_FLAGS_RESOURCES,
    NDIS_RETURN_FLAGS_DISPATCH_LEVEL, NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL,
    NDIS_SEND_FLAGS_DISPATCH_LEVEL, NDIS_STATUS_SEND_ABORTED,
};
use crate::driver;
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::sched::{self, DISPATCH_LEVEL};
use crate::watch::{self, OrFault, emit};

imports! {
    "ndis.sys":
    NdisFSendNetBufferLists => send,
    NdisFSendNetBufferListsComplete => send_complete,
    NdisFIndicateReceiveNetBufferLists => indicate,
    NdisFReturnNetBufferLists => return_,
    NdisFCancelSendNetBufferLists => cancel_send,
}

/// How long a protocol takes to copy what it is lent, at most, in ns; and how often others come in
/// between.
const COPY_NS: u64 = 60_000;
const COPY_POINTS: u64 = 6;

/// A dispatch-level flag for a call made now, with other flags.
fn at_level(dispatch_flag: u32, flags: u32) -> u64 {
    let level = if sched::irql() >= DISPATCH_LEVEL {
        dispatch_flag
    } else {
        0
    };
    u64::from(flags | level)
}

fn count(nbls: &[u64]) -> u32 {
    u32::try_from(nbls.len()).unwrap_or(u32::MAX)
}

/// A protocol sends.
pub(super) fn send_down(adapter: u32, nbls: Vec<u64>) {
    match module::path(adapter) {
        Some((context, path)) if path.send != 0 => {
            nbl::tally(adapter, NblPath::Send, &nbls);
            nbl::note_given(&nbls);
            let first = nbl::link(&nbls);
            watch::note_handler(&nbls, path.send);
            give(adapter, NblPath::Send, &nbls, false);
            let arguments = [
                context,
                first,
                nbl::port(&nbls),
                at_level(NDIS_SEND_FLAGS_DISPATCH_LEVEL, 0),
            ];
            driver::call(
                Callback::FilterSendNetBufferLists,
                Some(adapter),
                path.send,
                &arguments,
            );
            let returned = NblEvent::HandlerReturned {
                adapter,
                path: NblPath::Send,
                nbls,
            };
            watch::emit_about(Kind::Nbl(returned), path.send);
        }
        _ => reach_miniport(adapter, nbls),
    }
}

/// A miniport indicates. With `low_resources` the structures are only lent.
pub(super) fn indicate_up(adapter: u32, nbls: Vec<u64>, low_resources: bool) {
    match module::path(adapter) {
        Some((context, path)) if path.receive != 0 => {
            nbl::tally(adapter, NblPath::Receive, &nbls);
            nbl::note_given(&nbls);
            let first = nbl::link(&nbls);
            watch::note_handler(&nbls, path.receive);
            give(adapter, NblPath::Receive, &nbls, low_resources);
            let resources = if low_resources {
                NDIS_RECEIVE_FLAGS_RESOURCES
            } else {
                0
            };
            let flags = at_level(NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL, resources);
            let arguments = [context, first, nbl::port(&nbls), count(&nbls).into(), flags];
            driver::call(
                Callback::FilterReceiveNetBufferLists,
                Some(adapter),
                path.receive,
                &arguments,
            );
            if low_resources {
                nbl::hand_back(&nbls);
                let now = nbl::follow(first).or_fault();
                let lent_back = NblEvent::LentBack {
                    adapter,
                    given: nbls.clone(),
                    now,
                };
                watch::emit_about(Kind::Nbl(lent_back), path.receive);
                nbl::bring_home(nbls);
            } else {
                if stack::below().next().is_none() {
                    nbl::take_headers(&nbls);
                }
                let returned = NblEvent::HandlerReturned {
                    adapter,
                    path: NblPath::Receive,
                    nbls,
                };
                watch::emit_about(Kind::Nbl(returned), path.receive);
            }
        }
        _ if low_resources => {
            lend_up(adapter, &nbls);
            nbl::bring_home(nbls);
        }
        _ => reach_protocol(adapter, nbls),
    }
}

fn give(adapter: u32, path: NblPath, nbls: &[u64], low_resources: bool) {
    emit(Kind::Nbl(NblEvent::Given {
        adapter,
        path,
        nbls: nbls.to_vec(),
        contents: content::of_given(nbls),
        low_resources,
    }));
}

/// A protocol cancels sends that are on their way, or nothing at all.
pub(crate) fn cancel_any(adapter: u32) {
    let ids = nbl::cancel_ids(adapter);
    let id = match ids.get(sched::random(ids.len() as u64 + 1) as usize) {
        Some(id) => *id,
        None => sched::random(u64::MAX),
    };
    cancel(adapter, id);
}

/// A protocol cancels its sends with an identifier. Without a handler NDIS goes past the filter.
pub(crate) fn cancel(adapter: u32, id: u64) {
    match module::path(adapter) {
        Some((context, path)) if path.cancel_send != 0 && adapter::enter_control(adapter) => {
            emit(Kind::Nbl(NblEvent::CancelAsked {
                adapter,
                nbls: nbl::given_with(adapter, id),
            }));
            driver::call(
                Callback::FilterCancelSendNetBufferLists,
                Some(adapter),
                path.cancel_send,
                &[context, id],
            );
            adapter::leave_control(adapter);
        }
        _ => cancel_at_miniport(adapter, id),
    }
}

/// The miniport completes at once what it has with this identifier; a filter that is between is asked first.
fn cancel_at_miniport(adapter: u32, id: u64) {
    if let Some(below) = stack::below().next() {
        return sched::on_behalf(below, || cancel(adapter, id));
    }
    let with_id = nbl::sends_with(adapter, id);
    let cancelled = adapter::with_mut(adapter, |adapter| {
        let waiting = &mut adapter.with_neighbour[side(NblPath::Send)];
        let (cancelled, rest) = std::mem::take(waiting)
            .into_iter()
            .partition::<Vec<u64>, _>(|nbl| with_id.contains(nbl) || own::has_cancel_id(*nbl, id));
        *waiting = rest;
        cancelled
    });
    edge::fail(adapter, cancelled, NDIS_STATUS_SEND_ABORTED);
}

/// Structures go on to the next image, which has them from a neighbour.
fn pass(adapter: u32, path: NblPath, to: u8, nbls: &[u64], is_lent: bool) {
    let from = sched::image();
    let passed = nbl::describe(adapter, path, nbls);
    sched::on_behalf(to, || nbl::adopt(from, passed, is_lent));
}

/// Who is above sees receives that are only lent, until this returns; tells whether there is somebody.
fn lend_up(adapter: u32, nbls: &[u64]) -> bool {
    let above = stack::above().next();
    if let Some(above) = above {
        pass(adapter, NblPath::Receive, above, nbls, true);
        let nbls = nbls.to_vec();
        sched::on_behalf(above, || indicate_up(adapter, nbls, true));
    }
    above.is_some()
}

/// Sends have reached the miniport: some complete at once, the others wait for its thread. A filter that is between has
/// them first.
fn reach_miniport(adapter: u32, nbls: Vec<u64>) {
    if let Some(below) = stack::below().next() {
        pass(adapter, NblPath::Send, below, &nbls, false);
        return sched::on_behalf(below, || send_down(adapter, nbls));
    }
    let edge = adapter::with(adapter, |adapter| adapter.edge);
    if let Some(status) = edge.refuses() {
        return edge::fail(adapter, nbls, status);
    }
    let (now, later) = divide(adapter, NblPath::Send, nbls);
    adapter::with_mut(adapter, |adapter| {
        adapter.with_neighbour[side(NblPath::Send)].extend(later)
    });
    complete_up(adapter, now);
}

/// Receives have reached the protocol: some return at once, the others wait for its thread. A filter that is between has
/// them first.
fn reach_protocol(adapter: u32, nbls: Vec<u64>) {
    if let Some(above) = stack::above().next() {
        pass(adapter, NblPath::Receive, above, &nbls, false);
        return sched::on_behalf(above, || indicate_up(adapter, nbls, false));
    }
    let (now, later) = divide(adapter, NblPath::Receive, nbls);
    adapter::with_mut(adapter, |adapter| {
        adapter.with_neighbour[side(NblPath::Receive)].extend(later)
    });
    return_down(adapter, now);
}

/// What a neighbour finishes within the call, by the seed: all, where it has no thread that would do it later.
fn divide(adapter: u32, path: NblPath, nbls: Vec<u64>) -> (Vec<u64>, Vec<u64>) {
    if !adapter::with(adapter, |adapter| adapter.has_neighbour[side(path)]) {
        return (nbls, Vec::new());
    }
    if sched::chance(3, 4) || adapter::with(adapter, |adapter| adapter.is_changing_power) {
        return (Vec::new(), nbls);
    }
    let mut now = Vec::new();
    let mut later = Vec::new();
    for nbl in nbls {
        if sched::chance(1, 2) {
            now.push(nbl)
        } else {
            later.push(nbl)
        }
    }
    (now, later)
}

/// The miniport completes sends.
pub(super) fn complete_up(adapter: u32, nbls: Vec<u64>) {
    let (filtered, plain): (Vec<u64>, Vec<u64>) =
        nbls.into_iter().partition(|nbl| concerns_filter(*nbl));
    let is_lowest = stack::below().next().is_none();
    if !is_lowest {
        // They have been at the miniport by way of another filter.
        nbl::hand_back(&plain);
        nbl::take_answers(&plain, false);
    }
    nbl::bring_home(plain);
    if filtered.is_empty() {
        return;
    }
    let module = module::path(adapter);
    if module.is_some() || !is_lowest {
        nbl::hand_back(&filtered);
        nbl::take_answers(&filtered, is_lowest);
    }
    let Some((context, path)) = module else {
        // The module is gone, and its NBLs pass by where it was.
        return nbl::bring_home(filtered);
    };
    let first = nbl::link(&filtered);
    emit(Kind::Nbl(NblEvent::Back {
        adapter,
        path: NblPath::Send,
        nbls: filtered.clone(),
    }));
    if path.send_complete == 0 {
        return nbl::bring_home(filtered);
    }
    let flags = at_level(NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL, 0);
    let callback = Callback::FilterSendNetBufferListsComplete;
    driver::call(
        callback,
        Some(adapter),
        path.send_complete,
        &[context, first, flags],
    );
}

/// The protocol returns receives.
pub(super) fn return_down(adapter: u32, nbls: Vec<u64>) {
    let (filtered, plain): (Vec<u64>, Vec<u64>) =
        nbls.into_iter().partition(|nbl| concerns_filter(*nbl));
    nbl::bring_home(plain);
    if filtered.is_empty() {
        return;
    }
    let Some((context, path)) = module::path(adapter) else {
        // The module is gone, and its NBLs pass by where it was.
        return nbl::bring_home(filtered);
    };
    nbl::hand_back(&filtered);
    let first = nbl::link(&filtered);
    emit(Kind::Nbl(NblEvent::Back {
        adapter,
        path: NblPath::Receive,
        nbls: filtered.clone(),
    }));
    if path.return_ == 0 {
        return nbl::bring_home(filtered);
    }
    let flags = at_level(NDIS_RETURN_FLAGS_DISPATCH_LEVEL, 0);
    let callback = Callback::FilterReturnNetBufferLists;
    driver::call(
        callback,
        Some(adapter),
        path.return_,
        &[context, first, flags],
    );
}

/// Whether the filter sees a structure on its way back.
fn concerns_filter(nbl: u64) -> bool {
    nbl::was_passed(nbl) || own::is_own(nbl)
}

/// Reads and announces a list that the driver hands over; gives the adapter and the structures.
fn take(
    call: &Call<'_>,
    function: NblCall,
    count: Option<u32>,
    dispatch_flag: bool,
    low_resources: bool,
) -> Option<(u32, Vec<u64>)> {
    let module_handle = call.arg(0);
    let adapter = handle::module(function.name(), module_handle)?;
    let (mut nbls, chain) = nbl::read_handed(call.arg(1), module_handle);
    let addresses = nbls.iter().map(|handed| handed.nbl).collect();
    content::look_at_handed(function, &mut nbls);
    let path = module::path_handlers(adapter);
    let has_return_handler = match function {
        NblCall::Send => path.send_complete != 0,
        NblCall::Indicate => path.return_ != 0,
        NblCall::SendComplete | NblCall::Return => true,
    };
    emit(Kind::Nbl(NblEvent::Handed {
        adapter,
        call: function,
        nbls,
        chain,
        count,
        dispatch_flag,
        low_resources,
        has_return_handler,
    }));
    Some((adapter, addresses))
}

fn send(call: &Call<'_>) -> u64 {
    let dispatch_flag = call.arg_u32(3) & NDIS_SEND_FLAGS_DISPATCH_LEVEL != 0;
    if let Some((adapter, nbls)) = take(call, NblCall::Send, None, dispatch_flag, false) {
        exposure::check_frames(&nbls, NblCall::Send);
        nbl::note_passed(&nbls);
        own::note_out(&nbls, adapter, NblPath::Send);
        disturbance::loop_back_own(adapter, &nbls, call.arg(0));
        nbl::withdraw(&nbls);
        reach_miniport(adapter, nbls);
    }
    0
}

fn send_complete(call: &Call<'_>) -> u64 {
    let dispatch_flag = call.arg_u32(2) & NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL != 0;
    if let Some((_, nbls)) = take(call, NblCall::SendComplete, None, dispatch_flag, false) {
        nbl::bring_home(nbls);
    }
    0
}

fn indicate(call: &Call<'_>) -> u64 {
    let flags = call.arg_u32(4);
    let dispatch_flag = flags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL != 0;
    let low_resources = flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0;
    let Some((adapter, nbls)) = take(
        call,
        NblCall::Indicate,
        Some(call.arg_u32(3)),
        dispatch_flag,
        low_resources,
    ) else {
        return 0;
    };
    exposure::check_frames(&nbls, NblCall::Indicate);
    nbl::note_passed(&nbls);
    own::note_out(&nbls, adapter, NblPath::Receive);
    nbl::withdraw(&nbls);
    if low_resources {
        if !lend_up(adapter, &nbls) {
            copy_lent();
        }
        nbl::hand_back(&nbls);
        emit(Kind::Nbl(NblEvent::Back {
            adapter,
            path: NblPath::Receive,
            nbls,
        }));
    } else {
        reach_protocol(adapter, nbls);
    }
    0
}

/// The protocol copies what it wants of receives that are only lent: then they are the filter's again.
fn copy_lent() {
    if sched::irql() < DISPATCH_LEVEL && sched::chance(1, 2) {
        sched::sleep_until(sched::now() + sched::random(COPY_NS));
    }
    for _ in 0..sched::random(COPY_POINTS) {
        sched::point();
    }
}

fn return_(call: &Call<'_>) -> u64 {
    let dispatch_flag = call.arg_u32(2) & NDIS_RETURN_FLAGS_DISPATCH_LEVEL != 0;
    if let Some((_, nbls)) = take(call, NblCall::Return, None, dispatch_flag, false) {
        nbl::bring_home(nbls);
    }
    0
}

fn cancel_send(call: &Call<'_>) -> u64 {
    if let Some(adapter) = handle::module("NdisFCancelSendNetBufferLists", call.arg(0)) {
        cancel_at_miniport(adapter, call.arg(1));
    }
    0
}
