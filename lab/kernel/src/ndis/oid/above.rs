//! The upper edge: NDIS and protocols ask, and the filter may answer or pass on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use lab_rules::Kind;
use lab_rules::event::{Callback, OidAlteration, OidEvent, OidPath};

use super::ask;
use super::{PENDING, below, request};
use crate::abi::constant::{NDIS_STATUS_ALREADY_COMPLETE, NDIS_STATUS_SUCCESS};
use crate::driver;
use crate::ndis::filter::{self, Handlers};
use crate::ndis::{adapter, module, stack, traffic};
use crate::per_image::per_image;
use crate::rt::mem;
use crate::rt::sched::{self, Wait};
use crate::watch::{self, OrFault, emit};
use crate::{OidAsk, Outcome};

/// How long the filter may take for a request, in ns: Driver Verifier's 12 seconds and a bit.
const LIMIT_NS: u64 = 12_500_000_000;
/// The longest pause before a request, in ns.
const GAP_NS: u64 = 60_000;
/// The longest time before a request is cancelled, in ns.
const PATIENCE_NS: u64 = 20_000;
/// One in so many requests is cancelled about when the filter is given it, within so many ns.
const IMPATIENT: u64 = 8;
const IMPATIENCE_NS: u64 = 2_000;

/// A request that the filter has.
struct Given {
    /// What it was finished with.
    status: Option<u32>,
    reserved: Vec<u8>,
    /// Of a synchronous request.
    fixed: Vec<u8>,
    /// Bytes that its buffer has.
    room: u32,
}

per_image! {
    static GIVEN: RefCell<BTreeMap<u64, Given>> = const { RefCell::new(BTreeMap::new()) };
    /// Adapters on which a regular request is under way.
    static BUSY: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
    static LAST_ID: Cell<u64> = const { Cell::new(0) };
}

/// Forgets all requests: a run begins.
pub(super) fn reset() {
    GIVEN.take();
    BUSY.take();
    LAST_ID.set(0);
}

/// Whether a filter sees any requests at all; else they pass it by.
pub(crate) fn concerns_filter() -> bool {
    !paths().is_empty()
}

/// The interfaces that a filter of the stack has handlers for.
fn paths() -> Vec<OidPath> {
    let all = [OidPath::Regular, OidPath::Direct, OidPath::Synchronous];
    let is_handled = |path: &OidPath| !stack::all(|| !has_handler(*path));
    all.into_iter().filter(is_handled).collect()
}

/// Whether the running image has a handler for this interface.
pub(super) fn has_handler(path: OidPath) -> bool {
    let handlers = filter::registered()
        .map(|filter| filter.handlers)
        .unwrap_or_default();
    let handler = match path {
        OidPath::Regular => handlers.oid_request,
        OidPath::Direct => handlers.direct_oid_request,
        OidPath::Synchronous => {
            handlers.synchronous_oid_request | handlers.synchronous_oid_request_complete
        }
    };
    handler != 0
}

/// Asks an adapter's stack so many times.
pub(crate) fn ask_some(adapter: u32, count: u32) {
    for _ in 0..count {
        if !concerns_filter() {
            return;
        }
        sched::sleep_until(sched::now() + sched::random(GAP_NS));
        let paths = paths();
        // Most requests are regular ones.
        let regular = paths.first().filter(|_| sched::chance(1, 2));
        let path = regular.or_else(|| paths.get(sched::random(paths.len().max(1) as u64) as usize));
        if let Some(path) = path {
            ask(adapter, None, &ask::any(*path));
        }
    }
}

/// Asks an adapter's stack for all that the adapter knows, with other requests in between.
pub(crate) fn ask_all(adapter: u32) {
    let asks = paths().into_iter().flat_map(ask::all);
    for one in asks {
        ask_some(adapter, sched::random(2) as u32);
        ask(adapter, None, &one);
    }
}

/// Tells an adapter's stack of a new power state.
pub(crate) fn set_power(adapter: u32, state: i32) {
    if paths().contains(&OidPath::Regular) {
        ask(adapter, None, &ask::power(state));
    }
}

