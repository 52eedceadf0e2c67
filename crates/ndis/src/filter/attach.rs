//! Attaching: what NDIS says about the adapter, and what can be had for the module.

use core::marker::PhantomData;

use ndis_sys::{
    NDIS_FILTER_ATTACH_PARAMETERS, NDIS_FILTER_RESTART_PARAMETERS, NDIS_OBJECT_HEADER,
    NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS, NDIS_OBJECT_TYPE_FILTER_RESTART_PARAMETERS,
    NDIS_SIZEOF__FILTER_RESTART_PARAMETERS_REVISION_1,
    NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_1, NdisMedium802_3,
};

use super::{FilterModule, ModuleCore};
use crate::Status;
use crate::config::{self, Configuration};
use crate::dpc::{self, Dpc};
use crate::driver::filter_driver_handle;
use crate::irql::Passive;
use crate::mem::PoolArc;
use crate::thread::{self, SystemThread};
use crate::timer::{self, Timer};
use crate::work::{Routine, WorkItem};

/// Medium of an adapter (`NDIS_MEDIUM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium(i32);

impl Medium {
    /// Ethernet (`NdisMedium802_3`).
    pub const ETHERNET: Self = Self(NdisMedium802_3);
}

/// Current MAC address of an adapter, of up to 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress {
    bytes: [u8; 32],
    length: u16,
}

impl MacAddress {
    /// The address of an Ethernet adapter; `None` if this one has another length.
    #[must_use]
    pub fn ethernet(&self) -> Option<[u8; 6]> {
        if self.length == 6 {
            self.bytes.first_chunk().copied()
        } else {
            None
        }
    }
}

/// What NDIS says about the adapter, copied from `NDIS_FILTER_ATTACH_PARAMETERS`.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/ns-ndis-_ndis_filter_attach_parameters>
#[derive(Clone, Copy, Debug)]
pub struct AttachParameters {
    /// Interface index of the adapter that the filter stack stands on (`BaseMiniportIfIndex`).
    pub base_miniport_if_index: u32,
    /// Interface index of this filter module (`IfIndex`).
    pub if_index: u32,
    /// The medium (`MiniportMediaType`).
    pub medium: Medium,
    /// The MAC address at this time (`CurrentMacAddress`).
    pub mac_address: MacAddress,
}

impl AttachParameters {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// [`Status::INVALID_PARAMETER`] when they are not what their header has to say they are.
    ///
    /// # Safety
    ///
    /// `raw` came with `FilterAttach`.
    pub(crate) unsafe fn read(raw: *const NDIS_FILTER_ATTACH_PARAMETERS) -> Result<Self, Status> {
        // SAFETY: this function's contract: at least the header is there.
        let header = unsafe { (*raw).Header };
        check(
            header,
            NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS,
            NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_1,
        )?;
        Ok(Self {
            // SAFETY: the header says that the members of revision 1 are there.
            base_miniport_if_index: unsafe { (*raw).BaseMiniportIfIndex },
            // SAFETY: likewise.
            if_index: unsafe { (*raw).IfIndex },
            // SAFETY: likewise.
            medium: Medium(unsafe { (*raw).MiniportMediaType }),
            mac_address: MacAddress {
                // SAFETY: likewise.
                bytes: unsafe { (*raw).CurrentMacAddress },
                // SAFETY: likewise.
                length: unsafe { (*raw).MacAddressLength },
            },
        })
    }
}

/// Checks the header of parameters, of which members of revision 1 are all that is read: every later revision has them.
fn check(header: NDIS_OBJECT_HEADER, kind: u8, least_size: u16) -> Result<(), Status> {
    if header.Type == kind && header.Revision != 0 && header.Size >= least_size {
        Ok(())
    } else {
        Err(Status::INVALID_PARAMETER)
    }
}

