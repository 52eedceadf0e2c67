//! Signals: turned into calls of [`super::trap::on_fault`], never handled in the handler.
//!
//! The handler runs on a stack of its own. Where driver code faulted, it saves the registers in the
//! coroutine's [`Context`] and edits the signal's saved context so that returning from the handler
//! goes to the fault trampoline on the host stack. So the signal mask and the floating-point state
//! stay right, and what a fault means is decided in ordinary code.

use std::{
    io::{self, Write},
    mem, ptr,
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};

use super::{
    context::{Context, Interrupted, current},
    layout, thunk,
};

/// Signals that driver code raises, and the watchdog's.
const SIGNALS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    WATCHDOG_SIGNAL,
];
/// Sent by the watchdog's timer.
pub(super) const WATCHDOG_SIGNAL: libc::c_int = libc::SIGVTALRM;

const ALTERNATE_STACK_BYTES: usize = 64 << 10;
/// Processor time between two looks of the watchdog.
const WATCHDOG_PERIOD_MS: i64 = 500;
/// Looks without an import call in between after which driver code counts as looping for ever.
const WATCHDOG_LOOKS: u64 = 8;

/// The thread that the machine runs on: faults elsewhere are none of ours. 0 if there is none.
static THREAD: AtomicU64 = AtomicU64::new(0);
/// The same as Linux counts threads, which can be compared whatever FS is.
static THREAD_ID: AtomicI32 = AtomicI32::new(0);
/// Import calls, and how many the watchdog saw, how often in a row.
static IMPORTS: AtomicU64 = AtomicU64::new(0);
static IMPORTS_SEEN: AtomicU64 = AtomicU64::new(0);
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// Tells the watchdog that driver code got somewhere.
pub(super) fn note_progress() {
    IMPORTS.store(IMPORTS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Import calls and pauses up to now.
pub(super) fn progress() -> u64 {
    IMPORTS.load(Ordering::Relaxed)
}

/// The handlers of this thread. Dropping restores what was there before.
pub(super) struct Handlers {
    old_actions: Vec<(libc::c_int, libc::sigaction)>,
    old_stack: libc::stack_t,
    /// Null is a timer too: Linux counts them from 0.
    timer: Option<libc::timer_t>,
    _stack: Vec<u8>,
}

impl Handlers {
    /// Handles faults of driver code on this thread.
    pub(super) fn install() -> io::Result<Self> {
        let mut stack = vec![0_u8; ALTERNATE_STACK_BYTES];
        let new_stack = libc::stack_t {
            ss_sp: stack.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: stack.len(),
        };
        // SAFETY: all-zero bytes are a valid `stack_t`.
        let mut old_stack: libc::stack_t = unsafe { mem::zeroed() };
        // SAFETY: both point to live values; the new stack lives in `self` until it is replaced.
        check(unsafe { libc::sigaltstack(&raw const new_stack, &raw mut old_stack) })?;
        THREAD.store(thread(), Ordering::Relaxed);
        THREAD_ID.store(thread_id(), Ordering::Relaxed);
        let mut handlers = Self {
            old_actions: Vec::new(),
            old_stack,
            timer: None,
            _stack: stack,
        };
        for signal in SIGNALS {
            let old = set_action(signal, handler as *const () as usize)?;
            handlers.old_actions.push((signal, old));
        }
        handlers.timer = Some(watchdog()?);
        thunk::note_fs();
        refuse_system_calls(true);
        Ok(handlers)
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        refuse_system_calls(false);
        if let Some(timer) = self.timer {
            // SAFETY: the timer was made by `watchdog` and is deleted once.
            unsafe { libc::timer_delete(timer) };
        }
        for (signal, old) in &self.old_actions {
            // SAFETY: `old` is what `sigaction` gave for this signal.
            unsafe { libc::sigaction(*signal, old, ptr::null_mut()) };
        }
        THREAD.store(0, Ordering::Relaxed);
        THREAD_ID.store(0, Ordering::Relaxed);
        // SAFETY: the old stack is the one that this thread had, and outlives it.
        unsafe { libc::sigaltstack(&raw const self.old_stack, ptr::null_mut()) };
    }
}

/// Lets `syscall` and its kin in driver code raise SIGSYS, or not any more. To Linux they would be
/// calls of the lab's. Kernels before 5.11 cannot tell; then a driver that does this is not caught.
fn refuse_system_calls(refuse: bool) {
    const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
    const OFF: libc::c_ulong = 0;
    const ON: libc::c_ulong = 1;
    /// The end of what a process can map.
    const END: u64 = 1 << 47;
    // Where the lab calls Linux from: its C library, which must lie above everything of the driver's.
    let library = libc::getpid as *const () as u64;
    let none: libc::c_ulong = 0;
    if refuse && library > layout::HIGH {
        let bytes = END - layout::HIGH;
        // SAFETY: only decides which system calls of this thread raise a signal; none of the lab's do.
        unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, ON, layout::HIGH, bytes, none) };
    } else {
        // SAFETY: as above.
        unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, OFF, none, none, none) };
    }
}

