//! The driver-wide parameter `Fault`, and what configuration is opened with.

use core::mem::{offset_of, size_of};
use core::ptr::null_mut;

use crate::abi::{
    HANDLE, KEY_QUERY_VALUE, KEY_VALUE_PARTIAL_INFORMATION, KeyValuePartialInformation,
    NDIS_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_OBJECT_REVISION_1, NDIS_HANDLE,
    NDIS_OBJECT_HEADER, NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
    NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE,
    OBJECT_ATTRIBUTES, REG_SZ, STATUS_SUCCESS, UNICODE_STRING, ZwClose, ZwOpenKey, ZwQueryValueKey,
};
use crate::fault;
use crate::play::Play;
use crate::text;

static PARAMETERS: [u16; 10] = text::wide(b"Parameters");
static KEYWORD: [u16; 5] = text::wide(b"Fault");

/// The longest name of a play, in UTF-16 units.
const LONGEST: usize = 64;

/// Room for a value, aligned as its record is.
#[repr(C, align(4))]
struct Value {
    bytes: [u8; size_of::<KEY_VALUE_PARTIAL_INFORMATION>() + 2 * LONGEST],
}

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

/// The play that the service's parameters name; none that is known is `None`. Called at
/// PASSIVE_LEVEL.
pub(crate) fn play(service: *mut UNICODE_STRING) -> Option<&'static Play> {
    let Some(service) = open(null_mut(), service) else {
        return Some(fault::plain());
    };
    let play = in_service(service);
    close(service);
    play
}

fn in_service(service: HANDLE) -> Option<&'static Play> {
    let mut name = text::string(&PARAMETERS);
    let Some(parameters) = open(service, &raw mut name) else {
        return Some(fault::plain());
    };
    let play = in_parameters(parameters);
    close(parameters);
    play
}

fn in_parameters(parameters: HANDLE) -> Option<&'static Play> {
    let mut keyword = text::string(&KEYWORD);
    let mut value = Value {
        bytes: [0; size_of::<KEY_VALUE_PARTIAL_INFORMATION>() + 2 * LONGEST],
    };
    let mut needed = 0;
    // SAFETY: PASSIVE_LEVEL; the key is open; all pointers are valid for the call.
    let status = unsafe {
        ZwQueryValueKey(
            parameters,
            &raw mut keyword,
            KeyValuePartialInformation,
            (&raw mut value.bytes).cast(),
            size_of::<Value>() as u32,
            &raw mut needed,
        )
    };
    if status != STATUS_SUCCESS {
        return Some(fault::plain());
    }
    let header = (&raw const value.bytes).cast::<KEY_VALUE_PARTIAL_INFORMATION>();
    // SAFETY: filled in by the call that succeeded; `Value` is aligned for it.
    let kind = unsafe { (*header).Type };
    // SAFETY: as above.
    let length = unsafe { (*header).DataLength } as usize / 2;
    if kind != REG_SZ {
        return None;
    }
    let mut name = [0; LONGEST];
    let data = value
        .bytes
        .get(offset_of!(KEY_VALUE_PARTIAL_INFORMATION, Data)..)?;
    for (unit, pair) in name.iter_mut().zip(data.as_chunks().0) {
        *unit = u16::from_le_bytes(*pair);
    }
    // The last unit ends the string.
    fault::named(name.get(..length.checked_sub(1)?)?)
}

fn open(root: HANDLE, name: *mut UNICODE_STRING) -> Option<HANDLE> {
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: root,
        ObjectName: name,
        Attributes: OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: null_mut(),
        SecurityQualityOfService: null_mut(),
    };
    let mut key = null_mut();
    // SAFETY: PASSIVE_LEVEL; both pointers are valid for the call.
    let status = unsafe { ZwOpenKey(&raw mut key, KEY_QUERY_VALUE, &raw mut attributes) };
    (status == STATUS_SUCCESS).then_some(key)
}

fn close(key: HANDLE) {
    // SAFETY: PASSIVE_LEVEL; opened above, closed once.
    unsafe { ZwClose(key) };
}
