//! The life of a module: one per adapter.
//!
//! It has nothing to do in `FilterPause`: when that comes, the worker has drained the ring, and nothing is held.

use core::sync::atomic::AtomicU64;

use inspect::{FlowTable, Slot};
use ndis::driver::Installed;
use ndis::filter::{
    Attached, Attaching, BypassPath, Call, FilterModule, Medium, Moment, Stage, StatusIndication,
    StatusPath,
};
use ndis::irql::{AtMostDispatch, Passive};
use ndis::lock::SpinLock;
use ndis::mem::{PoolVec, Tag};
use ndis::nbl::{Rx, Tx};
use ndis::ring::SnapshotRing;
use ndis::work::WorkItem;
use ndis::{Status, time};
use protocol::{AdapterStatistics, Mode};
use wpp::wpp;

use crate::count::{Counters, FlowCounts};
use crate::datapath::Snapshot;
use crate::inline::{self, Judge, Way};
use crate::memory::Share;
use crate::message::{self, Life, Modes};
use crate::mode::Switch;
use crate::parameter::{Parameters, memory_limit};
use crate::setting::{self, Settings};
use crate::tell;
use crate::worker;

const RING_TAG: Tag = Tag::new(*b"DfRg");
const FLOW_TAG: Tag = Tag::new(*b"DfFl");

/// What the filter is on one adapter.
///
/// In mode `tap` the datapath writes `ring` and wishes for `worker`; the worker drains it into `flows`. In mode `inline`
/// it holds packets and wishes for a judge. Whoever else looks takes the lock of `flows` or reads counters.
pub(crate) struct Tap {
    pub(crate) if_index: u32,
    /// Bytes of each frame that are looked at.
    pub(crate) snapshot_length: u32,
    pub(crate) max_flows: u32,
    pub(crate) counters: Counters,
    pub(crate) ring: SnapshotRing<Snapshot>,
    pub(crate) settings: Settings,
    pub(crate) switch: Switch,
    pub(crate) worker: WorkItem<Self>,
    pub(crate) send_judge: Judge,
    pub(crate) receive_judge: Judge,
    pub(crate) flows: SpinLock<FlowTable<PoolVec<Slot>>>,
    /// What `flows` counts, to be read without its lock.
    pub(crate) flow_counts: FlowCounts,
    /// What ring and flow table have of the memory that is for all adapters.
    _share: Share,
    /// When the module's counters were traced last.
    pub(crate) told_ns: AtomicU64,
}

impl FilterModule for Tap {
    type Departed = AdapterStatistics;

    fn attach(attaching: &mut Attaching<'_, Self>, irql: &mut Passive) -> Result<Self, Status> {
        if attaching.parameters().medium != Medium::ETHERNET {
            return Err(Status::UNSUPPORTED_MEDIA);
        }
        let parameters = Parameters::read(attaching, irql);
        let limit = memory_limit(attaching, irql);
        let share = Share::take(parameters.memory(), limit)?;
        let slots =
            PoolVec::try_from_fn(FLOW_TAG, parameters.max_flows as usize, |_| Slot::default())?;
        // Whoever sends packets knows neither when the system started nor when the adapter was attached.
        let seed = time::now_ns();
        let if_index = attaching.parameters().if_index;
        tell::parameters_read(if_index, &parameters);
        Ok(Self {
            if_index,
            snapshot_length: parameters.snapshot_length,
            max_flows: parameters.max_flows,
            counters: Counters::default(),
            ring: SnapshotRing::try_new(
                RING_TAG,
                parameters.ring_entries as usize,
                parameters.snapshot_length as usize,
            )?,
            settings: Settings::new(&parameters),
            switch: Switch::new(parameters.mode),
            worker: attaching.work_item(worker::drain, irql)?,
            send_judge: judge::<Tx>(attaching, irql)?,
            receive_judge: judge::<Rx>(attaching, irql)?,
            flows: SpinLock::new(FlowTable::new(slots, seed, parameters.flow_idle_ns)),
            flow_counts: FlowCounts::default(),
            _share: share,
            told_ns: AtomicU64::new(0),
        })
    }

    fn restart(this: &Attached<'_, Self>, irql: &mut Passive) -> Result<(), Status> {
        this.switch.reread(irql, |irql| setting::reread(this, irql));
        this.switch.wake(irql);
        wpp!(
            Verbose,
            Life,
            "{FUNC}: adapter {if_index:u32} in mode {mode:Modes}",
            this.if_index,
            this.settings.mode()
        );
        Ok(())
    }

    fn detaching(_this: &Attached<'_, Self>, irql: &mut Passive) {
        // Who waits for a change of this module does not find it any more.
        Self::driver().advance_requests(irql);
    }

    fn detach(this: &Attached<'_, Self>, irql: &mut Passive) {
        tell::flows_detached(this, irql);
    }

    fn witness(moment: Moment<'_, Self>) {
        tell::witness(moment);
    }

    #[inline(always)]
    fn called(call: Call, stage: Stage<'_>) {
        message::called(call, stage);
    }

    fn wants_times() -> bool {
        tell::wants_times()
    }

    fn depart(this: &Attached<'_, Self>, departed: &mut AdapterStatistics) {
        departed.add_departed(&crate::count::statistics(this));
    }
}

impl BypassPath for Tap {
    fn is_bypassed(this: &Attached<'_, Self>, irql: &mut Passive) -> bool {
        this.switch.take(this.settings.mode(), irql) == Mode::Off
    }

    fn bypass_settled(this: &Attached<'_, Self>, result: Result<(), Status>, irql: &mut Passive) {
        if let Some(mode) = this.switch.settle(result, irql) {
            tell::change_mode(this, mode);
        }
        if let Err(status) = result {
            tell::mode_not_changed(this, status);
        }
    }
}

/// What judges one direction in mode `inline`, which the module can be in at any time.
fn judge<D: Way>(attaching: &mut Attaching<'_, Tap>, irql: &mut Passive) -> Result<Judge, Status> {
    Ok(Judge {
        worker: attaching.work_item(inline::judge::<D>, irql)?,
        timer: attaching.timer(inline::expire::<D>, irql)?,
    })
}

/// Nothing to do with status: NDIS wants the handler beside that of receives, and everything is passed on.
impl StatusPath for Tap {
    fn status(
        this: &Attached<'_, Self>,
        indication: StatusIndication<'_>,
        irql: &mut AtMostDispatch,
    ) {
        wpp!(
            Verbose,
            Life,
            "{FUNC}: adapter {if_index:u32}, {code:ndis_status}",
            this.if_index,
            indication.code()
        );
        indication.forward(irql);
    }
}