/// The medium that the parameters of a restart name.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/ns-ndis-_ndis_filter_restart_parameters>
///
/// # Errors
///
/// [`Status::INVALID_PARAMETER`] when they are not what their header has to say they are.
///
/// # Safety
///
/// `raw` came with `FilterRestart`.
pub(crate) unsafe fn restart_medium(
    raw: *const NDIS_FILTER_RESTART_PARAMETERS,
) -> Result<Medium, Status> {
    // SAFETY: this function's contract: at least the header is there.
    let header = unsafe { (*raw).Header };
    check(
        header,
        NDIS_OBJECT_TYPE_FILTER_RESTART_PARAMETERS,
        NDIS_SIZEOF__FILTER_RESTART_PARAMETERS_REVISION_1,
    )?;
    // SAFETY: the header says that the members of revision 1 are there.
    Ok(Medium(unsafe { (*raw).MiniportMediaType }))
}

/// A module that is being made, lent to [`FilterModule::attach`].
#[derive(Debug)]
pub struct Attaching<'a, M: FilterModule> {
    core: &'a PoolArc<ModuleCore<M>>,
    /// The thunk lends it to one activation.
    _lent: PhantomData<*mut ()>,
}

impl<'a, M: FilterModule> Attaching<'a, M> {
    /// For the thunk: `core` is new.
    pub(crate) const fn new(core: &'a PoolArc<ModuleCore<M>>) -> Self {
        Self {
            core,
            _lent: PhantomData,
        }
    }

    /// What NDIS says about the adapter.
    #[must_use]
    pub fn parameters(&self) -> &AttachParameters {
        self.core.parameters()
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
        &mut self,
        irql: &mut Passive,
        f: impl FnOnce(&mut Configuration<'_>, &mut Passive) -> R,
    ) -> Result<R, Status> {
        // SAFETY: NDIS has given the handle for this module, which is being attached.
        unsafe { config::with(self.core.handle(), irql, f) }
    }

    /// Opens the parameters of the driver as a whole, runs `f` with them, and closes them.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// NDIS could not open them; `f` is not called then.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/network/accessing-configuration-information-for-a-filter-driver>
    pub fn driver_configuration<R>(
        &mut self,
        irql: &mut Passive,
        f: impl FnOnce(&mut Configuration<'_>, &mut Passive) -> R,
    ) -> Result<R, Status> {
        // SAFETY: the handle was published before a module could attach, and lives until every module has detached.
        unsafe { config::with(filter_driver_handle(), irql, f) }
    }

    /// Allocates a work item that runs `routine`, with the handle of the filter driver.
    ///
    /// It is freed when the module detaches, or when its attach fails; until attach has returned it stays at rest. A
    /// module can have [`MAX_WORK_ITEMS`](crate::work::MAX_WORK_ITEMS).
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`]: no memory, or the module has as many as it can have.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisallocateioworkitem>
    pub fn work_item(
        &mut self,
        routine: Routine<M>,
        irql: &mut Passive,
    ) -> Result<WorkItem<M>, Status> {
        WorkItem::allocate(self.core, routine, irql)
    }

    /// Allocates a timer that runs `routine`.
    ///
    /// It is freed when the module detaches, or when its attach fails; until attach has returned it cannot be set. A module
    /// can have as many as [work items](crate::work::MAX_WORK_ITEMS).
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`], or what else NDIS gives.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisallocatetimerobject>
    pub fn timer(
        &mut self,
        routine: timer::Routine<M>,
        irql: &mut Passive,
    ) -> Result<Timer<M>, Status> {
        Timer::allocate(self.core, routine, irql)
    }

    /// Makes a DPC that runs `routine`.
    ///
    /// It goes when the module detaches, or when its attach fails; until attach has returned it cannot be queued. A module can
    /// have as many as [work items](crate::work::MAX_WORK_ITEMS).
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`].
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keinitializedpc>
    pub fn dpc(&mut self, routine: dpc::Routine<M>, irql: &mut Passive) -> Result<Dpc<M>, Status> {
        Dpc::allocate(self.core, routine, irql)
    }

    /// Creates a system thread that runs `routine` once the module is attached, and is told to stop when it detaches. If attach
    /// fails the routine is not run. A module can have as many as [work items](crate::work::MAX_WORK_ITEMS).
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`], or what else the system gives.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-pscreatesystemthread>
    pub fn thread(
        &mut self,
        routine: thread::Routine<M>,
        irql: &mut Passive,
    ) -> Result<SystemThread<M>, Status> {
        SystemThread::create(self.core, routine, irql)
    }
}
