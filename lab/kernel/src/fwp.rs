//! `fwpkclnt.sys`: the Windows Filtering Platform, as a filter sees it that registers with it. What is added is kept and
//! can be looked up and deleted; no packet goes through it, so that no callout is ever called.

mod filter;

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::event::{Callback, Lent, Remaining};

use crate::abi::constant::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER,
    STATUS_UNSUCCESSFUL,
};
use crate::abi::ndis::NET_BUFFER_LIST;
use crate::driver;
use crate::ndis::{own, traffic};
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::mem;
use crate::rt::sched::{self, DISPATCH_LEVEL};
use crate::rt::{Call, Import};
use crate::watch::{self, Holder, OrFault};
use filter::Filter;

imports! {
    "fwpkclnt.sys":
    FwpmEngineOpen0 => engine_open,
    FwpmEngineClose0 => engine_close,
    FwpmTransactionBegin0 => transaction_begin,
    FwpmTransactionCommit0 => transaction_commit,
    FwpmTransactionAbort0 => transaction_abort,
    FwpmProviderAdd0 => add,
    FwpmProviderDeleteByKey0 => delete_keyed,
    FwpmSubLayerAdd0 => add,
    FwpmSubLayerDeleteByKey0 => delete_keyed,
    FwpmCalloutAdd0 => add_callout,
    FwpmCalloutDeleteByKey0 => delete_keyed,
    FwpmCalloutDeleteById0 => delete_numbered,
    FwpmFilterAdd0 => add_numbered,
    FwpmFilterDeleteByKey0 => delete_keyed,
    FwpmFilterDeleteById0 => delete_numbered,
    FwpmProviderContextAdd0 => add_numbered,
    FwpmProviderContextAdd1 => add_numbered,
    FwpmProviderContextAdd2 => add_numbered,
    FwpmProviderContextAdd3 => add_numbered,
    FwpmProviderContextDeleteByKey0 => delete_keyed,
    FwpmProviderContextDeleteById0 => delete_numbered,
    FwpmBfeStateGet0 => engine_state,
    FwpmBfeStateSubscribeChanges0 => subscribe,
    FwpmBfeStateUnsubscribeChanges0 => unsubscribe,
    FwpmFilterCreateEnumHandle0 => filter::enum_open,
    FwpmFilterDestroyEnumHandle0 => filter::enum_close,
    FwpmFilterEnum0 => filter::enumerate,
    FwpmFreeMemory0 => free_memory,
    FwpsCalloutRegister0 => callout_register,
    FwpsCalloutRegister1 => callout_register,
    FwpsCalloutRegister2 => callout_register,
    FwpsCalloutRegister3 => callout_register,
    FwpsCalloutUnregisterById0 => callout_unregister,
    FwpsCalloutUnregisterByKey0 => callout_unregister_key,
    FwpsFlowAssociateContext0 => flow_associate,
    FwpsFlowRemoveContext0 => flow_remove,
    FwpsRedirectHandleCreate0 => redirect_open,
    FwpsRedirectHandleDestroy0 => redirect_close,
    FwpsAllocateNetBufferAndNetBufferList0 => allocate_list,
    FwpsFreeNetBufferList0 => own::list::free,
    FwpsInjectionHandleCreate0 => injection_open,
    FwpsInjectionHandleDestroy0 => injection_close,
    FwpsInjectNetworkSendAsync0 => inject_send,
    FwpsQueryPacketInjectionState0 => injection_state,
}

/// All of them, for the table of modules.
pub(crate) const ALL: [&[Import]; 1] = [IMPORTS];

// <https://learn.microsoft.com/windows/win32/fwp/wfp-error-codes>
const STATUS_FWP_CALLOUT_NOT_FOUND: i32 = 0xC022_0001_u32.cast_signed();
const STATUS_FWP_NOT_FOUND: i32 = 0xC022_0008_u32.cast_signed();
const STATUS_FWP_ALREADY_EXISTS: i32 = 0xC022_0009_u32.cast_signed();
const STATUS_FWP_NO_TXN_IN_PROGRESS: i32 = 0xC022_000D_u32.cast_signed();
const STATUS_FWP_TXN_IN_PROGRESS: i32 = 0xC022_000E_u32.cast_signed();

