//! Virtual processors, kernel threads, DPCs and time.

pub(crate) use super::machine::Reason;
use super::trace::StackId;

/// `PASSIVE_LEVEL`.
pub(crate) const PASSIVE_LEVEL: u8 = 0;
/// `APC_LEVEL`.
pub(crate) const APC_LEVEL: u8 = 1;
/// `DISPATCH_LEVEL`.
pub(crate) const DISPATCH_LEVEL: u8 = 2;

/// A kernel thread or DPC body, never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ThreadId(pub(crate) u32);

/// A queued DPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DpcId(u64);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its condition took what it waited for.
    Satisfied,
    /// The deadline passed first.
    TimedOut,
}

/// Why nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HangKind {
    /// Every thread waits, and nothing is timed.
    Deadlock,
    /// A processor stayed at DISPATCH_LEVEL for longer than the DPC watchdog allows.
    DispatchTooLong,
    /// Driver code runs without end and calls nothing.
    EndlessLoop,
    /// The run's time limit passed.
    TimeLimit,
}

/// A run that does not move.
#[derive(Debug, Clone)]
pub(crate) struct Hang {
    /// Why.
    pub(crate) kind: HangKind,
    /// Who is to blame, where that is clear.
    pub(crate) thread: Option<String>,
    /// Every thread that has not ended: name, state, driver stack.
    pub(crate) threads: Vec<(String, &'static str, StackId)>,
}

/// Starts a kernel thread at PASSIVE_LEVEL, on `processor` only or on any.
pub(crate) fn spawn(name: &str, processor: Option<u32>, body: impl FnOnce() + 'static) -> ThreadId {
    let _ = (name, processor);
    drop(body);
    unreachable!("next commit")
}

/// Queues a body that runs at DISPATCH_LEVEL on `processor`, ahead of its threads.
pub(crate) fn queue_dpc(name: &str, processor: u32, body: impl FnOnce() + 'static) -> DpcId {
    queue_dpc_at(now(), name, processor, body)
}

/// As [`queue_dpc`], once the virtual clock has reached `due_ns`.
pub(crate) fn queue_dpc_at(
    due_ns: u64,
    name: &str,
    processor: u32,
    body: impl FnOnce() + 'static,
) -> DpcId {
    let _ = (due_ns, name, processor);
    drop(body);
    unreachable!("next commit")
}

/// Takes a DPC back. True if it had not started; its body is dropped.
pub(crate) fn cancel_dpc(id: DpcId) -> bool {
    let _ = id;
    unreachable!("next commit")
}

/// A scheduling point: another thread may run before this returns.
pub(crate) fn point() {
    unreachable!("next commit")
}

/// Waits until `condition` holds.
///
/// The condition tests *and takes* (an auto-reset event, a lock word). It is tried at once, then at
/// any time on the scheduler's stack: it must not wait, switch, stop or call the driver.
///
/// At DISPATCH_LEVEL and above the processor stays occupied: that is how a spin lock spins.
pub(crate) fn wait(condition: &mut dyn FnMut() -> bool) {
    let _ = condition;
    unreachable!("next commit")
}

/// As [`wait`], but at most until the virtual clock has reached `deadline_ns`.
pub(crate) fn wait_until(deadline_ns: u64, condition: &mut dyn FnMut() -> bool) -> Wait {
    let _ = (deadline_ns, condition);
    unreachable!("next commit")
}

/// Sleeps until the virtual clock has reached `deadline_ns`.
pub(crate) fn sleep_until(deadline_ns: u64) {
    let _ = wait_until(deadline_ns, &mut || false);
}

/// Virtual time since the run began, in ns.
pub(crate) fn now() -> u64 {
    unreachable!("next commit")
}

/// Lets `ns` of virtual time pass.
pub(crate) fn charge(ns: u64) {
    let _ = ns;
    unreachable!("next commit")
}

/// Lets the time pass that copying `bytes` takes.
pub(crate) fn charge_copy(bytes: usize) {
    let _ = bytes;
    unreachable!("next commit")
}

/// IRQL of the running thread.
pub(crate) fn irql() -> u8 {
    unreachable!("next commit")
}

/// Sets a higher (or the same) IRQL and gives back the old one. Legality is the caller's to check.
pub(crate) fn raise(level: u8) -> u8 {
    let _ = level;
    unreachable!("next commit")
}

/// Sets a lower (or the same) IRQL. DPCs that were waiting for it run before this returns.
pub(crate) fn lower(level: u8) {
    let _ = level;
    unreachable!("next commit")
}

/// The running thread or DPC body.
pub(crate) fn current() -> ThreadId {
    unreachable!("next commit")
}

/// Whether a DPC body is running.
pub(crate) fn in_dpc() -> bool {
    unreachable!("next commit")
}

/// The processor it runs on.
pub(crate) fn processor() -> u32 {
    unreachable!("next commit")
}

/// Number of processors.
pub(crate) fn processors() -> u32 {
    unreachable!("next commit")
}

/// Name given to a thread or DPC body.
pub(crate) fn thread_name(thread: ThreadId) -> String {
    let _ = thread;
    unreachable!("next commit")
}

/// Address of the thread's `ETHREAD`, which drivers treat as opaque.
pub(crate) fn thread_object(thread: ThreadId) -> u64 {
    let _ = thread;
    unreachable!("next commit")
}

/// A number below `bound` (at least 1), decided by the seed.
pub(crate) fn random(bound: u64) -> u64 {
    let _ = bound;
    unreachable!("next commit")
}

/// True in `numerator` of `denominator` cases, decided by the seed.
pub(crate) fn chance(numerator: u64, denominator: u64) -> bool {
    random(denominator) < numerator
}

/// Ends the run. Nothing on this stack, nor on any other, runs again.
pub(crate) fn stop(reason: Reason) -> ! {
    let _ = reason;
    unreachable!("next commit")
}
