//! What one thread owns: mutexes, fast and guarded mutexes. And semaphores.

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Region};

use super::ke::object_type;
use super::{imports, region};
use crate::abi::constant::{STATUS_MUTANT_NOT_OWNED, STATUS_SEMAPHORE_LIMIT_EXCEEDED};
use crate::abi::nt::{DISPATCHER_HEADER as H, FAST_MUTEX, KMUTANT, KSEMAPHORE};
use crate::rt::Call;
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched::{self, APC_LEVEL, Reason};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    KeInitializeMutex => initialize_mutex,
    KeReleaseMutex => release_mutex,
    KeReadStateMutex => read_state,
    KeInitializeSemaphore => initialize_semaphore,
    KeReleaseSemaphore => release_semaphore,
    KeReadStateSemaphore => read_state,
    ExAcquireFastMutex => acquire_fast,
    ExReleaseFastMutex => release_fast,
    ExTryToAcquireFastMutex => try_fast,
    ExAcquireFastMutexUnsafe => acquire_unsafe,
    ExReleaseFastMutexUnsafe => release_unsafe,
    KeInitializeGuardedMutex => initialize_guarded,
    KeAcquireGuardedMutex => acquire_guarded,
    KeReleaseGuardedMutex => release_guarded,
    KeTryToAcquireGuardedMutex => try_guarded,
    KeAcquireGuardedMutexUnsafe => acquire_unsafe,
    KeReleaseGuardedMutexUnsafe => release_unsafe,
}

/// The function raises an exception, which nobody here handles.
fn raise(status: i32) -> ! {
    emit(Kind::Fault(Fault {
        kind: FaultKind::Unhandled(status.cast_unsigned()),
        address: 0,
        instruction: 0,
        region: Region::Image,
        in_import: None,
    }));
    sched::stop(Reason::Internal("an exception broke no rule".into()))
}

fn me() -> u64 {
    sched::thread_object(sched::current())
}

fn initialize_mutex(call: &Call<'_>) -> u64 {
    let mutex = call.arg(0);
    let fill = || {
        mem::fill(mutex, KMUTANT::SIZE, 0)?;
        H::Type.write(mutex, object_type::MUTANT)?;
        H::SignalState.write(mutex, 1)?;
        KMUTANT::ApcDisable.write(mutex, 1)
    };
    fill().or_fault();
    0
}

/// Takes a mutex for a thread, if it is free or the thread's already.
pub(super) fn take_mutex(mutex: u64, thread: u64) -> Result<bool, BadAddress> {
    let state = H::SignalState.read(mutex)?;
    if state <= 0 && KMUTANT::OwnerThread.read(mutex)? != thread {
        return Ok(false);
    }
    H::SignalState.write(mutex, state - 1)?;
    KMUTANT::OwnerThread.write(mutex, thread)?;
    Ok(true)
}

fn release_mutex(call: &Call<'_>) -> u64 {
    let mutex = call.arg(0);
    let state = H::SignalState.read(mutex).or_fault();
    if KMUTANT::OwnerThread.read(mutex).or_fault() != me() {
        raise(STATUS_MUTANT_NOT_OWNED);
    }
    H::SignalState.write(mutex, state + 1).or_fault();
    if state == 0 {
        KMUTANT::OwnerThread.write(mutex, 0).or_fault();
    }
    u64::from(state.cast_unsigned())
}

fn read_state(call: &Call<'_>) -> u64 {
    u64::from(H::SignalState.read(call.arg(0)).or_fault().cast_unsigned())
}

fn initialize_semaphore(call: &Call<'_>) -> u64 {
    let semaphore = call.arg(0);
    let fill = || {
        mem::fill(semaphore, KSEMAPHORE::SIZE, 0)?;
        H::Type.write(semaphore, object_type::SEMAPHORE)?;
        H::SignalState.write(semaphore, call.arg_u32(1).cast_signed())?;
        KSEMAPHORE::Limit.write(semaphore, call.arg_u32(2).cast_signed())
    };
    fill().or_fault();
    0
}

fn release_semaphore(call: &Call<'_>) -> u64 {
    let (semaphore, adjustment) = (call.arg(0), call.arg_u32(2).cast_signed());
    let state = H::SignalState.read(semaphore).or_fault();
    let limit = KSEMAPHORE::Limit.read(semaphore).or_fault();
    match state.checked_add(adjustment) {
        Some(new) if adjustment > 0 && new <= limit => {
            H::SignalState.write(semaphore, new).or_fault();
        }
        _ => raise(STATUS_SEMAPHORE_LIMIT_EXCEEDED),
    }
    u64::from(state.cast_unsigned())
}

/// Takes a fast mutex, if it is free.
fn take_fast(mutex: u64, thread: u64) -> Result<bool, BadAddress> {
    if FAST_MUTEX::Count.read(mutex)? <= 0 {
        return Ok(false);
    }
    FAST_MUTEX::Count.write(mutex, 0)?;
    FAST_MUTEX::Owner.write(mutex, thread)?;
    Ok(true)
}

fn wait_fast(mutex: u64) {
    let thread = me();
    let mut result = Ok(());
    sched::wait(&mut || match take_fast(mutex, thread) {
        Ok(is_taken) => is_taken,
        Err(bad) => {
            result = Err(bad);
            true
        }
    });
    result.or_fault();
}

fn give_fast(mutex: u64) {
    FAST_MUTEX::Owner.write(mutex, 0).or_fault();
    FAST_MUTEX::Count.write(mutex, 1).or_fault();
}

fn acquire_fast(call: &Call<'_>) -> u64 {
    let old = sched::raise(APC_LEVEL);
    wait_fast(call.arg(0));
    FAST_MUTEX::OldIrql
        .write(call.arg(0), old.into())
        .or_fault();
    0
}

fn release_fast(call: &Call<'_>) -> u64 {
    let old = FAST_MUTEX::OldIrql.read(call.arg(0)).or_fault();
    give_fast(call.arg(0));
    sched::lower(u8::try_from(old).unwrap_or(APC_LEVEL));
    0
}

fn try_fast(call: &Call<'_>) -> u64 {
    let old = sched::raise(APC_LEVEL);
    let is_taken = take_fast(call.arg(0), me()).or_fault();
    if is_taken {
        FAST_MUTEX::OldIrql
            .write(call.arg(0), old.into())
            .or_fault();
    } else {
        sched::lower(old);
    }
    u64::from(is_taken)
}

fn acquire_unsafe(call: &Call<'_>) -> u64 {
    wait_fast(call.arg(0));
    0
}

fn release_unsafe(call: &Call<'_>) -> u64 {
    give_fast(call.arg(0));
    0
}

fn initialize_guarded(call: &Call<'_>) -> u64 {
    mem::fill(call.arg(0), FAST_MUTEX::SIZE, 0).or_fault();
    FAST_MUTEX::Count.write(call.arg(0), 1).or_fault();
    0
}

fn acquire_guarded(call: &Call<'_>) -> u64 {
    region::guard();
    wait_fast(call.arg(0));
    0
}

fn release_guarded(call: &Call<'_>) -> u64 {
    give_fast(call.arg(0));
    region::unguard()
}

fn try_guarded(call: &Call<'_>) -> u64 {
    region::guard();
    let is_taken = take_fast(call.arg(0), me()).or_fault();
    if !is_taken {
        region::unguard();
    }
    u64::from(is_taken)
}
