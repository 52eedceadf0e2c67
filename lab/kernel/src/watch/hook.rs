//! What runs around every import: its event, with the levels at which it is legal.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Arguments, Fault, FaultKind, HandleEvent, Import, Region, Returned};

use super::{emit, service};
use crate::abi::constant::POOL_FLAG_PAGED;
use crate::abi::irql::IRQL;
use crate::ndis::handle;
use crate::per_image::per_image;
use crate::rt::journal::{self, What};
use crate::rt::mem;
use crate::rt::sched::{self, ThreadId};
use crate::rt::{self, Call};

per_image! {
    /// The imports that each thread is in, outermost first.
    static IMPORTS: RefCell<BTreeMap<ThreadId, Vec<&'static str>>> = const { RefCell::new(BTreeMap::new()) };
}

thread_local! {
    /// By the import's place in the registry.
    static FACTS: RefCell<Vec<Option<Facts>>> = const { RefCell::new(Vec::new()) };
}

/// Forgets all calls: a run begins.
pub(super) fn reset() {
    IMPORTS.take();
    FACTS.take();
}

/// The import that this thread is in.
pub(crate) fn current_import() -> Option<&'static str> {
    IMPORTS.with_borrow(|imports| imports.get(&sched::current())?.last().copied())
}

/// The hook before every import.
pub(crate) fn before_import(call: &Call<'_>) {
    let import = call.import();
    IMPORTS.with_borrow_mut(|imports| {
        imports
            .entry(sched::current())
            .or_default()
            .push(import.name)
    });
    journal::note(|| What::Calls {
        name: import.name,
        adapter: None,
    });
    let (low, high) = rt::stack_range();
    if !(low..high).contains(&call.stack_pointer()) {
        emit(Kind::Fault(Fault {
            kind: FaultKind::ForeignStack,
            address: call.stack_pointer(),
            instruction: 0,
            region: Region::Unmapped,
            in_import: Some(import.name),
        }));
    }
    if let Some(used_bytes) = call.deeper_stack_bytes() {
        emit(Kind::Stack { used_bytes });
    }
    let facts = facts(call);
    if let Some(address) = service::user_address(call, facts.addresses) {
        emit(Kind::Handle(HandleEvent::UserAddress {
            function: import.name,
            address,
        }));
    }
    let (irql_min, irql_max) = irql_range(call);
    emit(Kind::Import(Import {
        module: import.module,
        name: import.name,
        irql_min,
        irql_max,
        adapter: facts
            .is_of_module
            .then(|| handle::adapter(call.arg(0)))
            .flatten(),
        arguments: arguments(call),
    }));
}

/// Beginnings of the names of functions whose result monitors need.
const TELLING: &[&str] = &[
    "NdisAllocate",
    "NdisGetDataBuffer",
    "NdisOpenConfiguration",
    "NdisReadConfiguration",
    "NdisWriteConfiguration",
    "NdisRetreat",
    "NdisGeneratePartialCancelId",
    "ExAllocateFrom",
    "ExAllocatePool",
    "ExInitializeLookasideListEx",
    "IoAllocate",
    "IoTryQueueWorkItem",
    "MmMapLockedPages",
    "ObReferenceObjectBy",
    "PsCreateSystemThread",
    "ZwClose",
];

fn arguments(call: &Call<'_>) -> Arguments {
    Arguments(call.first_args())
}

/// Tells monitors what a call has given back, or the status that it is about to raise.
pub(crate) fn tell_result(call: &Call<'_>, result: u64) {
    emit(Kind::Returned(Returned {
        name: call.import().name,
        arguments: arguments(call),
        result,
    }));
}

/// The hook after every import.
pub(crate) fn after_import(call: &Call<'_>, result: u64) {
    if facts(call).is_telling {
        tell_result(call, result);
    }
    journal::note(|| What::Returns);
    IMPORTS.with_borrow_mut(|imports| {
        let thread = sched::current();
        if let Some(inside) = imports.get_mut(&thread) {
            inside.pop();
        }
    });
}

/// The hook after an exception: of the imports that this thread was in, so many are left.
pub(crate) fn cut_imports(left: usize) {
    let ended = IMPORTS.with_borrow_mut(|imports| {
        let inside = imports.entry(sched::current()).or_default();
        let ended = inside.len().saturating_sub(left);
        inside.truncate(left);
        ended
    });
    for _ in 0..ended {
        journal::note(|| What::Returns);
    }
}

/// The bit of a `POOL_TYPE` that stands for paged pool.
const PAGED_POOL: u32 = 1;

/// The levels at which this call is legal. Where the range depends on the arguments, they decide.
fn irql_range(call: &Call<'_>) -> (u8, u8) {
    match call.import().name {
        "KeWaitForSingleObject" if !polls(call.arg(4)) => (0, sched::APC_LEVEL),
        "ZwWaitForSingleObject" if !polls(call.arg(2)) => (0, sched::APC_LEVEL),
        "ZwWaitForMultipleObjects" if !polls(call.arg(4)) => (0, sched::APC_LEVEL),
        "KeWaitForMultipleObjects" if !polls(call.arg(6)) => (0, sched::APC_LEVEL),
        "ExAllocatePool2" | "ExAllocatePool3" if call.arg(0) & POOL_FLAG_PAGED != 0 => {
            (0, sched::APC_LEVEL)
        }
        name if name.starts_with("ExAllocatePoolWith") && call.arg_u32(0) & PAGED_POOL != 0 => {
            (0, sched::APC_LEVEL)
        }
        "ExDeleteTimer" if call.arg_u8(2) != 0 => (0, sched::APC_LEVEL),
        "KeSetEvent" if call.arg_u8(2) != 0 => (0, sched::APC_LEVEL),
        "KfRaiseIrql" => (0, call.arg_u8(0)),
        "KeLowerIrql" => (call.arg_u8(0), 15),
        _ => facts(call).irql,
    }
}

/// What is looked up by an import's name.
#[derive(Clone, Copy)]
struct Facts {
    /// The levels at which it is legal, whatever its arguments are.
    irql: (u8, u8),
    /// Whether monitors need its result.
    is_telling: bool,
    /// Which arguments are addresses that must be the system's.
    addresses: &'static [usize],
    /// Whether its first argument may be a module's handle.
    is_of_module: bool,
}

impl Facts {
    fn of(name: &str) -> Self {
        let known = IRQL.binary_search_by_key(&name, |(name, ..)| name);
        Self {
            irql: known.map_or((0, 31), |index| (IRQL[index].1, IRQL[index].2)),
            is_telling: TELLING.iter().any(|start| name.starts_with(start)),
            addresses: service::addresses(name),
            is_of_module: name.starts_with("NdisF"),
        }
    }
}

/// The facts of an import, looked up once in a run.
fn facts(call: &Call<'_>) -> Facts {
    FACTS.with_borrow_mut(|facts| {
        let index = call.index();
        if facts.len() <= index {
            facts.resize(index + 1, None);
        }
        *facts[index].get_or_insert_with(|| Facts::of(call.import().name))
    })
}

/// Whether a wait's timeout is zero: it only looks.
fn polls(timeout: u64) -> bool {
    timeout != 0 && mem::read::<i64>(timeout) == Ok(0)
}
