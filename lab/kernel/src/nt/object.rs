//! Events, folders of objects and symbolic links by handle.

use super::namespace::{self, Named};
use super::ob::{self, Object};
use super::{SUCCESS, imports, ke, status};
use crate::abi::constant::{
    OBJ_KERNEL_HANDLE, OBJ_OPENIF, OBJ_PERMANENT, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_HANDLE,
    STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER_4, STATUS_OBJECT_NAME_COLLISION,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH,
};
use crate::abi::nt::{KEVENT, OBJECT_ATTRIBUTES as O, UNICODE_STRING as U};
use crate::driver;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    IoCreateNotificationEvent => create_notification_event,
    IoCreateSynchronizationEvent => create_synchronization_event,
    ZwCreateEvent => create_event,
    ZwOpenEvent => open_event,
    ZwSetEvent => set_event,
    ZwResetEvent => reset_event,
    ZwClearEvent => clear_event,
    ZwCreateDirectoryObject => create_folder,
    ZwOpenDirectoryObject => open_folder,
    ZwCreateSymbolicLinkObject => create_link,
    ZwOpenSymbolicLinkObject => open_link,
    ZwQuerySymbolicLinkObject => query_link,
    ZwMakeTemporaryObject => make_temporary,
    ZwYieldExecution => yield_execution,
}

// <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55>
const STATUS_OBJECT_NAME_EXISTS: i32 = 0x4000_0000;
const STATUS_OBJECT_PATH_SYNTAX_BAD: i32 = 0xC000_003B_u32.cast_signed();

/// `NotificationEvent` and `SynchronizationEvent`.
const NOTIFICATION: u32 = 0;
const SYNCHRONIZATION: u32 = 1;

/// What object attributes say of a name.
struct Wish {
    /// In upper case; none for an object without one.
    name: Option<String>,
    flags: u32,
}

impl Wish {
    fn new(attributes: u64) -> Result<Self, i32> {
        if attributes == 0 {
            return Ok(Self {
                name: None,
                flags: 0,
            });
        }
        let read = || {
            let (root, name) = (
                O::RootDirectory.read(attributes)?,
                O::ObjectName.read(attributes)?,
            );
            Ok((root, name, O::Attributes.read(attributes)?))
        };
        let (root, name, flags) = read().or_fault();
        if name == 0 {
            return Ok(Self { name: None, flags });
        }
        let name = driver::read_unicode_string(name).or_fault();
        let full = match root {
            0 if name.starts_with('\\') => name,
            0 => return Err(STATUS_OBJECT_PATH_SYNTAX_BAD),
            root => match ob::look_up(root) {
                Some(Object::Named(folder)) => format!("{folder}\\{name}"),
                _ => return Err(STATUS_INVALID_HANDLE),
            },
        };
        Ok(Self {
            name: Some(namespace::canonical(&full)),
            flags,
        })
    }

    fn name(self) -> Result<String, i32> {
        self.name.ok_or(STATUS_OBJECT_PATH_SYNTAX_BAD)
    }
}

/// A new object, or one that is there and may be opened in its place: tells which it is.
fn make(wish: &Wish, made: impl FnOnce() -> Named) -> Result<(Named, bool), i32> {
    let Some(name) = &wish.name else {
        return Ok((made(), true));
    };
    if let Some(known) = namespace::find(name) {
        return if wish.flags & OBJ_OPENIF != 0 {
            Ok((known, false))
        } else {
            Err(STATUS_OBJECT_NAME_COLLISION)
        };
    }
    if !namespace::has_folder(name) {
        return Err(STATUS_OBJECT_PATH_NOT_FOUND);
    }
    let new = made();
    namespace::insert(name, new.clone(), wish.flags & OBJ_PERMANENT != 0);
    Ok((new, true))
}

/// What a name stands for that has to be there.
fn known(name: &str) -> Result<Named, i32> {
    namespace::find(name).ok_or(if namespace::has_folder(name) {
        STATUS_OBJECT_NAME_NOT_FOUND
    } else {
        STATUS_OBJECT_PATH_NOT_FOUND
    })
}

/// The result of a call: a status, whether it has failed or not.
fn end(outcome: Result<i32, i32>) -> u64 {
    status(outcome.unwrap_or_else(|refusal| refusal))
}

fn opened(is_new: bool) -> i32 {
    if is_new { 0 } else { STATUS_OBJECT_NAME_EXISTS }
}

/// An event's structure.
fn event(kind: u32, is_set: bool) -> u64 {
    let address = driver::object(KEVENT::SIZE);
    ke::initialize_event_at(address, kind == NOTIFICATION, is_set).or_fault();
    ob::adopt(address);
    address
}

fn create_event(call: &Call<'_>) -> u64 {
    let (out, attributes, kind) = (call.arg(0), call.arg(2), call.arg_u32(3));
    let create = || {
        if kind > SYNCHRONIZATION {
            return Err(STATUS_INVALID_PARAMETER_4);
        }
        let wish = Wish::new(attributes)?;
        let is_set = call.arg_u8(4) != 0;
        let (named, is_new) = make(&wish, || Named::Address(event(kind, is_set)))?;
        let Named::Address(address) = named else {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        };
        let handle = ob::open_named(attributes, Object::Address(address), wish.name);
        mem::write(out, handle).or_fault();
        Ok(opened(is_new))
    };
    end(create())
}

fn open_event(call: &Call<'_>) -> u64 {
    let (out, attributes) = (call.arg(0), call.arg(2));
    let open = || {
        let name = Wish::new(attributes)?.name()?;
        let Named::Address(address) = known(&name)? else {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        };
        let handle = ob::open_named(attributes, Object::Address(address), Some(name));
        mem::write(out, handle).or_fault();
        Ok(0)
    };
    end(open())
}

