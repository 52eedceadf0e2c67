//! Lookaside lists: blocks of one size that come and go often.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use super::{OutOfMemory, PoolArc, Tag};

/// A lookaside list: it keeps some of the blocks that come back, and gives them out again without asking pool. How many, the
/// system decides by how often blocks are wanted.
///
/// Its blocks own it too, so it is deleted when the list and the last of its blocks are dropped, in whatever order. As for all
/// that owns pool, what is leaked (`core::mem::forget`) stays when the driver is unloaded.
///
/// ```no_run
/// use ndis::mem::{Lookaside, LookasideBox, OutOfMemory, Tag};
///
/// struct Entry {
///     length: u32,
/// }
///
/// fn make() -> Result<Lookaside<Entry>, OutOfMemory> {
///     Lookaside::try_new(Tag::new(*b"Entr"))
/// }
///
/// /// Legal up to `DISPATCH_LEVEL`, under a lock too.
/// fn note(entries: &Lookaside<Entry>, length: u32) -> Result<LookasideBox<Entry>, OutOfMemory> {
///     entries.allocate(Entry { length })
/// }
/// ```
///
/// <https://learn.microsoft.com/windows-hardware/drivers/kernel/using-lookaside-lists>
///
/// # Invariants
///
/// Blocks of the list have room for a `T`.
pub struct Lookaside<T> {
    list: PoolArc<List>,
    _blocks: PhantomData<fn() -> T>,
}

/// The list itself.
///
/// # Invariants
///
/// If `is_made` is set, `raw` is an initialised list; it stays in its place in pool: NT links it with all others.
struct List {
    raw: UnsafeCell<MaybeUninit<system::Raw>>,
    is_made: AtomicBool,
}

// SAFETY: NT lets any processor use a list; `is_made` changes before anybody else has it.
unsafe impl Send for List {}
// SAFETY: as above.
unsafe impl Sync for List {}

/// A value in a block of a lookaside list, which has one owner.
///
/// # Invariants
///
/// `address` is a block of `list`, holds an initialised `T`, and is used by this value alone until it is dropped. The value
/// does not move with the box.
pub struct LookasideBox<T> {
    address: NonNull<T>,
    list: PoolArc<List>,
    _owns: PhantomData<T>,
}

// SAFETY: the box owns its value like a `T` on the stack would be owned; any processor may give the block back.
unsafe impl<T: Send> Send for LookasideBox<T> {}
// SAFETY: as above; a shared box gives out `&T` and nothing else.
unsafe impl<T: Sync> Sync for LookasideBox<T> {}

impl<T> Lookaside<T> {
    /// What pool gives without being asked for more.
    const FITS: () = assert!(
        align_of::<T>() <= system::ALIGNMENT,
        "blocks of a lookaside list have no more than pool's alignment: use a `PoolBox`"
    );

    /// Makes an empty list. `tag` is that of its blocks.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exinitializelookasidelistex>
    pub fn try_new(tag: Tag) -> Result<Self, OutOfMemory> {
        const { Self::FITS };
        let list = PoolArc::try_new(
            tag,
            List {
                raw: UnsafeCell::new(MaybeUninit::uninit()),
                is_made: AtomicBool::new(false),
            },
        )?;
        // SAFETY: the memory is nonpaged, aligned, large enough, and nobody uses it yet.
        if !unsafe { system::initialize(list.raw(), size_of::<T>(), tag) } {
            return Err(OutOfMemory);
        }
        // INVARIANT: just initialised, for blocks of this size.
        list.is_made.store(true, Ordering::Relaxed);
        Ok(Self {
            list,
            _blocks: PhantomData,
        })
    }

    /// Moves `value` to a block of the list.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the value is dropped.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatefromlookasidelistex>
    pub fn allocate(&self, value: T) -> Result<LookasideBox<T>, OutOfMemory> {
        // SAFETY: by the invariant of `List` it is initialised.
        let block = unsafe { system::allocate(self.list.raw()) };
        let address = block.ok_or(OutOfMemory)?.cast::<T>();
        // SAFETY: by the invariant it is large enough, by `FITS` aligned enough, and nobody else's.
        unsafe { address.write(value) };
        // INVARIANT: just allocated and written.
        Ok(LookasideBox {
            address,
            list: self.list.clone(),
            _owns: PhantomData,
        })
    }
}

