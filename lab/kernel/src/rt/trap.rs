//! What driver code does that a user-mode process cannot: emulated where a filter may do it, else
//! a [`Fault`] that ends the run.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};

use super::{
    context::{Context, Interrupted, RAX, RCX, RDX, RSP},
    endless::{self, TRAP},
    exception::{self, Exception},
    fault::{self, Access, Fault, FaultKind, UserMisuse},
    layout, mem, paged,
    patch::{PAUSE_VECTOR, RDTSC_VECTOR, RDTSCP_VECTOR},
    pool,
    processor::KUSER_SHARED_DATA,
    sched::{self, Reason},
    signal::{DEBUG_VECTOR, WATCHDOG_SIGNAL},
    thunk, trace,
    user::{self, Touch},
};

const SYSCALL_BYTES: u64 = 2;
const PAGE_FAULT: u64 = 14;
const GENERAL_PROTECTION: u64 = 13;
/// What an address that is none gives when the instruction reaches it from RSP or RBP.
const STACK_FAULT: u64 = 12;
/// Ticks of the time-stamp counter per ns of virtual time.
const TSC_PER_NS: u64 = 3;

/// Called by the trampoline on the host stack. If it returns, the driver goes on with the registers
/// that are then in `interrupted`.
pub(super) extern "sysv64" fn on_fault(context: &Context) {
    context.is_trapped.set(true);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handle(context)));
    context.is_trapped.set(false);
    pool::settle();
    if let Err(panic) = outcome {
        sched::stop(Reason::internal(&*panic));
    }
}

fn handle(context: &Context) {
    let mut registers = context.interrupted.get();
    if registers.signal == WATCHDOG_SIGNAL {
        endless::suspect(&mut registers);
        context.interrupted.set(registers);
        return;
    }
    let is_step =
        registers.signal == libc::SIGTRAP && registers.vector == DEBUG_VECTOR.cast_unsigned();
    let was_look = user::end_look();
    if was_look {
        registers.flags &= !TRAP;
    }
    if is_step && (endless::step(&mut registers) || was_look) {
        context.interrupted.set(registers);
        return;
    }
    match emulate(&mut registers) {
        Ok(()) => context.interrupted.set(registers),
        Err((kind, address, access)) => {
            context.interrupted.set(registers);
            if let Some(code) = exception_code(kind, address) {
                raise(context, &registers, code, address, access);
            }
            refuse(&registers, kind, address, access);
        }
    }
}

type Refusal = (FaultKind, u64, Access);

/// The exception that Windows raises in the driver for what the processor refused. For all else it stops at once:
/// wherever kernel addresses are touched, and at `DISPATCH_LEVEL` for any memory.
fn exception_code(kind: FaultKind, address: u64) -> Option<u32> {
    const STATUS_ACCESS_VIOLATION: u32 = 0xC000_0005;
    const STATUS_INTEGER_DIVIDE_BY_ZERO: u32 = 0xC000_0094;
    const STATUS_ILLEGAL_INSTRUCTION: u32 = 0xC000_001D;
    const STATUS_BREAKPOINT: u32 = 0x8000_0003;
    const STATUS_ASSERTION_FAILURE: u32 = 0xC000_0420;
    match kind {
        FaultKind::Memory
            if sched::irql() < sched::DISPATCH_LEVEL
                && (exception::is_user(address)
                    || fault::classify(address) == fault::Place::NonCanonical) =>
        {
            Some(STATUS_ACCESS_VIOLATION)
        }
        FaultKind::Divide => Some(STATUS_INTEGER_DIVIDE_BY_ZERO),
        FaultKind::IllegalInstruction => Some(STATUS_ILLEGAL_INSTRUCTION),
        FaultKind::Breakpoint => Some(STATUS_BREAKPOINT),
        FaultKind::Assertion => Some(STATUS_ASSERTION_FAILURE),
        FaultKind::Memory | FaultKind::FastFail(_) | FaultKind::Privileged | FaultKind::User(_) => {
            None
        }
    }
}

