//! `NdisFRegisterFilterDriver` and what belongs to it.

use lab_rules::Kind;
use lab_rules::event::{Callback, Header, ModuleEvent, Registration};

use super::filter::{self, Filter, Handlers};
use super::handle::{self, Handle};
use super::{module, version};
use crate::abi::constant::{
    NDIS_FILTER_CHARACTERISTICS_REVISION_1, NDIS_FILTER_CHARACTERISTICS_REVISION_2,
    NDIS_FILTER_CHARACTERISTICS_REVISION_3, NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
    NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_1,
    NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2,
    NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3, NDIS_STATUS_BAD_CHARACTERISTICS,
    NDIS_STATUS_BAD_VERSION, NDIS_STATUS_FAILURE,
};
use crate::abi::ndis::{NDIS_FILTER_DRIVER_CHARACTERISTICS as C, NDIS_OBJECT_HEADER};
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::mem::{self, BadAddress};
use crate::rt::{Call, sched};
use crate::watch::{self, OrFault, emit};

imports! {
    "ndis.sys":
    NdisFRegisterFilterDriver => register,
    NdisFDeregisterFilterDriver => deregister,
}

/// How long a registration waits for the first attach to end, where the seed lets it come first.
const FIRST_ATTACH_NS: u64 = 1_000_000_000;

/// Reads an `NDIS_OBJECT_HEADER` against what it should be.
pub(crate) fn read_header(
    structure: &'static str,
    address: u64,
    (expected_type, expected_revision, expected_size): (u8, u8, u16),
) -> Result<Header, BadAddress> {
    let header = Header {
        structure,
        address,
        object_type: NDIS_OBJECT_HEADER::Type.read(address)?,
        revision: NDIS_OBJECT_HEADER::Revision.read(address)?,
        size: NDIS_OBJECT_HEADER::Size.read(address)?,
        expected_type,
        expected_revision,
        expected_size,
    };
    emit(Kind::Structure(header));
    Ok(header)
}

/// Writes an `NDIS_OBJECT_HEADER` into an object of the lab's own.
pub(crate) fn write_header(address: u64, object_type: u8, revision: u8, size: u16) {
    let [low, high] = size.to_le_bytes();
    driver::write(address, &[object_type, revision, low, high]);
}

/// Type, revision and size of the characteristics for a registered minor version.
fn characteristics(minor: u8) -> (u8, u8, u16) {
    let (revision, size) = match minor {
        80.. => (
            NDIS_FILTER_CHARACTERISTICS_REVISION_3,
            NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3,
        ),
        1..80 => (
            NDIS_FILTER_CHARACTERISTICS_REVISION_2,
            NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2,
        ),
        0 => (
            NDIS_FILTER_CHARACTERISTICS_REVISION_1,
            NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_1,
        ),
    };
    (
        NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS,
        revision,
        size,
    )
}

fn register(call: &Call<'_>) -> u64 {
    let (driver_object, context, at, out) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let (major, minor) = (
        C::MajorNdisVersion.read(at).or_fault(),
        C::MinorNdisVersion.read(at).or_fault(),
    );
    let header = read_header(
        "NDIS_FILTER_DRIVER_CHARACTERISTICS",
        at,
        characteristics(minor),
    )
    .or_fault();
    let handlers = Handlers::read(at).or_fault();
    let unique_name = driver::read_unicode_string(at.wrapping_add(C::UniqueName)).or_fault();
    let refusal = if major != 6 || minor > version::minor() {
        Some(NDIS_STATUS_BAD_VERSION)
    } else if !header.is_valid()
        || [
            handlers.attach,
            handlers.detach,
            handlers.restart,
            handlers.pause,
        ]
        .contains(&0)
    {
        Some(NDIS_STATUS_BAD_CHARACTERISTICS)
    } else if filter::registered().is_some() {
        Some(NDIS_STATUS_FAILURE)
    } else {
        None
    };
    emit(Kind::Registration(Registration {
        major,
        minor,
        offered_minor: version::minor(),
        header,
        handlers: handlers.set(handlers.path),
        in_driver_entry: watch::is_inside(|call| call.callback == Callback::DriverEntry),
        unique_name,
        accepted: refusal.is_none(),
    }));
    if let Some(refusal) = refusal {
        return status(refusal);
    }
    let handle = handle::open(Handle::Driver);
    // In half of the runs the first attach comes before this returns, and the out parameter is written last: the pages allow
    // it. Microsoft's sample compares it with what FilterSetOptions is given, so it is there before a driver's own.
    let is_attached_first = sched::chance(1, 2);
    let is_written_last = is_attached_first && handlers.set_options == 0;
    if !is_written_last {
        mem::write(out, handle).or_fault();
    }
    filter::set(Some(Filter {
        context,
        driver_object,
        minor,
        handlers,
        is_leaving: false,
    }));
    if handlers.set_options != 0 {
        let arguments = [handle, context];
        let result = driver::call_status(
            Callback::FilterSetOptions,
            None,
            handlers.set_options,
            &arguments,
        );
        if result != 0 {
            filter::set(None);
            handle::close(handle);
            return u64::from(result);
        }
    }
    module::bind_all();
    if is_attached_first {
        let _ = sched::wait_until(
            sched::now() + FIRST_ATTACH_NS,
            &mut module::has_first_attach_ended,
        );
    }
    if is_written_last {
        mem::write(out, handle).or_fault();
    }
    SUCCESS
}

fn deregister(call: &Call<'_>) -> u64 {
    let handle = call.arg(0);
    let known = handle::look_up(handle) == Some(Handle::Driver);
    let in_unload_or_entry = watch::is_inside(|call| {
        matches!(
            call.callback,
            Callback::DriverUnload | Callback::DriverEntry
        )
    });
    emit(Kind::Module(ModuleEvent::Deregistered {
        in_unload_or_entry,
        known,
    }));
    // NDIS attaches no more, and detaches what is still attached, each stack paused first.
    filter::leave();
    module::unbind_all();
    filter::set(None);
    handle::close(handle);
    0
}
