//! A module in a state, as callbacks see it.

use core::fmt;
use core::ops::Deref;

use ndis_sys::NdisFRestartFilter;

use super::{AttachParameters, FilterModule, HoldPath, ModuleCore, ModuleState, OriginatePath};
use crate::Status;
use crate::config::{self, Configuration};
use crate::irql::{Caller, Passive};
use crate::nbl::{
    Callback, Chain, Direction, HeldCounts, Hold, HoldLimit, LowResources, Nbl, NblBatch, Release,
    Released, Rx,
};
use crate::work::WorkItemCounts;

/// An attached module. It derefs to the driver's `M`.
///
/// It is lent: what keeps the module there stays in the thunk, so keeping or leaking a view changes nothing.
///
/// # Invariants
///
/// For `'a`, the module's `M` is initialised and stays.
pub struct Attached<'a, M: FilterModule> {
    core: &'a ModuleCore<M>,
}

impl<'a, M: FilterModule> Attached<'a, M> {
    /// # Safety
    ///
    /// The invariant holds.
    pub(crate) const unsafe fn new(core: &'a ModuleCore<M>) -> Self {
        // INVARIANT: the caller's promise.
        Self { core }
    }

    pub(crate) const fn core(&self) -> &'a ModuleCore<M> {
        self.core
    }

    /// What NDIS said about the adapter when the module was attached.
    #[must_use]
    pub const fn parameters(&self) -> &AttachParameters {
        self.core.parameters()
    }

    /// The state at about this time.
    #[must_use]
    pub fn state(&self) -> ModuleState {
        self.core.state()
    }

    /// What the module's work items did so far, together.
    #[must_use]
    pub fn work_items(&self) -> WorkItemCounts {
        self.core.work.counts()
    }

    /// Batches that datapath callbacks of the module have leaked: packets that are stuck for ever. It should be zero.
    #[must_use]
    pub fn leaked_batches(&self) -> u64 {
        self.core.leaked_batches()
    }

    /// How many packets of one direction the module holds.
    #[must_use]
    pub fn held<D: Direction>(&self) -> HeldCounts {
        self.core.held::<D>().counts()
    }

    /// Opens the module's parameters, runs `f` with them, and closes them.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// NDIS could not open them; `f` is not called then.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisopenconfigurationex>
    pub fn configuration<R>(
        &self,
        irql: &mut Passive,
        f: impl FnOnce(&mut Configuration<'_>, &mut Passive) -> R,
    ) -> Result<R, Status> {
        // SAFETY: by the invariant the module is attached, so its handle is valid.
        unsafe { config::with(self.core.handle(), irql, f) }
    }

    /// Asks NDIS to pause the module and to restart it, which it does after this has returned. Between the two it asks
    /// [`BypassPath`](super::BypassPath) anew. Packets that come meanwhile may be lost above or below.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// NDIS will not do it. [`Status::DEVICE_NOT_READY`] before NDIS has called the module for the first time, for
    /// `FilterAttach` may not have returned then; [`Status::REQUEST_ABORTED`] once detach has begun.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfrestartfilter>
    pub fn request_restart(&self, _irql: &mut impl Caller) -> Result<(), Status> {
        self.core.acquire_to_speak()?;
        // SAFETY: the reference keeps the module attached, so its handle is valid.
        let status = unsafe { NdisFRestartFilter(self.core.handle()) };
        self.core.attached.release();
        Status::from_raw(status).ok()
    }

    /// Runs `f` with the module running; `None` if it is not. Pause waits until `f` has returned.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    pub fn while_running<R, C: Caller>(
        &self,
        irql: &mut C,
        f: impl FnOnce(&Running<'_, M>, &mut C) -> R,
    ) -> Option<R> {
        if !self.core.datapath.acquire() {
            return None;
        }
        // SAFETY: a reference of `datapath` is held until `f` has returned.
        let result = f(&unsafe { Running::new(self.core) }, irql);
        self.core.datapath.release();
        Some(result)
    }
}

impl<M: FilterModule> Deref for Attached<'_, M> {
    type Target = M;

    fn deref(&self) -> &M {
        // SAFETY: by the invariant `M` is there; how the view came about is one of the ways of the core's invariant 1.
        unsafe { self.core.module() }
    }
}

