//! The NT kernel and NDIS stack that a filter lives in.

mod abi;
mod config;
mod device;
mod driver;
mod fwp;
mod injection;
mod irp;
mod life;
mod memory;
mod ndis;
mod nt;
mod operation;
mod per_image;
mod report;
mod rt;
mod surface;
mod trace;
mod watch;
mod worker;

pub use config::{
    AdapterConfig, Answer, Ask, CallSite, Chaos, Control, ControlPhase, Device, Direction,
    DiskFile, Frame, Load, Media, NextLoad, ParameterValue, Request, RequestKind, Requestor,
    RunConfig, Sample, StackedImage, Stop, UserMemory,
};
pub use operation::{
    Act, Event, EventWay, FileCall, FileOperation, OidAsk, Operation, Outcome, Packets,
    Performance, PowerState, Script, StatusIndication, Step, Target, Traffic,
};
pub use report::{
    AdapterReport, CallSiteReport, ControlRecord, DeviceRequestReport, DispatchReport, Failure,
    HoldReport, MachineReport, PoolReport, PoolTagReport, Progress, Report, RequestReport,
    RuleReport, StackedReport, TrafficCount, WorkItemFunction, WorkItemReport,
};

pub use surface::{ImportedName, Support, imports};
pub use trace::{TraceBody, TraceEvent, TraceMessage, TraceRecord, TraceSession, Wanted};
pub use watch::situation::NAMES as SITUATIONS;

/// The interface index of an adapter, counted from 0.
pub fn if_index(adapter: u32) -> u32 {
    ndis::adapter::if_index(adapter)
}

/// The value of an OID, a status or an event, by its C name.
#[must_use]
pub fn value_of(name: &str) -> Option<u32> {
    let names = abi::name::NAMES;
    let at = names.binary_search_by_key(&name, |(known, _)| known).ok()?;
    Some(names[at].1)
}

/// The first C name of a value that begins with one of `prefixes`, those that come first first.
#[must_use]
pub fn name_of(value: u32, prefixes: &[&str]) -> Option<&'static str> {
    let find = |prefix: &&str| {
        let mut names = abi::name::NAMES.iter();
        let found = names.find(|(name, known)| *known == value && name.starts_with(prefix));
        found.map(|(name, _)| *name)
    };
    prefixes.iter().find_map(find)
}

/// What ran where and when, as [`Report::timeline`] tells it.
pub mod timeline {
    pub use crate::rt::journal::{Moment, What};
}

/// Lets this process be killed when the thread that started it ends, in whatever way.
///
/// # Errors
/// When Linux refuses.
pub fn end_with_parent() -> std::io::Result<()> {
    rt::end_with_parent()
}

/// Whether the PDB at `pdb` has the symbols of `image`, the bytes of a `.sys` file. A run with one that has not
/// shows offsets. Of an image that cannot be parsed nothing is said: [`run`] does.
///
/// # Errors
/// Why not, to be put behind the PDB's name.
pub fn check_symbols(image: &[u8], pdb: &std::path::Path) -> Result<(), String> {
    lab_pe::Image::parse(image).map_or(Ok(()), |image| rt::symbol::check(pdb, &image))
}

/// Whether a file of the simulated disk can have this full name.
///
/// # Errors
/// Why not, to be put behind the name.
pub fn check_disk_name(name: &str) -> Result<(), String> {
    nt::file::seed::check(name)
}

/// Runs an image through its whole life. One run per process: the machine is process-global, and
/// a second call is refused.
///
/// `progress` is called at every phase, and about every 64 frames within traffic.
///
/// # Errors
/// When the image cannot be loaded or is no filter, the configuration is out of range, or the lab
/// itself fails. A broken rule is no error: it is in [`Report::violation`].
pub fn run(config: RunConfig, progress: Box<dyn FnMut(&Progress)>) -> Result<Report, Failure> {
    life::run(config, progress)
}
