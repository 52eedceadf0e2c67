//! Paged memory, and where it may be touched.

use core::hint::black_box;

use super::pool::{free, paged};
use crate::abi::{DISPATCH_LEVEL, KeLowerIrql, KfRaiseIrql, RtlCopyMemoryNonTemporal};
use crate::module::Module;
use crate::play::Play;

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("paged-read", read),
    Play::in_attach("paged-written", write),
    Play::in_attach("paged-given", give),
    Play::in_attach("paged-code", run),
    Play::in_attach("paged-at-passive", at_passive),
];

const SIZE: usize = 64;

fn raise() -> u8 {
    // SAFETY: lowered by `lower`.
    unsafe { KfRaiseIrql(DISPATCH_LEVEL) }
}

fn lower(old: u8) {
    // SAFETY: what `raise` gave.
    unsafe { KeLowerIrql(old) };
}

/// Reads paged pool at DISPATCH_LEVEL.
fn read(_: &'static Module) {
    let block = paged(SIZE);
    if block.is_null() {
        return;
    }
    let old = raise();
    // SAFETY: none: this is the fault.
    let byte = unsafe { *block }; // caught: paged-read by mem-pageable-at-dispatch
    black_box(byte);
    lower(old);
    free(block);
}

/// Writes paged pool at DISPATCH_LEVEL, where it was touched just before.
fn write(_: &'static Module) {
    let block = paged(SIZE);
    if block.is_null() {
        return;
    }
    // SAFETY: inside the block, at PASSIVE_LEVEL.
    unsafe { *block = 1 };
    let old = raise();
    // SAFETY: none: this is the fault.
    unsafe { *block = 2 }; // caught: paged-written by mem-pageable-at-dispatch
    lower(old);
    free(block);
}

/// Lets the kernel write paged pool at DISPATCH_LEVEL.
fn give(_: &'static Module) {
    let block = paged(SIZE);
    if block.is_null() {
        return;
    }
    let old = raise();
    let source = [1_u8; SIZE];
    // SAFETY: none: this is the fault.
    unsafe { RtlCopyMemoryNonTemporal(block.cast(), source.as_ptr().cast(), SIZE as u64) }; // caught: paged-given by mem-pageable-at-dispatch
    lower(old);
    free(block);
}

/// Code that Windows pages.
#[inline(never)]
#[unsafe(link_section = "PAGE")]
#[rustfmt::skip]
fn pageable(value: u64) -> u64 { black_box(value ^ 5) } // caught: paged-code by mem-pageable-at-dispatch

/// Runs pageable code at DISPATCH_LEVEL.
fn run(_: &'static Module) {
    black_box(pageable(1));
    let old = raise();
    black_box(pageable(2));
    lower(old);
}

/// Uses paged memory between stays at DISPATCH_LEVEL.
// legal: paged-at-passive near mem-pageable-at-dispatch, mem-irql-alloc, mem-irql-free
fn at_passive(_: &'static Module) {
    let block = paged(SIZE);
    if block.is_null() {
        return;
    }
    for round in 0..4 {
        lower(raise());
        // SAFETY: inside the block, at PASSIVE_LEVEL.
        unsafe { *block = round };
        black_box(pageable(round.into()));
        let source = [round; SIZE];
        // SAFETY: as above.
        unsafe {
            RtlCopyMemoryNonTemporal(block.cast(), source.as_ptr().cast(), SIZE as u64);
        }
    }
    free(block);
}
