//! What the processor refuses.

use core::arch::asm;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut, without_provenance, without_provenance_mut};

use super::pool::{allocate, free};
use crate::abi::{
    DISPATCH_LEVEL, DbgBreakPointWithStatus, ExAllocatePool2, ExFreePoolWithTag, KeBugCheckEx,
    KfRaiseIrql, NDIS_FILTER_RESTART_PARAMETERS, NDIS_STATUS, NDIS_STATUS_SUCCESS,
    POOL_FLAG_NON_PAGED, PsGetCurrentThreadId,
};
use crate::module::Module;
use crate::play::{NOTHING, Play, stay};

pub(crate) const PLAYS: &[Play] = &[
    Play::in_attach("machine-divide", divide),
    Play::in_attach("machine-illegal", illegal),
    Play::in_attach("machine-privileged", privileged),
    Play::in_attach("machine-system-call", system_call),
    Play::in_attach("machine-breakpoint", breakpoint),
    Play::in_attach("machine-debugger", debugger),
    Play::in_attach("machine-assertion", assertion),
    Play::in_attach("machine-fast-fail", fast_fail),
    Play::in_attach("machine-list-corrupt", list),
    Play::in_attach("machine-code-written", write_code),
    Play::in_attach("machine-constant-written", write_constant),
    Play::in_attach("machine-data-run", run_data),
    Play::in_attach("machine-pool-run", run_pool),
    Play::in_attach("machine-nowhere-run", run_nowhere),
    Play {
        name: "machine-nothing-run",
        restart: Some(run_null),
        ..NOTHING
    },
    Play {
        name: "machine-null-read",
        restart: Some(read_null),
        ..NOTHING
    },
    Play::in_attach("machine-nowhere-read", read_nowhere),
    Play::in_attach("machine-wild-read", read_wild),
    Play::in_attach("machine-stop", stop),
    Play::in_attach("machine-recursion", recursion),
    Play::in_attach("machine-large-frame", large_frame),
    Play::in_attach("machine-stack-deep", call_from_deep),
    Play::in_attach("machine-stack-half", call_from_half),
    Play::in_attach("machine-stack-switched", switch_stack),
    Play::in_attach("machine-loop", endless),
    Play::in_attach("machine-loop-spinning", spin),
    Play::in_attach("machine-loop-calling", call_for_ever),
    Play::in_attach("machine-loop-allocating", allocate_for_ever),
    Play::in_attach("machine-loop-freeing", free_for_ever),
    Play::in_attach("machine-many-blocks", allocate_much),
    Play::in_attach("machine-plain", plain),
];

/// Divides by zero.
fn divide(_: &'static Module) {
    let divisor = black_box(0_u32);
    // SAFETY: none: this is the fault.
    unsafe { asm!("div {0:e}", in(reg) divisor, inout("eax") 1 => _, inout("edx") 0 => _) }; // caught: machine-divide by lab-fault
}

/// Runs an instruction that does not exist.
fn illegal(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("ud2") }; // caught: machine-illegal by lab-fault
}

/// Stops the processor.
fn privileged(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("hlt") }; // caught: machine-privileged by lab-fault
}

/// Calls the system as a program does.
fn system_call(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("syscall", inout("rax") 39_u64 => _, out("rcx") _, out("r11") _) }; // caught: machine-system-call by lab-fault
}

/// Stops in a debugger that is not there.
fn breakpoint(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("int3") }; // caught: machine-breakpoint by debug-break
}

/// The same by a function.
#[inline(never)]
fn debugger(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { DbgBreakPointWithStatus(1) }; // caught: machine-debugger by debug-break
    stay();
}

/// Fails an assertion.
fn assertion(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("int 0x2c") }; // caught: machine-assertion by debug-break
}

/// Gives up as the compiler's checks do: a stack cookie was overwritten.
fn fast_fail(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("int 0x29", in("ecx") 2) }; // caught: machine-fast-fail by lab-fault
}

/// Gives up as the list macros do.
fn list(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("int 0x29", in("ecx") 3) }; // caught: machine-list-corrupt by dv-list-corruption
}

/// Writes over its own code.
fn write_code(_: &'static Module) {
    let code: *mut u8 = without_provenance_mut(black_box(write_code as *const () as usize));
    // SAFETY: none: this is the fault.
    unsafe { *code = 0xC3 }; // caught: machine-code-written by lab-fault
}

