//! The driver as a whole: entry, registration, the list of its modules, unload.
//!
//! ```text
//!   DriverEntry: version → DriverUnload → NdisFRegisterFilterDriver ─▶ control device
//!                                           └ FilterSetOptions: the driver handle is published
//!                                             └ FilterAttach, at any time from here on
//!   Unload:      control device → NdisFDeregisterFilterDriver (NDIS detaches what is left)
//! ```

use core::ffi::c_void;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use ndis_sys::{NDIS_HANDLE, NdisFDeregisterFilterDriver, NdisFRegisterFilterDriver};
use wdk_sys::DRIVER_OBJECT;
use wpp::NotRegistered;

use crate::device::{ControlDevice, DeviceCore};
use crate::filter::{Attached, Call, FilterModule, Handlers, ModuleCore, Moment, around};
use crate::irql::{Caller, Passive};
use crate::lock::SpinLock;
use crate::mem::PoolArc;
use crate::text::Text;
use crate::trace::Provider;
use crate::{Status, thunk, version};

/// Names of a filter driver, as its INF has them.
#[derive(Clone, Copy)]
pub struct Names {
    /// `NetCfgInstanceId`: a GUID in braces.
    pub unique: Text,
    /// Name of the service.
    pub service: Text,
    /// What people are shown.
    pub friendly: Text,
    /// Major and minor version of the driver.
    pub version: (u8, u8),
}

/// The filter that this image is: made by [`driver!`](crate::driver!).
pub trait Installed: FilterModule {
    /// The handlers that it registers.
    const HANDLERS: Handlers<Self>;
    /// Its names.
    const NAMES: Names;

    /// The driver as a whole.
    fn driver() -> &'static Driver<Self>;

    /// What its events come from, if it has any.
    #[must_use]
    fn trace() -> Option<&'static Provider> {
        None
    }

    /// What its WPP messages are enabled by, if it has any.
    #[must_use]
    fn wpp() -> Option<&'static WppControl> {
        None
    }
}

/// For [`driver!`](crate::driver!).
#[doc(hidden)]
pub use wpp::Control as WppControl;

/// The handle of the filter driver, from `FilterSetOptions` to `NdisFDeregisterFilterDriver`; one image has one.
static FILTER_DRIVER: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// The handle of the filter driver; null before registration.
pub(crate) fn filter_driver_handle() -> NDIS_HANDLE {
    FILTER_DRIVER.load(Ordering::Acquire)
}

/// Makes the handle of the filter driver known: called in `FilterSetOptions`, because modules may attach from then on,
/// while `NdisFRegisterFilterDriver` has not returned the handle yet.
pub(crate) fn publish_filter_driver_handle(handle: NDIS_HANDLE) {
    FILTER_DRIVER.store(handle, Ordering::Release);
}

/// What a driver has beside its modules.
///
/// # Invariants
///
/// `device` is empty, or an owner of a `DeviceCore<M>`, which a driver without a device cannot name.
pub struct Driver<M: FilterModule> {
    modules: SpinLock<Modules<M>>,
    device: SpinLock<Erased>,
}

/// An owner of a `DeviceCore<M>`, as `PoolArc::into_raw` gives it.
struct Erased(Option<NonNull<c_void>>);

// SAFETY: `DeviceCore` is `Send` and `Sync`.
unsafe impl Send for Erased {}

/// The attached modules, in the order in which they attached, and what departed ones have left.
///
/// # Invariants
///
/// A module is in the list from the end of its attach until `depart`, and owned by NDIS's context as long.
struct Modules<M: FilterModule> {
    first: Option<NonNull<ModuleCore<M>>>,
    departed: Option<M::Departed>,
    departed_count: u32,
}

// SAFETY: the pointers are to `Sync` values, and used under the lock; `Departed` is `Send`.
unsafe impl<M: FilterModule> Send for Modules<M> {}