/// Lets Linux kill this process when the thread that started it ends.
pub(crate) fn end_with_parent() -> io::Result<()> {
    // SAFETY: only decides when this process gets a signal.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_action(signal: libc::c_int, handler: usize) -> io::Result<libc::sigaction> {
    // SAFETY: all-zero bytes are a valid `sigaction`.
    let mut new: libc::sigaction = unsafe { mem::zeroed() };
    new.sa_sigaction = handler;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: as above.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: both point to live values, and the handler has the signature of SA_SIGINFO.
    check(unsafe { libc::sigaction(signal, &raw const new, &raw mut old) })?;
    Ok(old)
}

/// A timer over this thread's processor time, so that a busy machine does not look like a loop.
fn watchdog() -> io::Result<libc::timer_t> {
    // SAFETY: all-zero bytes are a valid `sigevent`.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = WATCHDOG_SIGNAL;
    event.sigev_notify_thread_id = thread_id();
    let mut timer = ptr::null_mut();
    // SAFETY: both point to live values.
    check(unsafe {
        libc::timer_create(
            libc::CLOCK_THREAD_CPUTIME_ID,
            &raw mut event,
            &raw mut timer,
        )
    })?;
    let period = libc::timespec {
        tv_sec: 0,
        tv_nsec: WATCHDOG_PERIOD_MS * 1_000_000,
    };
    let times = libc::itimerspec {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: the timer was made just now; `times` is live.
    check(unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) })?;
    Ok(timer)
}