/// A constant, which lies in memory that cannot be written.
static CONSTANT: [u64; 2] = [7, 11];

/// Writes a constant.
fn write_constant(_: &'static Module) {
    let constant: *mut u64 = black_box(CONSTANT.as_ptr().cast_mut());
    // SAFETY: none: this is the fault.
    unsafe { *constant = 1 }; // caught: machine-constant-written by lab-fault
}

/// Calls an address as a function.
#[inline(always)]
fn code_at(address: usize) -> extern "system" fn() {
    let address: *const () = without_provenance(black_box(address));
    // SAFETY: none: what is there is the caller's fault.
    unsafe { core::mem::transmute::<*const (), extern "system" fn()>(address) }
}

/// Runs data.
fn run_data(_: &'static Module) {
    let data = code_at(CONSTANT.as_ptr().addr());
    data(); // caught: machine-data-run by lab-fault
    stay();
}

/// Runs what lies in nonpaged pool.
fn run_pool(_: &'static Module) {
    let block = allocate(64);
    if block.is_null() {
        return;
    }
    let data = code_at(block.addr());
    data(); // caught: machine-pool-run by mem-nx-pool
    free(block);
}

/// Jumps to where nothing is.
fn run_nowhere(_: &'static Module) {
    let nowhere = code_at(0x7FFF_0000_1000);
    nowhere(); // caught: machine-nowhere-run by lab-fault
    stay();
}

/// Calls a function that there is not.
fn run_null(_: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    let nothing = code_at(0);
    nothing(); // caught: machine-nothing-run by null-check
    NDIS_STATUS_SUCCESS
}

/// Reads a member of what is not there.
fn read_null(_: &'static Module, _: *mut NDIS_FILTER_RESTART_PARAMETERS) -> NDIS_STATUS {
    let nothing: *const u8 = without_provenance(black_box(0x18));
    // SAFETY: none: this is the fault.
    let byte = unsafe { *nothing }; // caught: machine-null-read by null-check
    black_box(byte);
    NDIS_STATUS_SUCCESS
}

/// Reads where nothing is.
fn read_nowhere(_: &'static Module) {
    let nowhere: *const u8 = without_provenance(black_box(0xFFFF_AAAA_0000_1000));
    // SAFETY: none: this is the fault.
    let byte = unsafe { *nowhere }; // caught: machine-nowhere-read by lab-fault
    black_box(byte);
}

/// Reads at an address that no processor has.
fn read_wild(_: &'static Module) {
    let wild: *const u8 = without_provenance(black_box(0xDEAD_BEEF_DEAD_BEEF));
    // SAFETY: none: this is the fault.
    let byte = unsafe { *wild }; // caught: machine-wild-read by mem-use-after-free
    black_box(byte);
}

/// Stops the system.
#[inline(never)]
fn stop(_: &'static Module) {
    // SAFETY: none: this is the fault.
    unsafe { KeBugCheckEx(0xE2, 1, 2, 3, 4) }; // caught: machine-stop by lab-fault
    stay();
}

/// Calls itself until the stack is used up.
fn recursion(_: &'static Module) {
    black_box(recurse(u32::MAX));
}

#[inline(never)]
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment is on the line, which is one for the mark")]
#[rustfmt::skip]
fn recurse(depth: u32) -> u32 { let mut below = [depth; 64]; /* SAFETY: does nothing. */ unsafe { asm!("/* {0} */", in(reg) &raw mut below) }; if depth == 0 { 0 } else { recurse(depth - 1) ^ below[0] } } // caught: machine-recursion by lab-stack-overflow

/// Calls a function whose variables alone use up the stack.
fn large_frame(_: &'static Module) {
    black_box(large());
}

#[inline(never)]
#[rustfmt::skip]
fn large() -> u8 { black_box([1_u8; 40_000])[7] } // caught: machine-large-frame by lab-stack-overflow

/// Calls the kernel with more than half of the stack in use.
fn call_from_deep(_: &'static Module) {
    let mut bytes = MaybeUninit::<[u8; 12_000]>::uninit();
    black_box(bytes.as_mut_ptr());
    // SAFETY: callable at any level.
    let thread = unsafe { PsGetCurrentThreadId() }; // warned: machine-stack-deep by lab-stack-depth
    black_box((thread, bytes.as_mut_ptr()));
}

