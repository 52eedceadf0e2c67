//! What can change while packets pass.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use inspect::{BlockTable, PacketFacts, Verdict};
use ndis::Status;
use ndis::filter::Attached;
use ndis::irql::{Caller, Passive};
use ndis::lock::SpinLock;
use ndis::nbl::Overload;
use protocol::Mode;

use crate::module::Tap;
use crate::parameter::Parameters;
use crate::tell;

/// What may become of packets now. Each value is read for each batch; nothing is ordered by them.
#[derive(Debug)]
pub(crate) struct Settings {
    mode: AtomicU8,
    drops_at_overload: AtomicU8,
    hold_limit: AtomicU32,
    max_hold_ns: AtomicU64,
    worker_budget_ns: AtomicU64,
    blocked: SpinLock<BlockTable>,
}

impl Settings {
    /// For a module whose handlers are there: of mode `off` it knows when they are gone.
    pub(crate) const fn new(parameters: &Parameters) -> Self {
        let mode = match parameters.mode {
            Mode::Off | Mode::Tap => Mode::Tap,
            Mode::Inline => Mode::Inline,
        };
        Self {
            mode: AtomicU8::new(mode as u8),
            drops_at_overload: AtomicU8::new(drops(parameters.overload) as u8),
            hold_limit: AtomicU32::new(parameters.hold_limit),
            max_hold_ns: AtomicU64::new(parameters.max_hold_ns),
            worker_budget_ns: AtomicU64::new(parameters.worker_budget_ns),
            blocked: SpinLock::new(parameters.blocked),
        }
    }

    /// Takes over what can change at any time: all but the mode.
    fn update(&self, parameters: &Parameters, irql: &mut impl Caller) {
        let drops = u8::from(drops(parameters.overload));
        self.drops_at_overload.store(drops, Ordering::Relaxed);
        self.hold_limit
            .store(parameters.hold_limit, Ordering::Relaxed);
        self.max_hold_ns
            .store(parameters.max_hold_ns, Ordering::Relaxed);
        self.worker_budget_ns
            .store(parameters.worker_budget_ns, Ordering::Relaxed);
        self.blocked
            .with(irql, |blocked, _| *blocked = parameters.blocked);
    }

    /// The mode that is in effect.
    pub(crate) fn mode(&self) -> Mode {
        let mode = self.mode.load(Ordering::Relaxed);
        Mode::ALL
            .iter()
            .copied()
            .find(|&known| known as u8 == mode)
            .unwrap_or_default()
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// What becomes of packets that cannot wait for their verdict.
    pub(crate) fn overload(&self) -> Overload {
        if self.drops_at_overload.load(Ordering::Relaxed) != 0 {
            Overload::Refuse
        } else {
            Overload::Unjudged
        }
    }

    /// The most packets of one direction that wait for their verdict.
    pub(crate) fn hold_limit(&self) -> u32 {
        self.hold_limit.load(Ordering::Relaxed)
    }

    /// The longest time that a packet waits for it.
    pub(crate) fn max_hold_ns(&self) -> u64 {
        self.max_hold_ns.load(Ordering::Relaxed)
    }

    /// The longest time that a worker runs at a time.
    pub(crate) fn worker_budget_ns(&self) -> u64 {
        self.worker_budget_ns.load(Ordering::Relaxed)
    }

    /// The rules in effect.
    fn blocked(&self, irql: &mut impl Caller) -> BlockTable {
        self.blocked.with(irql, |blocked, _| *blocked)
    }

    /// What becomes of a packet.
    pub(crate) fn verdict(&self, facts: &PacketFacts, irql: &mut impl Caller) -> Verdict {
        self.blocked.with(irql, |blocked, _| blocked.verdict(facts))
    }
}

const fn drops(overload: Overload) -> bool {
    matches!(overload, Overload::Refuse)
}

/// Reads the parameters again, in `FilterRestart`, and gives the mode among them, which is not changed. What was allocated
/// by them stays as it is: ring and flow table.
///
/// # Errors
///
/// NDIS cannot open them, and nothing changes.
pub(crate) fn reread(this: &Attached<'_, Tap>, irql: &mut Passive) -> Result<Mode, Status> {
    let blocked = this.settings.blocked(irql);
    let read = this.configuration(irql, |configuration, irql| {
        Parameters::of(this.if_index, &blocked, configuration, irql)
    });
    let parameters =
        read.inspect_err(|&status| tell::parameters_not_read(this.if_index, status))?;
    tell::parameters_read(this.if_index, &parameters);
    this.settings.update(&parameters, irql);
    this.flows.with(irql, |flows, _| {
        flows.set_idle_ns(parameters.flow_idle_ns);
    });
    Ok(parameters.mode)
}
