//! Routines for processors that come: none does in the lab, but one may ask for those that are there.

use lab_rules::event::{Callback, Lent, Registered};

use super::{close_known, open};
use crate::driver;
use crate::nt::imports;
use crate::rt::mem;
use crate::rt::{Call, sched};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    KeRegisterProcessorChangeCallback => register,
    KeDeregisterProcessorChangeCallback => deregister,
}

/// `KE_PROCESSOR_CHANGE_ADD_EXISTING`.
const ADD_EXISTING: u32 = 1;

// KE_PROCESSOR_CHANGE_NOTIFY_STATE.
const START: u32 = 0;
const COMPLETE: u32 = 1;
const FAILURE: u32 = 2;

// KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT.
const SIZE: usize = 16;
const STATE: mem::Field<u32> = mem::Field::at(0);
const NUMBER: mem::Field<u32> = mem::Field::at(4);
const PROCESSOR: mem::Field<u32> = mem::Field::at(12);

fn register(call: &Call<'_>) -> u64 {
    let (routine, context, flags) = (call.arg(0), call.arg(1), call.arg_u32(2));
    let handle = open(Registered::ProcessorChange, routine, context);
    if flags & ADD_EXISTING != 0 {
        add_existing(routine, context);
    }
    handle
}

/// Tells of each processor, and then how that has ended; a refusal ends it for those before.
fn add_existing(routine: u64, context: u64) {
    let count = sched::processors();
    let refused = (0..count).find(|number| notify(routine, context, START, *number) != 0);
    let (told, state) = match refused {
        Some(refused) => (refused, FAILURE),
        None => (count, COMPLETE),
    };
    for number in 0..told {
        notify(routine, context, state, number);
    }
}

/// Calls the routine about one processor; gives the status that it has left.
fn notify(routine: u64, context: u64, state: u32, number: u32) -> u32 {
    let change = driver::lend(Lent::Other, SIZE);
    let outcome = driver::lend(Lent::Other, size_of::<u32>());
    let fill = || {
        STATE.write(change, state)?;
        NUMBER.write(change, number)?;
        // A group of 16 bits, then the number.
        PROCESSOR.write(change, number << 16)
    };
    fill().or_fault();
    let arguments = [context, change, outcome];
    driver::call(Callback::ProcessorChange, None, routine, &arguments);
    let left = mem::read(outcome).or_fault();
    driver::release(change);
    driver::release(outcome);
    left
}

fn deregister(call: &Call<'_>) -> u64 {
    close_known(Registered::ProcessorChange, call.arg(0));
    0
}
