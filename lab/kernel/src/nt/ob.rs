//! `Ob*`: handles and references.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{HandleEvent, Remaining};

use super::registry::KeyName;
use super::{SUCCESS, file, imports, status};
use crate::abi::constant::{OBJ_KERNEL_HANDLE, STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH};
use crate::abi::nt::OBJECT_ATTRIBUTES;
use crate::device;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::watch::{self, Holder, OrFault, emit};

imports! {
    "ntoskrnl.exe":
    ObReferenceObjectByHandle => reference_by_handle,
    ObReferenceObjectByPointer => reference_by_pointer,
    ObfReferenceObject => reference,
    ObfDereferenceObject => dereference,
    ObDereferenceObjectDeferDelete => dereference,
}

/// Kernel handles have the top bits set and go in steps of four.
const FIRST_HANDLE: u64 = 0xFFFF_FFFF_8000_0004;
/// Those of a process begin low.
const FIRST_OF_PROCESS: u64 = 4;
const STEP: u64 = 4;
/// What reports call one.
const HANDLE: &str = "kernel handle";

/// What a handle is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// A structure at this address.
    Address(u64),
    /// A key of the registry.
    Key(KeyName),
    /// An open file.
    File(u32),
}

impl Object {
    fn noun(&self) -> &'static str {
        match self {
            Self::Address(_) => HANDLE,
            Self::Key(_) => "handle of a key",
            Self::File(_) => "handle of a file",
        }
    }
}

/// A handle.
struct Handle {
    object: Object,
    /// The process that has it, unless the kernel has.
    process: Option<u32>,
}

#[derive(Default)]
struct Handles {
    open: BTreeMap<u64, Handle>,
    /// How many have been opened: no value comes again.
    opened: u64,
}

per_image! {
    static HANDLES: RefCell<Handles> = RefCell::default();
    /// References that the driver has, by object.
    static REFERENCES: RefCell<BTreeMap<u64, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all handles: a run begins.
pub(crate) fn reset() {
    HANDLES.take();
    REFERENCES.take();
}

/// A new handle of an object, as these object attributes want it.
pub(super) fn open_by(attributes: u64, object: Object) -> u64 {
    let is_kernel = attributes != 0
        && OBJECT_ATTRIBUTES::Attributes.read(attributes).or_fault() & OBJ_KERNEL_HANDLE != 0;
    let process = (!is_kernel).then(sched::process);
    let noun = object.noun();
    let handle = HANDLES.with_borrow_mut(|handles| {
        let first = match process {
            Some(_) => FIRST_OF_PROCESS,
            None => FIRST_HANDLE,
        };
        let handle = first + STEP * handles.opened;
        handles.opened += 1;
        handles.open.insert(handle, Handle { object, process });
        handle
    });
    watch::note_object(noun, handle, "opened", Holder::Driver);
    emit(Kind::Handle(HandleEvent::Opened {
        handle,
        is_kernel,
        in_user_process: sched::process() != 0,
    }));
    handle
}

/// Closes a handle; tells whether it was open.
pub(super) fn close(handle: u64) -> bool {
    let closed = HANDLES.with_borrow_mut(|handles| {
        let is_mine = handles.open.get(&handle).is_some_and(Handle::is_mine);
        is_mine.then(|| handles.open.remove(&handle)).flatten()
    });
    let Some(Handle { object, .. }) = closed else {
        return false;
    };
    watch::note_object(object.noun(), handle, "closed", Holder::Nobody);
    if let Object::File(file) = object {
        file::close(file);
    }
    true
}

impl Handle {
    /// Whether the running process has it, or the kernel.
    fn is_mine(&self) -> bool {
        self.process
            .is_none_or(|process| process == sched::process())
    }
}

fn find(handle: u64) -> Option<Object> {
    HANDLES.with_borrow(|handles| {
        let known = handles.open.get(&handle)?;
        known.is_mine().then(|| known.object.clone())
    })
}

/// The object of a handle that is open. One that is not, or is another process's, is an event.
pub(super) fn look_up(handle: u64) -> Option<Object> {
    /// Those of the current process and thread are none that were opened.
    const PSEUDO: u64 = u64::MAX - 1;
    let object = find(handle);
    if object.is_none() && handle < PSEUDO {
        emit(Kind::Handle(HandleEvent::Invalid {
            handle,
            function: watch::current_import().unwrap_or_default(),
        }));
    }
    object
}

/// Handles that were not closed.
pub(crate) fn remaining() -> Remaining {
    HANDLES.with_borrow(|handles| Remaining {
        count: u32::try_from(handles.open.len()).unwrap_or(u32::MAX),
        first: handles.open.keys().next().copied().unwrap_or(0),
    })
}

/// The address of the object of a handle that is open.
pub(super) fn object_of(handle: u64) -> Option<u64> {
    match look_up(handle)? {
        Object::Address(address) => Some(address),
        // Nothing of a key or a file can be seen.
        Object::Key(_) | Object::File(_) => None,
    }
}

fn reference_by_handle(call: &Call<'_>) -> u64 {
    // Asking for what may not be there is no misuse.
    match find(call.arg(0)) {
        Some(Object::Address(object)) => {
            mem::write(call.arg(4), object).or_fault();
            note_reference(object);
            SUCCESS
        }
        Some(Object::Key(_) | Object::File(_)) => status(STATUS_OBJECT_TYPE_MISMATCH),
        None => status(STATUS_INVALID_HANDLE),
    }
}

fn reference_by_pointer(call: &Call<'_>) -> u64 {
    note_reference(call.arg(0));
    SUCCESS
}

/// The driver has taken a reference.
pub(super) fn note_reference(object: u64) {
    REFERENCES.with_borrow_mut(|references| *references.entry(object).or_default() += 1);
    emit(Kind::Handle(HandleEvent::Referenced { object }));
}

fn reference(call: &Call<'_>) -> u64 {
    note_reference(call.arg(0));
    1
}

/// Objects of the lab live until the end of the run, but for files that nobody has a handle of.
fn dereference(call: &Call<'_>) -> u64 {
    let object = call.arg(0);
    emit(Kind::Handle(HandleEvent::Dereferenced { object }));
    let left = REFERENCES.with_borrow_mut(|references| {
        let count = references.get_mut(&object)?;
        *count -= 1;
        let left = *count;
        if left == 0 {
            references.remove(&object);
        }
        Some(left)
    });
    if left == Some(0) {
        device::close_for_driver(object);
    }
    1
}
