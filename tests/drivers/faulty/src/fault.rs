//! The faults by name, and when each one happens.

pub(crate) mod call;
pub(crate) mod irql;
pub(crate) mod lock;
pub(crate) mod nbl;
pub(crate) mod pool;
pub(crate) mod work;

use crate::abi::{NDIS_RECEIVE_FLAGS_RESOURCES, NET_BUFFER_LIST};
use crate::module::Module;

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What the driver does wrong.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Fault {
            $($(#[doc = $doc])* $variant,)*
        }

        const FAULTS: &[(Fault, &str)] = &[$((Fault::$variant, $name),)*];
    };
}

faults! {
    /// Nothing.
    None = "none",
    /// `DriverEntry` deregisters and fails.
    EntryFails = "entry-fails",
    /// `FilterAttach` fails.
    AttachRefused = "attach-refused",
    /// `NdisWaitEvent` at DISPATCH_LEVEL.
    IrqlWait = "irql-wait",
    /// `NdisOpenConfigurationEx` at DISPATCH_LEVEL.
    IrqlConfiguration = "irql-configuration",
    /// `KeAcquireSpinLockAtDpcLevel` at PASSIVE_LEVEL.
    IrqlDpcLock = "irql-dpc-lock",
    /// A byte written behind a pool block.
    PoolOverrun = "pool-overrun",
    /// A byte written into the slack behind a pool block.
    PoolOverrunSlack = "pool-overrun-slack",
    /// A byte read from a freed pool block.
    PoolUseAfterFree = "pool-use-after-free",
    /// A pool block never freed.
    PoolLeak = "pool-leak",
    /// A pool block freed twice.
    PoolDoubleFree = "pool-double-free",
    /// A received list neither indicated nor returned.
    NblLeak = "nbl-leak",
    /// A sent list completed twice.
    NblCompletedTwice = "nbl-completed-twice",
    /// A received list returned twice.
    NblReturnedTwice = "nbl-returned-twice",
    /// The work item queued while it is queued.
    WorkQueuedTwice = "work-queued-twice",
    /// A work item freed while it is queued.
    WorkFreedWhileQueued = "work-freed-while-queued",
    /// The work item not done when `FilterDetach` returns.
    WorkAtDetach = "work-at-detach",
    /// A work item not done when the driver is gone.
    WorkAtUnload = "work-at-unload",
    /// A work item never freed.
    WorkLeak = "work-leak",
    /// A work item that queues itself again as the first thing it does, so that its runs overlap.
    /// No rule forbids it.
    WorkOverlap = "work-overlap",
    /// A lock acquired by its holder.
    LockTwice = "lock-twice",
    /// The same at DISPATCH_LEVEL.
    LockTwiceAtDispatch = "lock-twice-at-dispatch",
    /// A free lock released.
    LockReleasedFree = "lock-released-free",
    /// A lock released to another level.
    LockReleasedElsewhere = "lock-released-elsewhere",
    /// Two locks taken in both orders.
    LockInverted = "lock-inverted",
    /// The outer of two locks released first.
    LockOuterFirst = "lock-outer-first",
    /// A lock that was never initialised.
    LockUninitialized = "lock-uninitialized",
    /// NDIS called with a lock held.
    LockNdisUnder = "lock-ndis-under",
    /// A reader asks for writing.
    LockPromoted = "lock-promoted",
    /// A held reader-writer lock freed.
    LockFreedHeld = "lock-freed-held",
    /// A level lowered that nothing raised.
    IrqlLowered = "irql-lowered",
    /// A level lowered to another than before the raise.
    IrqlLoweredElsewhere = "irql-lowered-elsewhere",
    /// `NdisMSleep` for more than 30 seconds.
    SleepLong = "sleep-long",
    /// Executable pool.
    PoolExecutable = "pool-executable",
    /// A pool block of no bytes.
    PoolEmpty = "pool-empty",
    /// A pool block freed under another tag.
    PoolWrongTag = "pool-wrong-tag",
    /// An event in paged pool.
    EventPaged = "event-paged",
    /// `NdisSetOptionalHandlers` in `FilterAttach`.
    HandlersElsewhere = "handlers-elsewhere",
    /// `NdisFNetPnPEvent` in `FilterAttach`.
    EventForwarded = "event-forwarded",
    /// An MDL over a stack.
    MdlOnStack = "mdl-on-stack",
    /// An MDL mapped whose pages are not locked.
    MdlMappedUnlocked = "mdl-mapped-unlocked",
    /// A timer freed that is set.
    TimerFreedSet = "timer-freed-set",
    /// A work item in too few bytes.
    WorkItemShort = "work-item-short",
    /// A handle closed that is not open.
    HandleUnknown = "handle-unknown",
    /// A reference given up that was never taken.
    ObjectDereferenced = "object-dereferenced",
}

