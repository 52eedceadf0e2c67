//! Instructions in an image whose results do not follow from the seed.
//!
//! `rdtsc` and `rdtscp` are rewritten at load to an `int` of the same length that user mode may not
//! run, so that they trap and read the virtual clock (switching the counter off for the process
//! would kill the clock of Linux as well). `rdrand`, `rdseed` and `cpuid` are only reported.
//!
//! `pause` is rewritten in the same way and becomes a scheduling point: a loop that spins until
//! another processor has done something would never end otherwise.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind};
use lab_pe::Image;

/// Interrupt that stands for `rdtsc`.
pub(super) const RDTSC_VECTOR: u8 = 0xF1;
/// Interrupt that stands for `rdtscp`.
pub(super) const RDTSCP_VECTOR: u8 = 0xF2;

/// Interrupt that stands for `pause`.
pub(super) const PAUSE_VECTOR: u8 = 0xF3;

/// Bytes to put into the image.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) rva: u32,
    pub(super) bytes: &'static [u8],
}

/// What was found in the image's code.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) patches: Vec<Patch>,
    /// Offset and mnemonic of what stays as it is.
    pub(super) nondeterministic: Vec<(u32, &'static str)>,
}

thread_local! {
    /// The image that was examined last: the runs of a process are mostly of one.
    static LAST: RefCell<Option<(Rc<Image>, Rc<Findings>)>> = const { RefCell::new(None) };
}

/// What [`examine`] finds, or found the last time.
pub(super) fn examined(image: &Rc<Image>) -> Rc<Findings> {
    LAST.with_borrow_mut(|last| match last {
        Some((known, findings)) if Rc::ptr_eq(known, image) => Rc::clone(findings),
        _ => {
            let findings = Rc::new(examine(image));
            *last = Some((Rc::clone(image), Rc::clone(&findings)));
            findings
        }
    })
}

/// Decodes every function of the image: those with unwind information from end to end, and leaf
/// functions (which have none) from wherever something refers to them up to where they end.
pub(super) fn examine(image: &Image) -> Findings {
    let mut search = Search {
        image,
        findings: Findings::default(),
        seen: BTreeSet::new(),
    };
    let mut roots: Vec<u32> = image.exports.iter().map(|export| export.rva).collect();
    roots.push(image.entry_rva);
    roots.extend(
        image
            .relocations
            .iter()
            .filter_map(|rva| search.pointer_at(*rva)),
    );
    for function in &image.functions {
        search.sweep(function.begin_rva, Some(function.end_rva), &mut roots);
    }
    while let Some(root) = roots.pop() {
        if search.is_new_leaf(root) {
            search.sweep(root, None, &mut roots);
        }
    }
    let mut findings = search.findings;
    findings.patches.sort_unstable_by_key(|patch| patch.rva);
    findings.patches.dedup_by_key(|patch| patch.rva);
    findings.nondeterministic.sort_unstable();
    findings.nondeterministic.dedup();
    findings
}

struct Search<'a> {
    image: &'a Image,
    findings: Findings,
    /// Starts of leaf functions that were decoded.
    seen: BTreeSet<u32>,
}

impl Search<'_> {
    /// The RVA that the relocated word at `rva` points to.
    fn pointer_at(&self, rva: u32) -> Option<u32> {
        let word = self.image.mapped.get(rva as usize..rva as usize + 8)?;
        let address = u64::from_le_bytes(word.try_into().ok()?);
        u32::try_from(address.checked_sub(self.image.preferred_base)?).ok()
    }

    fn is_new_leaf(&mut self, rva: u32) -> bool {
        let code = self
            .image
            .section_at(rva)
            .is_some_and(|section| section.protection.execute);
        code && self.image.function_at(rva).is_none() && self.seen.insert(rva)
    }

    /// Decodes from `begin` to `end`, or to the end of the flow.
    fn sweep(&mut self, begin: u32, end: Option<u32>, roots: &mut Vec<u32>) {
        let Some(section) = self.image.section_at(begin) else {
            return;
        };
        let limit = end.unwrap_or(section.rva + section.bytes) as usize;
        let Some(code) = self.image.mapped.get(begin as usize..limit) else {
            return;
        };
        let mut decoder = Decoder::with_ip(64, code, u64::from(begin), DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            self.note(&instruction);
            roots.extend(target(&instruction));
            let leaves = matches!(
                instruction.flow_control(),
                FlowControl::Return
                    | FlowControl::UnconditionalBranch
                    | FlowControl::IndirectBranch
            );
            // In a leaf function without known end, what follows a jump is reached as a root.
            if end.is_none() && (leaves || instruction.is_invalid()) {
                return;
            }
        }
    }

    fn note(&mut self, instruction: &Instruction) {
        let rva = instruction.ip() as u32;
        let (bytes, name): (&'static [u8], &str) = match instruction.code() {
            Code::Rdtsc => (&[0xCD, RDTSC_VECTOR], ""),
            Code::Rdtscp => (&[0xCD, RDTSCP_VECTOR, 0x90], ""),
            Code::Pause => (&[0xCD, PAUSE_VECTOR], ""),
            Code::Rdrand_r16 | Code::Rdrand_r32 | Code::Rdrand_r64 => (&[], "rdrand"),
            Code::Rdseed_r16 | Code::Rdseed_r32 | Code::Rdseed_r64 => (&[], "rdseed"),
            Code::Cpuid => (&[], "cpuid"),
            _ => return,
        };
        // A prefix in front of it would be left over: then it is longer, and stays.
        if bytes.len() == instruction.len() {
            self.findings.patches.push(Patch { rva, bytes });
        } else {
            let name = if bytes.is_empty() {
                name
            } else {
                "rdtsc or pause with a prefix"
            };
            self.findings.nondeterministic.push((rva, name));
        }
    }
}

/// Code that an instruction may refer to: its branch target, or what `lea reg, [rip+…]` points to.
fn target(instruction: &Instruction) -> Option<u32> {
    let address = match instruction.op0_kind() {
        OpKind::NearBranch64 => instruction.near_branch64(),
        _ if instruction.code() == Code::Lea_r64_m && instruction.is_ip_rel_memory_operand() => {
            instruction.ip_rel_memory_address()
        }
        _ => return None,
    };
    u32::try_from(address).ok()
}