impl List {
    fn raw(&self) -> *mut system::Raw {
        self.raw.get().cast()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if *self.is_made.get_mut() {
            // SAFETY: by the invariant it is initialised; no block is out, because blocks own the list.
            unsafe { system::delete(self.raw()) };
        }
    }
}

impl<T> Deref for LookasideBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant the value is initialised and ours.
        unsafe { self.address.as_ref() }
    }
}

impl<T> DerefMut for LookasideBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant the value is initialised and ours; the box is borrowed exclusively.
        unsafe { self.address.as_mut() }
    }
}

impl<T> Drop for LookasideBox<T> {
    /// Gives the block back: <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exfreetolookasidelistex>.
    fn drop(&mut self) {
        // SAFETY: by the invariant the value is initialised; it is not used after this.
        unsafe { self.address.drop_in_place() };
        // SAFETY: by the invariant it is a block of this list, which is initialised; nobody uses it any more.
        unsafe { system::free(self.list.raw(), self.address.cast()) };
    }
}

impl<T> fmt::Debug for Lookaside<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookaside").finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for LookasideBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Lists of NT's.
///
/// `ExAllocateFromLookasideListEx` and `ExFreeToLookasideListEx` are done here as headers do them for systems before Windows 11
/// 22H2, which do not export them: a driver that imports them does not load there.
#[cfg(windows)]
mod system {
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicU32, Ordering};

    use wdk_sys::_POOL_TYPE::NonPagedPoolNx;
    use wdk_sys::{LOOKASIDE_LIST_EX, MEMORY_ALLOCATION_ALIGNMENT, ntddk};

    use super::Tag;

    pub(super) type Raw = LOOKASIDE_LIST_EX;

    pub(super) const ALIGNMENT: usize = MEMORY_ALLOCATION_ALIGNMENT as usize;

    /// # Safety
    ///
    /// `list` is aligned memory in nonpaged pool that nobody uses.
    pub(super) unsafe fn initialize(list: *mut Raw, bytes: usize, tag: Tag) -> bool {
        // The list links blocks that it keeps through their first words.
        let bytes = bytes.max(ALIGNMENT) as u64;
        // SAFETY: this function's contract; the type of pool and the absence of flags are legal.
        let status = unsafe {
            ntddk::ExInitializeLookasideListEx(
                list,
                None,
                None,
                NonPagedPoolNx,
                0,
                bytes,
                tag.into_raw(),
                0,
            )
        };
        status >= 0
    }

    /// A block that the list has kept, or one of pool.
    ///
    /// # Safety
    ///
    /// The list is initialised.
    pub(super) unsafe fn allocate(list: *mut Raw) -> Option<NonNull<u8>> {
        // SAFETY: this function's contract, as for all members below.
        let members = unsafe { &raw mut (*list).L };
        // SAFETY: as above.
        count(unsafe { &raw mut (*members).TotalAllocates });
        // SAFETY: as above.
        let kept = unsafe { &raw mut (*members).__bindgen_anon_1.ListHead };
        // SAFETY: the head of the list's blocks; NT synchronises it.
        let block = unsafe { ntddk::ExpInterlockedPopEntrySList(kept) };
        if let Some(block) = NonNull::new(block) {
            return Some(block.cast());
        }
        // SAFETY: as above.
        count(unsafe { &raw mut (*members).__bindgen_anon_2.AllocateMisses });
        // SAFETY: as above.
        let routine = unsafe { &raw const (*members).__bindgen_anon_4.AllocateEx };
        // SAFETY: set when the list was made; it does not change.
        let routine = unsafe { routine.read() }?;
        // SAFETY: likewise.
        let pool_type = unsafe { (*members).Type };
        // SAFETY: likewise.
        let bytes = unsafe { (*members).Size };
        // SAFETY: likewise.
        let tag = unsafe { (*members).Tag };
        // SAFETY: NT's routine for this list, with what the list says.
        let block = unsafe { routine(pool_type, bytes.into(), tag, list) };
        NonNull::new(block.cast())
    }

    /// # Safety
    ///
    /// The list is initialised; it gave the block, and nothing uses that any more.
    pub(super) unsafe fn free(list: *mut Raw, block: NonNull<u8>) {
        // SAFETY: this function's contract, as for all members below.
        let members = unsafe { &raw mut (*list).L };
        // SAFETY: as above.
        count(unsafe { &raw mut (*members).TotalFrees });
        // SAFETY: as above.
        let kept = unsafe { &raw mut (*members).__bindgen_anon_1.ListHead };
        // SAFETY: as above.
        let depth = unsafe { &raw const (*members).Depth };
        // SAFETY: a member of the list, which NT changes at any time.
        let depth = unsafe { depth.read_volatile() };
        // SAFETY: the head of the list's blocks.
        if unsafe { ntddk::ExQueryDepthSList(kept) } < depth {
            // SAFETY: likewise; the block is as large and as aligned as a link, and nobody's.
            unsafe { ntddk::ExpInterlockedPushEntrySList(kept, block.as_ptr().cast()) };
            return;
        }
        // SAFETY: as above.
        count(unsafe { &raw mut (*members).__bindgen_anon_3.FreeMisses });
        // SAFETY: as above.
        let routine = unsafe { &raw const (*members).__bindgen_anon_5.FreeEx };
        // SAFETY: set when the list was made; it does not change.
        if let Some(routine) = unsafe { routine.read() } {
            // SAFETY: NT's routine for this list; the block came from its counterpart.
            unsafe { routine(block.as_ptr().cast(), list) };
        }
    }

    /// # Safety
    ///
    /// The list is initialised, and not used any more; none of its blocks is out.
    pub(super) unsafe fn delete(list: *mut Raw) {
        // SAFETY: this function's contract.
        unsafe { ntddk::ExDeleteLookasideListEx(list) };
    }

    /// Adds one to what NT decides the depth by.
    fn count(counter: *mut u32) {
        // SAFETY: a member of a list that is there; those who change it do so like this, or may lose a count.
        unsafe { AtomicU32::from_ptr(counter) }.fetch_add(1, Ordering::Relaxed);
    }
}