/// Looks for a handler of the driver's; comes back, with all as it was, if there is none.
fn raise(context: &Context, registers: &Interrupted, code: u32, address: u64, access: Access) {
    let touched = if fault::classify(address) == fault::Place::NonCanonical {
        // What the processor does not tell.
        u64::MAX
    } else {
        address
    };
    let how = match access {
        Access::Read => 0,
        Access::Write => 1,
        Access::Execute => 8,
    };
    let information = [how, touched];
    let is_access = address != 0 || touched != address;
    let exception = Exception {
        code,
        flags: 0,
        address: registers.rip,
        information: if is_access { &information } else { &[] },
    };
    context.is_trapped.set(false);
    exception::of_fault(context, registers, &exception);
    context.is_trapped.set(true);
    context.interrupted.set(*registers);
}

/// Ends the run with a fault.
fn refuse(registers: &Interrupted, kind: FaultKind, address: u64, access: Access) {
    let place = fault::classify(address);
    // Assembly of ours that acts for the driver: the driver's own instruction called it.
    let rip = if thunk::acts_for_driver(registers.rip) {
        mem::read(registers.general[RSP]).unwrap_or(registers.rip)
    } else {
        registers.rip
    };
    let fault = Fault {
        kind,
        address,
        access,
        rip,
        thread: sched::current(),
        irql: sched::irql(),
        stack: trace::capture(),
        is_paged_out: paged::is_closed(address),
        place,
    };
    sched::stop(Reason::Fault(fault));
}

/// Ends the run: an import that the driver has called touches memory of user mode as the driver may not.
pub(super) fn refuse_import(misuse: UserMisuse, bad: mem::BadAddress) -> ! {
    sched::stop(Reason::Fault(Fault {
        kind: FaultKind::User(misuse),
        address: bad.address,
        access: if bad.write {
            Access::Write
        } else {
            Access::Read
        },
        rip: 0,
        thread: sched::current(),
        irql: sched::irql(),
        stack: trace::capture(),
        is_paged_out: false,
        place: fault::classify(bad.address),
    }))
}

/// Driver code, which has left its stack pointer so, has jumped into the stubs of the imports, where none begins.
pub(super) fn wild_jump(stack_pointer: u64) -> Fault {
    Fault {
        kind: FaultKind::Memory,
        address: layout::STUBS,
        access: Access::Execute,
        rip: mem::read(stack_pointer).unwrap_or(layout::STUBS),
        thread: sched::current(),
        irql: sched::irql(),
        stack: trace::capture(),
        is_paged_out: false,
        place: fault::classify(layout::STUBS),
    }
}

/// Does what the instruction would do in the kernel, or says why it is refused.
fn emulate(registers: &mut Interrupted) -> Result<(), Refusal> {
    let refused = |kind| Err((kind, 0, Access::Read));
    match (registers.signal, registers.vector) {
        (libc::SIGFPE, _) => refused(FaultKind::Divide),
        (libc::SIGILL, _) => refused(FaultKind::IllegalInstruction),
        (libc::SIGSYS, _) => {
            // The processor has gone past the system call.
            registers.rip -= SYSCALL_BYTES;
            refused(FaultKind::Privileged)
        }
        (libc::SIGTRAP, _) => {
            // The processor has gone past the breakpoint.
            registers.rip -= 1;
            refused(FaultKind::Breakpoint)
        }
        (_, PAGE_FAULT) => page_fault(registers),
        (_, GENERAL_PROTECTION) if thunk::returns_to_driver(registers.rip) => {
            let target = mem::read(registers.general[RSP]).unwrap_or_default();
            Err((FaultKind::Memory, target, Access::Execute))
        }
        (_, GENERAL_PROTECTION) if registers.error & 2 != 0 => {
            interrupt(registers, (registers.error >> 3) as u8)
        }
        (_, GENERAL_PROTECTION | STACK_FAULT) => protection_fault(registers),
        _ => Err((
            FaultKind::Memory,
            registers.address,
            access(registers.error),
        )),
    }
}