impl<M: FilterModule> Driver<M> {
    /// For [`driver!`](crate::driver!).
    #[doc(hidden)]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            modules: SpinLock::new(Modules {
                first: None,
                departed: None,
                departed_count: 0,
            }),
            device: SpinLock::new(Erased(None)),
        }
    }

    /// Shows all attached modules, and what departed ones have left, at one moment: no module comes or goes while `f`
    /// looks.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`; `f` runs at `DISPATCH_LEVEL`, under a lock: keep it short.
    pub fn census<R>(&self, irql: &mut impl Caller, f: impl FnOnce(&Census<'_, M>) -> R) -> R {
        self.modules.with(irql, |modules, _| {
            let departed = modules.departed.get_or_insert_with(Default::default);
            // INVARIANT: the lock is held until `f` has returned.
            f(&Census {
                first: modules.first,
                departed,
                departed_count: modules.departed_count,
            })
        })
    }

    /// Runs `f` with the first attached module that `choose` wants; `None` if there is none. `choose` runs under the
    /// list's lock, `f` under none: the module's detach waits for it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn find<R, C: Caller>(
        &self,
        irql: &mut C,
        choose: impl Fn(&Attached<'_, M>) -> bool,
        f: impl FnOnce(&Attached<'_, M>, &mut C) -> R,
    ) -> Option<R> {
        let found = self.modules.with(irql, |modules, _| {
            // SAFETY: the lock is held until the walk ends.
            unsafe { walk(modules.first) }
                .find(|core| {
                    // SAFETY: the module is in the list, and the lock held.
                    choose(&unsafe { Attached::new(core) }) && core.attached.acquire()
                })
                .map(NonNull::from)
        })?;
        // SAFETY: a reference of its `attached` rundown was taken, so it stays until that is given back.
        let core = unsafe { found.as_ref() };
        // SAFETY: likewise.
        let result = f(&unsafe { Attached::new(core) }, irql);
        core.attached.release();
        Some(result)
    }

    /// Puts a module at the end of the list.
    ///
    /// # Safety
    ///
    /// The module's `M` was published, it is in no list, and it stays until `unlist`.
    pub(crate) unsafe fn list(&self, core: &ModuleCore<M>, irql: &mut Passive) {
        self.modules.with(irql, |modules, _| {
            // SAFETY: the lock is held until the walk ends.
            match unsafe { walk(modules.first) }.last() {
                // SAFETY: the lock is held.
                Some(last) => unsafe { last.set_following(Some(NonNull::from(core))) },
                None => modules.first = Some(NonNull::from(core)),
            }
        });
    }

    /// Takes a module out of the list, and what it leaves behind in.
    ///
    /// # Safety
    ///
    /// `list` has put it there, and its `M` is there yet.
    pub(crate) unsafe fn unlist(&self, core: &ModuleCore<M>, irql: &mut Passive) {
        let gone = NonNull::from(core);
        self.modules.with(irql, |modules, _| {
            // SAFETY: the lock is held.
            let following = unsafe { core.following() };
            if modules.first == Some(gone) {
                modules.first = following;
            } else {
                // SAFETY: the lock is held until the walk ends.
                let before = unsafe { walk(modules.first) }
                    // SAFETY: the lock is held.
                    .find(|other| unsafe { other.following() } == Some(gone));
                if let Some(before) = before {
                    // SAFETY: the lock is held.
                    unsafe { before.set_following(following) };
                }
            }
            let departed = modules.departed.get_or_insert_with(Default::default);
            // SAFETY: this function's contract.
            M::depart(&unsafe { Attached::new(core) }, departed);
            modules.departed_count = modules.departed_count.saturating_add(1);
        });
    }
}

impl<M: ControlDevice> Driver<M> {
    /// Makes the device known.
    pub(crate) fn set_device(&self, device: PoolArc<DeviceCore<M>>, irql: &mut Passive) {
        let device = device.into_raw().cast();
        self.device.with(irql, |place, _| place.0 = Some(device));
    }

    /// The device, if there is one.
    pub(crate) fn device(&self, irql: &mut impl Caller) -> Option<PoolArc<DeviceCore<M>>> {
        self.device.with(irql, |place, _| {
            // SAFETY: by the invariant it is an owner, and stays one.
            let owner = ManuallyDrop::new(unsafe { PoolArc::from_raw(place.0?.cast()) });
            Some(PoolArc::clone(&owner))
        })
    }

    /// Takes the device away, if there is one.
    pub(crate) fn take_device(&self, irql: &mut Passive) -> Option<PoolArc<DeviceCore<M>>> {
        let device = self.device.with(irql, |place, _| place.0.take())?;
        // SAFETY: by the invariant it was an owner.
        Some(unsafe { PoolArc::from_raw(device.cast()) })
    }
}

impl<M: FilterModule> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// The modules of the list, from `first` on.
///
/// # Safety
///
/// The lock of the list is held while the iterator and what it gives are used, and `first` is of that list.
unsafe fn walk<'a, M: FilterModule>(
    first: Option<NonNull<ModuleCore<M>>>,
) -> impl Iterator<Item = &'a ModuleCore<M>> {
    let mut at = first;
    core::iter::from_fn(move || {
        // SAFETY: the list's invariant: the module stays until it is taken out, for which the lock is needed.
        let core: &'a ModuleCore<M> = unsafe { at?.as_ref() };
        // SAFETY: the lock is held.
        at = unsafe { core.following() };
        Some(core)
    })
}

