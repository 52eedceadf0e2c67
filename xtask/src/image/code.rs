//! What a panic without a handler compiles to: trap instructions, halts, and loops without an exit.
//!
//! A trap is padding, and fine, where nothing leads to it: no branch, no function begins there, the instruction before it
//! does not fall through or calls what does not return, and it ends its function. Everything else is refused.
//!
//! A loop has no exit when nothing that can be reached from its start calls, returns, or leaves by a pointer. A spin loop
//! has one: the branch that is taken when what it waits for has come.

use std::collections::{BTreeSet, HashSet};

use anyhow::Result;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use object::{LittleEndian as LE, pe};

use super::Image;

/// What an instruction does to the flow of control.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Goes on with the next one.
    Next,
    /// Goes elsewhere in any case.
    Away,
    /// Calls; whether it comes back is not known.
    Call,
    /// Stops the machine or enters a debugger.
    Trap(&'static str),
    /// What no driver has a use for.
    Refused(&'static str),
}

/// One instruction.
struct Step {
    address: u32,
    flow: Flow,
    /// Where its branch goes, unless a pointer decides.
    target: Option<u32>,
}

/// The code of a section.
#[derive(Default)]
struct Code {
    steps: Vec<Step>,
    targets: HashSet<u32>,
}

pub(super) fn check(image: &Image<'_>) -> Result<Vec<String>> {
    let starts: HashSet<u32> = image.symbols.iter().map(|(address, _)| *address).collect();
    let mut broken = Vec::new();
    for section in image.file.section_table().iter() {
        if section.characteristics.get(LE).0 & pe::IMAGE_SCN_MEM_EXECUTE.0 == 0 {
            continue;
        }
        let data = section.pe_data(image.bytes)?;
        let length = data.len().min(section.virtual_size.get(LE) as usize);
        let address = section.virtual_address.get(LE);
        let code = if image.machine() == pe::IMAGE_FILE_MACHINE_ARM64 {
            arm64(&data[..length], address)
        } else {
            x64(&data[..length], address)
        };
        let mut found = reachable_traps(&code, &starts);
        found.extend(endless_loops(&code));
        for (address, what) in found {
            broken.push(format!("{what} at {}", image.place(address)));
        }
    }
    Ok(broken)
}

/// Traps that are not padding.
fn reachable_traps(code: &Code, starts: &HashSet<u32>) -> Vec<(u32, &'static str)> {
    let mut found = Vec::new();
    let mut before = Flow::Away;
    for (index, step) in code.steps.iter().enumerate() {
        match step.flow {
            Flow::Refused(what) => found.push((step.address, what)),
            Flow::Trap(what) => {
                let is_led_to = before == Flow::Next || code.targets.contains(&step.address);
                let is_padding =
                    !is_led_to && ends_function(&code.steps[index..], starts, &code.targets);
                if starts.contains(&step.address) || !is_padding {
                    found.push((step.address, what));
                }
                // What follows padding is not reached through it.
                before = Flow::Away;
                continue;
            }
            _ => {}
        }
        before = step.flow;
    }
    found
}

/// Whether nothing but traps comes before the next function, or the end.
fn ends_function(steps: &[Step], starts: &HashSet<u32>, targets: &HashSet<u32>) -> bool {
    let next = steps.iter().enumerate().find(|(index, step)| {
        *index > 0 && (starts.contains(&step.address) || !matches!(step.flow, Flow::Trap(_)))
    });
    next.is_none_or(|(_, step)| starts.contains(&step.address) || targets.contains(&step.address))
}

/// The starts of loops without an exit.
fn endless_loops(code: &Code) -> BTreeSet<(u32, &'static str)> {
    let backward = code.steps.iter().filter(|step| step.flow == Flow::Away);
    let starts = backward.filter_map(|step| step.target.filter(|target| *target <= step.address));
    let endless = starts.filter(|start| !has_exit(code, *start));
    endless
        .map(|start| (start, "a loop without an exit"))
        .collect()
}

/// Whether control that is at `start` can come to something else than the branches between where it has been.
fn has_exit(code: &Code, start: u32) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(address) = open.pop() {
        if !seen.insert(address) {
            continue;
        }
        // Not the beginning of an instruction of this section: whatever is there is not this loop's.
        let Ok(index) = code
            .steps
            .binary_search_by_key(&address, |step| step.address)
        else {
            return true;
        };
        let step = &code.steps[index];
        match (step.flow, step.target) {
            (Flow::Next | Flow::Refused(_), target) => {
                let Some(next) = code.steps.get(index + 1) else {
                    return true;
                };
                open.push(next.address);
                open.extend(target);
            }
            (Flow::Away, Some(target)) => open.push(target),
            (Flow::Away, None) | (Flow::Call | Flow::Trap(_), _) => return true,
        }
    }
    false
}