impl<M: FilterModule> fmt::Debug for Attached<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

/// An attached module that is running. It derefs to [`Attached`].
///
/// # Invariants
///
/// For `'a`, those of [`Attached`], and a reference of the module's datapath rundown is held.
pub struct Running<'a, M: FilterModule> {
    attached: Attached<'a, M>,
}

impl<'a, M: FilterModule> Running<'a, M> {
    /// # Safety
    ///
    /// The invariants hold.
    pub(crate) const unsafe fn new(core: &'a ModuleCore<M>) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            // SAFETY: this function's contract.
            attached: unsafe { Attached::new(core) },
        }
    }
}

impl<M: HoldPath> Running<'_, M> {
    /// Holds packets of the current callback, behind what is held of their direction already, as far as `limit` allows.
    ///
    /// They keep their port and flags. What is held is released through [`release`](Self::release), and given up by pause.
    /// A batch that was released cannot be held again: all of it is refused.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn hold<'c, D: Direction>(
        &self,
        packets: NblBatch<'c, D>,
        limit: HoldLimit,
        irql: &mut impl Caller,
    ) -> Hold<'c, D> {
        const {
            assert!(
                M::HANDLERS.can_hold(),
                "a filter that holds packets has `hold` among its handlers"
            );
        }
        packets.hold(limit, irql)
    }

    /// Whether packets of one direction are held, or were and may not have been released yet: what passes at once then
    /// may overtake them.
    #[must_use]
    pub fn is_holding<D: Direction>(&self) -> bool {
        self.attached.core.held::<D>().is_busy()
    }

    /// Runs `f` with the right to release what is held of one direction; `None` if somebody has the right already.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn release<D: Direction, C: Caller, R>(
        &self,
        irql: &mut C,
        f: impl FnOnce(&mut Release<'_, D>, &mut C) -> R,
    ) -> Option<Released<R>> {
        let core = self.attached.core;
        let held = core.held::<D>();
        held.with_right(false, irql, |irql| {
            // SAFETY: the module is running, so its handle is valid.
            let callback = unsafe { Callback::new(core.handle(), core.side::<D>(), false) };
            // SAFETY: the right is this closure's until it returns.
            let mut release = unsafe { Release::new(held, callback) };
            let result = f(&mut release, irql);
            core.report_leaked(release.settle(irql));
            result
        })
    }

    /// Runs `f` if nothing of one direction is held, and keeps what comes meanwhile behind it: what `f` passes on
    /// overtakes nothing. `None` if something is.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn while_idle<D: Direction, C: Caller, R>(
        &self,
        irql: &mut C,
        f: impl FnOnce(&mut C) -> R,
    ) -> Option<Released<R>> {
        self.attached.core.held::<D>().with_right(true, irql, f)
    }
}