/// How a page fault's error code says that memory was touched.
fn access(error: u64) -> Access {
    match (error & 16 != 0, error & 2 != 0) {
        (true, _) => Access::Execute,
        (_, true) => Access::Write,
        _ => Access::Read,
    }
}

/// An `int` instruction.
fn interrupt(registers: &mut Interrupted, vector: u8) -> Result<(), Refusal> {
    const INT_BYTES: u64 = 2;
    let refused = |kind| Err((kind, 0, Access::Read));
    match vector {
        0x29 => refused(FaultKind::FastFail(registers.general[RCX] as u32)),
        0x2C => refused(FaultKind::Assertion),
        // A debug service without a debugger does nothing; the kernel skips the int3 behind it.
        0x2D => {
            let next = registers.rip + INT_BYTES;
            registers.rip = next + u64::from(mem::read::<u8>(next) == Ok(0xCC));
            Ok(())
        }
        RDTSC_VECTOR | RDTSCP_VECTOR => {
            sched::charge(sched::IMPORT_NS);
            let counter = sched::now().wrapping_mul(TSC_PER_NS);
            registers.general[RAX] = counter & 0xFFFF_FFFF;
            registers.general[RDX] = counter >> 32;
            if vector == RDTSCP_VECTOR {
                registers.general[RCX] = u64::from(sched::processor());
            }
            registers.rip += INT_BYTES;
            Ok(())
        }
        PAUSE_VECTOR => {
            sched::pause();
            registers.rip += INT_BYTES;
            Ok(())
        }
        _ => refused(FaultKind::Privileged),
    }
}

fn decode(registers: &Interrupted) -> Option<Instruction> {
    const LONGEST: usize = 15;
    let code: Vec<u8> = (0..LONGEST as u64)
        .map_while(|i| mem::read(registers.rip + i).ok())
        .collect();
    let mut decoder = Decoder::with_ip(64, &code, registers.rip, DecoderOptions::NONE);
    Some(decoder.decode()).filter(|instruction| !instruction.is_invalid())
}

/// What the processor refuses without an address: a privileged instruction, or an address that is
/// none.
fn protection_fault(registers: &mut Interrupted) -> Result<(), Refusal> {
    let Some(instruction) = decode(registers) else {
        return Err((FaultKind::Privileged, 0, Access::Read));
    };
    match instruction.code() {
        Code::Mov_cr_r64 if instruction.op0_register() == Register::CR8 => {
            let level = registers.general[instruction.op1_register().number()] as u8;
            if level >= sched::irql() {
                sched::raise(level);
            } else {
                sched::lower(level);
            }
            registers.rip = instruction.next_ip();
            return Ok(());
        }
        Code::Mov_r64_cr if instruction.op1_register() == Register::CR8 => {
            registers.general[instruction.op0_register().number()] = u64::from(sched::irql());
            registers.rip = instruction.next_ip();
            return Ok(());
        }
        _ => {}
    }
    let memory = (0..instruction.op_count())
        .find(|operand| instruction.op_kind(*operand) == OpKind::Memory)
        .and_then(|operand| {
            instruction.virtual_address(operand, 0, |register, _, _| value(registers, register))
        });
    match memory {
        Some(address) if fault::classify(address) == fault::Place::NonCanonical => {
            // The processor does not say how it was touched; for the first operand of a move, say
            // what the instruction says.
            let writes = instruction.op0_kind() == OpKind::Memory
                && instruction.mnemonic() == iced_x86::Mnemonic::Mov;
            let access = if writes { Access::Write } else { Access::Read };
            Err((FaultKind::Memory, address, access))
        }
        _ if is_jump(&instruction) => Err((
            FaultKind::Memory,
            jump_target(registers, &instruction),
            Access::Execute,
        )),
        // Stack and string instructions have implied operands.
        _ if fault::classify(registers.general[RSP]) == fault::Place::NonCanonical => {
            Err((FaultKind::Memory, registers.general[RSP], Access::Write))
        }
        _ => Err((FaultKind::Privileged, 0, Access::Read)),
    }
}

