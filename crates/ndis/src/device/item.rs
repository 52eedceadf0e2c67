//! Work items of the device, of both families.

use core::fmt;

use super::core::DeviceCore;
use super::{ControlDevice, Device};
use crate::irql::{Caller, Passive};
use crate::mem::PoolArc;
use crate::work::{Item, NextRun, NotAttached, Queued, Tried};

/// What a work item of the device runs: at `PASSIVE_LEVEL`, on a system thread, one run at a time.
///
/// Everything that was written before a wish is visible to the run that follows it.
pub type Routine<M> = fn(&Device<'_, M>, &mut Passive) -> NextRun;

/// An NDIS work item of the device, made by [`Opening::ndis_work_item`](super::Opening::ndis_work_item).
///
/// The handle is a name for it, and no more: the item goes with the device, whatever becomes of the handle.
pub struct NdisWorkItem<M: ControlDevice>(pub(super) PoolArc<Item<DeviceCore<M>>>);

/// A WDM work item of the device, made by one of the methods of [`Opening`](super::Opening).
///
/// The handle is a name for it, and no more: the item goes with the device, whatever becomes of the handle. While it is queued
/// NT keeps the device object.
pub struct IoWorkItem<M: ControlDevice>(pub(super) PoolArc<Item<DeviceCore<M>>>);

impl<M: ControlDevice> NdisWorkItem<M> {
    /// Wishes for a run that begins after this call.
    ///
    /// It never allocates, and never queues an item that is queued. A wish during a run makes one more run follow.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] while the device is being made, and when it is going.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisqueueioworkitem>
    pub fn queue(&self, irql: &mut impl Caller) -> Result<Queued, NotAttached> {
        self.0.queue(irql)
    }
}

impl<M: ControlDevice> IoWorkItem<M> {
    /// Wishes for a run that begins after this call, on the delayed queue.
    ///
    /// It never allocates, and never queues an item that is queued. A wish during a run makes one more run follow.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] while the device is being made, and when it is going.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-ioqueueworkitem>
    pub fn queue(&self, irql: &mut impl Caller) -> Result<Queued, NotAttached> {
        self.0.queue(irql)
    }

    /// Wishes for a run if a thread of the delayed queue is idle, which then begins with it at once; on a system without
    /// `IoTryQueueWorkItem` none is.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// As for [`queue`](Self::queue).
    ///
    /// <https://learn.microsoft.com/previous-versions/windows/hardware/drivers/dn683917(v=vs.85)>
    pub fn try_queue(&self, irql: &mut impl Caller) -> Result<Tried, NotAttached> {
        self.0.try_queue(irql)
    }
}

impl<M: ControlDevice> fmt::Debug for NdisWorkItem<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NdisWorkItem").finish_non_exhaustive()
    }
}

impl<M: ControlDevice> fmt::Debug for IoWorkItem<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoWorkItem").finish_non_exhaustive()
    }
}
