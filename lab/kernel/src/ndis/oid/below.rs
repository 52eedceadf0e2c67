//! The lower edge: what the adapter makes of a request. It answers at once, later, slowly, or refuses.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Callback, OidAlteration, OidEvent, OidKind, OidPath};

use super::{PENDING, above, ask, request};
use crate::abi::constant::{
    NDIS_STATUS_FAILURE, NDIS_STATUS_INVALID_LENGTH, NDIS_STATUS_NOT_SUPPORTED,
    NDIS_STATUS_REQUEST_ABORTED, NDIS_STATUS_RESOURCES, NDIS_STATUS_SUCCESS,
};
use crate::abi::ndis::NDIS_OID_REQUEST as R;
use crate::driver;
use crate::ndis::{disturbance, filter, module, stack, traffic};
use crate::per_image::per_image;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::{OrFault, emit};

/// The latest answer of an adapter that is not slow, in ns.
const LATER_NS: u64 = 50_000;
/// The latest answer of a slow one, in ns.
const SLOWLY_NS: u64 = 2_000_000_000;

/// A request that lies below.
struct Below {
    adapter: u32,
    id: u64,
    is_cancelled: bool,
    /// The image of a filter below that has it.
    with_filter: Option<(u8, OidPath)>,
    /// The structure as the filter gave it away.
    image: Vec<u8>,
}