impl Fault {
    /// The fault called `name`; `None` for an unknown one.
    pub(crate) fn named(name: &[u16]) -> Self {
        let same = |known: &str| known.bytes().map(u16::from).eq(name.iter().copied());
        FAULTS
            .iter()
            .find(|(_, known)| same(known))
            .map_or(Self::None, |(fault, _)| *fault)
    }

    /// Its position, to be kept in an atomic.
    pub(crate) const fn index(self) -> u8 {
        self as u8
    }

    /// The inverse of [`Fault::index`].
    pub(crate) fn from_index(index: u8) -> Self {
        FAULTS
            .iter()
            .find(|(fault, _)| fault.index() == index)
            .map_or(Self::None, |(f, _)| *f)
    }
}

/// Faults of `FilterAttach`, at PASSIVE_LEVEL.
pub(crate) fn in_attach(fault: Fault) {
    match fault {
        Fault::IrqlWait => irql::wait_at_dispatch(),
        Fault::IrqlConfiguration => irql::open_configuration_at_dispatch(),
        Fault::IrqlDpcLock => irql::dpc_lock_at_passive(),
        Fault::PoolOverrun => pool::overrun(),
        Fault::PoolOverrunSlack => pool::overrun_slack(),
        Fault::PoolUseAfterFree => pool::use_after_free(),
        Fault::PoolLeak => pool::leak(),
        Fault::PoolDoubleFree => pool::double_free(),
        Fault::WorkLeak => work::leak(),
        Fault::LockTwice => lock::twice_raising(),
        Fault::LockTwiceAtDispatch => lock::twice(),
        Fault::LockReleasedFree => lock::release_free(),
        Fault::LockReleasedElsewhere => lock::release_elsewhere(),
        Fault::LockInverted => lock::invert(),
        Fault::LockOuterFirst => lock::outer_first(),
        Fault::LockUninitialized => lock::uninitialized(),
        Fault::LockNdisUnder => lock::ndis_under(),
        Fault::LockPromoted => lock::promote(),
        Fault::LockFreedHeld => lock::free_held(),
        Fault::IrqlLowered => call::lower(),
        Fault::IrqlLoweredElsewhere => call::lower_elsewhere(),
        Fault::SleepLong => call::sleep(),
        Fault::PoolExecutable => call::executable_pool(),
        Fault::PoolEmpty => call::empty_pool(),
        Fault::PoolWrongTag => call::wrong_tag(),
        Fault::EventPaged => call::paged_event(),
        Fault::HandlersElsewhere => call::change_handlers(),
        Fault::EventForwarded => call::forward_event(),
        Fault::MdlOnStack => call::mdl_on_stack(),
        Fault::MdlMappedUnlocked => call::map_unlocked(),
        Fault::TimerFreedSet => call::free_timer(),
        Fault::WorkItemShort => call::short_work_item(),
        Fault::HandleUnknown => call::close_unknown(),
        Fault::ObjectDereferenced => call::dereference(),
        _ => {}
    }
}

/// Faults of the send path; returns what is left to send.
pub(crate) fn in_send(
    module: &Module,
    lists: *mut NET_BUFFER_LIST,
    flags: u32,
) -> *mut NET_BUFFER_LIST {
    match module.fault {
        Fault::NblCompletedTwice => nbl::complete_twice(module, lists, flags),
        Fault::WorkQueuedTwice => work::queue_twice(module),
        Fault::WorkFreedWhileQueued => work::free_while_queued(module),
        Fault::WorkOverlap => work::overlap(module),
        _ => {}
    }
    if module.fault == Fault::NblCompletedTwice {
        core::ptr::null_mut()
    } else {
        lists
    }
}

/// Faults of the receive path; returns what is left to indicate, and its count.
pub(crate) fn in_receive(
    module: &Module,
    lists: *mut NET_BUFFER_LIST,
    count: u32,
    flags: u32,
) -> (*mut NET_BUFFER_LIST, u32) {
    match module.fault {
        _ if flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0 => (lists, count),
        Fault::NblLeak => nbl::leak(lists, count),
        Fault::NblReturnedTwice => {
            nbl::return_twice(module, lists, flags);
            (core::ptr::null_mut(), 0)
        }
        Fault::WorkQueuedTwice => {
            work::queue_twice(module);
            (lists, count)
        }
        Fault::WorkFreedWhileQueued => {
            work::free_while_queued(module);
            (lists, count)
        }
        Fault::WorkOverlap => {
            work::overlap(module);
            (lists, count)
        }
        _ => (lists, count),
    }
}

/// Faults of `FilterDetach`; whether the module must be left as it is.
pub(crate) fn before_detach(module: &Module) -> bool {
    if module.fault == Fault::WorkAtDetach {
        work::queue_at_detach(module);
        return true;
    }
    false
}

/// Faults of unload, while the driver is registered.
pub(crate) fn before_unload(fault: Fault) {
    if fault == Fault::WorkAtUnload {
        work::queue_at_unload();
    }
}
