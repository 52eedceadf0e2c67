//! `Ob*`: handles and references.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::Kind;
use lab_rules::event::{HandleEvent, Remaining};

use super::registry::KeyName;
use super::{SUCCESS, file, imports, namespace, status};
use crate::abi::constant::{
    OBJ_KERNEL_HANDLE, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_HANDLE, STATUS_NOT_SUPPORTED,
    STATUS_OBJECT_TYPE_MISMATCH,
};
use crate::abi::nt::{DISPATCHER_HEADER, OBJECT_ATTRIBUTES, UNICODE_STRING};
use crate::device;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::{self, Holder, OrFault, emit};

imports! {
    "ntoskrnl.exe":
    ObReferenceObjectByHandle => reference_by_handle,
    ObReferenceObjectByPointer => reference_by_pointer,
    ObReferenceObjectByHandleWithTag => reference_by_handle_with_tag,
    ObReferenceObjectByPointerWithTag => reference_by_pointer,
    ObOpenObjectByPointer => open_by_pointer,
    ObfReferenceObject => reference,
    ObfReferenceObjectWithTag => reference,
    ObfDereferenceObject => dereference,
    ObfDereferenceObjectWithTag => dereference,
    ObDereferenceObjectDeferDelete => dereference,
    ObDereferenceObjectDeferDeleteWithTag => dereference,
    ObCloseHandle => close_handle,
    ObQueryNameString => query_name,
    ZwDuplicateObject => duplicate,
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
    /// A folder of objects or a symbolic link, by its name.
    Named(String),
}

impl Object {
    fn noun(&self) -> &'static str {
        match self {
            Self::Address(_) => HANDLE,
            Self::Key(_) => "handle of a key",
            Self::File(_) => "handle of a file",
            Self::Named(_) => "handle of a folder or link",
        }
    }
}

