//! Handles that the driver is given. Each is the address of a block that it must not touch.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Lent, ModuleEvent, Remaining};

use crate::driver;
use crate::per_image::per_image;
use crate::watch::{self, Holder, emit};

/// Bytes behind a handle: rubbish, so that nobody finds sense in them.
const SIZE: usize = 64;

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    /// The filter driver.
    Driver,
    /// The module on an adapter.
    Module(u32),
    /// A device of `NdisRegisterDeviceEx`.
    Device,
    /// An open configuration.
    Configuration,
    /// A pool of NET_BUFFER_LISTs or NET_BUFFERs.
    Pool,
    /// A timer object.
    Timer,
    /// A reader-writer lock.
    RwLock,
    /// A generic object of the driver's.
    Generic,
}

per_image! {
    /// Every handle of the run, and whether it is alive.
    static HANDLES: RefCell<BTreeMap<u64, (Handle, bool)>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all handles: a run begins.
pub(crate) fn reset() {
    HANDLES.take();
}

/// A new handle.
pub(crate) fn open(kind: Handle) -> u64 {
    let handle = driver::rubbish(Lent::Other, SIZE);
    HANDLES.with_borrow_mut(|handles| handles.insert(handle, (kind, true)));
    match kind {
        Handle::Module(adapter) => watch::note_life(Some(adapter), handle),
        _ => {
            if let Some(noun) = noun(kind) {
                watch::note_object(noun, handle, "allocated", Holder::Driver);
            }
        }
    }
    handle
}

/// What reports call an object that no event tells of.
fn noun(kind: Handle) -> Option<&'static str> {
    match kind {
        Handle::Configuration => Some("configuration handle"),
        Handle::RwLock => Some("reader-writer lock"),
        Handle::Driver => Some("filter driver handle"),
        Handle::Module(_) | Handle::Device | Handle::Pool | Handle::Timer | Handle::Generic => None,
    }
}

/// Ends a handle; tells what it was, if it was alive.
pub(crate) fn close(handle: u64) -> Option<Handle> {
    let kind = look_up(handle)?;
    HANDLES.with_borrow_mut(|handles| handles.insert(handle, (kind, false)));
    if let Some(noun) = noun(kind) {
        watch::note_object(noun, handle, "given back", Holder::Nobody);
    }
    driver::release(handle);
    Some(kind)
}

/// What a live handle stands for.
pub(crate) fn look_up(handle: u64) -> Option<Handle> {
    HANDLES.with_borrow(|handles| {
        handles
            .get(&handle)
            .filter(|(_, alive)| *alive)
            .map(|(kind, _)| *kind)
    })
}

/// How many handles of a kind are alive, and the first of them.
pub(crate) fn remaining(wanted: Handle) -> Remaining {
    HANDLES.with_borrow(|handles| {
        let mut alive = handles
            .iter()
            .filter(|(_, (kind, alive))| *alive && *kind == wanted)
            .map(|(handle, _)| *handle);
        let first = alive.next();
        Remaining {
            count: u32::try_from(alive.count() + usize::from(first.is_some())).unwrap_or(u32::MAX),
            first: first.unwrap_or(0),
        }
    })
}

/// The adapter of a live module handle.
pub(crate) fn adapter(handle: u64) -> Option<u32> {
    match look_up(handle) {
        Some(Handle::Module(adapter)) => Some(adapter),
        _ => None,
    }
}

/// The adapter of a module handle that a function was given. A dead or foreign handle is an event.
pub(crate) fn module(function: &'static str, handle: u64) -> Option<u32> {
    let adapter = adapter(handle);
    if adapter.is_none() {
        complain(function, handle, true);
    }
    adapter
}

/// Whether a function was given a live driver or module handle. Anything else is an event.
pub(crate) fn is_driver_or_module(function: &'static str, handle: u64) -> bool {
    let is = matches!(
        look_up(handle),
        Some(Handle::Driver | Handle::Module(_) | Handle::Generic)
    );
    if !is {
        complain(function, handle, false);
    }
    is
}

fn complain(function: &'static str, handle: u64, is_module: bool) {
    let known = HANDLES.with_borrow(|handles| handles.get(&handle).copied());
    let is_module = match known {
        Some((kind, _)) => matches!(kind, Handle::Module(_)),
        None => is_module,
    };
    emit(Kind::Module(ModuleEvent::BadHandle {
        function,
        handle,
        was_alive: known.is_some(),
        is_module,
    }));
}
