//! A row of values in pool.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::pool;
use super::{OutOfMemory, Tag};

/// A row of values in nonpaged pool whose length is set when it is made.
///
/// # Invariants
///
/// `address` came from `pool::allocate` with `layout` and `tag`. `layout` is that of an array of at least `length` `T`s,
/// of which the first `length` are initialised. The values are used by this vector alone, and do not move with it.
pub struct PoolVec<T> {
    address: NonNull<T>,
    length: usize,
    layout: Layout,
    tag: Tag,
    _owns: PhantomData<T>,
}

// SAFETY: the vector owns its values like an array on the stack would be owned.
unsafe impl<T: Send> Send for PoolVec<T> {}
// SAFETY: as above; a shared vector gives out `&[T]` and nothing else.
unsafe impl<T: Sync> Sync for PoolVec<T> {}

impl<T> PoolVec<T> {
    /// Makes `length` values: the value of each index is what `make` gives for it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], also when the row would be larger than memory can be.
    pub fn try_from_fn(
        tag: Tag,
        length: usize,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<Self, OutOfMemory> {
        let layout = Layout::array::<T>(length).map_err(|_| OutOfMemory)?;
        let address = pool::allocate(layout, tag)?.cast::<T>();
        // INVARIANT: no value is initialised yet.
        let mut row = Self {
            address,
            length: 0,
            layout,
            tag,
            _owns: PhantomData,
        };
        for index in 0..length {
            // SAFETY: `index` is below `length`, the number of places.
            let place = unsafe { row.address.add(index) };
            // SAFETY: the place is aligned, inside the allocation, and holds nothing yet.
            unsafe { place.write(make(index)) };
            // INVARIANT: one more value is initialised.
            row.length = index.saturating_add(1);
        }
        Ok(row)
    }
}

impl PoolVec<UnsafeCell<u8>> {
    /// Makes `length` bytes of zero: the system gives pool so, and no byte is written again.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], also when the row would be larger than memory can be.
    pub fn try_zeroed(tag: Tag, length: usize) -> Result<Self, OutOfMemory> {
        let layout = Layout::array::<UnsafeCell<u8>>(length).map_err(|_| OutOfMemory)?;
        let address = pool::allocate(layout, tag)?.cast();
        // INVARIANT: just allocated; zeroed memory is `length` bytes.
        Ok(Self {
            address,
            length,
            layout,
            tag,
            _owns: PhantomData,
        })
    }
}

impl<T> Deref for PoolVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant `length` values are initialised and ours.
        unsafe { core::slice::from_raw_parts(self.address.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for PoolVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: by the invariant `length` values are initialised and ours; the vector is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.address.as_ptr(), self.length) }
    }
}

impl<T> AsRef<[T]> for PoolVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for PoolVec<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Drop for PoolVec<T> {
    fn drop(&mut self) {
        let values = core::ptr::slice_from_raw_parts_mut(self.address.as_ptr(), self.length);
        // SAFETY: by the invariant they are initialised; they are not used after this.
        unsafe { values.drop_in_place() };
        // SAFETY: by the invariant, and the values are gone.
        unsafe { pool::free(self.address.cast(), self.layout, self.tag) };
    }
}

impl<T: fmt::Debug> fmt::Debug for PoolVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    const TAG: Tag = Tag::new(*b"Test");

    #[test]
    fn values_are_made_in_order_and_dropped_once() {
        struct Value<'a>(usize, &'a Cell<usize>);
        impl Drop for Value<'_> {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 1);
            }
        }
        let drops = Cell::new(0);
        let row = PoolVec::try_from_fn(TAG, 5, |index| Value(index, &drops)).expect("memory");
        assert!(row.iter().map(|value| value.0).eq(0..5));
        drop(row);
        assert_eq!(drops.get(), 5);
    }

    #[test]
    fn empty_rows_and_values_without_size_need_no_memory() {
        let mut zeroed = PoolVec::try_zeroed(TAG, 5).expect("memory");
        assert!(zeroed.len() == 5 && zeroed.iter_mut().all(|byte| *byte.get_mut() == 0));
        assert!(PoolVec::try_from_fn(TAG, 0, |_| 0_u64).is_ok_and(|row| row.is_empty()));
        assert!(PoolVec::try_from_fn(TAG, 9, |_| ()).is_ok_and(|row| row.len() == 9));
    }

    #[test]
    fn sizes_beyond_memory_are_refused() {
        let row = PoolVec::try_from_fn(TAG, usize::MAX, |_| 0_u64);
        assert_eq!(row.err(), Some(OutOfMemory));
    }
}
