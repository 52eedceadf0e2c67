//! Where things lie in the address space.
//!
//! Every address that an image can see is a constant or follows from a counter, so that pointer
//! values, and whatever a driver derives from them, repeat from run to run. Real kernel addresses
//! cannot be mapped; this range is one that neither the loader of Linux nor `mmap` uses by itself.

/// Memory of user mode, far below everything else.
pub(super) const USER: u64 = 0x5F00_0000_0000;
/// Bytes of it that a run has at most.
pub(super) const USER_BYTES: u64 = 1 << 30;

/// Everything that an image may see, but for that, is from here …
pub(super) const LOW: u64 = 0x6000_0000_0000;
/// … up to here.
pub(super) const HIGH: u64 = 0x6200_0000_0000;

/// The first image.
pub(super) const IMAGE: u64 = LOW;
/// From one image to the next, of those that are in a stack together.
pub(super) const IMAGE_STRIDE: u64 = 64 << 20;
/// Stubs of the imports.
pub(super) const STUBS: u64 = 0x6001_0000_0000;
/// Counters and targets of those stubs that are leaves, near enough to be reached from there.
pub(super) const LEAVES: u64 = 0x6001_0100_0000;
/// Exported variables.
pub(super) const DATA: u64 = 0x6002_0000_0000;
/// Processor control regions.
pub(super) const PROCESSORS: u64 = 0x6003_0000_0000;
/// What stands for KUSER_SHARED_DATA.
pub(super) const SHARED_USER_DATA: u64 = 0x6004_0000_0000;
/// Thread objects.
pub(super) const THREADS: u64 = 0x6005_0000_0000;
/// What a measurement sends through a filter.
pub(super) const BENCH: u64 = 0x6004_8000_0000;
/// Code that a measurement is calibrated with.
pub(super) const BENCH_CODE: u64 = 0x6004_7000_0000;
/// What of user mode is mapped for the system, [`USER_BYTES`] of it.
pub(super) const USER_MAPPED: u64 = 0x6003_8000_0000;
/// Driver stacks.
pub(super) const STACKS: u64 = 0x6010_0000_0000;
/// Nonpaged pool, up to [`PAGED_POOL`].
pub(super) const POOL: u64 = 0x6100_0000_0000;
/// Paged pool, up to [`HIGH`].
pub(super) const PAGED_POOL: u64 = 0x61C0_0000_0000;

/// What FS is for driver code: there is nothing near it.
pub(super) const FS: u64 = 0x6280_0000_0000;

/// Bytes of a page.
pub(super) const PAGE: u64 = 0x1000;

/// Whether `length` bytes at `address` can be something that an image sees.
pub(super) fn contains(address: u64, length: usize) -> bool {
    let is_in = |low: u64, high: u64| {
        address >= low
            && address
                .checked_add(length as u64)
                .is_some_and(|end| end <= high)
    };
    is_in(LOW, HIGH) || is_in(USER, USER + USER_BYTES)
}
