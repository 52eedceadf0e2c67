//! The calls: one allocation, one free, and the global allocator.

#[cfg(windows)]
use core::alloc::GlobalAlloc;
use core::alloc::Layout;
use core::ptr::NonNull;

#[cfg(windows)]
use wdk_alloc::WdkAllocator;

/// Alignment that pool guarantees.
const POOL_ALIGNMENT: usize = system::ALIGNMENT;

/// Four characters by which tools tell whose an allocation is.
///
/// # Invariants
///
/// The number is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// The tag that tools show as `name`, which has to be printable ASCII. Four zeros would be none, and become `None`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2>
    #[must_use]
    pub const fn new(name: [u8; 4]) -> Self {
        let tag = u32::from_le_bytes(name);
        // INVARIANT: it is not zero.
        Self(if tag == 0 {
            u32::from_le_bytes(*b"None")
        } else {
            tag
        })
    }

    /// The number that C calls the tag by.
    #[cfg(windows)]
    pub(crate) const fn into_raw(self) -> u32 {
        self.0
    }
}

/// The system had no memory to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Allocates zeroed nonpaged memory for `layout`; the address for a layout of size 0 is dangling.
///
/// # Errors
///
/// [`OutOfMemory`], also for layouts too large to be represented.
///
/// # IRQL
///
/// At or below `DISPATCH_LEVEL`.
pub(super) fn allocate(layout: Layout, tag: Tag) -> Result<NonNull<u8>, OutOfMemory> {
    if layout.size() == 0 {
        return Ok(dangling(layout));
    }
    let bytes = padded_size(layout).ok_or(OutOfMemory)?;
    let block = system::allocate(bytes, tag).ok_or(OutOfMemory)?;
    // SAFETY: the block has `padded_size(layout)` bytes and pool's alignment.
    Ok(unsafe { place(block, layout) })
}

/// Frees what [`allocate`] gave.
///
/// # Safety
///
/// `address` came from [`allocate`] with the same layout and tag, and nothing uses the memory any more.
///
/// # IRQL
///
/// At or below `DISPATCH_LEVEL`.
pub(super) unsafe fn free(address: NonNull<u8>, layout: Layout, tag: Tag) {
    if layout.size() == 0 {
        return;
    }
    // SAFETY: `allocate` placed the address for this layout.
    let block = unsafe { placed(address, layout) };
    // SAFETY: the system gave `block` under this tag, and it is not used any more.
    unsafe { system::free(block, tag) };
}

/// Pool.
#[cfg(windows)]
mod system {
    use core::ffi::c_void;
    use core::ptr::NonNull;

    use wdk_sys::{MEMORY_ALLOCATION_ALIGNMENT, POOL_FLAG_NON_PAGED, ntddk};

    use super::Tag;

    pub(super) const ALIGNMENT: usize = MEMORY_ALLOCATION_ALIGNMENT as usize;

    /// Zeroed bytes with pool's alignment.
    pub(super) fn allocate(bytes: usize, tag: Tag) -> Option<NonNull<u8>> {
        // Resident, and not executable.
        // SAFETY: any size is legal, and a tag is not zero, and all code of this crate runs at or below DISPATCH_LEVEL, where nonpaged
        // pool can be had.
        let block = unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, bytes as u64, tag.0) };
        NonNull::new(block.cast())
    }

    /// # Safety
    ///
    /// [`allocate`] gave the block under this tag, and nothing uses it any more.
    pub(super) unsafe fn free(block: NonNull<u8>, tag: Tag) {
        // SAFETY: this function's contract.
        unsafe { ntddk::ExFreePoolWithTag(block.as_ptr().cast::<c_void>(), tag.0) };
    }
}

/// What stands in for pool when the crate's tests run on a host. It keeps the length and the tag before each block.
#[cfg(not(windows))]
mod system {
    extern crate std;

    use core::alloc::Layout;
    use core::ptr::NonNull;
    use std::alloc;

    use super::{POOL_ALIGNMENT, Tag};

    /// That of 64-bit Windows, so that the tests of alignment say something about it.
    pub(super) const ALIGNMENT: usize = 16;

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.checked_add(POOL_ALIGNMENT)?, POOL_ALIGNMENT).ok()
    }

    pub(super) fn allocate(bytes: usize, tag: Tag) -> Option<NonNull<u8>> {
        // SAFETY: the size is not zero.
        let block = NonNull::new(unsafe { alloc::alloc_zeroed(layout(bytes)?) })?;
        // SAFETY: the block has room for this before its first `POOL_ALIGNMENT` bytes end.
        unsafe { block.cast().write((bytes, tag)) };
        // SAFETY: the block is `POOL_ALIGNMENT` longer than was asked for.
        Some(unsafe { block.add(POOL_ALIGNMENT) })
    }

    pub(super) unsafe fn free(block: NonNull<u8>, tag: Tag) {
        // SAFETY: `allocate` gave the block, so there are `POOL_ALIGNMENT` bytes before it.
        let block = unsafe { block.sub(POOL_ALIGNMENT) };
        // SAFETY: `allocate` wrote it.
        let (bytes, allocated): (usize, Tag) = unsafe { block.cast().read() };
        assert!(allocated == tag, "freed under another tag");
        if let Some(layout) = layout(bytes) {
            // SAFETY: allocated with this layout.
            unsafe { alloc::dealloc(block.as_ptr(), layout) };
        }
    }
}