fn x64(data: &[u8], address: u32) -> Code {
    let mut code = Code::default();
    let mut decoder = Decoder::with_ip(64, data, u64::from(address), DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let flow = match (instruction.mnemonic(), instruction.flow_control()) {
            (Mnemonic::Ud2 | Mnemonic::Ud1 | Mnemonic::Ud0, _) => Flow::Trap("ud2"),
            (Mnemonic::Int3, _) => Flow::Trap("int3"),
            (Mnemonic::INVALID, _) => Flow::Trap("no instruction"),
            (Mnemonic::Hlt, _) => Flow::Refused("hlt"),
            (_, FlowControl::Interrupt) => Flow::Refused("a software interrupt"),
            (_, FlowControl::Call | FlowControl::IndirectCall) => Flow::Call,
            (
                _,
                FlowControl::Return
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch,
            ) => Flow::Away,
            _ => Flow::Next,
        };
        // Of what is no near branch it is 0, where the headers are.
        let target = u32::try_from(instruction.near_branch_target())
            .ok()
            .filter(|target| *target != 0);
        code.targets.extend(target);
        // The decoder counts from the section's address, which is below 4 GiB.
        code.steps.push(Step {
            address: instruction.ip() as u32,
            flow,
            target,
        });
    }
    code
}

fn arm64(data: &[u8], address: u32) -> Code {
    let mut code = Code::default();
    for (word, address) in data.chunks_exact(4).zip((address..).step_by(4)) {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let (flow, offset) = arm64_flow(word);
        let target = offset.map(|offset| address.wrapping_add_signed(offset));
        code.targets.extend(target);
        code.steps.push(Step {
            address,
            flow,
            target,
        });
    }
    code
}

/// What an ARM64 instruction does, and the distance in bytes of its branch.
fn arm64_flow(word: u32) -> (Flow, Option<i32>) {
    // The immediate is `bits` wide and begins at `low`; it counts words.
    let distance =
        |low: u32, bits: u32| Some(((word << (32 - bits - low)) as i32 >> (32 - bits)) * 4);
    match word {
        _ if word & 0xFFFF_0000 == 0 => (Flow::Trap("udf"), None),
        _ if word & 0xFFE0_001F == 0xD420_0000 => (Flow::Trap("brk"), None),
        _ if word & 0xFFE0_001F == 0xD440_0000 => (Flow::Refused("hlt"), None),
        0xD503_207F => (Flow::Refused("wfi"), None),
        _ if word & 0xFC00_0000 == 0x1400_0000 => (Flow::Away, distance(0, 26)), // b
        _ if word & 0xFC00_0000 == 0x9400_0000 => (Flow::Call, distance(0, 26)), // bl
        _ if word & 0xFF00_0010 == 0x5400_0000 => (Flow::Next, distance(5, 19)), // b.cond
        _ if word & 0x7E00_0000 == 0x3400_0000 => (Flow::Next, distance(5, 19)), // cbz, cbnz
        _ if word & 0x7E00_0000 == 0x3600_0000 => (Flow::Next, distance(5, 14)), // tbz, tbnz
        _ if word & 0xFFFF_FC1F == 0xD61F_0000 => (Flow::Away, None),            // br
        _ if word & 0xFFFF_FC1F == 0xD65F_0000 => (Flow::Away, None),            // ret
        _ if word & 0xFFFF_FC1F == 0xD63F_0000 => (Flow::Call, None),            // blr
        _ => (Flow::Next, None),
    }
}
