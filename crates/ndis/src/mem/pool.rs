//! The calls: one allocation, one free, and the global allocator.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr::NonNull;

use wdk_alloc::WdkAllocator;
use wdk_sys::ntddk;

/// `POOL_FLAG_NON_PAGED`: resident, not executable.
const NON_PAGED: u64 = 0x40;

/// Alignment that pool guarantees on 64-bit systems (`MEMORY_ALLOCATION_ALIGNMENT`).
const POOL_ALIGNMENT: usize = 16;

/// Four characters by which tools tell whose an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// The tag that tools show as `name`, which has to be printable ASCII.
    #[must_use]
    pub const fn new(name: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(name))
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
    // SAFETY: any size and tag is legal, and all code of this crate runs at or below DISPATCH_LEVEL, where nonpaged
    // pool can be had.
    let block = unsafe { ntddk::ExAllocatePool2(NON_PAGED, bytes as u64, tag.0) };
    let block = NonNull::new(block.cast::<u8>()).ok_or(OutOfMemory)?;
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
    // SAFETY: `ExAllocatePool2` gave `block` under this tag, and it is not used any more.
    unsafe { ntddk::ExFreePoolWithTag(block.as_ptr().cast::<c_void>(), tag.0) };
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
pub(crate) struct GlobalPool;

// SAFETY: the blocks are those of `WdkAllocator`, placed so that they have the layout's alignment.
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
