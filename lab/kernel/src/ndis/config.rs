//! Configuration: registry values of driver and adapters.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::Lent;

use super::handle::{self, Handle};
use super::register::read_header;
use crate::ParameterValue;
use crate::abi::constant::{
    NDIS_CONFIGURATION_OBJECT_REVISION_1, NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
    NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1, NDIS_STATUS_FAILURE,
    NDIS_STATUS_INVALID_PARAMETER, NDIS_STATUS_SUCCESS, NdisParameterBinary, NdisParameterInteger,
    NdisParameterMultiString, NdisParameterString,
};
use crate::abi::ndis::{
    BINARY_DATA, NDIS_CONFIGURATION_OBJECT as O, NDIS_CONFIGURATION_PARAMETER as P,
};
use crate::abi::nt::UNICODE_STRING;
use crate::driver;
use crate::nt::registry::{self, KeyName};
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisOpenConfigurationEx => open,
    NdisOpenConfigurationKeyByName => open_by_name,
    NdisOpenConfigurationKeyByIndex => open_by_index,
    NdisCloseConfiguration => close,
    NdisReadConfiguration => read,
    NdisWriteConfiguration => write,
}

per_image! {
    /// The open configurations.
    static OPEN: RefCell<BTreeMap<u64, Open>> = const { RefCell::new(BTreeMap::new()) };
}

/// An open configuration.
struct Open {
    key: KeyName,
    /// What it has given out; it lives until the close.
    given: Vec<u64>,
}

fn open_key(key: KeyName) -> u64 {
    let configuration = handle::open(Handle::Configuration);
    let given = Vec::new();
    OPEN.with_borrow_mut(|open| open.insert(configuration, Open { key, given }));
    configuration
}

/// The key of a configuration that is open.
fn key_of(configuration: u64) -> Option<KeyName> {
    OPEN.with_borrow(|open| open.get(&configuration).map(|open| open.key.clone()))
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    OPEN.take();
}