/// The thread's number; safe to ask in a handler, also without FS.
fn thread_id() -> libc::pid_t {
    // SAFETY: only asks for the thread's id, of Linux itself.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}

/// The thread's identity; safe to ask in a handler.
fn thread() -> u64 {
    // SAFETY: reads the thread's own control block.
    unsafe { libc::pthread_self() }
}

/// Order in which instructions encode the general registers.
const REGISTERS: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

unsafe extern "C" fn handler(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    thunk::allow_unaligned();
    // Without its own FS nothing of this thread's can be asked for.
    let is_machine = THREAD_ID.load(Ordering::Relaxed) == thread_id();
    let fs = is_machine.then(thunk::take_fs).flatten();
    // SAFETY: these are the arguments that the kernel passes.
    let goes_on = unsafe { handle(signal, info, context) };
    if let Some(fs) = fs
        && goes_on
    {
        thunk::set_fs(fs);
    }
}

/// Handles a signal; tells whether what it has interrupted goes on where it was.
///
/// # Safety
/// The arguments are those of a signal handler.
unsafe fn handle(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) -> bool {
    // SAFETY: the kernel passes a `ucontext_t` that is ours to edit until we return.
    let saved = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut saved.uc_mcontext.gregs;
    let rip = registers[libc::REG_RIP as usize] as u64;
    // Driver code has asked for checks of alignment, which a kernel does not have: on without them.
    if signal == libc::SIGBUS && registers[libc::REG_TRAPNO as usize] == ALIGNMENT_VECTOR {
        registers[libc::REG_EFL as usize] &= !ALIGNMENT_CHECK;
        return true;
    }
    if let Some(recovery) = thunk::copy_recovery(rip) {
        if signal != WATCHDOG_SIGNAL {
            registers[libc::REG_RIP as usize] = recovery as i64;
        }
        return true;
    }
    let error = registers[libc::REG_ERR as usize] as u64;
    let driver = if THREAD.load(Ordering::Relaxed) == thread() {
        current()
    } else {
        None
    };
    // A step of driver code that ended in code of the lab's: it goes on at full speed.
    let is_step = signal == libc::SIGTRAP && registers[libc::REG_TRAPNO as usize] == DEBUG_VECTOR;
    if is_step && !is_driver_code(signal, rip, error) {
        registers[libc::REG_EFL as usize] &= !TRAP;
        return true;
    }
    match driver.filter(|_| is_driver_code(signal, rip, error)) {
        Some(driver) if signal != WATCHDOG_SIGNAL || is_looping() => {
            // SAFETY: the kernel passes a `siginfo_t`, live until we return.
            let info = unsafe { &*info };
            // SAFETY: for these signals it has an address (the watchdog's is not used).
            let address = unsafe { info.si_addr() } as u64;
            redirect(driver, registers, signal, address);
            return false;
        }
        None if signal != WATCHDOG_SIGNAL => {
            if THREAD.load(Ordering::Relaxed) == thread() {
                give_up(signal, rip);
            }
            // Another thread's: returning runs the instruction again, and Linux does what it does.
            // SAFETY: the default action needs nothing.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        _ => {}
    }
    true
}

/// Vector of single steps, and the flag that asks for them.
pub(super) const DEBUG_VECTOR: i64 = 1;
const TRAP: i64 = 0x100;

/// Vector of alignment checks, and the flag that asks for them.
const ALIGNMENT_VECTOR: i64 = 17;
const ALIGNMENT_CHECK: i64 = 0x4_0000;

/// Exit code of the lab's own faults.
const LAB_FAULT: libc::c_int = 3;

/// The lab's own code faulted: says so in one line, and ends the process. Nothing can be saved, as
/// whatever the lab was changing is half changed.
fn give_up(signal: libc::c_int, rip: u64) -> ! {
    let mut line = [0_u8; 160];
    let room = line.len();
    let mut rest = &mut line[..];
    // Writing into an array neither allocates nor locks; what does not fit is cut off.
    let _ = writeln!(
        rest,
        "lwf-lab: fault of the lab itself: signal {signal} at {rip:#x}"
    );
    let written = room - rest.len();
    // SAFETY: `line` has `written` bytes; `write` may be called in a handler.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), written) };
    // SAFETY: may be called in a handler, and runs nothing of ours.
    unsafe { libc::_exit(LAB_FAULT) }
}

/// Whether a signal at `rip` is the driver's doing.
fn is_driver_code(signal: libc::c_int, rip: u64, error: u64) -> bool {
    /// Bit of a page fault's error code: an instruction fetch. Then `rip` is where a wild jump went.
    const FETCH: u64 = 16;
    let fetch = signal == libc::SIGSEGV && error & FETCH != 0;
    layout::contains(rip, 1) || thunk::acts_for_driver(rip) || fetch
}

/// Called once per watchdog period that ends in driver code.
fn is_looping() -> bool {
    let imports = IMPORTS.load(Ordering::Relaxed);
    if IMPORTS_SEEN.swap(imports, Ordering::Relaxed) != imports {
        LOOKS.store(0, Ordering::Relaxed);
        return false;
    }
    LOOKS.fetch_add(1, Ordering::Relaxed) + 1 >= WATCHDOG_LOOKS
}

/// Saves the driver's registers and makes the handler return to the trampoline.
fn redirect(driver: &Context, registers: &mut [i64; 23], signal: libc::c_int, address: u64) {
    const DIRECTION: i64 = 0x400;
    /// Linux's selector of 64-bit user code.
    const CODE_SEGMENT: i64 = 0x33;
    let mut interrupted: Interrupted = driver.interrupted.get();
    interrupted.general = REGISTERS.map(|register| registers[register as usize] as u64);
    interrupted.rip = registers[libc::REG_RIP as usize] as u64;
    interrupted.flags = registers[libc::REG_EFL as usize] as u64;
    interrupted.error = registers[libc::REG_ERR as usize] as u64;
    interrupted.vector = registers[libc::REG_TRAPNO as usize] as u64;
    interrupted.signal = signal;
    interrupted.address = address;
    driver.interrupted.set(interrupted);
    registers[libc::REG_RIP as usize] = thunk::fault() as i64;
    registers[libc::REG_RSP as usize] = driver.host_sp.get() as i64;
    registers[libc::REG_RDI as usize] = ptr::from_ref(driver) as i64;
    registers[libc::REG_EFL as usize] &= !(TRAP | DIRECTION);
    // A far jump may have gone to code of 32 bits.
    let segments = registers[libc::REG_CSGSFS as usize];
    registers[libc::REG_CSGSFS as usize] = segments & !0xFFFF | CODE_SEGMENT;
}

#[cfg(test)]
mod tests {
    use std::{fs, hint, time::Instant};

    use super::{Handlers, WATCHDOG_PERIOD_MS};
    use crate::rt::machine;

    /// Were it left, it would end the process between two lives.
    #[test]
    fn no_timer_is_left() {
        let _only = machine::only();
        drop(Handlers::install().expect("signals can be handled"));
        let timers = fs::read_to_string("/proc/self/timers").unwrap_or_default();
        assert!(!timers.contains("signal: 26/"), "{timers}");
        let begun = Instant::now();
        while begun.elapsed().as_millis() < 2 * WATCHDOG_PERIOD_MS as u128 {
            hint::spin_loop();
        }
    }
}
