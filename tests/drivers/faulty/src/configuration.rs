//! The driver-wide parameter `Fault`.

use core::ptr::{self, null_mut};

use crate::abi::{
    NDIS_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_OBJECT_REVISION_1, NDIS_CONFIGURATION_PARAMETER,
    NDIS_HANDLE, NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
    NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1, NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS,
    NdisCloseConfiguration, NdisOpenConfigurationEx, NdisParameterString, NdisReadConfiguration,
};
use crate::fault::Fault;
use crate::text;

static KEYWORD: [u16; 5] = text::wide(b"Fault");

/// What to open the parameters of `handle`, a driver or module, with.
pub(crate) const fn object(handle: NDIS_HANDLE) -> NDIS_CONFIGURATION_OBJECT {
    NDIS_CONFIGURATION_OBJECT {
        Header: NDIS_OBJECT_HEADER {
            Type: NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
            Revision: NDIS_CONFIGURATION_OBJECT_REVISION_1,
            Size: NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1,
        },
        NdisHandle: handle,
        Flags: 0,
    }
}

/// Reads the fault to make. Called at PASSIVE_LEVEL.
pub(crate) fn fault(driver: NDIS_HANDLE) -> Fault {
    let mut object = object(driver);
    let mut configuration = null_mut();
    // SAFETY: PASSIVE_LEVEL; both arguments are valid for the call.
    let opened = unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut configuration) };
    if opened != NDIS_STATUS_SUCCESS {
        return Fault::None;
    }
    let mut status = NDIS_STATUS_FAILURE;
    let mut parameter: *mut NDIS_CONFIGURATION_PARAMETER = null_mut();
    let mut keyword = text::string(&KEYWORD);
    // SAFETY: PASSIVE_LEVEL; the configuration is open; all pointers are valid for the call.
    unsafe {
        NdisReadConfiguration(
            &raw mut status,
            &raw mut parameter,
            configuration,
            &raw mut keyword,
            NdisParameterString,
        );
    }
    let fault = if status == NDIS_STATUS_SUCCESS {
        value(parameter)
    } else {
        Fault::None
    };
    // SAFETY: PASSIVE_LEVEL; opened above, closed once.
    unsafe { NdisCloseConfiguration(configuration) };
    fault
}

/// The fault that a string parameter names.
fn value(parameter: *const NDIS_CONFIGURATION_PARAMETER) -> Fault {
    // SAFETY: NDIS returned success, so `parameter` is valid until the configuration is closed.
    let parameter = unsafe { ptr::read(parameter) };
    if parameter.ParameterType != NdisParameterString {
        return Fault::None;
    }
    // SAFETY: the type says that the string is the member in use.
    let string = unsafe { parameter.ParameterData.StringData };
    let units = usize::from(string.Length / 2);
    if units == 0 {
        return Fault::None;
    }
    // SAFETY: a counted string of NDIS is valid for its length.
    Fault::named(unsafe { core::slice::from_raw_parts(string.Buffer, units) })
}
