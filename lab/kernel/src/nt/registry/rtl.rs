//! `Rtl*` functions for the registry: keys by a path below one that is well known.

use lab_rules::event::Lent;

use super::store::{self, Key, KeyName, Value};
use super::{end, key_of, last_part, make, put_value, remove_value};
use crate::abi::constant::{
    REG_EXPAND_SZ, REG_MULTI_SZ, REG_NONE, REG_SZ, RTL_QUERY_REGISTRY_DELETE,
    RTL_QUERY_REGISTRY_DIRECT, RTL_QUERY_REGISTRY_NOEXPAND, RTL_QUERY_REGISTRY_NOVALUE,
    RTL_QUERY_REGISTRY_REQUIRED, RTL_QUERY_REGISTRY_SUBKEY, RTL_QUERY_REGISTRY_TOPKEY,
    RTL_QUERY_REGISTRY_TYPECHECK, RTL_QUERY_REGISTRY_TYPECHECK_SHIFT, RTL_REGISTRY_ABSOLUTE,
    RTL_REGISTRY_CONTROL, RTL_REGISTRY_DEVICEMAP, RTL_REGISTRY_HANDLE, RTL_REGISTRY_OPTIONAL,
    RTL_REGISTRY_SERVICES, RTL_REGISTRY_USER, RTL_REGISTRY_WINDOWS_NT, STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_OBJECT_TYPE_MISMATCH,
};
use crate::abi::nt::{RTL_QUERY_REGISTRY_TABLE as T, UNICODE_STRING as U};
use crate::driver::{self, read_text};
use crate::memory;
use crate::nt::{SUCCESS, imports, rtl, status};
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::Kind;
use crate::rt::{Call, call_driver};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlCheckRegistryKey => check,
    RtlCreateRegistryKey => create,
    RtlWriteRegistryValue => write,
    RtlDeleteRegistryValue => delete,
    RtlQueryRegistryValues => query,
}

/// The key of a path below one that is well known, and its name as it was given.
fn named(relative_to: u32, path: u64) -> Result<(KeyName, String), u64> {
    let machine = "\\REGISTRY\\MACHINE";
    let root = match relative_to & !RTL_REGISTRY_OPTIONAL {
        RTL_REGISTRY_ABSOLUTE => String::new(),
        RTL_REGISTRY_SERVICES => format!("{machine}\\SYSTEM\\CurrentControlSet\\Services"),
        RTL_REGISTRY_CONTROL => format!("{machine}\\SYSTEM\\CurrentControlSet\\Control"),
        RTL_REGISTRY_WINDOWS_NT => {
            format!("{machine}\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion")
        }
        RTL_REGISTRY_DEVICEMAP => format!("{machine}\\HARDWARE\\DEVICEMAP"),
        RTL_REGISTRY_USER => "\\REGISTRY\\USER\\.DEFAULT".to_owned(),
        _ => return Err(status(STATUS_INVALID_PARAMETER)),
    };
    let path = if path == 0 {
        String::new()
    } else {
        read_text(path, None).or_fault()
    };
    let key = if root.is_empty() {
        KeyName::new(&path)
    } else {
        KeyName::new(&root).below(&path)
    };
    Ok((key, last_part(&path)))
}

/// The key that a call has open, if it gives a handle in place of a path.
fn opened(call: &Call<'_>) -> Option<Result<KeyName, u64>> {
    let is_handle = call.arg_u32(0) & RTL_REGISTRY_HANDLE != 0;
    is_handle.then(|| key_of(call.arg(1)))
}

/// The same where the key has to be there.
fn existing(call: &Call<'_>) -> Result<KeyName, u64> {
    let key = match opened(call) {
        Some(key) => key?,
        None => named(call.arg_u32(0), call.arg(1))?.0,
    };
    let is_there = store::with(&key, |_| ()).is_some();
    is_there
        .then_some(key)
        .ok_or(status(STATUS_OBJECT_NAME_NOT_FOUND))
}

fn check(call: &Call<'_>) -> u64 {
    end(existing(call).map(|_| SUCCESS))
}

fn create(call: &Call<'_>) -> u64 {
    let create = || {
        if let Some(key) = opened(call) {
            return key.map(|_| SUCCESS);
        }
        let (key, as_given) = named(call.arg_u32(0), call.arg(1))?;
        make(&key, &as_given, false).map(|_| SUCCESS)
    };
    end(create())
}

fn write(call: &Call<'_>) -> u64 {
    let write = || {
        let name = read_text(call.arg(2), None).or_fault();
        let key = existing(call)?;
        put_value(&key, name, call)
    };
    end(write())
}