/// Asks an adapter's stack once: the filter `image`, or the topmost that has a handler. Past them the adapter answers.
pub(crate) fn ask_one(adapter: u32, image: Option<u8>, request: &OidAsk) -> Outcome {
    ask(adapter, image, request).unwrap_or_else(|| {
        let built = request::build(request, next_id());
        let status = below::answer(built.request).or_fault();
        let outcome = Outcome {
            note: Outcome::past().note,
            ..outcome(built.request, request, status)
        };
        built.release();
        outcome
    })
}

/// What a request has ended with.
fn outcome(request: u64, ask: &OidAsk, status: u32) -> Outcome {
    let (output, bytes) = request::answer(request, ask).or_fault();
    Outcome {
        status: Some(status),
        output: if status >> 30 == 3 {
            Vec::new()
        } else {
            output
        },
        bytes: Some(bytes.into()),
        ..Outcome::default()
    }
}

/// Asks once the topmost filter that has a handler, of those that are attached if there is one; or the filter `image`, if
/// it is one of those. `None` if none has it.
fn ask(adapter: u32, image: Option<u8>, request: &OidAsk) -> Option<Outcome> {
    let is_concerned = || has_handler(request.path);
    let is_there = || is_concerned() && module::path(adapter).is_some();
    let find = |is: &dyn Fn() -> bool| stack::find(image, stack::from_top(), is);
    let image = find(&is_there).or_else(|| find(&is_concerned))?;
    sched::on_behalf(image, || ask_running(adapter, request))
}

fn next_id() -> u64 {
    let id = LAST_ID.get() + 1;
    LAST_ID.set(id);
    id
}

/// Asks the running image once, unless its module is being detached.
fn ask_running(adapter: u32, ask: &OidAsk) -> Option<Outcome> {
    if !adapter::enter_control(adapter) {
        return None;
    }
    let mut ended = None;
    if ask.path == OidPath::Regular {
        sched::wait(&mut || BUSY.with_borrow_mut(|busy| busy.insert(adapter)));
    }
    if let (Some(filter), Some((context, _))) = (filter::registered(), module::path(adapter)) {
        let built = request::build(ask, next_id());
        let mut status = None;
        match ask.path {
            OidPath::Synchronous => {
                traffic::at_some_level(|| {
                    let handlers = &filter.handlers;
                    let ended = ask_synchronously(adapter, handlers, context, built.request);
                    status = Some(ended);
                });
            }
            path => {
                let cancels = match ask.is_cancelled {
                    Some(false) => None,
                    None if ask::must_succeed(ask) => None,
                    is_sure => Some((built.id, is_sure.is_some())),
                };
                let handlers = &filter.handlers;
                give(adapter, path, handlers, context, built.request, cancels);
            }
        }
        let given = GIVEN.with_borrow_mut(|given| given.remove(&built.request));
        let status = status.or_else(|| given?.status);
        ended = status.map(|status| outcome(built.request, ask, status));
        built.release();
    }
    if ask.path == OidPath::Regular {
        BUSY.with_borrow_mut(|busy| busy.remove(&adapter));
    }
    adapter::leave_control(adapter);
    ended
}

/// Notes that the filter has a request.
fn note(adapter: u32, path: OidPath, request: u64, handler: u64) {
    let told = request::read(request).or_fault();
    let given = Given {
        status: None,
        reserved: request::reserved_bytes(request).or_fault(),
        fixed: request::fixed_bytes(request).or_fault(),
        room: told.buffer_len,
    };
    GIVEN.with_borrow_mut(|all| all.insert(request, given));
    watch::note_handler(&[request], handler);
    emit(Kind::Oid(OidEvent::Given {
        adapter,
        path,
        request: told,
    }));
}

/// The running image has a request from the filter above, and finishes it; gives its status.
pub(super) fn forward(adapter: u32, path: OidPath, request: u64) -> u32 {
    if !adapter::enter_control(adapter) {
        return below::answer(request).or_fault();
    }
    let is_regular = path == OidPath::Regular;
    if is_regular {
        sched::wait(&mut || BUSY.with_borrow_mut(|busy| busy.insert(adapter)));
    }
    let mut status = None;
    if let (Some(filter), Some((context, _))) = (filter::registered(), module::path(adapter)) {
        if path == OidPath::Synchronous {
            status = Some(ask_synchronously(
                adapter,
                &filter.handlers,
                context,
                request,
            ));
        } else {
            give(adapter, path, &filter.handlers, context, request, None);
        }
        let given = GIVEN.with_borrow_mut(|given| given.remove(&request));
        status = status.or_else(|| given?.status);
    }
    if is_regular {
        BUSY.with_borrow_mut(|busy| busy.remove(&adapter));
    }
    adapter::leave_control(adapter);
    status.unwrap_or_else(|| below::answer(request).or_fault())
}

