//! The NT kernel: one file per prefix of its functions.

mod address;
mod affinity;
mod ansi;
mod bitmap;
mod calendar;
mod callout;
mod checksum;
mod crt;
pub(crate) mod csq;
pub(crate) mod dbg;
mod device;
mod device_query;
mod device_stack;
mod dos_error;
pub(crate) mod dpc;
mod driver_extension;
mod encoding;
pub(crate) mod etw;
mod ex;
pub(crate) mod ex_callback;
pub(crate) mod ex_timer;
mod expression;
pub(crate) mod file;
mod format;
mod full_name;
mod generic_table;
mod hash_table;
mod identity;
mod image;
pub(crate) mod io;
pub(crate) mod io_timer;
mod irp;
pub(crate) mod ke;
mod list;
pub(crate) mod lock;
pub(crate) mod lookaside;
pub(crate) mod mdl;
pub(crate) mod mm;
mod mutex;
mod namespace;
pub(crate) mod notification;
pub(crate) mod ob;
mod object;
mod pool;
pub(crate) mod ps;
mod queue;
pub(crate) mod region;
pub(crate) mod registration;
pub(crate) mod registry;
pub(crate) mod remove_lock;
mod resource;
mod rtl;
pub(crate) mod security;
pub(crate) mod seh;
pub(crate) mod shared_lock;
mod slist;
mod stack;
mod string;
pub(crate) mod system;
mod thread;
pub(crate) mod timer;
mod topology;
mod version;
pub(crate) mod wmi;
mod zw;

use crate::rt::{DataExport, Import};

/// Everything that `ntoskrnl.exe` and `hal.dll` offer.
pub(crate) const IMPORTS: [&[Import]; 78] = [
    address::IMPORTS,
    affinity::IMPORTS,
    ansi::IMPORTS,
    bitmap::IMPORTS,
    calendar::IMPORTS,
    checksum::IMPORTS,
    crt::checked::IMPORTS,
    crt::class::IMPORTS,
    crt::number::IMPORTS,
    crt::print::IMPORTS,
    crt::scan::IMPORTS,
    crt::sort::IMPORTS,
    crt::text::IMPORTS,
    callout::IMPORTS,
    csq::IMPORTS,
    dbg::IMPORTS,
    device::IMPORTS,
    dos_error::IMPORTS,
    dpc::IMPORTS,
    encoding::IMPORTS,
    etw::IMPORTS,
    ex::IMPORTS,
    ex_timer::IMPORTS,
    expression::IMPORTS,
    file::IMPORTS,
    generic_table::IMPORTS,
    hash_table::IMPORTS,
    image::IMPORTS,
    identity::IMPORTS,
    io::IMPORTS,
    irp::IMPORTS,
    device_query::IMPORTS,
    device_stack::IMPORTS,
    driver_extension::IMPORTS,
    ex_callback::IMPORTS,
    io_timer::IMPORTS,
    notification::IMPORTS,
    object::IMPORTS,
    remove_lock::IMPORTS,
    ke::IMPORTS,
    list::IMPORTS,
    lock::IMPORTS,
    lookaside::IMPORTS,
    mm::IMPORTS,
    mm::pages::IMPORTS,
    mm::reserved::IMPORTS,
    mutex::IMPORTS,
    ob::IMPORTS,
    pool::IMPORTS,
    ps::IMPORTS,
    queue::IMPORTS,
    registration::IMPORTS,
    registration::OTHER_IMPORTS[0],
    registration::OTHER_IMPORTS[1],
    registration::OTHER_IMPORTS[2],
    registry::IMPORTS,
    registry::RTL_IMPORTS,
    region::IMPORTS,
    resource::IMPORTS,
    rtl::IMPORTS,
    security::access::IMPORTS,
    security::acl::IMPORTS,
    security::capture::IMPORTS,
    security::descriptor::IMPORTS,
    security::object::IMPORTS,
    security::sid::IMPORTS,
    seh::IMPORTS,
    shared_lock::IMPORTS,
    slist::IMPORTS,
    stack::IMPORTS,
    string::IMPORTS,
    system::IMPORTS,
    thread::IMPORTS,
    timer::IMPORTS,
    version::IMPORTS,
    topology::IMPORTS,
    wmi::IMPORTS,
    zw::IMPORTS,
];

/// Where user mode ends. All that the lab gives to a driver is above, as the kernel's memory is in Windows, so that a
/// driver that compares an address with these variables decides as it does there.
const USER_END: u64 = crate::rt::exception::USER_END;

/// Variables of `ntoskrnl.exe`.
pub(crate) const DATA: &[DataExport] = &[
    DataExport {
        module: "ntoskrnl.exe",
        name: "KeNumberProcessors",
        words: &[1],
    },
    // Windows 11 24H2, free build.
    DataExport {
        module: "ntoskrnl.exe",
        name: "NtBuildNumber",
        words: &[0xF000_65F4],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "KdDebuggerEnabled",
        words: &[0],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "KdDebuggerNotPresent",
        words: &[1],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "MmHighestUserAddress",
        words: &[USER_END - 0x1_0001],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "MmUserProbeAddress",
        words: &[USER_END - 0x1_0000],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "MmSystemRangeStart",
        words: &[USER_END],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "PsInitialSystemProcess",
        words: &[crate::rt::SYSTEM_PROCESS],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "PsThreadType",
        words: &[0],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "PsProcessType",
        words: &[0],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "ExEventObjectType",
        words: &[0],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "IoFileObjectType",
        words: &[0],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "IoDeviceObjectType",
        words: &[0],
    },
    DataExport {
        module: "ntoskrnl.exe",
        name: "IoDriverObjectType",
        words: &[0],
    },
    // A pointer: see `security::export`.
    DataExport {
        module: "ntoskrnl.exe",
        name: "SeExports",
        words: &[0],
    },
];

/// Forgets everything: a run begins.
pub(crate) fn reset() {
    affinity::reset();
    callout::reset();
    ex::reset();
    ex_timer::reset();
    irp::reset();
    driver_extension::reset();
    ex_callback::reset();
    io_timer::reset();
    notification::reset();
    remove_lock::reset();
    lock::reset();
    shared_lock::reset();
    dpc::reset();
    timer::reset();
    identity::reset();
    security::object::reset();
    security::token::reset();
    region::reset();
    resource::reset();
    ob::reset();
    file::reset();
    ps::reset();
    crt::text::reset();
    queue::reset();
    registration::reset();
    thread::reset();
    mm::pages::reset();
    mm::reserved::reset();
    wmi::reset();
    dbg::take_output();
}

/// A table of [`Import`]s of one module.
macro_rules! imports {
    ($module:literal: $($name:ident => $run:path),* $(,)?) => {
        /// The functions of this file.
        pub(crate) const IMPORTS: &[crate::rt::Import] =
            &[$(crate::rt::Import { module: $module, name: stringify!($name), run: $run }),*];
    };
}
pub(crate) use imports;

/// `STATUS_SUCCESS`.
pub(crate) const SUCCESS: u64 = 0;

/// A status constant as an import returns it.
pub(crate) const fn status(status: i32) -> u64 {
    // Only the lower half of RAX counts.
    status.cast_unsigned() as u64
}
