//! One value in pool with several owners.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use super::{OutOfMemory, PoolBox, Tag};

/// A value in nonpaged pool that lives until its last owner is dropped.
///
/// # Invariants
///
/// `shared` came from `PoolBox::into_raw`. `Shared::owners` is the number of `PoolArc`s and of pointers from
/// `PoolArc::into_raw` that own it, and not zero while one of them is there. Each owner takes memory or was leaked on
/// purpose, one at a time, so the number does not overflow while a system is up.
pub struct PoolArc<T> {
    shared: NonNull<Shared<T>>,
    _owns: PhantomData<Shared<T>>,
}

/// What the owners share. The value comes first, so that its address is that of the whole.
#[repr(C)]
struct Shared<T> {
    value: T,
    owners: AtomicUsize,
    /// Tag of the box that it came in.
    tag: Tag,
}

// SAFETY: owners on several processors reach `&T`, and the last one, wherever it is, drops the `T`.
unsafe impl<T: Send + Sync> Send for PoolArc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for PoolArc<T> {}

impl<T> PoolArc<T> {
    /// Moves `value` to pool, with one owner.
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
    pub(crate) fn try_keep(tag: Tag, value: T) -> Result<Self, T> {
        let owners = AtomicUsize::new(1);
        let shared =
            PoolBox::try_keep(tag, Shared { value, owners, tag }).map_err(|shared| shared.value)?;
        // INVARIANT: this value is the one owner.
        Ok(Self {
            shared: shared.into_raw(),
            _owns: PhantomData,
        })
    }

    /// Makes the owner a pointer to its value, for C to carry. [`from_raw`](Self::from_raw) makes it an owner again.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).shared.cast()
    }

    /// Makes the pointer an owner again.
    ///
    /// # Safety
    ///
    /// It came from [`into_raw`](Self::into_raw), and no owner was made of it since.
    pub(crate) const unsafe fn from_raw(value: NonNull<T>) -> Self {
        // INVARIANT: the pointer was an owner; this value takes its place. The value is at the start of `Shared`.
        Self {
            shared: value.cast(),
            _owns: PhantomData,
        }
    }
}

impl<T> Clone for PoolArc<T> {
    fn clone(&self) -> Self {
        // SAFETY: by the invariant it is there as long as `self` is.
        let shared = unsafe { self.shared.as_ref() };
        shared.owners.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: counted above.
        Self {
            shared: self.shared,
            _owns: PhantomData,
        }
    }
}

impl<T> Deref for PoolArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant it is there as long as `self` is.
        let shared = unsafe { self.shared.as_ref() };
        &shared.value
    }
}

impl<T> Drop for PoolArc<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is there: this owner has not been counted out yet.
        let shared = unsafe { self.shared.as_ref() };
        let tag = shared.tag;
        if shared.owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // What the other owners did comes before the value is dropped.
        fence(Ordering::Acquire);
        // SAFETY: the pointer came from `PoolBox::into_raw` under this tag, and this was the last owner.
        drop(unsafe { PoolBox::from_raw(self.shared, tag) });
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    const TAG: Tag = Tag::new(*b"Test");

    /// Counts how often it is dropped.
    struct Dropped<'a>(&'a AtomicUsize);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn value_is_dropped_once_by_the_last_owner() {
        let drops = AtomicUsize::new(0);
        let first = PoolArc::try_new(TAG, Dropped(&drops)).expect("memory");
        thread::scope(|scope| {
            for _ in 0..8 {
                let mine = first.clone();
                scope.spawn(move || drop(mine.clone()));
            }
        });
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn raw_pointer_is_an_owner() {
        let drops = AtomicUsize::new(0);
        let first = PoolArc::try_new(TAG, Dropped(&drops)).expect("memory");
        let raw = first.clone().into_raw();
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        // SAFETY: the pointer was made above, and no owner of it since.
        drop(unsafe { PoolArc::from_raw(raw) });
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