/// An address with the right alignment and nothing behind it.
fn dangling(layout: Layout) -> NonNull<u8> {
    // An alignment is never zero.
    NonNull::new(core::ptr::without_provenance_mut(layout.align())).unwrap_or(NonNull::dangling())
}

/// Bytes to ask for, so that [`place`] finds room for `layout` in them.
fn padded_size(layout: Layout) -> Option<usize> {
    if layout.align() <= POOL_ALIGNMENT {
        Some(layout.size())
    } else {
        layout.size().checked_add(layout.align())
    }
}

/// Finds the aligned place for `layout` in a block of pool. Above pool's own alignment, the pointer-sized word before
/// that place is made to hold the block's address.
///
/// # Safety
///
/// `block` has [`padded_size`] bytes and pool's alignment.
unsafe fn place(block: NonNull<u8>, layout: Layout) -> NonNull<u8> {
    let align = layout.align();
    if align <= POOL_ALIGNMENT {
        return block;
    }
    // Alignments are powers of two, so this is the distance to the next multiple: between `POOL_ALIGNMENT` (the block
    // is a multiple of that) and `align`, so the word in front fits, and `layout.size()` bytes behind.
    let distance = align.wrapping_sub(block.addr().get() & align.wrapping_sub(1));
    // SAFETY: `distance` is at most `align`, and the block has `align` bytes more than `layout.size()`.
    let address = unsafe { block.add(distance) };
    // SAFETY: `distance` is at least `POOL_ALIGNMENT`, which is more than a word.
    let word = unsafe { address.cast::<NonNull<u8>>().sub(1) };
    // SAFETY: the word is inside the block, aligned because `address` is, and nothing else uses it.
    unsafe { word.write(block) };
    address
}

/// The block in which [`place`] found `address`.
///
/// # Safety
///
/// `address` came from [`place`] with the same layout.
unsafe fn placed(address: NonNull<u8>, layout: Layout) -> NonNull<u8> {
    if layout.align() <= POOL_ALIGNMENT {
        return address;
    }
    // SAFETY: `place` left room for a word before `address`, in the same block.
    let word = unsafe { address.cast::<NonNull<u8>>().sub(1) };
    // SAFETY: `place` wrote the word.
    unsafe { word.read() }
}

/// The global allocator of every driver that links this crate: [`WdkAllocator`], with the alignment that was asked for,
/// which `wdk-alloc` leaves out above that of pool.
#[cfg(windows)]
pub(crate) struct GlobalPool;

// SAFETY: the blocks are those of `WdkAllocator`, placed so that they have the layout's alignment.
#[cfg(windows)]
unsafe impl GlobalAlloc for GlobalPool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let padded = padded_size(layout).map(|size| Layout::from_size_align(size, POOL_ALIGNMENT));
        let Some(Ok(padded)) = padded else {
            return core::ptr::null_mut();
        };
        // SAFETY: the size is not zero, because that of `layout` is not.
        let block = unsafe { WdkAllocator.alloc(padded) };
        let Some(block) = NonNull::new(block) else {
            return block;
        };
        // SAFETY: the block has `padded_size(layout)` bytes and pool's alignment.
        unsafe { place(block, layout) }.as_ptr()
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        let Some(address) = NonNull::new(address) else {
            return;
        };
        // SAFETY: by the contract of `dealloc` the address came from `alloc` with this layout, and so from `place`.
        let block = unsafe { placed(address, layout) };
        // SAFETY: `WdkAllocator` gave the block, and it is not used any more; it does not look at the layout.
        unsafe { WdkAllocator.dealloc(block.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const TAG: Tag = Tag::new(*b"Test");

    #[test]
    fn every_alignment_is_kept_and_every_block_is_freed() {
        for align in (0..=12).map(|power| 1_usize << power) {
            for size in [0, 1, 7, 16, 100, 4096, 5000] {
                let layout = Layout::from_size_align(size, align).expect("a layout");
                let blocks: Vec<_> = (0..4)
                    .map(|_| allocate(layout, TAG).expect("memory"))
                    .collect();
                for &block in &blocks {
                    assert_eq!(block.addr().get() % align, 0, "{layout:?}");
                    // SAFETY: `size` bytes are there.
                    unsafe { block.write_bytes(0xA5, size) };
                }
                for block in blocks {
                    // SAFETY: allocated above.
                    unsafe { free(block, layout, TAG) };
                }
            }
        }
    }

    #[test]
    fn sizes_beyond_memory_are_refused() {
        let layout = Layout::from_size_align(isize::MAX as usize - 4095, 4096).expect("a layout");
        assert_eq!(allocate(layout, TAG), Err(OutOfMemory));
    }
}