/// Who has given the running image a request cancels it.
pub(super) fn cancel(adapter: u32, path: OidPath, id: u64) {
    emit(Kind::Oid(OidEvent::CancelGiven { adapter, id }));
    let handlers = filter::registered().map(|filter| filter.handlers);
    let handlers = handlers.unwrap_or_default();
    let (callback, handler) = match path {
        OidPath::Direct => (
            Callback::FilterCancelDirectOidRequest,
            handlers.cancel_direct_oid_request,
        ),
        _ => (
            Callback::FilterCancelOidRequest,
            handlers.cancel_oid_request,
        ),
    };
    match module::path(adapter) {
        Some((context, _)) if handler != 0 && adapter::enter_control(adapter) => {
            let arguments = [context, id];
            traffic::at_some_level(|| driver::call(callback, Some(adapter), handler, &arguments));
            adapter::leave_control(adapter);
        }
        // NDIS goes past the filter.
        _ => below::cancel(adapter, id),
    }
}

/// Gives the filter a request that it may finish later; with an identifier it may be cancelled, or surely is if it takes
/// any time.
fn give(
    adapter: u32,
    path: OidPath,
    handlers: &Handlers,
    context: u64,
    request: u64,
    cancels: Option<(u64, bool)>,
) {
    let (callback, handler) = match path {
        OidPath::Direct => (
            Callback::FilterDirectOidRequest,
            handlers.direct_oid_request,
        ),
        _ => (Callback::FilterOidRequest, handlers.oid_request),
    };
    let one_in = |is_sure| if is_sure { 2 } else { IMPATIENT };
    let impatient = cancels.filter(|(_, is_sure)| sched::chance(1, one_in(*is_sure)));
    let cancelled = Rc::new(Cell::new(impatient.is_none()));
    if let Some((id, _)) = impatient {
        let cancelled = Rc::clone(&cancelled);
        // It may come before the filter knows of the request, while its handler runs, or after that.
        sched::spawn(&format!("oid canceller {adapter}"), None, move || {
            sched::sleep_until(sched::now() + sched::random(IMPATIENCE_NS));
            if !is_done(request) {
                cancel(adapter, path, id);
            }
            cancelled.set(true);
        });
    }
    traffic::at_some_level(|| {
        note(adapter, path, request, handler);
        watch_over(adapter, request);
        let status = driver::call_status(callback, Some(adapter), handler, &[context, request]);
        emit(Kind::Oid(OidEvent::Answered {
            adapter,
            path,
            request: request::read(request).or_fault(),
            status,
        }));
        if status != PENDING {
            check(adapter, request, OidAlteration::Reserved);
            check_answer(request, status, handler);
            finish(request, status);
        }
    });
    let patience_ns = sched::now() + sched::random(PATIENCE_NS);
    let is_over = sched::wait_until(patience_ns, &mut || is_done(request));
    if is_over == Wait::TimedOut
        && let Some((id, is_sure)) = cancels
        && (is_sure || sched::chance(1, 2))
    {
        cancel(adapter, path, id);
    }
    sched::wait(&mut || is_done(request) && cancelled.get());
}

/// Says so if the filter takes too long.
fn watch_over(adapter: u32, request: u64) {
    let since_ns = sched::now();
    sched::spawn(&format!("oid watchdog {adapter}"), None, move || {
        let is_over = || GIVEN.with_borrow(|given| !given.contains_key(&request));
        let limit_ns = since_ns + LIMIT_NS;
        if sched::wait_until(limit_ns, &mut || is_over() || is_done(request)) == Wait::TimedOut {
            emit(Kind::Oid(OidEvent::Overdue {
                adapter,
                request,
                waited_ns: LIMIT_NS,
            }));
        }
    });
}