/// A handle.
#[derive(Clone)]
struct Handle {
    object: Object,
    /// The name that lasts as long as there are handles.
    name: Option<String>,
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
    /// Objects that the system itself needs for a while.
    static HELD: RefCell<BTreeMap<u64, u32>> = const { RefCell::new(BTreeMap::new()) };
    /// Those that go with the last handle and reference.
    static ADOPTED: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Forgets all handles: a run begins.
pub(crate) fn reset() {
    HANDLES.take();
    REFERENCES.take();
    HELD.take();
    ADOPTED.take();
    namespace::reset();
}

/// A new handle of an object, as these object attributes want it.
pub(super) fn open_by(attributes: u64, object: Object) -> u64 {
    open_named(attributes, object, None)
}

/// The same of an object that may have a name.
pub(super) fn open_named(attributes: u64, object: Object, name: Option<String>) -> u64 {
    let is_kernel = attributes != 0
        && OBJECT_ATTRIBUTES::Attributes.read(attributes).or_fault() & OBJ_KERNEL_HANDLE != 0;
    open_new(is_kernel, object, name)
}

/// A handle of the kernel's.
pub(super) fn open_for_kernel(object: Object, name: Option<String>) -> u64 {
    open_new(true, object, name)
}

fn open_new(is_kernel: bool, object: Object, name: Option<String>) -> u64 {
    let process = (!is_kernel).then(sched::process);
    let noun = object.noun();
    if let Some(name) = &name {
        namespace::open(name);
    }
    let handle = HANDLES.with_borrow_mut(|handles| {
        let first = match process {
            Some(_) => FIRST_OF_PROCESS,
            None => FIRST_HANDLE,
        };
        let handle = first + STEP * handles.opened;
        handles.opened += 1;
        let new = Handle {
            object,
            name,
            process,
        };
        handles.open.insert(handle, new);
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
    let Some(Handle { object, name, .. }) = closed else {
        return false;
    };
    watch::note_object(object.noun(), handle, "closed", Holder::Nobody);
    if let Some(name) = name {
        namespace::close(&name);
    }
    match object {
        Object::File(file) => file::close(file),
        Object::Address(address) => {
            if !is_open(address) {
                device::close_handle(address);
            }
            retire(address);
        }
        Object::Key(_) | Object::Named(_) => {}
    }
    true
}

/// An object of the system's that goes with the last handle and reference.
pub(super) fn adopt(address: u64) {
    ADOPTED.with_borrow_mut(|adopted| adopted.insert(address));
}

/// Whether somebody has a handle of an object.
fn is_open(address: u64) -> bool {
    HANDLES.with_borrow(|handles| {
        let mut open = handles.open.values();
        open.any(|handle| handle.object == Object::Address(address))
    })
}

/// A handle or reference of an object is gone, and so is the object if that was the last.
fn retire(address: u64) {
    let is_held = HELD.with_borrow(|held| held.contains_key(&address));
    let is_referenced = REFERENCES.with_borrow(|references| references.contains_key(&address));
    // A permanent one keeps its name.
    let is_named = namespace::name_of(address).is_some();
    if is_open(address) || is_held || is_referenced || is_named {
        return;
    }
    device::close_for_driver(address);
    if ADOPTED.with_borrow_mut(|adopted| adopted.remove(&address)) {
        driver::release(address);
    }
}

/// The system needs objects for a while.
pub(super) fn hold(objects: &[u64]) {
    HELD.with_borrow_mut(|held| {
        for object in objects {
            *held.entry(*object).or_default() += 1;
        }
    });
}

/// It needs them no more.
pub(super) fn let_go(objects: &[u64]) {
    for object in objects {
        HELD.with_borrow_mut(|held| {
            if let Some(count) = held.get_mut(object) {
                *count -= 1;
                if *count == 0 {
                    held.remove(object);
                }
            }
        });
        retire(*object);
    }
}

/// Whether there is an event at an address.
pub(super) fn is_event(address: u64) -> bool {
    Type::of(address) == Ok(Type::Event)
}

/// The name of the object of a handle, if it has one.
pub(super) fn name_of(handle: u64) -> Option<String> {
    look_up(handle)?;
    HANDLES.with_borrow(|handles| handles.open.get(&handle)?.name.clone())
}

/// The kinds of objects that a driver can have the type of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Event,
    Thread,
    Process,
    File,
    Device,
    Driver,
}

impl Type {
    /// That of the object at an address, as its beginning tells.
    fn of(address: u64) -> Result<Self, BadAddress> {
        /// `IO_TYPE_DEVICE`, `IO_TYPE_DRIVER` and `IO_TYPE_FILE` are 16 bits, and the size follows.
        const IO: [(u16, Type); 3] = [(3, Type::Device), (4, Type::Driver), (5, Type::File)];
        /// Threads and processes as `DISPATCHER_HEADER` has them.
        const THREAD: u8 = 6;
        let first: u16 = mem::read(address)?;
        let size: u16 = mem::read(address.wrapping_add(2))?;
        let is_io = |(kind, _): &&(u16, Self)| *kind == first && size >= 200;
        if let Some((_, known)) = IO.iter().find(is_io) {
            return Ok(*known);
        }
        Ok(match DISPATCHER_HEADER::Type.read(address)? {
            0 | 1 if DISPATCHER_HEADER::Size.read(address)? == 6 => Self::Event,
            THREAD => Self::Thread,
            _ => Self::Process,
        })
    }
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
        // Nothing of the others can be seen.
        Object::Key(_) | Object::File(_) | Object::Named(_) => None,
    }
}

fn reference_by_handle(call: &Call<'_>) -> u64 {
    reference_to(call, call.arg(4))
}

/// The tag comes before where the object goes.
fn reference_by_handle_with_tag(call: &Call<'_>) -> u64 {
    reference_to(call, call.arg(5))
}

fn reference_to(call: &Call<'_>, out: u64) -> u64 {
    // Asking for what may not be there is no misuse.
    match find(call.arg(0)) {
        Some(Object::Address(object)) => {
            mem::write(out, object).or_fault();
            note_reference(object);
            SUCCESS
        }
        Some(_) => status(STATUS_OBJECT_TYPE_MISMATCH),
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
        retire(object);
    }
    u64::from(left.unwrap_or(0).saturating_add(1))
}

fn open_by_pointer(call: &Call<'_>) -> u64 {
    let (object, attributes, out) = (call.arg(0), call.arg_u32(1), call.arg(6));
    mem::read::<u16>(object).or_fault();
    let is_kernel = attributes & OBJ_KERNEL_HANDLE != 0;
    let handle = open_new(
        is_kernel,
        Object::Address(object),
        namespace::name_of(object),
    );
    mem::write(out, handle).or_fault();
    SUCCESS
}

fn close_handle(call: &Call<'_>) -> u64 {
    if close(call.arg(0)) {
        SUCCESS
    } else {
        status(STATUS_INVALID_HANDLE)
    }
}

/// Another handle of the same object; the first may be closed with it.
fn duplicate(call: &Call<'_>) -> u64 {
    /// `DUPLICATE_CLOSE_SOURCE`.
    const CLOSE_SOURCE: u32 = 1;
    let (source, out, attributes) = (call.arg(1), call.arg(3), call.arg_u32(5));
    if look_up(source).is_none() {
        return status(STATUS_INVALID_HANDLE);
    }
    let known = HANDLES.with_borrow(|handles| handles.open.get(&source).cloned());
    let Some(Handle { object, name, .. }) = known else {
        return status(STATUS_INVALID_HANDLE);
    };
    // A file is closed with its last handle, which the lab does not count.
    if matches!(object, Object::File(_)) {
        return status(STATUS_NOT_SUPPORTED);
    }
    if out != 0 {
        let handle = open_new(attributes & OBJ_KERNEL_HANDLE != 0, object, name);
        mem::write(out, handle).or_fault();
    }
    if call.arg_u32(6) & CLOSE_SOURCE != 0 {
        close(source);
    }
    SUCCESS
}

/// The name of an object, if it has one, as a string with its text behind it.
fn query_name(call: &Call<'_>) -> u64 {
    let (object, out, length, needed_out) =
        (call.arg(0), call.arg(1), call.arg_u32(2), call.arg(3));
    mem::read::<u16>(object).or_fault();
    let name = namespace::name_of(object).or_else(|| device::name_of(object));
    let text = super::ansi::wide(name.as_deref().unwrap_or_default());
    let with_end = if text.is_empty() { 0 } else { text.len() + 2 };
    let needed = UNICODE_STRING::SIZE + with_end;
    mem::write(needed_out, needed as u32).or_fault();
    if usize::try_from(length).is_ok_and(|length| length < needed) {
        return status(STATUS_INFO_LENGTH_MISMATCH);
    }
    let buffer = out.wrapping_add(UNICODE_STRING::SIZE as u64);
    let fill = || {
        mem::fill(out, needed, 0)?;
        if !text.is_empty() {
            UNICODE_STRING::Length.write(out, text.len() as u16)?;
            UNICODE_STRING::MaximumLength.write(out, with_end as u16)?;
            UNICODE_STRING::Buffer.write(out, buffer)?;
            mem::write_bytes(buffer, &text)?;
        }
        Ok(())
    };
    let filled: Result<(), BadAddress> = fill();
    filled.or_fault();
    SUCCESS
}