fn delete(call: &Call<'_>) -> u64 {
    let delete = || {
        let name = read_text(call.arg(2), None).or_fault();
        let key = existing(call)?;
        remove_value(&key, &name)
    };
    end(delete())
}

/// A line of the table that `RtlQueryRegistryValues` is given.
struct Entry {
    routine: u64,
    flags: u32,
    /// The name, if it has one.
    name: Option<String>,
    /// The address of the name, as the routine is given it back.
    name_address: u64,
    context: u64,
    default_kind: u32,
    default_data: u64,
    default_length: u32,
}

impl Entry {
    fn read(at: u64) -> Result<Self, BadAddress> {
        let name_address = T::Name.read(at)?;
        let name = match name_address {
            0 => None,
            name => Some(read_text(name, None)?),
        };
        Ok(Self {
            routine: T::QueryRoutine.read(at)?,
            flags: T::Flags.read(at)?,
            name,
            name_address,
            context: T::EntryContext.read(at)?,
            default_kind: T::DefaultType.read(at)?,
            default_data: T::DefaultData.read(at)?,
            default_length: T::DefaultLength.read(at)?,
        })
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Behind the last line there is one of zeros.
    fn is_end(&self) -> bool {
        let what = RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_DIRECT;
        self.routine == 0 && !self.has(what)
    }

    /// The value that stands for one that is not there.
    fn default_value(&self) -> Result<Option<Value>, BadAddress> {
        let kind = self.default_kind & !(0xFF << RTL_QUERY_REGISTRY_TYPECHECK_SHIFT);
        if kind == REG_NONE {
            return Ok(None);
        }
        let is_text = [REG_SZ, REG_EXPAND_SZ].contains(&kind);
        let data = match self.default_length {
            0 if is_text => store::terminated(&read_text(self.default_data, None)?),
            length => mem::read_bytes(self.default_data, length as usize)?,
        };
        let name = self.name.clone().unwrap_or_default();
        Ok(Some(Value { name, kind, data }))
    }
}

/// Looks for what each line of the table names, and gives it to the line's routine or memory.
fn query(call: &Call<'_>) -> u64 {
    let query = || {
        let top = match existing(call) {
            Ok(key) => key,
            Err(_) if call.arg_u32(0) & RTL_REGISTRY_OPTIONAL != 0 => return Ok(SUCCESS),
            Err(refusal) => return Err(refusal),
        };
        let mut key = top.clone();
        let mut at = call.arg(2);
        loop {
            let entry = Entry::read(at).or_fault();
            if entry.is_end() {
                return Ok(SUCCESS);
            }
            if entry.has(RTL_QUERY_REGISTRY_TOPKEY) {
                key = top.clone();
            }
            if entry.has(RTL_QUERY_REGISTRY_SUBKEY) {
                key = match &entry.name {
                    Some(name) => top.below(name),
                    None => key,
                };
                let is_there = store::with(&key, |_| ()).is_some();
                if !is_there && entry.has(RTL_QUERY_REGISTRY_REQUIRED) {
                    return Err(status(STATUS_OBJECT_NAME_NOT_FOUND));
                }
                if entry.routine != 0 {
                    tell_all(&key, &entry, call.arg(3))?;
                }
            } else if entry.has(RTL_QUERY_REGISTRY_NOVALUE) {
                tell(&entry, None, call.arg(3))?;
            } else if entry.name.is_none() {
                tell_all(&key, &entry, call.arg(3))?;
            } else {
                answer(&key, &entry, call.arg(3))?;
            }
            at += T::SIZE as u64;
        }
    };
    end(query())
}

/// Tells a routine of all values of a key.
fn tell_all(key: &KeyName, entry: &Entry, context: u64) -> Result<(), u64> {
    let values = store::with(key, |key: &Key| key.values.clone());
    let values = values.unwrap_or_default();
    if values.is_empty() && entry.has(RTL_QUERY_REGISTRY_REQUIRED) {
        return Err(status(STATUS_OBJECT_NAME_NOT_FOUND));
    }
    for value in values {
        tell(entry, Some(&value), context)?;
        if entry.has(RTL_QUERY_REGISTRY_DELETE) {
            store::delete_value(key, &value.name);
        }
    }
    Ok(())
}

/// The one value that a line names.
fn answer(key: &KeyName, entry: &Entry, context: u64) -> Result<(), u64> {
    let name = entry.name.as_deref().unwrap_or_default();
    let found = store::with(key, |key| key.value(name).cloned()).flatten();
    let was_found = found.is_some();
    let value = match found {
        Some(value) => Some(value),
        None => entry.default_value().or_fault(),
    };
    let Some(value) = value else {
        return match entry.has(RTL_QUERY_REGISTRY_REQUIRED) {
            true => Err(status(STATUS_OBJECT_NAME_NOT_FOUND)),
            false => Ok(()),
        };
    };
    if entry.has(RTL_QUERY_REGISTRY_DIRECT) {
        store_direct(entry, &value)?;
    } else {
        tell(entry, Some(&value), context)?;
    }
    if was_found && entry.has(RTL_QUERY_REGISTRY_DELETE) {
        store::delete_value(key, name);
    }
    Ok(())
}

/// Tells a routine of a value, or with none just calls it; each string of several is told by itself.
fn tell(entry: &Entry, value: Option<&Value>, context: u64) -> Result<(), u64> {
    let Some(value) = value else {
        return ask(entry, entry.name_address, REG_NONE, &[], context);
    };
    let name = driver::lend_bytes(Lent::Other, &store::terminated(&value.name));
    let done = if value.kind == REG_MULTI_SZ && !entry.has(RTL_QUERY_REGISTRY_NOEXPAND) {
        let mut texts = store::texts(&value.data).into_iter();
        texts.try_for_each(|text| ask(entry, name, REG_SZ, &store::terminated(&text), context))
    } else {
        ask(entry, name, value.kind, &value.data, context)
    };
    driver::take_back(name);
    done
}

/// Calls a line's routine.
fn ask(entry: &Entry, name: u64, kind: u32, data: &[u8], context: u64) -> Result<(), u64> {
    let lent = driver::lend_bytes(Lent::Other, data);
    let arguments = [
        name,
        kind.into(),
        lent,
        data.len() as u64,
        context,
        entry.context,
    ];
    let result = call_driver(entry.routine, &arguments) & 0xFFFF_FFFF;
    driver::take_back(lent);
    // What a routine finds too small, it is asked for again by nobody: the query goes on.
    if result >= 0x8000_0000 && result != status(STATUS_BUFFER_TOO_SMALL) & 0xFFFF_FFFF {
        return Err(result);
    }
    Ok(())
}

/// Puts a value where a line says, as its type has it.
fn store_direct(entry: &Entry, value: &Value) -> Result<(), u64> {
    /// What fits into the place itself.
    const PLACE_BYTES: usize = 4;
    let wanted = entry.default_kind >> RTL_QUERY_REGISTRY_TYPECHECK_SHIFT;
    if entry.has(RTL_QUERY_REGISTRY_TYPECHECK) && wanted != value.kind {
        return Err(status(STATUS_OBJECT_TYPE_MISMATCH));
    }
    let at = entry.context;
    let is_several = value.kind == REG_MULTI_SZ && entry.has(RTL_QUERY_REGISTRY_NOEXPAND);
    if is_several || [REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ].contains(&value.kind) {
        let data = if is_several {
            value.data.clone()
        } else {
            store::terminated(&store::text(&value.data))
        };
        return store_string(at, &data);
    }
    if value.data.len() <= PLACE_BYTES {
        mem::write_bytes(at, &value.data).or_fault();
        return Ok(());
    }
    // The place says how long it is, as a negative number where the data alone is wanted.
    let says = i64::from(mem::read::<i32>(at).or_fault());
    let room = usize::try_from(says.unsigned_abs()).unwrap_or(0);
    const HEADER_BYTES: usize = 8;
    let header = if says < 0 { 0 } else { HEADER_BYTES };
    if value.data.len() + header > room {
        return Err(status(STATUS_BUFFER_TOO_SMALL));
    }
    if header > 0 {
        let length = u32::try_from(value.data.len()).unwrap_or(u32::MAX);
        mem::write(at, length).or_fault();
        mem::write(at.wrapping_add(4), value.kind).or_fault();
    }
    mem::write_bytes(at.wrapping_add(header as u64), &value.data).or_fault();
    Ok(())
}

/// Puts a terminated text into a string, whose buffer is made where it has none.
fn store_string(at: u64, data: &[u8]) -> Result<(), u64> {
    let Ok(maximum) = u16::try_from(data.len()) else {
        return Err(status(STATUS_BUFFER_TOO_SMALL));
    };
    if U::Buffer.read(at).or_fault() == 0 {
        let buffer = memory::allocate(rtl::STRING_TAG, maximum.into(), Kind::Paged, true);
        if buffer == 0 {
            return Err(status(STATUS_NO_MEMORY));
        }
        U::Buffer.write(at, buffer).or_fault();
        U::MaximumLength.write(at, maximum).or_fault();
    } else if U::MaximumLength.read(at).or_fault() < maximum {
        return Err(status(STATUS_BUFFER_TOO_SMALL));
    }
    let buffer = U::Buffer.read(at).or_fault();
    mem::write_bytes(buffer, data).or_fault();
    U::Length.write(at, maximum.saturating_sub(2)).or_fault();
    Ok(())
}