/// Whether the filter has finished a request.
fn is_done(request: u64) -> bool {
    GIVEN.with_borrow(|given| {
        given
            .get(&request)
            .is_some_and(|given| given.status.is_some())
    })
}

/// The filter has finished a request.
pub(super) fn finish(request: u64, status: u32) {
    GIVEN.with_borrow_mut(|given| {
        if let Some(given) = given.get_mut(&request) {
            given.status.get_or_insert(status);
        }
    });
}

/// Compares what the filter must leave alone in a request that it has.
pub(super) fn check(adapter: u32, request: u64, alteration: OidAlteration) {
    let now = match alteration {
        OidAlteration::Synchronous => request::fixed_bytes(request),
        _ => request::reserved_bytes(request),
    };
    let is_changed = GIVEN.with_borrow(|given| {
        given.get(&request).is_some_and(|given| {
            let before = match alteration {
                OidAlteration::Synchronous => &given.fixed,
                _ => &given.reserved,
            };
            now.as_ref() != Ok(before)
        })
    });
    if is_changed {
        emit(Kind::Oid(OidEvent::Altered {
            adapter,
            request,
            alteration,
        }));
    }
}

/// Looks through the information that a handler has answered with.
fn check_answer(request: u64, status: u32, handler: u64) {
    if let Some(exposed) = exposed(request, status) {
        watch::emit_about(exposed, handler);
    }
}

/// The event if a request that is answered tells of bytes that nobody wrote.
pub(super) fn exposed(request: u64, status: u32) -> Option<Kind> {
    let room = GIVEN.with_borrow(|all| all.get(&request).map_or(0, |given| given.room));
    let has_succeeded = status == NDIS_STATUS_SUCCESS.cast_unsigned();
    has_succeeded.then(|| request::exposed(request, room))?
}

/// A synchronous request: down through the filter, and up again; gives its status.
fn ask_synchronously(adapter: u32, handlers: &Handlers, context: u64, request: u64) -> u32 {
    let path = OidPath::Synchronous;
    let check_both = || {
        check(adapter, request, OidAlteration::Synchronous);
        check(adapter, request, OidAlteration::Reserved);
    };
    let call_context = driver::object(8);
    let mut status = NDIS_STATUS_SUCCESS.cast_unsigned();
    let handler = handlers.synchronous_oid_request;
    note(adapter, path, request, handler);
    if handler != 0 {
        let callback = Callback::FilterSynchronousOidRequest;
        let arguments = [context, request, call_context];
        status = driver::call_status(callback, Some(adapter), handler, &arguments);
        emit(Kind::Oid(OidEvent::Answered {
            adapter,
            path,
            request: request::read(request).or_fault(),
            status,
        }));
        check_both();
        if status == NDIS_STATUS_ALREADY_COMPLETE.cast_unsigned() {
            check_answer(request, NDIS_STATUS_SUCCESS.cast_unsigned(), handler);
        }
    }
    let goes_on = status == NDIS_STATUS_SUCCESS.cast_unsigned();
    if status == NDIS_STATUS_ALREADY_COMPLETE.cast_unsigned() {
        status = NDIS_STATUS_SUCCESS.cast_unsigned();
    }
    if goes_on {
        status = below::go_on(adapter, request);
        let handler = handlers.synchronous_oid_request_complete;
        if handler != 0 {
            // The adapter has filled in what is its to fill in.
            GIVEN.with_borrow_mut(|given| {
                if let Some(given) = given.get_mut(&request) {
                    given.fixed = request::fixed_bytes(request).or_fault();
                }
            });
            let out = driver::object(4);
            driver::write(out, &status.to_le_bytes());
            let callback = Callback::FilterSynchronousOidRequestComplete;
            let own: u64 = mem::read(call_context).or_fault();
            let arguments = [context, request, out, own];
            driver::call(callback, Some(adapter), handler, &arguments);
            status = mem::read(out).or_fault();
            driver::release(out);
            check_both();
        }
    }
    emit(Kind::Oid(OidEvent::Completed {
        adapter,
        path,
        request: request::read(request).or_fault(),
        status,
    }));
    driver::release(call_context);
    status
}