/// All modules of a driver at one moment.
///
/// # Invariants
///
/// While it is there, the lock of the list is held, and `first` is the head of that list.
#[derive(Debug)]
pub struct Census<'a, M: FilterModule> {
    first: Option<NonNull<ModuleCore<M>>>,
    departed: &'a M::Departed,
    departed_count: u32,
}

impl<M: FilterModule> Census<'_, M> {
    /// The attached modules, in the order in which they attached.
    pub fn modules(&self) -> impl Iterator<Item = Attached<'_, M>> {
        // SAFETY: the lock is held as long as `self` is there, which the result borrows.
        unsafe { walk(self.first) }.map(|core: &ModuleCore<M>| {
            // SAFETY: the module is in the list, and the lock held.
            unsafe { Attached::new(core) }
        })
    }

    /// What departed modules have left.
    #[must_use]
    pub const fn departed(&self) -> &M::Departed {
        self.departed
    }

    /// How many modules have departed.
    #[must_use]
    pub const fn departed_count(&self) -> u32 {
        self.departed_count
    }
}

/// `DriverEntry` of a driver made by [`driver!`](crate::driver!).
///
/// # Safety
///
/// Called by the I/O manager as `DriverEntry`, once.
#[doc(hidden)]
pub unsafe fn entry<M: Installed>(object: *mut DRIVER_OBJECT) -> i32 {
    // SAFETY: the I/O manager calls DriverEntry at PASSIVE_LEVEL; this is its one token.
    let mut irql = unsafe { Passive::assume() };
    let messages = M::wpp().map_or(Ok(()), |control| {
        // SAFETY: DriverEntry is at PASSIVE_LEVEL, and called once; `end_trace` comes before the image goes.
        unsafe { control.register() }
    });
    let status = around::<M, _>(Call::DriverEntry, None, || {
        let events = M::trace().map_or(Ok(()), |provider| provider.register::<M>(&mut irql));
        // Of either the other channel tells.
        if let Err(why) = messages {
            M::witness(Moment::MessagesNotRegistered(match why {
                NotRegistered::Absent => Status::NOT_SUPPORTED,
                NotRegistered::Refused(status) => Status::from_raw(status).into_failure(),
            }));
        }
        if let Err(status) = events {
            M::witness(Moment::EventsNotRegistered(status));
        }
        // SAFETY: this function's contract.
        let result = unsafe { load::<M>(object, &mut irql) };
        // Else the image would stay, and nobody be registered.
        let result = result.map_err(Status::into_failure);
        M::witness(match result {
            Ok(()) => Moment::Loaded,
            Err(status) => Moment::NotLoaded(status),
        });
        result.err().unwrap_or(Status::SUCCESS).into_raw()
    });
    if Status::from_raw(status).ok().is_err() {
        // Nobody will call DriverUnload.
        end_trace::<M>(&mut irql);
    }
    status
}

/// Ends the traces.
pub(crate) fn end_trace<M: Installed>(irql: &mut Passive) {
    if let Some(provider) = M::trace() {
        provider.unregister(irql);
    }
    if let Some(control) = M::wpp() {
        // SAFETY: the token says PASSIVE_LEVEL.
        unsafe { control.unregister() };
    }
}

/// # Safety
///
/// That of [`entry`].
unsafe fn load<M: Installed>(object: *mut DRIVER_OBJECT, irql: &mut Passive) -> Result<(), Status> {
    let minor_version = version::negotiate()?;
    // SAFETY: the I/O manager lends the driver object to DriverEntry, for members like this to be set.
    unsafe { (*object).DriverUnload = Some(thunk::unload::<M>) };
    let mut characteristics = M::HANDLERS.characteristics(&M::NAMES, minor_version);
    let mut handle = core::ptr::null_mut();
    // SAFETY: everything that callbacks need is static and ready; NDIS copies the characteristics; the token says
    // PASSIVE_LEVEL.
    let status = unsafe {
        NdisFRegisterFilterDriver(
            object,
            core::ptr::null_mut(),
            &raw mut characteristics,
            &raw mut handle,
        )
    };
    Status::from_raw(status).ok()?;
    if let Some(device) = M::HANDLERS.device
        && let Err(status) = (device.make)(M::driver(), irql)
    {
        deregister(irql);
        return Err(status);
    }
    Ok(())
}

