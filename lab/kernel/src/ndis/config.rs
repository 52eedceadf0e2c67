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
use crate::nt::{SUCCESS, imports, registry, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched;
use crate::watch::OrFault;

imports! {
    "ndis.sys":
    NdisOpenConfigurationEx => open,
    NdisCloseConfiguration => close,
    NdisReadConfiguration => read,
    NdisWriteConfiguration => write,
}

per_image! {
    /// What an open configuration has given out; it lives until the close.
    static GIVEN: RefCell<BTreeMap<u64, Vec<u64>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    GIVEN.take();
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
    let configuration = handle::open(Handle::Configuration);
    GIVEN.with_borrow_mut(|given| given.insert(configuration, Vec::new()));
    mem::write(out, configuration).or_fault();
    SUCCESS
}

fn close(call: &Call<'_>) -> u64 {
    let given = GIVEN
        .with_borrow_mut(|given| given.remove(&call.arg(0)))
        .unwrap_or_default();
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
    let value = registry::parameter(&name)
        .filter(|_| handle::look_up(configuration) == Some(Handle::Configuration));
    let Some(value) = value else {
        mem::write(value_out, 0u64).or_fault();
        mem::write(status_out, NDIS_STATUS_FAILURE).or_fault();
        return 0;
    };
    let parameter = driver::lend(Lent::Configuration, P::SIZE);
    let data = fill(parameter, &value).or_fault();
    GIVEN.with_borrow_mut(|given| {
        given
            .entry(configuration)
            .or_default()
            .extend([Some(parameter), data].into_iter().flatten())
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
    let (status_out, keyword, parameter) = (call.arg(0), call.arg(2), call.arg(3));
    let name = driver::read_unicode_string(keyword).or_fault();
    let parameter_type = P::ParameterType.read(parameter).or_fault();
    let value = if parameter_type == NdisParameterInteger {
        ParameterValue::Integer(P::ParameterData_IntegerData.read(parameter).or_fault())
    } else {
        ParameterValue::String(
            driver::read_unicode_string(parameter + P::ParameterData_StringData).or_fault(),
        )
    };
    registry::set_parameter(&name, &value, sched::now());
    mem::write(status_out, NDIS_STATUS_SUCCESS).or_fault();
    0
}
