//! The registry: keys and values of the lab's own, which a driver reads and changes as it may.
//!
//! `Parameters` below the driver's key holds what `NdisReadConfiguration` finds: what is written one way is read the other.

mod rtl;
mod store;

use super::ansi::wide;
use super::ob::{self, Object};
use super::{SUCCESS, imports, ke, status};
use crate::abi::constant::{
    KeyBasicInformation, KeyFullInformation, KeyNodeInformation, KeyValueBasicInformation,
    KeyValueFullInformation, KeyValuePartialInformation, REG_CREATED_NEW_KEY,
    REG_OPENED_EXISTING_KEY, REG_OPTION_VOLATILE, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NO_MORE_ENTRIES,
    STATUS_OBJECT_NAME_NOT_FOUND,
};
use crate::abi::nt::{
    KEY_BASIC_INFORMATION, KEY_FULL_INFORMATION, KEY_VALUE_BASIC_INFORMATION,
    KEY_VALUE_FULL_INFORMATION, KEY_VALUE_PARTIAL_INFORMATION, OBJECT_ATTRIBUTES as O,
};
use crate::driver;
use crate::rt::mem;
use crate::rt::sched;
use crate::rt::{Call, Import};
use crate::watch::OrFault;
pub(crate) use store::KeyName;
use store::{Key, Refusal, Value};
pub(crate) use store::{
    SERVICE, configure, key_at, key_below, parameter, parameters, set_parameter,
};

imports! {
    "ntoskrnl.exe":
    ZwCreateKey => create,
    ZwOpenKey => open,
    ZwOpenKeyEx => open,
    ZwQueryKey => query,
    ZwEnumerateKey => enumerate,
    ZwDeleteKey => delete,
    ZwFlushKey => flush,
    ZwQueryValueKey => query_value,
    ZwEnumerateValueKey => enumerate_value,
    ZwSetValueKey => set_value,
    ZwDeleteValueKey => delete_value,
}

/// The functions of the run-time library that read and write keys.
pub(crate) const RTL_IMPORTS: &[Import] = rtl::IMPORTS;

// <https://learn.microsoft.com/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55>
const STATUS_CANNOT_DELETE: i32 = 0xC000_0121_u32.cast_signed();
const STATUS_CHILD_MUST_BE_VOLATILE: i32 = 0xC000_0181_u32.cast_signed();
const STATUS_KEY_DELETED: i32 = 0xC000_017C_u32.cast_signed();

/// The key of a handle.
fn key_of(handle: u64) -> Result<KeyName, u64> {
    match ob::look_up(handle) {
        Some(Object::Key(name)) => Ok(name),
        _ => Err(status(STATUS_INVALID_HANDLE)),
    }
}

/// Looks at the key of a handle.
fn look<T>(handle: u64, look: impl FnOnce(&Key) -> T) -> Result<T, u64> {
    store::with(&key_of(handle)?, look).ok_or(status(STATUS_KEY_DELETED))
}

/// The key that object attributes name, and its name as it was given.
fn named(attributes: u64) -> Result<(KeyName, String), u64> {
    let root = O::RootDirectory.read(attributes).or_fault();
    let name = O::ObjectName.read(attributes).or_fault();
    let name = driver::read_unicode_string(name).or_fault();
    let key = if root == 0 {
        KeyName::new(&name)
    } else {
        key_of(root)?.below(&name)
    };
    let as_given = last_part(&name);
    Ok((key, as_given))
}

/// The name of a key, as its path has it.
fn last_part(path: &str) -> String {
    let path = path.trim_end_matches('\\');
    let last = path.rsplit('\\').next().unwrap_or_default();
    last.to_owned()
}

/// Makes a key, unless it is there; tells whether it is new.
fn make(key: &KeyName, as_given: &str, is_volatile: bool) -> Result<bool, u64> {
    let made = store::create(key, as_given, is_volatile, sched::now());
    made.map_err(|refusal| {
        status(match refusal {
            Refusal::ParentIsVolatile => STATUS_CHILD_MUST_BE_VOLATILE,
            _ => STATUS_OBJECT_NAME_NOT_FOUND,
        })
    })
}

/// The result of a call that has failed for a reason of its own, or has not.
fn end(result: Result<u64, u64>) -> u64 {
    result.unwrap_or_else(|refusal| refusal)
}

fn open(call: &Call<'_>) -> u64 {
    let open = || {
        let (key, _) = named(call.arg(2))?;
        store::with(&key, |_| ()).ok_or(status(STATUS_OBJECT_NAME_NOT_FOUND))?;
        let handle = ob::open_by(call.arg(2), Object::Key(key));
        mem::write(call.arg(0), handle).or_fault();
        Ok(SUCCESS)
    };
    end(open())
}

