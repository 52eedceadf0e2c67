//! The registry: the driver's service key and its subkey `Parameters`, read-only.
//!
//! `Parameters` holds what `NdisReadConfiguration` finds with the driver's handle.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{SUCCESS, imports, ob, status};
use crate::ParameterValue;
use crate::abi::constant::{
    KeyValuePartialInformation, REG_BINARY, REG_DWORD, REG_MULTI_SZ, REG_SZ,
    STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_HANDLE,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_NOT_FOUND,
};
use crate::abi::nt::{KEY_VALUE_PARTIAL_INFORMATION as V, OBJECT_ATTRIBUTES as O};
use crate::driver;
use crate::ndis::adapter;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    ZwOpenKey => open,
    ZwQueryValueKey => query_value,
}

/// The key that `DriverEntry` is told of.
pub(crate) const SERVICE: &str = "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Services\\filter";

per_image! {
    /// Open keys by handle: their full names.
    static KEYS: RefCell<BTreeMap<u64, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all open keys: a run begins.
pub(super) fn reset() {
    KEYS.take();
}

/// A handle is closed, of a key or not.
pub(super) fn forget(handle: u64) {
    KEYS.with_borrow_mut(|keys| keys.remove(&handle));
}

fn open(call: &Call<'_>) -> u64 {
    let attributes = call.arg(2);
    let root = O::RootDirectory.read(attributes).or_fault();
    let name = O::ObjectName.read(attributes).or_fault();
    let name = driver::read_unicode_string(name).or_fault();
    let path = if root == 0 {
        name
    } else {
        let Some(root) = KEYS.with_borrow(|keys| keys.get(&root).cloned()) else {
            return status(STATUS_INVALID_HANDLE);
        };
        format!("{root}\\{name}")
    };
    let known = [SERVICE.to_owned(), format!("{SERVICE}\\Parameters")];
    let Some(key) = known
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(&path))
    else {
        return status(STATUS_OBJECT_NAME_NOT_FOUND);
    };
    let handle = ob::open(0);
    KEYS.with_borrow_mut(|keys| keys.insert(handle, key));
    mem::write(call.arg(0), handle).or_fault();
    SUCCESS
}

fn query_value(call: &Call<'_>) -> u64 {
    let (key, name, class, out, length, needed_out) = (
        call.arg(0),
        call.arg(1),
        call.arg_u32(2),
        call.arg(3),
        call.arg_u32(4),
        call.arg(5),
    );
    if class != KeyValuePartialInformation.cast_unsigned() {
        return status(STATUS_INVALID_PARAMETER);
    }
    let Some(key) = KEYS.with_borrow(|keys| keys.get(&key).cloned()) else {
        return status(STATUS_INVALID_HANDLE);
    };
    let name = driver::read_unicode_string(name).or_fault();
    let value = (key != SERVICE)
        .then(|| adapter::parameter(&name))
        .flatten();
    let Some(value) = value else {
        return status(STATUS_OBJECT_NAME_NOT_FOUND);
    };
    let (kind, data) = encode(&value);
    let fixed = u32::try_from(V::Data.offset()).unwrap_or(u32::MAX);
    let data_length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    mem::write(needed_out, fixed.saturating_add(data_length)).or_fault();
    let Some(room) = length.checked_sub(fixed) else {
        return status(STATUS_BUFFER_TOO_SMALL);
    };
    V::TitleIndex.write(out, 0).or_fault();
    V::Type.write(out, kind).or_fault();
    V::DataLength.write(out, data_length).or_fault();
    let fits = &data[..data.len().min(room as usize)];
    mem::write_bytes(V::Data.of(out), fits).or_fault();
    if fits.len() < data.len() {
        return status(STATUS_BUFFER_OVERFLOW);
    }
    SUCCESS
}

/// A value's type, and its bytes as the registry keeps them.
fn encode(value: &ParameterValue) -> (u32, Vec<u8>) {
    let text = |text: &str| -> Vec<u8> {
        text.encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect()
    };
    match value {
        ParameterValue::Integer(value) => (REG_DWORD, value.to_le_bytes().to_vec()),
        ParameterValue::String(value) => (REG_SZ, text(value)),
        ParameterValue::MultiString(values) => {
            let mut bytes: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
            bytes.extend([0; 2]);
            (REG_MULTI_SZ, bytes)
        }
        ParameterValue::Binary(bytes) => (REG_BINARY, bytes.clone()),
    }
}
