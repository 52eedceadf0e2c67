//! The monitors, one file per family of rules.

mod argument;
mod calling;
mod derived;
mod device;
mod dispatch_flag;
mod dpc;
mod fault;
mod frame;
mod handle;
mod image;
mod irp;
mod irp_own;
mod irql;
mod lifecycle;
mod lock;
mod mdl;
mod nbl;
mod oid;
mod owner;
pub(crate) mod passage;
mod place;
mod pool;
mod registration;
mod running;
mod rw_lock;
mod state;
mod storage;
mod thread;
mod timer;
mod trace;
mod under_way;
mod unload;
mod work_item;

use crate::Monitor;

/// A fresh set of all monitors, with what is demanded beyond pages.
pub(crate) fn monitors(demands: passage::Demands) -> Vec<Box<dyn Monitor>> {
    vec![
        // What these know of a wait is more than the level.
        Box::<oid::OidMonitor>::default(),
        Box::<calling::CallingMonitor>::default(),
        Box::<irql::IrqlMonitor>::default(),
        Box::<image::ImageMonitor>::default(),
        Box::<argument::ArgumentMonitor>::default(),
        Box::<lock::LockMonitor>::default(),
        Box::<rw_lock::RwLockMonitor>::default(),
        Box::<timer::TimerMonitor>::default(),
        Box::<trace::TraceMonitor>::default(),
        Box::<dpc::DpcMonitor>::default(),
        Box::<mdl::MdlMonitor>::default(),
        Box::<storage::StorageMonitor>::default(),
        Box::<thread::ThreadMonitor>::default(),
        Box::<derived::DerivedMonitor>::default(),
        Box::<pool::PoolMonitor>::default(),
        Box::<fault::FaultMonitor>::default(),
        Box::<registration::RegistrationMonitor>::default(),
        Box::<lifecycle::LifecycleMonitor>::default(),
        Box::<dispatch_flag::DispatchFlagMonitor>::default(),
        Box::<frame::FrameMonitor>::default(),
        Box::<owner::OwnerMonitor>::default(),
        Box::<nbl::NblMonitor>::default(),
        Box::<work_item::WorkItemMonitor>::default(),
        Box::<device::DeviceMonitor>::default(),
        Box::<irp::IrpMonitor>::default(),
        Box::<irp_own::OwnIrpMonitor>::default(),
        Box::<unload::UnloadMonitor>::default(),
        Box::<handle::HandleMonitor>::default(),
        Box::new(passage::PassageMonitor::new(demands)),
    ]
}

/// A count with its noun.
pub(crate) fn count_text(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