fn create(call: &Call<'_>) -> u64 {
    let create = || {
        let (key, as_given) = named(call.arg(2))?;
        let is_volatile = call.arg_u32(5) & REG_OPTION_VOLATILE != 0;
        let is_new = make(&key, &as_given, is_volatile)?;
        let handle = ob::open_by(call.arg(2), Object::Key(key));
        mem::write(call.arg(0), handle).or_fault();
        if call.arg(6) != 0 {
            let disposition = if is_new {
                REG_CREATED_NEW_KEY
            } else {
                REG_OPENED_EXISTING_KEY
            };
            mem::write(call.arg(6), disposition).or_fault();
        }
        Ok(SUCCESS)
    };
    end(create())
}

fn delete(call: &Call<'_>) -> u64 {
    let delete = || {
        let key = key_of(call.arg(0))?;
        match store::delete(&key) {
            Ok(()) => Ok(SUCCESS),
            Err(Refusal::HasKeys) => Err(status(STATUS_CANNOT_DELETE)),
            Err(_) => Err(status(STATUS_KEY_DELETED)),
        }
    };
    end(delete())
}

fn flush(call: &Call<'_>) -> u64 {
    end(look(call.arg(0), |_| SUCCESS))
}

/// Where a call wants what it asks for.
#[derive(Clone, Copy)]
struct Room {
    out: u64,
    length: u32,
    needed_out: u64,
}

impl Room {
    /// The out parameters from argument `first` on.
    fn of(call: &Call<'_>, first: usize) -> Self {
        Self {
            out: call.arg(first),
            length: call.arg_u32(first + 1),
            needed_out: call.arg(first + 2),
        }
    }

    /// Writes as much as fits of a structure whose first `fixed` bytes have to.
    fn fill(self, bytes: &[u8], fixed: u64) -> u64 {
        let needed = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        mem::write(self.needed_out, needed).or_fault();
        let length = u64::from(self.length);
        if length < fixed {
            return status(STATUS_BUFFER_TOO_SMALL);
        }
        let fits = bytes
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        mem::write_bytes(self.out, &bytes[..fits]).or_fault();
        if fits < bytes.len() {
            return status(STATUS_BUFFER_OVERFLOW);
        }
        SUCCESS
    }
}

/// A structure as it is built: members at their offsets, and what follows them.
struct Built(Vec<u8>);

impl Built {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn put(mut self, offset: u64, bytes: &[u8]) -> Self {
        let at = usize::try_from(offset).unwrap_or(0);
        let end = at + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[at..end].copy_from_slice(bytes);
        self
    }

    fn number(self, member: mem::Field<u32>, value: u32) -> Self {
        self.put(member.offset(), &value.to_le_bytes())
    }

    fn length(self, member: mem::Field<u32>, length: usize) -> Self {
        self.number(member, u32::try_from(length).unwrap_or(u32::MAX))
    }

    fn time(self, member: mem::Field<i64>, ns: u64) -> Self {
        let time = ke::system_time_at(ns);
        self.put(member.offset(), &time.to_le_bytes())
    }
}

/// What `ZwQueryKey` and `ZwEnumerateKey` say of a key.
fn describe_key(name: &KeyName, key: &Key, class: i32) -> Option<(Built, u64)> {
    use KEY_BASIC_INFORMATION as B;
    use KEY_FULL_INFORMATION as F;
    /// `KEY_NODE_INFORMATION`: time, title index, class offset and length, name length, name.
    const NODE_NAME: u64 = 24;
    const NODE_NAME_LENGTH: mem::Field<u32> = mem::Field::at(20);
    const NODE_CLASS_OFFSET: mem::Field<u32> = mem::Field::at(12);
    let text = wide(&key.name);
    if class == KeyBasicInformation {
        let built = Built::new()
            .time(B::LastWriteTime, key.written_ns)
            .length(B::NameLength, text.len())
            .put(B::Name.offset(), &text);
        return Some((built, B::Name.offset()));
    }
    if class == KeyNodeInformation {
        let built = Built::new()
            .time(B::LastWriteTime, key.written_ns)
            .number(NODE_CLASS_OFFSET, u32::MAX)
            .length(NODE_NAME_LENGTH, text.len())
            .put(NODE_NAME, &text);
        return Some((built, NODE_NAME));
    }
    if class != KeyFullInformation {
        return None;
    }
    let children = store::children(name);
    let longest = children
        .iter()
        .filter_map(|child| store::with(child, |child| wide(&child.name).len()))
        .max();
    let most = |length: fn(&Value) -> usize| key.values.iter().map(length).max().unwrap_or(0);
    let built = Built::new()
        .time(F::LastWriteTime, key.written_ns)
        .number(F::ClassOffset, u32::MAX)
        .length(F::SubKeys, children.len())
        .length(F::MaxNameLen, longest.unwrap_or(0))
        .length(F::Values, key.values.len())
        .length(F::MaxValueNameLen, most(|value| wide(&value.name).len()))
        .length(F::MaxValueDataLen, most(|value| value.data.len()));
    Some((built, F::Class.offset()))
}

