//! One value in pool.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::pool;
use super::{OutOfMemory, Tag};

/// A value in nonpaged pool that has one owner.
///
/// # Invariants
///
/// `address` came from `pool::allocate` with the layout of `T` and `tag`, holds an initialised `T`, and is used by this
/// value alone until it is dropped. The value does not move with the box.
pub struct PoolBox<T> {
    address: NonNull<T>,
    tag: Tag,
    _owns: PhantomData<T>,
}

// SAFETY: the box owns its value like a `T` on the stack would be owned.
unsafe impl<T: Send> Send for PoolBox<T> {}
// SAFETY: as above; a shared box gives out `&T` and nothing else.
unsafe impl<T: Sync> Sync for PoolBox<T> {}

impl<T> PoolBox<T> {
    /// Moves `value` to pool.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the value is dropped.
    pub fn try_new(tag: Tag, value: T) -> Result<Self, OutOfMemory> {
        Self::try_keep(tag, value).map_err(|_| OutOfMemory)
    }

    /// As [`try_new`](Self::try_new), but the value comes back if there is no memory for it.
    pub(super) fn try_keep(tag: Tag, value: T) -> Result<Self, T> {
        let Ok(address) = pool::allocate(Layout::new::<T>(), tag) else {
            return Err(value);
        };
        let address = address.cast::<T>();
        // SAFETY: the memory is large and aligned enough for a `T`, and nobody else's.
        unsafe { address.write(value) };
        // INVARIANT: just allocated and written.
        Ok(Self {
            address,
            tag,
            _owns: PhantomData,
        })
    }

    /// Moves the value out of pool.
    pub(crate) fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: by the invariant the value is initialised and ours; nobody looks at the place any more.
        let value = unsafe { this.address.read() };
        // SAFETY: by the invariant, and the value was moved out.
        unsafe { pool::free(this.address.cast(), Layout::new::<T>(), this.tag) };
        value
    }

    /// Gives up the ownership without dropping the value.
    pub(super) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).address
    }

    /// Takes the ownership back.
    ///
    /// # Safety
    ///
    /// `address` came from [`into_raw`](Self::into_raw) of a box with this tag, and nobody took it since.
    pub(super) const unsafe fn from_raw(address: NonNull<T>, tag: Tag) -> Self {
        // INVARIANT: it held before `into_raw`.
        Self {
            address,
            tag,
            _owns: PhantomData,
        }
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant the value is initialised and ours.
        unsafe { self.address.as_ref() }
    }
}

impl<T> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant the value is initialised and ours; the box is borrowed exclusively.
        unsafe { self.address.as_mut() }
    }
}

impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the value is initialised; it is not used after this.
        unsafe { self.address.drop_in_place() };
        // SAFETY: by the invariant, and the value is gone.
        unsafe { pool::free(self.address.cast(), Layout::new::<T>(), self.tag) };
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
