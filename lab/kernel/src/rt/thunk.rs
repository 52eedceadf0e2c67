//! The assembly between the two worlds.
//!
//! | symbol | from | to |
//! |---|---|---|
//! | `lab_import` | driver code, index in EAX | [`super::call::enter`] on the host stack |
//! | `lab_call` | host code | driver code on the driver stack |
//! | `lab_fault` | the signal handler (which edits the saved context) | [`super::trap::on_fault`] on the host stack |
//! | `lab_resume` | host code, for good | the driver, at the registers in `interrupted` |
//! | `lab_copy` | host code | itself; the handler skips a copy that faults |
//! | `lab_chkstk` | driver code | itself: the import `__chkstk` |
//! | `lab_guard_check`, `lab_guard_dispatch` | driver code | itself: control-flow guard |
//!
//! Neither gives the driver an address of the host's: the registers that it inherits, or finds changed
//! after an import, hold a value that no access can use. What it has put into FS is undone.
//!
//! Host stacks are kept 16-byte aligned at every call; the driver's registers that win64 preserves
//! (RBX, RBP, RSI, RDI, R12-R15, XMM6-XMM15) are in the [`ImportFrame`], where the unwinder finds
//! them and from where they are restored. MXCSR and the x87 control word are not switched.

use std::{
    arch::{asm, global_asm},
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

use super::{
    context::{CURRENT, Context, ImportFrame, Interrupted},
    layout, leaf, processor,
};

/// What a driver finds in the registers that it is given nothing in: not canonical, so that a wild
/// access through one faults, also with any offset that an instruction can have.
const INHERITED: u64 = 0xDEAD_BEEF_DEAD_BEEF;

/// FS base of the machine's thread, where there are instructions to look at it with; else 0.
static HOST_FS: AtomicU64 = AtomicU64::new(0);

/// Which bytes of the image may be called through pointers, a bit for each, and how many bytes it has: 0 where any may.
static GUARD_MAP: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static GUARD_BYTES: AtomicU64 = AtomicU64::new(0);
/// `FAST_FAIL_GUARD_ICALL_CHECK_FAILURE`.
const GUARD_FAILURE: u32 = 10;

/// Makes control-flow guard ask `map`, which must live until the next call of this function; none ends that.
pub(super) fn set_guard(map: Option<&[u64]>, bytes: u64) {
    GUARD_BYTES.store(0, Ordering::Relaxed);
    let map = map.filter(|map| 64 * map.len() as u64 >= bytes);
    let first = map.map_or(ptr::null(), <[u64]>::as_ptr);
    GUARD_MAP.store(first.cast_mut().cast(), Ordering::Relaxed);
    GUARD_BYTES.store(map.map_or(0, |_| bytes), Ordering::Relaxed);
}

/// Notes the FS base of this thread, which driver code gets neither to see nor to change.
pub(super) fn note_fs() {
    let mut base = 0;
    if processor::fsgsbase() {
        // SAFETY: Linux says that there is such an instruction; it reads a register.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    }
    HOST_FS.store(base, Ordering::Relaxed);
}

/// Lets driver code have the FS of this thread, or not.
pub(super) fn share_fs(is_shared: bool) {
    if is_shared {
        HOST_FS.store(0, Ordering::Relaxed);
    } else {
        note_fs();
    }
}

/// Makes FS the thread's own again, and gives what it was if it was not. Called on the machine's thread, before
/// anything that uses thread-local storage.
pub(super) fn take_fs() -> Option<u64> {
    let own = HOST_FS.load(Ordering::Relaxed);
    if own == 0 {
        return None;
    }
    let base: u64;
    // SAFETY: as in `note_fs`.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    (base != own).then(|| {
        set_fs(own);
        base
    })
}