/// What reports call what was added, and what was registered.
const ADDED: &str = "object of the filtering platform";
const CALLOUT: &str = "registered callout";
/// Bytes behind a handle.
const HANDLE_BYTES: usize = 16;
/// Bytes of a key, a GUID: the first member of everything that has one.
const KEY_BYTES: usize = 16;
/// The beginning of the names of functions about filters.
const FILTER: &str = "FwpmFilter";
/// `FWPS_PACKET_NOT_INJECTED` and `FWPS_PACKET_INJECTED_BY_SELF`.
const NOT_INJECTED: u64 = 0;
const INJECTED_BY_SELF: u64 = 1;

/// What a handle is.
#[derive(Debug, PartialEq, Eq)]
enum Handle {
    /// With what had been added when the transaction began that is under way.
    Engine {
        before: Option<Added>,
    },
    /// With the filters that it has not given yet.
    Enumeration {
        rest: Vec<Filter>,
    },
    Injection,
    /// A subscription to changes of the engine's state, which never changes.
    Subscription,
    Redirection,
}

impl Handle {
    fn noun(&self) -> &'static str {
        match self {
            Self::Engine { .. } => "filter engine handle",
            Self::Enumeration { .. } => "filter enumeration handle",
            Self::Injection => "injection handle",
            Self::Subscription => "subscription to the filter engine's state",
            Self::Redirection => "redirection handle",
        }
    }
}

/// What was added.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    number: u32,
    /// Its identifier; 0 for none.
    id: u64,
    filter: Option<Filter>,
}