fn answer_key(name: &KeyName, class: u32, room: Room) -> Result<u64, u64> {
    let described = store::with(name, |key| describe_key(name, key, class.cast_signed()));
    let described = described.ok_or(status(STATUS_KEY_DELETED))?;
    let (built, fixed) = described.ok_or(status(STATUS_INVALID_PARAMETER))?;
    Ok(room.fill(&built.0, fixed))
}

fn query(call: &Call<'_>) -> u64 {
    let query = || {
        let name = key_of(call.arg(0))?;
        answer_key(&name, call.arg_u32(1), Room::of(call, 2))
    };
    end(query())
}

fn enumerate(call: &Call<'_>) -> u64 {
    let enumerate = || {
        let name = key_of(call.arg(0))?;
        let children = store::children(&name);
        let index = usize::try_from(call.arg_u32(1)).unwrap_or(usize::MAX);
        let child = children.get(index);
        let child = child.ok_or(status(STATUS_NO_MORE_ENTRIES))?;
        answer_key(child, call.arg_u32(2), Room::of(call, 3))
    };
    end(enumerate())
}

/// What is said of a value, and how much of it has to fit.
fn describe_value(value: &Value, class: i32) -> Option<(Built, u64)> {
    use KEY_VALUE_BASIC_INFORMATION as B;
    use KEY_VALUE_FULL_INFORMATION as F;
    use KEY_VALUE_PARTIAL_INFORMATION as P;
    let name = wide(&value.name);
    if class == KeyValueBasicInformation {
        let built = Built::new()
            .number(B::Type, value.kind)
            .length(B::NameLength, name.len())
            .put(B::Name.offset(), &name);
        return Some((built, B::Name.offset()));
    }
    if class == KeyValueFullInformation {
        // The data begins where it may hold any type.
        let data = (F::Name.offset() + name.len() as u64).next_multiple_of(8);
        let built = Built::new()
            .number(F::Type, value.kind)
            .length(F::DataOffset, usize::try_from(data).unwrap_or(0))
            .length(F::DataLength, value.data.len())
            .length(F::NameLength, name.len())
            .put(F::Name.offset(), &name)
            .put(data, &value.data);
        return Some((built, F::Name.offset()));
    }
    if class != KeyValuePartialInformation {
        return None;
    }
    let built = Built::new()
        .number(P::Type, value.kind)
        .length(P::DataLength, value.data.len())
        .put(P::Data.offset(), &value.data);
    Some((built, P::Data.offset()))
}

fn answer_value(value: Option<Value>, missing: i32, class: u32, room: Room) -> Result<u64, u64> {
    let value = value.ok_or(status(missing))?;
    let described = describe_value(&value, class.cast_signed());
    let (built, fixed) = described.ok_or(status(STATUS_INVALID_PARAMETER))?;
    Ok(room.fill(&built.0, fixed))
}

fn query_value(call: &Call<'_>) -> u64 {
    let query = || {
        let name = driver::read_unicode_string(call.arg(1)).or_fault();
        let value = look(call.arg(0), |key| key.value(&name).cloned())?;
        let missing = STATUS_OBJECT_NAME_NOT_FOUND;
        answer_value(value, missing, call.arg_u32(2), Room::of(call, 3))
    };
    end(query())
}

fn enumerate_value(call: &Call<'_>) -> u64 {
    let enumerate = || {
        let index = usize::try_from(call.arg_u32(1)).unwrap_or(usize::MAX);
        let value = look(call.arg(0), |key| key.values.get(index).cloned())?;
        answer_value(
            value,
            STATUS_NO_MORE_ENTRIES,
            call.arg_u32(2),
            Room::of(call, 3),
        )
    };
    end(enumerate())
}

fn set_value(call: &Call<'_>) -> u64 {
    let set = || {
        let key = key_of(call.arg(0))?;
        let name = driver::read_unicode_string(call.arg(1)).or_fault();
        put_value(&key, name, call)
    };
    end(set())
}

/// Sets a value as a call says: its type in the fourth argument, where its data is and how long that is in the next two.
fn put_value(key: &KeyName, name: String, call: &Call<'_>) -> Result<u64, u64> {
    let length = usize::try_from(call.arg_u32(5)).unwrap_or(usize::MAX);
    let value = Value {
        name,
        kind: call.arg_u32(3),
        data: if length == 0 {
            Vec::new()
        } else {
            mem::read_bytes(call.arg(4), length).or_fault()
        },
    };
    if store::set(key, value, sched::now()) {
        Ok(SUCCESS)
    } else {
        Err(status(STATUS_KEY_DELETED))
    }
}

/// Deletes a value, which has to be there.
fn remove_value(key: &KeyName, name: &str) -> Result<u64, u64> {
    if store::delete_value(key, name) {
        Ok(SUCCESS)
    } else {
        Err(status(STATUS_OBJECT_NAME_NOT_FOUND))
    }
}

fn delete_value(call: &Call<'_>) -> u64 {
    let delete = || {
        let key = key_of(call.arg(0))?;
        let name = driver::read_unicode_string(call.arg(1)).or_fault();
        remove_value(&key, &name)
    };
    end(delete())
}