per_image! {
    static BELOW: RefCell<BTreeMap<u64, Below>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all requests: a run begins.
pub(super) fn reset() {
    BELOW.take();
}

/// The next filter below the running one that has a handler, if there is one.
fn next_filter(adapter: u32, path: OidPath) -> Option<u8> {
    let is_concerned = || above::has_handler(path) && module::path(adapter).is_some();
    stack::find(None, stack::below(), is_concerned)
}

/// A synchronous request goes on below the running filter; gives its status.
pub(super) fn go_on(adapter: u32, request: u64) -> u32 {
    let path = OidPath::Synchronous;
    match next_filter(adapter, path) {
        Some(image) => sched::on_behalf(image, || above::forward(adapter, path, request)),
        None => answer(request).or_fault(),
    }
}

/// A request of the filter's goes to a filter below, which may finish it later.
fn pass(adapter: u32, path: OidPath, request: u64, image: u8) -> u32 {
    if path == OidPath::Synchronous {
        let status = sched::on_behalf(image, || above::forward(adapter, path, request));
        emit(back(adapter, path, request, status));
        return status;
    }
    let below = Below {
        adapter,
        id: R::RequestId.read(request).or_fault(),
        is_cancelled: false,
        with_filter: Some((image, path)),
        image: Vec::new(),
    };
    BELOW.with_borrow_mut(|all| all.insert(request, below));
    emit(back(adapter, path, request, PENDING));
    sched::spawn(&format!("ndis oid {adapter}"), None, move || {
        let status = sched::on_behalf(image, || above::forward(adapter, path, request));
        BELOW.with_borrow_mut(|below| below.remove(&request));
        emit(back(adapter, path, request, status));
        call_back(adapter, path, request, status);
    });
    PENDING
}

/// A request of the filter's arrives; gives its status, or that it is pending.
pub(super) fn reach(adapter: u32, path: OidPath, request: u64) -> u32 {
    if let Some(image) = next_filter(adapter, path) {
        return pass(adapter, path, request, image);
    }
    if path == OidPath::Synchronous || sched::chance(1, 3) {
        let status = answer(request).or_fault();
        emit(back(adapter, path, request, status));
        return status;
    }
    let id = R::RequestId.read(request).or_fault();
    let image = request::image(request).or_fault();
    BELOW.with_borrow_mut(|below| {
        below.insert(
            request,
            Below {
                adapter,
                id,
                is_cancelled: false,
                with_filter: None,
                image,
            },
        )
    });
    emit(back(adapter, path, request, PENDING));
    sched::spawn(&format!("miniport oid {adapter}"), None, move || {
        finish_later(adapter, path, request)
    });
    PENDING
}

fn back(adapter: u32, path: OidPath, request: u64, status: u32) -> Kind {
    Kind::Oid(OidEvent::Back {
        adapter,
        path,
        request: request::read(request).unwrap_or_else(|_| request::gone(request)),
        status,
    })
}

fn finish_later(adapter: u32, path: OidPath, request: u64) {
    let most_ns = if sched::chance(1, 16) {
        SLOWLY_NS
    } else {
        LATER_NS
    };
    let due_ns = sched::now() + sched::random(most_ns);
    let is_cancelled =
        || BELOW.with_borrow(|below| below.get(&request).is_some_and(|below| below.is_cancelled));
    sched::wait_until(due_ns, &mut || is_cancelled());
    let aborted = is_cancelled();
    let Some(below) = BELOW.with_borrow_mut(|below| below.remove(&request)) else {
        return;
    };
    if request::image(request) != Ok(below.image) {
        emit(Kind::Oid(OidEvent::Altered {
            adapter,
            request,
            alteration: OidAlteration::Pending,
        }));
    }
    let status = if aborted {
        NDIS_STATUS_REQUEST_ABORTED.cast_unsigned()
    } else {
        answer(request).or_fault()
    };
    emit(back(adapter, path, request, status));
    call_back(adapter, path, request, status);
}

/// Tells the filter that its request is done.
fn call_back(adapter: u32, path: OidPath, request: u64, status: u32) {
    let Some(handlers) = filter::registered().map(|filter| filter.handlers) else {
        return;
    };
    let (callback, handler) = match path {
        OidPath::Direct => (
            Callback::FilterDirectOidRequestComplete,
            handlers.direct_oid_request_complete,
        ),
        _ => (
            Callback::FilterOidRequestComplete,
            handlers.oid_request_complete,
        ),
    };
    if let Some((context, _)) = module::path(adapter)
        && handler != 0
    {
        let arguments = [context, request, status.into()];
        traffic::at_some_level(|| driver::call(callback, Some(adapter), handler, &arguments));
    }
}

/// Cancels what lies below with this id.
pub(super) fn cancel(adapter: u32, id: u64) {
    let with_filters = BELOW.with_borrow_mut(|below| {
        let mut with_filters = Vec::new();
        for request in below.values_mut() {
            let is_meant = (request.adapter, request.id) == (adapter, id);
            request.is_cancelled |= is_meant;
            with_filters.extend(request.with_filter.filter(|_| is_meant));
        }
        with_filters
    });
    for (image, path) in with_filters {
        sched::on_behalf(image, || above::cancel(adapter, path, id));
    }
}

/// Carries a request out; gives its status.
pub(super) fn answer(request: u64) -> Result<u32, BadAddress> {
    let members = request::members(request)?;
    let oid = R::DATA_Oid.read(request)?;
    let refusal = |status: i32| Ok(status.cast_unsigned());
    let Some(known) = ask::find(members.kind, oid) else {
        return refusal(NDIS_STATUS_NOT_SUPPORTED);
    };
    let length = members.length.read(request)?;
    let room = match members.output_length {
        Some(output_length) => output_length.read(request)?,
        None => length,
    };
    if length < known.length || room < known.length {
        members.needed.write(request, known.length)?;
        return refusal(NDIS_STATUS_INVALID_LENGTH);
    }
    if !ask::MUST_SUCCEED.contains(&oid) && disturbance::may_refuse() && sched::chance(1, 16) {
        return refusal(if sched::chance(1, 2) {
            NDIS_STATUS_RESOURCES
        } else {
            NDIS_STATUS_FAILURE
        });
    }
    if let Some(read) = members.read {
        read.write(request, known.length)?;
    }
    if let Some(written) = members.written {
        let bytes: Vec<u8> = (0..known.length)
            .map(|_| sched::random(256) as u8)
            .collect();
        mem::write_bytes(members.buffer.read(request)?, &bytes)?;
        written.write(request, known.length)?;
    }
    if members.kind != OidKind::Query {
        R::SupportedRevision.write(request, 1)?;
    }
    Ok(NDIS_STATUS_SUCCESS.cast_unsigned())
}