impl<M: OriginatePath> Running<'_, M> {
    /// Copies lent packets into packets of the module's own, as far as those are free and long enough, in order; `missed`
    /// is shown what has no copy. What stands beside the frames is copied too.
    ///
    /// The copies can be held, and keep port and flags. Passed on beside what they are copies of, they are seen twice.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn copy<'c>(
        &self,
        packets: &LowResources<'c>,
        missed: impl FnMut(&Nbl<'_, Rx>),
        irql: &mut impl Caller,
    ) -> NblBatch<'c, Rx> {
        const { Self::ORIGINATES };
        packets.copy(missed, irql)
    }

    /// Puts copies in the place of the lists that `choose` wants, as far as packets of the module's own are free and long
    /// enough. The first result has the order of `packets`; the second is what has been replaced, for the filter to complete
    /// or return. What stands beside the frames is copied too; of a list to send with several packets, each gets a list.
    ///
    /// A send whose sender reads the adapter's answer beside it (the time that it left, large send offload) is not replaced:
    /// a copy's answer does not come to it. A [clone's](Self::clone_in_place) does.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn replace<'c, D: Direction>(
        &self,
        packets: NblBatch<'c, D>,
        choose: impl FnMut(&Nbl<'_, D>) -> bool,
        irql: &mut impl Caller,
    ) -> (NblBatch<'c, D>, NblBatch<'c, D>) {
        const { Self::ORIGINATES };
        packets.replace(choose, irql)
    }

    /// Copies of the lists that `choose` wants, as far as packets of the module's own are free and long enough, beside
    /// `packets`: passed on as well, they are seen twice. What stands beside the frames is copied too.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn duplicate<'c, D: Direction>(
        &self,
        packets: &NblBatch<'c, D>,
        choose: impl FnMut(&Nbl<'_, D>) -> bool,
        irql: &mut impl Caller,
    ) -> NblBatch<'c, D> {
        const { Self::ORIGINATES };
        packets.duplicate(choose, irql)
    }

    /// Puts clones in the place of the lists that `choose` wants, in the same order: lists of the module's own over the same
    /// memory, with the same beside them. The others stay: those that cannot be cloned (header-data split), or for which
    /// there is no memory, or no clone [left](crate::nbl::OwnPackets::clones).
    ///
    /// What is cloned stays with the module until its clone comes back, and is then completed as the clone was, with what
    /// the adapter has left beside it, or returned; pause waits for that. So a clone is treated like what it stands for.
    ///
    /// ```compile_fail,E0308
    /// # use ndis::{filter::{OriginatePath, Running}, irql::AtMostDispatch, nbl::{LowResources, NblBatch, Rx}};
    /// fn keep<'c, M: OriginatePath>(
    ///     module: &Running<'_, M>,
    ///     lent: LowResources<'c>,
    ///     irql: &mut AtMostDispatch,
    /// ) -> NblBatch<'c, Rx> {
    ///     module.clone_in_place(lent, |_| true, irql)
    /// }
    /// ```
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/cloned-net-buffer-list-structures>
    pub fn clone_in_place<'c, D: Direction>(
        &self,
        packets: NblBatch<'c, D>,
        choose: impl FnMut(&Nbl<'_, D>) -> bool,
        _irql: &mut impl Caller,
    ) -> NblBatch<'c, D> {
        const { Self::ORIGINATES };
        packets.clone_in_place(choose)
    }

    /// Likewise, with a second clone of each, which comes second in the result and goes its own way. What is cloned stays
    /// with the module until both are back; it has failed when one of them has.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn mirror<'c, D: Direction>(
        &self,
        packets: NblBatch<'c, D>,
        choose: impl FnMut(&Nbl<'_, D>) -> bool,
        _irql: &mut impl Caller,
    ) -> (NblBatch<'c, D>, NblBatch<'c, D>) {
        const { Self::ORIGINATES };
        packets.mirror(choose)
    }

    /// Sends (`Tx`) or indicates (`Rx`) a packet that the module makes up: `frame`, with nothing beside it. It comes back
    /// by itself; pause waits for it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`]: no packet of the module's own is free, or long enough.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/sending-data-from-a-filter-driver>,
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/receiving-data-in-a-filter-driver>
    pub fn originate<D: Direction>(
        &self,
        frame: &[u8],
        port: u32,
        irql: &mut impl Caller,
    ) -> Result<(), Status> {
        const { Self::ORIGINATES };
        let core = self.attached.core;
        let length = u32::try_from(frame.len()).map_err(|_| Status::RESOURCES)?;
        let fill = |room: &mut [u8]| {
            room.iter_mut()
                .zip(frame)
                .for_each(|(to, from)| *to = *from);
            true
        };
        let packet = core
            .side::<D>()
            .own
            .take(length, fill, irql)
            .ok_or(Status::RESOURCES)?;
        // SAFETY: the module is running, so its handle is valid.
        let callback = unsafe { Callback::<D>::new(core.handle(), core.side::<D>(), false) };
        // SAFETY: the packet is the module's own of this direction, and nobody else has it.
        unsafe { callback.batch(Chain::new(packet.as_ptr()), 1, port, 0) }.forward(irql);
        Ok(())
    }

    /// Packets come back through handlers that are registered.
    const ORIGINATES: () = assert!(
        M::HANDLERS.can_originate(),
        "a filter that has packets of its own has `originate` among its handlers"
    );
}

impl<'a, M: FilterModule> Deref for Running<'a, M> {
    type Target = Attached<'a, M>;

    fn deref(&self) -> &Self::Target {
        &self.attached
    }
}

impl<M: FilterModule> fmt::Debug for Running<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.attached.fmt(f)
    }
}