/// Sets FS: to what [`take_fs`] found, for the code that it belongs to, or to the thread's own.
pub(super) fn set_fs(base: u64) {
    // SAFETY: there is such an instruction (`HOST_FS` is set), and the base is one that FS had on this thread.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

/// Undoes what driver code may have asked for: checks of alignment, which Rust code does not expect.
pub(super) fn allow_unaligned() {
    // SAFETY: changes one flag, which nothing of Rust's looks at.
    unsafe { asm!("pushfq", "and dword ptr [rsp], 0xFFFBFFFF", "popfq") };
}

global_asm!(
    r#"
    .text
    .irp symbol, lab_import, lab_import_switched, lab_call, lab_call_driver, lab_call_return
    .globl \symbol
    .hidden \symbol
    .endr
    .irp symbol, lab_fault, lab_resume, lab_copy, lab_copy_end, lab_chkstk, lab_chkstk_end, lab_import_return, lab_import_end, lab_guard_check, lab_guard_dispatch, lab_guard_end
    .globl \symbol
    .hidden \symbol
    .endr
    .balign 64
lab_import:
    .cfi_startproc
    .cfi_undefined rip
    mov r10, [rip + {current}]
    mov [rsp + 8], rcx
    mov [rsp + 16], rdx
    mov [rsp + 24], r8
    mov [rsp + 32], r9
    mov r11, rsp
    mov rsp, [r10 + {host_sp}]
lab_import_switched:
    push r11
    push rax
    push rbx
    push rbp
    push rsi
    push rdi
    push r12
    push r13
    push r14
    push r15
    push [r10 + {frame}]
    push [r10 + {driver_sp}]
    sub rsp, 160
    movaps [rsp], xmm6
    movaps [rsp + 16], xmm7
    movaps [rsp + 32], xmm8
    movaps [rsp + 48], xmm9
    movaps [rsp + 64], xmm10
    movaps [rsp + 80], xmm11
    movaps [rsp + 96], xmm12
    movaps [rsp + 112], xmm13
    movaps [rsp + 128], xmm14
    movaps [rsp + 144], xmm15
    mov [r10 + {frame}], rsp
    mov [r10 + {driver_sp}], r11
    cld
    // Through its own FS a driver reaches nothing of the lab's.
    mov r11, [rip + {host_fs}]
    test r11, r11
    jz 5f
    wrfsbase r11
5:
    mov rdi, rsp
    call {enter}
    cmp qword ptr [rip + {host_fs}], 0
    je 6f
    mov r11, {driver_fs}
    wrfsbase r11
6:
    mov r10, [rip + {current}]
    movaps xmm6, [rsp]
    movaps xmm7, [rsp + 16]
    movaps xmm8, [rsp + 32]
    movaps xmm9, [rsp + 48]
    movaps xmm10, [rsp + 64]
    movaps xmm11, [rsp + 80]
    movaps xmm12, [rsp + 96]
    movaps xmm13, [rsp + 112]
    movaps xmm14, [rsp + 128]
    movaps xmm15, [rsp + 144]
    add rsp, 160
    pop [r10 + {driver_sp}]
    pop [r10 + {frame}]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop r11
    pop rsp
    mov r11, {inherited}
    mov rcx, r11
    mov rdx, r11
    mov r8, r11
    mov r9, r11
    mov r10, r11
lab_import_return:
    ret
lab_import_end:
    .cfi_endproc

    .balign 64
lab_call:
    // rdi: Context, rsi: code, rdx: arguments, rcx: how many
    .cfi_startproc
    push rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov rbp, rsp
    .cfi_def_cfa_register rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    push [rdi + {host_sp}]
    push [rdi + {driver_sp}]
    push [rdi + {frame}]
    mov [rdi + {host_sp}], rsp
    mov r11, [rdi + {driver_sp}]
    and r11, -16
    lea r10, [rcx + 5]
    and r10, -2
    shl r10, 3
    sub r11, r10
    mov rax, rsi
    mov rsi, rdx
    mov rdi, r11
    cmp qword ptr [rip + {host_fs}], 0
    je 6f
    mov r10, {driver_fs}
    wrfsbase r10
6:
lab_call_driver:
    // `rep movsq` takes as long as the rest for a handful of words.
    jrcxz 8f
7:
    mov r10, [rsi + 8 * rcx - 8]
    mov [rdi + 8 * rcx - 8], r10
    dec rcx
    jnz 7b
8:
    mov rsp, r11
    mov rcx, [rsp]
    mov rdx, [rsp + 8]
    mov r8, [rsp + 16]
    mov r9, [rsp + 24]
    mov rbx, {inherited}
    mov rbp, rbx
    mov rsi, rbx
    mov rdi, rbx
    mov r10, rbx
    mov r11, rbx
    mov r12, rbx
    mov r13, rbx
    mov r14, rbx
    mov r15, rbx
    call rax
lab_call_return:
    mov r11, [rip + {host_fs}]
    test r11, r11
    jz 5f
    wrfsbase r11
5:
    mov r10, [rip + {current}]
    mov rsp, [r10 + {host_sp}]
    cld
    pop [r10 + {frame}]
    pop [r10 + {driver_sp}]
    pop [r10 + {host_sp}]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
    .cfi_endproc

    .balign 16
lab_fault:
    // rdi: Context; all else as interrupted
    .cfi_startproc
    .cfi_undefined rip
    fxsave64 [rdi + {interrupted} + {fx}]
    mov rbx, rdi
    call {on_fault}
    mov rdi, rbx
lab_resume:
    // rdi: Context
    mov rsp, [rdi + {host_sp}]
    lea rdi, [rdi + {interrupted}]
    fxrstor64 [rdi + {fx}]
    cmp qword ptr [rip + {host_fs}], 0
    je 6f
    mov rax, {driver_fs}
    wrfsbase rax
6:
    mov rax, ss
    push rax
    push [rdi + 32]
    push [rdi + {flags}]
    mov rax, cs
    push rax
    push [rdi + {rip}]
    mov rax, [rdi]
    mov rcx, [rdi + 8]
    mov rdx, [rdi + 16]
    mov rbx, [rdi + 24]
    mov rbp, [rdi + 40]
    mov rsi, [rdi + 48]
    mov r8, [rdi + 64]
    mov r9, [rdi + 72]
    mov r10, [rdi + 80]
    mov r11, [rdi + 88]
    mov r12, [rdi + 96]
    mov r13, [rdi + 104]
    mov r14, [rdi + 112]
    mov r15, [rdi + 120]
    mov rdi, [rdi + 56]
    iretq
    .cfi_endproc

    .balign 16
lab_copy:
    // rdi: target, rsi: source, rdx: bytes; gives the bytes that were not copied
    .cfi_startproc
    mov rcx, rdx
    cmp rdx, 8
    je 8f
    cmp rdx, 4
    je 4f
    rep movsb
    jmp lab_copy_end
8:
    mov rax, [rsi]
    mov [rdi], rax
    xor ecx, ecx
    jmp lab_copy_end
4:
    mov eax, [rsi]
    mov [rdi], eax
    xor ecx, ecx
lab_copy_end:
    // rcx: what is left, also when the handler comes here
    mov rax, rcx
    ret
    .cfi_endproc

    .balign 16
lab_chkstk:
    // rax: bytes of the frame to come; only r10, r11 and flags may change
    push rcx
    push rax
    lea rcx, [rsp + 24]
    cmp rax, 0x1000
    jb 3f
2:
    sub rcx, 0x1000
    test [rcx], rcx
    sub rax, 0x1000
    cmp rax, 0x1000
    ja 2b
3:
    sub rcx, rax
    test [rcx], rcx
    pop rax
    pop rcx
    ret
lab_chkstk_end:

    .balign 16
lab_guard_check:
    // rcx: a target; rax, r10, r11 and flags may change
    mov rax, rcx
    mov r11, {image}
    mov r10, rax
    sub r10, r11
    cmp r10, [rip + {guard_bytes}]
    jae 2f
    mov r11, [rip + {guard_map}]
    bt qword ptr [r11], r10
    jnc 3f
2:
    ret
    .balign 16
lab_guard_dispatch:
    // rax: a target, to be called with all arguments as they are
    mov r11, {image}
    mov r10, rax
    sub r10, r11
    cmp r10, [rip + {guard_bytes}]
    jae 2f
    mov r11, [rip + {guard_map}]
    bt qword ptr [r11], r10
    jnc 3f
2:
    jmp rax
3:
    mov ecx, {guard_failure}
    int 0x29
lab_guard_end:
"#,
    current = sym CURRENT,
    host_fs = sym HOST_FS,
    driver_fs = const layout::FS,
    enter = sym super::call::enter,
    on_fault = sym super::trap::on_fault,
    inherited = const INHERITED,
    image = const layout::IMAGE,
    guard_bytes = sym GUARD_BYTES,
    guard_map = sym GUARD_MAP,
    guard_failure = const GUARD_FAILURE,
    host_sp = const offset_of!(Context, host_sp),
    driver_sp = const offset_of!(Context, driver_sp),
    frame = const offset_of!(Context, frame),
    interrupted = const offset_of!(Context, interrupted),
    fx = const offset_of!(Interrupted, fx),
    rip = const offset_of!(Interrupted, rip),
    flags = const offset_of!(Interrupted, flags),
);

unsafe extern "sysv64" {
    fn lab_import();
    fn lab_import_switched();
    fn lab_import_return();
    fn lab_import_end();
    fn lab_call(context: *const Context, code: u64, arguments: *const u64, count: usize) -> u64;
    fn lab_call_driver();
    fn lab_call_return();
    fn lab_fault();
    fn lab_resume(context: *const Context) -> !;
    fn lab_copy(target: u64, source: u64, bytes: usize) -> usize;
    fn lab_copy_end();
    fn lab_chkstk();
    fn lab_chkstk_end();
    fn lab_guard_check();
    fn lab_guard_dispatch();
    fn lab_guard_end();
}

/// Address of the import thunk, which stubs jump to.
pub(super) fn import() -> u64 {
    lab_import as *const () as u64
}

/// Address of `__chkstk`.
pub(super) fn chkstk() -> u64 {
    lab_chkstk as *const () as u64
}

/// Address of the check of control-flow guard.
pub(super) fn guard_check() -> u64 {
    lab_guard_check as *const () as u64
}

/// Address of the dispatch of control-flow guard.
pub(super) fn guard_dispatch() -> u64 {
    lab_guard_dispatch as *const () as u64
}

/// Address of the fault trampoline.
pub(super) fn fault() -> u64 {
    lab_fault as *const () as u64
}

/// Whether `rip` is in assembly that works on the driver's stack on the driver's behalf, so that a
/// fault there is the driver's.
pub(super) fn acts_for_driver(rip: u64) -> bool {
    let within = |from: *const (), to: *const ()| (from as u64..to as u64).contains(&rip);
    within(lab_import as *const (), lab_import_switched as *const ())
        || returns_to_driver(rip)
        || within(lab_call_driver as *const (), lab_call_return as *const ())
        || within(lab_chkstk as *const (), lab_chkstk_end as *const ())
        || within(lab_guard_check as *const (), lab_guard_end as *const ())
        || leaf::acts_for_driver(rip)
}

/// Whether `rip` is the return from an import to wherever the driver's stack pointer says.
pub(super) fn returns_to_driver(rip: u64) -> bool {
    (lab_import_return as *const () as u64..lab_import_end as *const () as u64).contains(&rip)
}

/// Where to go on if `rip` is an instruction that copies for [`copy`].
pub(super) fn copy_recovery(rip: u64) -> Option<u64> {
    let end = lab_copy_end as *const () as u64;
    (lab_copy as *const () as u64..end)
        .contains(&rip)
        .then_some(end)
}

/// Calls driver code on the driver stack of `context`.
///
/// # Safety
/// 1. `context` is that of the running coroutine.
/// 2. The caller keeps the rule of the cut: the call may never return.
pub(super) unsafe fn call(context: &Context, code: u64, arguments: &[u64]) -> u64 {
    // SAFETY: `arguments` are readable; the rest is the caller's, see above. Driver code itself can
    // do anything to this process; that it does not touch the lab's memory is assumed, as for any
    // code under test: what it gets are addresses in `layout`, and accesses elsewhere fault.
    unsafe { lab_call(context, code, arguments.as_ptr(), arguments.len()) }
}

/// Whether `rip` is where driver code returns to that [`call`] has called.
pub(super) fn is_return_from_driver(rip: u64) -> bool {
    rip == lab_call_return as *const () as u64
}

/// What [`call`] has kept at `host_sp`, which is where the host's stack goes on for the code that it has called: the
/// import that was running, and the host's stack pointer, as they were before.
///
/// # Safety
/// `host_sp` is the `host_sp` of a context while such code runs.
pub(super) unsafe fn kept(host_sp: u64) -> (*const ImportFrame, u64) {
    let words = host_sp as *const u64;
    // SAFETY: `lab_call` has pushed three words last, and set `host_sp` to where they are.
    let frame = unsafe { words.read() };
    // SAFETY: as above.
    let outside = unsafe { words.wrapping_add(2).read() };
    (frame as *const ImportFrame, outside)
}

/// Goes on in driver code with the registers that are in `interrupted`; everything below `host_sp` of the host's
/// stack is given up.
///
/// # Safety
/// 1. `context` is that of the running coroutine, and its `host_sp`, `driver_sp` and `frame` are those of the code
///    that goes on.
/// 2. The rule of the cut holds for what is given up.
pub(super) unsafe fn resume(context: &Context) -> ! {
    // SAFETY: passed on to the caller.
    unsafe { lab_resume(context) }
}

/// Copies bytes; gives back how many were not, because the next one may not be touched.
///
/// # Safety
/// 1. The signal handler is installed on this thread, or both ranges may be touched.
/// 2. What is written is no memory of Rust's but `target`'s, if that is.
pub(super) unsafe fn copy(target: u64, source: u64, bytes: usize) -> usize {
    // SAFETY: a fault ends the copy (obligation 1); nothing else is written (obligation 2).
    unsafe { lab_copy(target, source, bytes) }
}