/// Calls the kernel with nearly half of the stack in use.
// legal: machine-stack-half near lab-stack-depth
fn call_from_half(_: &'static Module) {
    let mut bytes = MaybeUninit::<[u8; 11_000]>::uninit();
    black_box(bytes.as_mut_ptr());
    // SAFETY: callable at any level.
    let thread = unsafe { PsGetCurrentThreadId() };
    black_box((thread, bytes.as_mut_ptr()));
}

/// Calls the kernel on a stack of its own.
fn switch_stack(_: &'static Module) {
    let block = allocate(4096);
    if block.is_null() {
        return;
    }
    let top = block.wrapping_add(4000);
    call_on(top, PsGetCurrentThreadId as *const ());
    free(block);
}

#[rustfmt::skip]
#[inline(always)]
fn call_on(top: *mut u8, call: *const ()) {
    // SAFETY: none: this is the fault.
    unsafe { asm!("mov r12, rsp", "mov rsp, {0}", "call {1}", "mov rsp, r12", in(reg) top, in(reg) call, out("r12") _, clobber_abi("system")) }; // caught: machine-stack-switched by dv-stack-switch
}

/// Goes round without end and without a call.
fn endless(_: &'static Module) {
    go_round();
    stay();
}

#[inline(never)]
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment is on the line, which is one for the mark")]
#[rustfmt::skip]
fn go_round() { /* SAFETY: none: this is the fault. */ unsafe { asm!("2: nop", "nop", "jmp 2b") } } // caught: machine-loop by lab-no-hang

/// Spins at DISPATCH_LEVEL for what never comes.
fn spin(_: &'static Module) {
    // SAFETY: never lowered: this is the fault.
    unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    // SAFETY: none is needed.
    unsafe { asm!("2: pause", "jmp 2b") }; // caught: machine-loop-spinning by dpc-time
}

/// Calls the kernel without end.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment is on the line, which is one for the mark")]
#[rustfmt::skip]
fn call_for_ever(_: &'static Module) { while black_box(1_u8) != 0 { black_box(/* SAFETY: callable at any level. */ unsafe { PsGetCurrentThreadId() }); } } // caught: machine-loop-calling by lab-no-hang

/// Pool tag, `Flte`.
const TAG: u32 = u32::from_le_bytes(*b"Flte");

/// Allocates without end, whatever it is given.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment is on the line, which is one for the mark")]
#[rustfmt::skip]
fn allocate_for_ever(_: &'static Module) { while black_box(1_u8) != 0 { black_box(/* SAFETY: callable up to DISPATCH_LEVEL. */ unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) }); } } // caught: machine-loop-allocating by lab-no-hang

/// Bytes of a block that takes a host a while to fill.
const LARGE: u64 = 1 << 20;

/// Allocates and frees without end.
#[expect(clippy::undocumented_unsafe_blocks, reason = "the comment is on the line, which is one for the mark")]
#[rustfmt::skip]
fn free_for_ever(_: &'static Module) { while black_box(1_u8) != 0 { let block = /* SAFETY: as above. */ unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, LARGE, TAG) }; if block.is_null() { return } /* SAFETY: the block is nobody else's. */ unsafe { ExFreePoolWithTag(block, TAG) } } } // caught: machine-loop-freeing by lab-no-hang

/// Blocks of a driver that is generous to itself.
const MANY: usize = 2_000;

/// Allocates much at once, and frees it.
// legal: machine-many-blocks near lab-no-hang
fn allocate_much(_: &'static Module) {
    let mut last: *mut u8 = null_mut();
    for _ in 0..MANY {
        let block = allocate(64);
        if block.is_null() {
            break;
        }
        // SAFETY: fresh memory that holds a pointer.
        unsafe { block.cast::<*mut u8>().write(last) };
        last = block;
    }
    while !last.is_null() {
        // SAFETY: written above.
        let next = unsafe { last.cast::<*mut u8>().read() };
        free(last);
        last = next;
    }
}

/// Divides by what is not zero, loops for a while, and uses half of the stack.
// legal: machine-plain near lab-fault, debug-break, dv-list-corruption, dv-stack-switch, lab-stack-overflow
// legal: machine-plain near lab-no-hang, null-check
fn plain(_: &'static Module) {
    let mut sum = 0_u64;
    for round in 1..10_000_u64 {
        sum = sum.wrapping_add(black_box(1_000_000_u64).checked_div(round).unwrap_or(0));
    }
    let bytes = black_box([1_u8; 8_000]);
    black_box((sum, bytes[7], null::<u8>()));
}