/// By the beginning of the names of its functions, and its key.
type Added = BTreeMap<(&'static str, Vec<u8>), Item>;

#[derive(Default)]
struct Platform {
    handles: BTreeMap<u64, Handle>,
    added: Added,
    /// Registered callouts: identifier and key.
    callouts: BTreeMap<u32, Vec<u8>>,
    last_id: u32,
    /// Memory that enumerations have given.
    given: BTreeSet<u64>,
    /// Structures that were injected and are not completed, with the injection handle and context.
    injected: BTreeMap<u64, (u64, u64)>,
}

per_image! {
    static PLATFORM: RefCell<Platform> = RefCell::default();
}

/// Forgets everything: a run begins.
pub(crate) fn reset() {
    PLATFORM.take();
}

/// What is left: open handles, registered callouts, and what was added and not deleted.
pub(crate) fn remaining() -> Remaining {
    PLATFORM.with_borrow(|platform| {
        let handles = platform.handles.keys().copied();
        let callouts = platform.callouts.keys().copied().map(place);
        let added = platform.added.values().map(|item| place(item.number));
        let mut all = handles.chain(callouts).chain(added);
        let first = all.next();
        Remaining {
            count: u32::try_from(all.count() + usize::from(first.is_some())).unwrap_or(u32::MAX),
            first: first.unwrap_or(0),
        }
    })
}

/// Under what reports know something that has a number and no address.
fn place(number: u32) -> u64 {
    const FIRST: u64 = 0xF000_0000;
    FIRST + u64::from(number)
}

fn next_id() -> u32 {
    PLATFORM.with_borrow_mut(|platform| {
        platform.last_id += 1;
        platform.last_id
    })
}

/// A new handle, written where `out` points.
fn open(handle: Handle, out: u64) -> u64 {
    let address = driver::rubbish(Lent::Other, HANDLE_BYTES);
    watch::note_object(handle.noun(), address, "opened", Holder::Driver);
    PLATFORM.with_borrow_mut(|platform| platform.handles.insert(address, handle));
    mem::write(out, address).or_fault();
    SUCCESS
}

/// Whether a handle is open and of the kind that `is` accepts.
fn holds(handle: u64, is: fn(&Handle) -> bool) -> bool {
    PLATFORM.with_borrow(|platform| platform.handles.get(&handle).is_some_and(is))
}

/// Ends a handle of the kind that `is` accepts.
fn close(handle: u64, is: fn(&Handle) -> bool) -> u64 {
    let known = PLATFORM.with_borrow_mut(|platform| match platform.handles.entry(handle) {
        Entry::Occupied(known) if is(known.get()) => Some(known.remove()),
        _ => None,
    });
    let Some(known) = known else {
        return status(STATUS_INVALID_HANDLE);
    };
    watch::note_object(known.noun(), handle, "closed", Holder::Nobody);
    driver::release(handle);
    SUCCESS
}

fn is_engine(handle: u64) -> bool {
    holds(handle, |handle| matches!(handle, Handle::Engine { .. }))
}

fn engine_open(call: &Call<'_>) -> u64 {
    open(Handle::Engine { before: None }, call.arg(4))
}

/// A transaction that is under way ends with its session, without effect.
fn engine_close(call: &Call<'_>) -> u64 {
    PLATFORM.with_borrow_mut(|platform| platform.roll_back(call.arg(0)).ok());
    close(call.arg(0), |handle| {
        matches!(handle, Handle::Engine { .. })
    })
}

impl Platform {
    /// What had been added when the transaction of an engine began, if it has one.
    fn before(&mut self, engine: u64) -> Result<&mut Option<Added>, i32> {
        match self.handles.get_mut(&engine) {
            Some(Handle::Engine { before }) => Ok(before),
            _ => Err(STATUS_INVALID_HANDLE),
        }
    }

    /// Begins a transaction.
    fn begin(&mut self, engine: u64) -> Result<(), i32> {
        let added = self.added.clone();
        let before = self.before(engine)?;
        if before.is_some() {
            return Err(STATUS_FWP_TXN_IN_PROGRESS);
        }
        *before = Some(added);
        Ok(())
    }

    /// Ends a transaction; gives what had been added when it began.
    fn end(&mut self, engine: u64) -> Result<Added, i32> {
        let before = self.before(engine)?.take();
        before.ok_or(STATUS_FWP_NO_TXN_IN_PROGRESS)
    }

    /// Ends a transaction, and undoes what has happened since it began.
    fn roll_back(&mut self, engine: u64) -> Result<(), i32> {
        self.added = self.end(engine)?;
        Ok(())
    }
}

/// Does something with a transaction.
fn transact(body: impl FnOnce(&mut Platform) -> Result<(), i32>) -> u64 {
    PLATFORM
        .with_borrow_mut(body)
        .map_or_else(status, |()| SUCCESS)
}

fn transaction_begin(call: &Call<'_>) -> u64 {
    transact(|platform| platform.begin(call.arg(0)))
}

fn transaction_commit(call: &Call<'_>) -> u64 {
    transact(|platform| platform.end(call.arg(0)).map(|_| ()))
}

fn transaction_abort(call: &Call<'_>) -> u64 {
    transact(|platform| platform.roll_back(call.arg(0)))
}

/// What an import adds or deletes: the part of its name before `Add` or `Delete`.
fn kind(call: &Call<'_>) -> &'static str {
    let name = call.import().name;
    let end = name.find("Add").or_else(|| name.find("Delete"));
    &name[..end.unwrap_or(name.len())]
}

/// Adds what a structure that begins with its key describes; gives the key, or the status of a refusal. One without a key is
/// given one, which nobody else knows.
fn add_item(call: &Call<'_>) -> Result<Vec<u8>, u64> {
    let (engine, object) = (call.arg(0), call.arg(1));
    let mut key = mem::read_bytes(object, KEY_BYTES).or_fault();
    if !is_engine(engine) {
        return Err(status(STATUS_INVALID_HANDLE));
    }
    if key.iter().all(|byte| *byte == 0) {
        key[..4].copy_from_slice(&next_id().to_le_bytes());
    }
    let item = Item {
        number: next_id(),
        id: 0,
        filter: (kind(call) == FILTER).then(|| Filter::read(object, &key).or_fault()),
    };
    let place = place(item.number);
    PLATFORM.with_borrow_mut(
        |platform| match platform.added.entry((kind(call), key.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(item);
                Ok(())
            }
            Entry::Occupied(_) => Err(status(STATUS_FWP_ALREADY_EXISTS)),
        },
    )?;
    watch::note_object(ADDED, place, "allocated", Holder::Driver);
    Ok(key)
}

fn add(call: &Call<'_>) -> u64 {
    add_item(call).map_or_else(|refusal| refusal, |_| SUCCESS)
}

fn add_callout(call: &Call<'_>) -> u64 {
    let key = match add_item(call) {
        Ok(key) => key,
        Err(refusal) => return refusal,
    };
    if call.arg(3) != 0 {
        let registered = PLATFORM.with_borrow(|platform| {
            let mut callouts = platform.callouts.iter();
            callouts
                .find(|(_, known)| **known == key)
                .map(|(id, _)| *id)
        });
        let id = registered.unwrap_or_else(next_id);
        identify(call, id.into(), key);
        mem::write(call.arg(3), id).or_fault();
    }
    SUCCESS
}

/// What has an identifier of 64 bits.
fn add_numbered(call: &Call<'_>) -> u64 {
    let key = match add_item(call) {
        Ok(key) => key,
        Err(refusal) => return refusal,
    };
    let id = u64::from(next_id());
    identify(call, id, key);
    if call.arg(3) != 0 {
        mem::write(call.arg(3), id).or_fault();
    }
    SUCCESS
}

/// What was added gets its identifier.
fn identify(call: &Call<'_>, id: u64, key: Vec<u8>) {
    PLATFORM.with_borrow_mut(|platform| {
        if let Some(item) = platform.added.get_mut(&(kind(call), key)) {
            item.id = id;
            item.filter.iter_mut().for_each(|filter| filter.set_id(id));
        }
    });
}

/// The identifier of a callout has 32 bits, others 64.
fn delete_numbered(call: &Call<'_>) -> u64 {
    let id = if kind(call) == "FwpmCallout" {
        call.arg_u32(1).into()
    } else {
        call.arg(1)
    };
    if !is_engine(call.arg(0)) {
        return status(STATUS_INVALID_HANDLE);
    }
    let was_there = PLATFORM.with_borrow_mut(|platform| {
        let mut all = platform.added.iter().filter(|_| id != 0);
        let (known, _) = all.find(|((of, _), item)| *of == kind(call) && item.id == id)?;
        let known = known.clone();
        platform.added.remove(&known)
    });
    match was_there {
        Some(_) => SUCCESS,
        None => status(STATUS_FWP_NOT_FOUND),
    }
}

/// `FWPM_SERVICE_RUNNING`.
fn engine_state(_: &Call<'_>) -> u64 {
    const RUNNING: u64 = 3;
    RUNNING
}

fn subscribe(call: &Call<'_>) -> u64 {
    open(Handle::Subscription, call.arg(3))
}

fn unsubscribe(call: &Call<'_>) -> u64 {
    close(call.arg(0), |handle| *handle == Handle::Subscription)
}

fn delete_keyed(call: &Call<'_>) -> u64 {
    let key = mem::read_bytes(call.arg(1), KEY_BYTES).or_fault();
    if !is_engine(call.arg(0)) {
        return status(STATUS_INVALID_HANDLE);
    }
    let known = (kind(call), key);
    if PLATFORM.with_borrow_mut(|platform| platform.added.remove(&known).is_some()) {
        SUCCESS
    } else {
        status(STATUS_FWP_NOT_FOUND)
    }
}

/// What an enumeration has given is gone; the pointer is cleared, as always.
fn free_memory(call: &Call<'_>) -> u64 {
    let given = mem::read(call.arg(0)).or_fault();
    if PLATFORM.with_borrow_mut(|platform| platform.given.remove(&given)) {
        driver::release(given);
    }
    mem::write(call.arg(0), 0_u64).or_fault();
    0
}

fn callout_register(call: &Call<'_>) -> u64 {
    let key = mem::read_bytes(call.arg(1), KEY_BYTES).or_fault();
    let is_known =
        PLATFORM.with_borrow(|platform| platform.callouts.values().any(|known| *known == key));
    if is_known {
        return status(STATUS_FWP_ALREADY_EXISTS);
    }
    let id = next_id();
    PLATFORM.with_borrow_mut(|platform| platform.callouts.insert(id, key));
    watch::note_object(CALLOUT, place(id), "allocated", Holder::Driver);
    if call.arg(2) != 0 {
        mem::write(call.arg(2), id).or_fault();
    }
    SUCCESS
}

fn callout_unregister(call: &Call<'_>) -> u64 {
    let id = call.arg_u32(0);
    let known = PLATFORM.with_borrow_mut(|platform| platform.callouts.remove(&id));
    if known.is_some() {
        SUCCESS
    } else {
        status(STATUS_FWP_CALLOUT_NOT_FOUND)
    }
}

fn callout_unregister_key(call: &Call<'_>) -> u64 {
    let key = mem::read_bytes(call.arg(0), KEY_BYTES).or_fault();
    let known = PLATFORM.with_borrow_mut(|platform| {
        let mut callouts = platform.callouts.iter();
        let id = callouts
            .find(|(_, known)| **known == key)
            .map(|(id, _)| *id)?;
        platform.callouts.remove(&id)
    });
    if known.is_some() {
        SUCCESS
    } else {
        status(STATUS_FWP_CALLOUT_NOT_FOUND)
    }
}

/// A flow is told to a callout that is called, so that no identifier of one can be right here.
fn flow_associate(_: &Call<'_>) -> u64 {
    status(STATUS_INVALID_PARAMETER)
}

/// No flow has a context.
fn flow_remove(_: &Call<'_>) -> u64 {
    status(STATUS_UNSUCCESSFUL)
}

fn redirect_open(call: &Call<'_>) -> u64 {
    mem::read_bytes(call.arg(0), KEY_BYTES).or_fault();
    open(Handle::Redirection, call.arg(2))
}

fn redirect_close(call: &Call<'_>) -> u64 {
    close(call.arg(0), |handle| *handle == Handle::Redirection);
    0
}

fn allocate_list(call: &Call<'_>) -> u64 {
    let nbl = own::list::allocate_with_buffer(call);
    mem::write(call.arg(6), nbl).or_fault();
    if nbl == 0 {
        status(STATUS_INSUFFICIENT_RESOURCES)
    } else {
        SUCCESS
    }
}

fn injection_open(call: &Call<'_>) -> u64 {
    open(Handle::Injection, call.arg(2))
}

/// Waits until what was injected with it is completed.
fn injection_close(call: &Call<'_>) -> u64 {
    let handle = call.arg(0);
    let mut is_idle = || {
        PLATFORM.with_borrow(|platform| {
            platform
                .injected
                .values()
                .all(|(injected, _)| *injected != handle)
        })
    };
    sched::wait(&mut is_idle);
    close(handle, |handle| *handle == Handle::Injection)
}

/// The network stack has a packet of the driver's, and completes it some time later.
fn inject_send(call: &Call<'_>) -> u64 {
    let (handle, context, nbl) = (call.arg(0), call.arg(1), call.arg(4));
    let (routine, argument) = (call.arg(5), call.arg(6));
    if !holds(handle, |handle| *handle == Handle::Injection) {
        return status(STATUS_INVALID_HANDLE);
    }
    if nbl == 0 || routine == 0 {
        return status(STATUS_INVALID_PARAMETER);
    }
    NET_BUFFER_LIST::Next.read(nbl).or_fault();
    PLATFORM.with_borrow_mut(|platform| platform.injected.insert(nbl, (handle, context)));
    sched::spawn("injected send", None, move || {
        sched::sleep_until(sched::now() + sched::random(LATER_NS));
        NET_BUFFER_LIST::Status.write(nbl, 0).or_fault();
        traffic::at_some_level(|| {
            let is_dispatch = sched::irql() >= DISPATCH_LEVEL;
            let arguments = [argument, nbl, is_dispatch.into()];
            driver::call(Callback::InjectComplete, None, routine, &arguments);
        });
        PLATFORM.with_borrow_mut(|platform| platform.injected.remove(&nbl));
    });
    SUCCESS
}

/// The longest time that the network stack keeps an injected packet, in ns.
const LATER_NS: u64 = 100_000;

fn injection_state(call: &Call<'_>) -> u64 {
    let (handle, nbl, out) = (call.arg(0), call.arg(1), call.arg(2));
    let injected = PLATFORM.with_borrow(|platform| platform.injected.get(&nbl).copied());
    let own = injected.filter(|(injected, _)| *injected == handle);
    if out != 0 {
        mem::write(out, own.map_or(0, |(_, context)| context)).or_fault();
    }
    match own {
        Some(_) => INJECTED_BY_SELF,
        None => NOT_INJECTED,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Handle, Item, Platform, STATUS_FWP_NO_TXN_IN_PROGRESS, STATUS_FWP_TXN_IN_PROGRESS,
    };
    use crate::abi::constant::STATUS_INVALID_HANDLE;

    #[test]
    fn each_engine_has_its_own_transaction() {
        let mut platform = Platform::default();
        for engine in [1, 2] {
            let handle = Handle::Engine { before: None };
            platform.handles.insert(engine, handle);
        }
        platform.handles.insert(3, Handle::Injection);
        assert_eq!(platform.begin(1), Ok(()));
        assert_eq!(platform.begin(1), Err(STATUS_FWP_TXN_IN_PROGRESS));
        let item = Item {
            number: 1,
            id: 0,
            filter: None,
        };
        platform.added.insert(("Provider", vec![1]), item);
        assert_eq!(platform.begin(2), Ok(()));
        assert!(platform.end(2).is_ok());
        // The other's is still under way.
        assert_eq!(platform.roll_back(1), Ok(()));
        assert!(platform.added.is_empty());
        assert_eq!(platform.roll_back(1), Err(STATUS_FWP_NO_TXN_IN_PROGRESS));
        assert_eq!(platform.begin(3), Err(STATUS_INVALID_HANDLE));
    }
}