/// What stands in for NT's lists when the crate's tests run on a host.
#[cfg(not(windows))]
mod system {
    use core::alloc::Layout;
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::super::pool;
    use super::Tag;

    pub(super) const ALIGNMENT: usize = 16;

    pub(super) struct Raw {
        layout: Layout,
        tag: Tag,
        pub(super) blocks: AtomicUsize,
    }

    pub(super) unsafe fn initialize(list: *mut Raw, bytes: usize, tag: Tag) -> bool {
        let Ok(layout) = Layout::from_size_align(bytes.max(ALIGNMENT), ALIGNMENT) else {
            return false;
        };
        let raw = Raw {
            layout,
            tag,
            blocks: AtomicUsize::new(0),
        };
        // SAFETY: the caller's promise.
        unsafe { list.write(raw) };
        true
    }

    pub(super) unsafe fn allocate(list: *mut Raw) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        let list = unsafe { &*list };
        let block = pool::allocate(list.layout, list.tag).ok()?;
        list.blocks.fetch_add(1, Ordering::Relaxed);
        Some(block)
    }

    pub(super) unsafe fn free(list: *mut Raw, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        let list = unsafe { &*list };
        list.blocks.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { pool::free(block, list.layout, list.tag) };
    }

    pub(super) unsafe fn delete(list: *mut Raw) {
        // SAFETY: the caller's promise.
        let blocks = unsafe { &(*list).blocks };
        assert_eq!(blocks.load(Ordering::Relaxed), 0, "blocks are out");
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::vec::Vec;

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
    fn values_are_dropped_once_and_their_blocks_come_back() {
        let drops = AtomicUsize::new(0);
        let list = Lookaside::try_new(TAG).expect("memory");
        let blocks: Vec<_> = (0..5)
            .map(|_| list.allocate(Dropped(&drops)).expect("memory"))
            .collect();
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(blocks);
        assert_eq!(drops.load(Ordering::Relaxed), 5);
        // SAFETY: the list is made.
        let out = unsafe { &(*list.list.raw()).blocks };
        assert_eq!(out.load(Ordering::Relaxed), 0);
    }

    /// Else the deletion finds a block outside.
    #[test]
    fn a_list_stays_until_its_last_block_is_back() {
        let list = Lookaside::try_new(TAG).expect("memory");
        let mut block = list.allocate(7_u64).expect("memory");
        drop(list);
        *block += 1;
        assert_eq!(*block, 8);
        thread::scope(|scope| {
            scope.spawn(move || drop(block));
        });
    }

    #[test]
    fn values_without_size_have_a_block_too() {
        let list = Lookaside::try_new(TAG).expect("memory");
        let (first, second) = (list.allocate(()), list.allocate(()));
        assert_ne!(
            first.expect("memory").address,
            second.expect("memory").address
        );
    }
}