fn create_notification_event(call: &Call<'_>) -> u64 {
    create_shared(call, NOTIFICATION)
}

fn create_synchronization_event(call: &Call<'_>) -> u64 {
    create_shared(call, SYNCHRONIZATION)
}

/// Gives the event itself, which lasts as long as its handle; 0 where there is none to have.
fn create_shared(call: &Call<'_>, kind: u32) -> u64 {
    let name = driver::read_unicode_string(call.arg(0)).or_fault();
    let wish = Wish {
        name: Some(namespace::canonical(&name)),
        flags: OBJ_OPENIF | OBJ_KERNEL_HANDLE,
    };
    if driver::is_short() {
        return 0;
    }
    // One that is new is set.
    match make(&wish, || Named::Address(event(kind, true))) {
        Ok((Named::Address(address), _)) => {
            let handle = ob::open_for_kernel(Object::Address(address), wish.name);
            mem::write(call.arg(1), handle).or_fault();
            address
        }
        _ => 0,
    }
}

/// The event of a handle.
fn event_of(handle: u64) -> Result<u64, i32> {
    match ob::look_up(handle) {
        Some(Object::Address(address)) if ob::is_event(address) => Ok(address),
        Some(_) => Err(STATUS_OBJECT_TYPE_MISMATCH),
        None => Err(STATUS_INVALID_HANDLE),
    }
}

fn set_event(call: &Call<'_>) -> u64 {
    change(call, |event| ke::set_event_at(event).or_fault())
}

fn reset_event(call: &Call<'_>) -> u64 {
    change(call, |event| ke::reset_event_at(event).or_fault())
}

fn clear_event(call: &Call<'_>) -> u64 {
    let event = event_of(call.arg(0));
    end(event.map(|event| {
        ke::reset_event_at(event).or_fault();
        0
    }))
}

/// Changes an event, and tells what it was before.
fn change(call: &Call<'_>, change: impl FnOnce(u64) -> i32) -> u64 {
    let previous_out = call.arg(1);
    end(event_of(call.arg(0)).map(|event| {
        let previous = change(event);
        if previous_out != 0 {
            mem::write(previous_out, previous).or_fault();
        }
        0
    }))
}

fn is_folder(named: &Named) -> bool {
    *named == Named::Folder
}

fn is_link(named: &Named) -> bool {
    matches!(named, Named::Link(_))
}

fn create_folder(call: &Call<'_>) -> u64 {
    create_named(call, || Named::Folder, is_folder)
}

fn create_link(call: &Call<'_>) -> u64 {
    let target = driver::read_unicode_string(call.arg(3)).or_fault();
    create_named(call, || Named::Link(target), is_link)
}

fn create_named(
    call: &Call<'_>,
    made: impl FnOnce() -> Named,
    is_right: impl FnOnce(&Named) -> bool,
) -> u64 {
    let (out, attributes) = (call.arg(0), call.arg(2));
    let create = || {
        let wish = Wish::new(attributes)?;
        let Some(name) = wish.name.clone() else {
            return Err(STATUS_INVALID_PARAMETER);
        };
        let (named, is_new) = make(&wish, made)?;
        if !is_right(&named) {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        }
        let handle = ob::open_named(attributes, Object::Named(name.clone()), Some(name));
        mem::write(out, handle).or_fault();
        Ok(opened(is_new))
    };
    end(create())
}

fn open_folder(call: &Call<'_>) -> u64 {
    open_as(call, is_folder)
}

fn open_link(call: &Call<'_>) -> u64 {
    open_as(call, is_link)
}

fn open_as(call: &Call<'_>, is_right: impl FnOnce(&Named) -> bool) -> u64 {
    let (out, attributes) = (call.arg(0), call.arg(2));
    let open = || {
        let name = Wish::new(attributes)?.name()?;
        if !is_right(&known(&name)?) {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        }
        let handle = ob::open_named(attributes, Object::Named(name.clone()), Some(name));
        mem::write(out, handle).or_fault();
        Ok(0)
    };
    end(open())
}

/// Writes what a link points to, if there is room for it.
fn query_link(call: &Call<'_>) -> u64 {
    let (string, needed_out) = (call.arg(1), call.arg(2));
    let query = || {
        let Some(Object::Named(name)) = ob::look_up(call.arg(0)) else {
            return Err(STATUS_INVALID_HANDLE);
        };
        let Some(Named::Link(target)) = namespace::find(&name) else {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        };
        let bytes = super::ansi::wide(&target);
        if needed_out != 0 {
            let needed = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            mem::write(needed_out, needed).or_fault();
        }
        let room = usize::from(U::MaximumLength.read(string).or_fault());
        if bytes.len() > room {
            return Err(STATUS_BUFFER_TOO_SMALL);
        }
        let buffer = U::Buffer.read(string).or_fault();
        mem::write_bytes(buffer, &bytes).or_fault();
        U::Length.write(string, bytes.len() as u16).or_fault();
        Ok(0)
    };
    end(query())
}

fn make_temporary(call: &Call<'_>) -> u64 {
    match ob::name_of(call.arg(0)) {
        Some(name) => {
            namespace::make_temporary(&name);
            SUCCESS
        }
        None => status(STATUS_INVALID_HANDLE),
    }
}

/// Another thread may run first.
fn yield_execution(_: &Call<'_>) -> u64 {
    sched::point();
    SUCCESS
}