fn is_jump(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        iced_x86::Mnemonic::Call | iced_x86::Mnemonic::Jmp | iced_x86::Mnemonic::Ret
    )
}

/// Where an indirect jump that the processor refused would have gone.
fn jump_target(registers: &Interrupted, instruction: &Instruction) -> u64 {
    let memory = |address| mem::read(address).unwrap_or(0);
    match instruction.op0_kind() {
        _ if instruction.mnemonic() == iced_x86::Mnemonic::Ret => memory(registers.general[RSP]),
        OpKind::Register => value(registers, instruction.op0_register()).unwrap_or(0),
        _ => instruction
            .virtual_address(0, 0, |register, _, _| value(registers, register))
            .map_or(0, memory),
    }
}

/// Value of a register in an address.
fn value(registers: &Interrupted, register: Register) -> Option<u64> {
    match register {
        Register::RIP => Some(registers.rip),
        // Segments have base 0, but for GS, which is never non-canonical.
        _ if register.is_segment_register() => Some(0),
        _ if register.is_gpr64() => Some(registers.general[register.number()]),
        _ if register.is_gpr32() => Some(registers.general[register.number()] & 0xFFFF_FFFF),
        _ => None,
    }
}

fn page_fault(registers: &mut Interrupted) -> Result<(), Refusal> {
    let address = registers.address;
    let access = access(registers.error);
    if paged::open_for(address) {
        return Ok(());
    }
    let misused = |misuse| Err((FaultKind::User(misuse), address, access));
    match user::touch(address, access == Access::Write) {
        Touch::Unknown => {}
        Touch::Misused(misuse) => return misused(misuse),
        Touch::Opened | Touch::Refused
            if sched::irql() < sched::DISPATCH_LEVEL && !exception::is_guarded(registers) =>
        {
            return misused(UserMisuse::Unguarded);
        }
        Touch::Opened => {
            if user::begin_look() {
                registers.flags |= TRAP;
            }
            return Ok(());
        }
        Touch::Refused => {}
    }
    if access == Access::Read && fault::is_shared_user_data(address) && move_shared(registers) {
        return Ok(());
    }
    Err((FaultKind::Memory, address, access))
}

/// Lets an instruction that reads KUSER_SHARED_DATA read the lab's page instead: moves the register
/// that points there, for good, or does the load of `mov rax, [absolute]`.
fn move_shared(registers: &mut Interrupted) -> bool {
    let Some(instruction) = decode(registers) else {
        return false;
    };
    sched::use_shared_clock();
    let delta = layout::SHARED_USER_DATA.wrapping_sub(KUSER_SHARED_DATA);
    let moved = registers.address.wrapping_add(delta);
    let loaded = match instruction.code() {
        Code::Mov_RAX_moffs64 => mem::read(moved),
        Code::Mov_EAX_moffs32 => mem::read::<u32>(moved).map(u64::from),
        Code::Mov_AX_moffs16 => {
            mem::read::<u16>(moved).map(|word| registers.general[RAX] & !0xFFFF | u64::from(word))
        }
        Code::Mov_AL_moffs8 => {
            mem::read::<u8>(moved).map(|byte| registers.general[RAX] & !0xFF | u64::from(byte))
        }
        _ => {
            let pointer = [instruction.memory_base(), instruction.memory_index()]
                .into_iter()
                .filter(|register| register.is_gpr64())
                .map(Register::number)
                .find(|number| fault::is_shared_user_data(registers.general[*number]));
            let Some(number) = pointer else { return false };
            registers.general[number] = registers.general[number].wrapping_add(delta);
            return true;
        }
    };
    let Ok(loaded) = loaded else { return false };
    registers.general[RAX] = loaded;
    registers.rip = instruction.next_ip();
    true
}