/// Deregisters the filter driver: NDIS detaches the modules that are left.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisfderegisterfilterdriver>
pub(crate) fn deregister(_irql: &mut Passive) {
    // SAFETY: `FilterSetOptions` has published the handle, and it is deregistered once: in DriverUnload, or in a
    // DriverEntry that fails, after which DriverUnload is not called. The token says PASSIVE_LEVEL.
    unsafe { NdisFDeregisterFilterDriver(filter_driver_handle()) };
    publish_filter_driver_handle(core::ptr::null_mut());
}

/// The number that a part of a package version is, like `env!("CARGO_PKG_VERSION_MAJOR")`; 255 if it is more.
#[must_use]
pub const fn version_part(decimal: &str) -> u8 {
    let mut rest = decimal.as_bytes();
    let mut value = 0_u8;
    while let [digit, behind @ ..] = rest {
        value = value
            .saturating_mul(10)
            .saturating_add(digit.saturating_sub(b'0'));
        rest = behind;
    }
    value
}

/// What the I/O manager hands to `DriverEntry`, for [`driver!`](crate::driver!).
#[doc(hidden)]
pub type DriverObject = DRIVER_OBJECT;

/// Makes a driver of a [`FilterModule`](crate::filter::FilterModule): `DriverEntry`, registration, unload.
///
/// `handlers` names the paths that the filter wants: `send`, `receive`, `hold` (both, and holding), `originate`, `oid`, `direct_oid`, `synchronous_oid`, `bypass`, `status`, `pnp`, and
/// `control_device`; each wants its trait. What is not named is not called: NDIS sends it past the filter. `examples/passthru` is a whole driver.
///
/// ```text
/// ndis::driver! {
///     module: MyFilter,
///     handlers: [send, receive],
///     unique_name: "{6d2a2b4c-0d3e-4a57-9f0c-1f2e3d4c5b6a}",
///     service_name: "myfilter",
///     friendly_name: "My filter",
/// }
/// ```
///
/// `trace: PROVIDER`, behind that, registers a provider of [`events!`](crate::events!), and `wpp: CONTROL`, at the end, what
/// `wpp::control!` has declared.
#[macro_export]
macro_rules! driver {
    (
        module: $module:ty,
        handlers: [$($handler:ident),* $(,)?],
        unique_name: $unique:expr,
        service_name: $service:expr,
        friendly_name: $friendly:expr
        $(, trace: $provider:path)? $(, wpp: $control:path)? $(,)?
    ) => {
        impl $crate::driver::Installed for $module {
            const HANDLERS: $crate::filter::Handlers<Self> =
                $crate::filter::Handlers::LIFECYCLE$(.$handler())*;

            const NAMES: $crate::driver::Names = $crate::driver::Names {
                unique: $crate::text!($unique),
                service: $crate::text!($service),
                friendly: $crate::text!($friendly),
                version: (
                    $crate::driver::version_part(env!("CARGO_PKG_VERSION_MAJOR")),
                    $crate::driver::version_part(env!("CARGO_PKG_VERSION_MINOR")),
                ),
            };

            fn driver() -> &'static $crate::driver::Driver<Self> {
                static DRIVER: $crate::driver::Driver<$module> = $crate::driver::Driver::new();
                &DRIVER
            }

            $(
                fn trace() -> ::core::option::Option<&'static $crate::trace::Provider> {
                    ::core::option::Option::Some(&$provider)
                }
            )?

            $(
                fn wpp() -> ::core::option::Option<&'static $crate::driver::WppControl> {
                    ::core::option::Option::Some(&$control)
                }
            )?
        }

        /// Entry point of the image.
        ///
        /// # Safety
        ///
        /// For the I/O manager to call.
        #[unsafe(export_name = "DriverEntry")]
        pub unsafe extern "system" fn driver_entry(
            driver: *mut $crate::driver::DriverObject,
            _registry_path: *const ::core::ffi::c_void,
        ) -> i32 {
            // SAFETY: only the I/O manager calls this.
            unsafe { $crate::driver::entry::<$module>(driver) }
        }
    };
}