fn open(call: &Call<'_>) -> u64 {
    let (object, out) = (call.arg(0), call.arg(1));
    let expected = (
        NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
        NDIS_CONFIGURATION_OBJECT_REVISION_1,
        NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1,
    );
    let header = read_header("NDIS_CONFIGURATION_OBJECT", object, expected).or_fault();
    let owner = O::NdisHandle.read(object).or_fault();
    if !header.is_valid() || !handle::is_driver_or_module("NdisOpenConfigurationEx", owner) {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    mem::write(out, open_key(registry::parameters())).or_fault();
    SUCCESS
}

/// Writes the handle of a key below another, or that there is none.
fn finish_open(status_out: u64, handle_out: u64, key: Option<KeyName>) -> u64 {
    let (status, handle) = match key {
        Some(key) => (NDIS_STATUS_SUCCESS, open_key(key)),
        None => (NDIS_STATUS_FAILURE, 0),
    };
    let write = || {
        mem::write(handle_out, handle)?;
        mem::write(status_out, status)
    };
    write().or_fault();
    0
}

fn open_by_name(call: &Call<'_>) -> u64 {
    let (status_out, configuration, name) = (call.arg(0), call.arg(1), call.arg(2));
    let name = driver::read_unicode_string(name).or_fault();
    let below = key_of(configuration).and_then(|key| registry::key_below(&key, &name));
    drop(name);
    finish_open(status_out, call.arg(3), below)
}

/// The name goes where the caller has room for it; without enough, the key is not opened.
fn open_by_index(call: &Call<'_>) -> u64 {
    let (status_out, configuration, name_out) = (call.arg(0), call.arg(1), call.arg(3));
    let index = call.arg_u32(2) as usize;
    let room = usize::from(UNICODE_STRING::MaximumLength.read(name_out).or_fault());
    let buffer = UNICODE_STRING::Buffer.read(name_out).or_fault();
    let below = key_of(configuration).and_then(|key| registry::key_at(&key, index));
    let named = below.and_then(|(key, name)| {
        let bytes: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        (bytes.len() <= room).then_some((key, bytes))
    });
    let key = named.map(|(key, bytes)| {
        let write = || {
            mem::write_bytes(buffer, &bytes)?;
            UNICODE_STRING::Length.write(name_out, bytes.len() as u16)
        };
        write().or_fault();
        key
    });
    finish_open(status_out, call.arg(4), key)
}

fn close(call: &Call<'_>) -> u64 {
    let open = OPEN.with_borrow_mut(|open| open.remove(&call.arg(0)));
    let given = open.map_or(Vec::new(), |open| open.given);
    given.into_iter().for_each(driver::release);
    handle::close(call.arg(0));
    0
}

fn read(call: &Call<'_>) -> u64 {
    let (status_out, value_out, configuration, keyword) =
        (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let name = driver::read_unicode_string(keyword).or_fault();
    // The registry takes its time, and others go on meanwhile.
    sched::point();
    let value = key_of(configuration).and_then(|key| registry::parameter(&key, &name));
    let Some(value) = value else {
        mem::write(value_out, 0u64).or_fault();
        mem::write(status_out, NDIS_STATUS_FAILURE).or_fault();
        return 0;
    };
    let parameter = driver::lend(Lent::Configuration, P::SIZE);
    let data = fill(parameter, &value).or_fault();
    OPEN.with_borrow_mut(|open| {
        if let Some(open) = open.get_mut(&configuration) {
            open.given
                .extend([Some(parameter), data].into_iter().flatten());
        }
    });
    mem::write(value_out, parameter).or_fault();
    mem::write(status_out, NDIS_STATUS_SUCCESS).or_fault();
    0
}

/// Fills a parameter in; gives the block of its data, if it has one.
fn fill(parameter: u64, value: &ParameterValue) -> Result<Option<u64>, BadAddress> {
    let block = |bytes: &[u8]| {
        let block = driver::lend(Lent::Configuration, bytes.len());
        driver::write(block, bytes);
        block
    };
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    let (parameter_type, bytes, terminator) = match value {
        ParameterValue::Integer(value) => {
            P::ParameterType.write(parameter, NdisParameterInteger)?;
            P::ParameterData_IntegerData.write(parameter, *value)?;
            return Ok(None);
        }
        ParameterValue::Binary(bytes) => {
            let data = block(bytes);
            let at = parameter + P::ParameterData_BinaryData;
            P::ParameterType.write(parameter, NdisParameterBinary)?;
            BINARY_DATA::Length.write(at, u16::try_from(bytes.len()).unwrap_or(u16::MAX))?;
            BINARY_DATA::Buffer.write(at, data)?;
            return Ok(Some(data));
        }
        ParameterValue::String(text) => (NdisParameterString, utf16(text), 2),
        ParameterValue::MultiString(texts) => {
            let mut bytes: Vec<u8> = texts
                .iter()
                .flat_map(|text| utf16(&format!("{text}\0")))
                .collect();
            bytes.extend([0; 2]);
            (NdisParameterMultiString, bytes, 0)
        }
    };
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let data = block(&[bytes, vec![0; terminator]].concat());
    let at = parameter + P::ParameterData_StringData;
    P::ParameterType.write(parameter, parameter_type)?;
    UNICODE_STRING::Length.write(at, length)?;
    UNICODE_STRING::MaximumLength.write(at, length.saturating_add(2))?;
    UNICODE_STRING::Buffer.write(at, data)?;
    Ok(Some(data))
}

fn write(call: &Call<'_>) -> u64 {
    let (status_out, configuration) = (call.arg(0), call.arg(1));
    let (keyword, parameter) = (call.arg(2), call.arg(3));
    let name = driver::read_unicode_string(keyword).or_fault();
    let parameter_type = P::ParameterType.read(parameter).or_fault();
    let value = if parameter_type == NdisParameterInteger {
        ParameterValue::Integer(P::ParameterData_IntegerData.read(parameter).or_fault())
    } else {
        ParameterValue::String(
            driver::read_unicode_string(parameter + P::ParameterData_StringData).or_fault(),
        )
    };
    let is_set = key_of(configuration)
        .is_some_and(|key| registry::set_parameter(&key, &name, &value, sched::now()));
    let status = if is_set {
        NDIS_STATUS_SUCCESS
    } else {
        NDIS_STATUS_FAILURE
    };
    mem::write(status_out, status).or_fault();
    0
}
