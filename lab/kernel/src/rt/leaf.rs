//! Imports that driver code runs itself, on its own stack, while something is measured.
//!
//! What a filter calls for every packet costs as much in the lab as in Windows then: a few instructions. Each stub of such
//! an import is made to count itself and to jump to assembly, which knows of the lab only what is in the statics here:
//! no host stack, no thread-local storage (FS is the driver's), no clock. A fault in it is the driver's
//! ([`acts_for_driver`]).
//!
//! What that adds to the driver's own time depends on what is around it: a processor does several things at once. So each
//! can be done again where it is, by a shadow with no effect, and what that adds is measured.

use std::{
    arch::global_asm,
    io,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crate::abi::nt::KLOCK_QUEUE_HANDLE;

use super::{
    call::import_address,
    layout, machine,
    mapping::{Access, Mapping},
    sched::{DISPATCH_LEVEL, IRQL},
};

/// What such an import does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// Goes to DISPATCH_LEVEL and gives the old level.
    RaiseToDispatch,
    /// Goes to the level that is the first argument, and gives the old one.
    Raise,
    /// Goes to the level that is the first argument.
    Lower,
    /// Goes to the level that is the second argument.
    LowerToSecond,
    /// Goes to DISPATCH_LEVEL; the old level goes to the second argument, a KLOCK_QUEUE_HANDLE.
    RaiseQueued,
    /// Goes to the level that is in the first argument, a KLOCK_QUEUE_HANDLE.
    LowerQueued,
    /// Gives the level.
    Level,
    /// Nothing: what it says has come true already.
    Nothing,
    /// Gives 1.
    True,
    /// Gives the time in 100 ns, and writes the rate of 10 MHz where the first argument says, if it does.
    Counter,
    /// Gives the time in 100 ns, and writes it where the first argument says, if it does.
    Time,
    /// Copies as `memmove` does.
    Copy,
    /// Fills as `memset` does.
    Fill,
    /// Notes the second argument in a list.
    Note(List),
}

/// Where [`Leaf::Note`] notes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// The first list.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
}

/// An import and what it is while something is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeafImport {
    /// File that Windows exports it from, lower case.
    pub(crate) module: &'static str,
    /// Its export name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) leaf: Leaf,
}

/// Entries of a list.
const ENTRIES: usize = 4096;

/// What is noted and not yet taken.
#[repr(C)]
struct Noted {
    length: AtomicUsize,
    entries: [AtomicU64; ENTRIES],
}

/// A list for each of [`List`], and one more for shadows.
static NOTED: [Noted; 4] = [const {
    Noted {
        length: AtomicUsize::new(0),
        entries: [const { AtomicU64::new(0) }; ENTRIES],
    }
}; 4];
/// What shadows have for the level, for a KLOCK_QUEUE_HANDLE and for what the driver wants to know.
static SHADOW: [AtomicU64; 3] = [
    AtomicU64::new(DISPATCH_LEVEL as u64),
    AtomicU64::new(DISPATCH_LEVEL as u64),
    AtomicU64::new(0),
];
/// How often a shadow can be called before its leaf, and the bytes of the call.
const AGAIN_MOST: u8 = 2;
const AGAIN_BYTES: u64 = 5;
/// Whether a list was full.
static IS_OVERFULL: AtomicBool = AtomicBool::new(false);
/// The time, in 100 ns.
static NOW_100NS: AtomicU64 = AtomicU64::new(0);

/// The rate of [`Leaf::Counter`], in Hz.
const FREQUENCY: u64 = 10_000_000;

/// A leaf: what it does, and its shadow, which costs as much, changes nothing that anyone looks at and keeps the registers of
/// arguments. What stands before the label calls the shadow, once for each [`AGAIN_BYTES`].
macro_rules! leaf {
    ($name:literal, $shadow:expr, $body:expr) => {
        concat!(
            ".balign 64\n",
            "call 98f\n",
            "call 98f\n",
            "lab_leaf_",
            $name,
            ":\n",
            $body,
            "98:\n",
            "inc qword ptr [rip + 97f]\n",
            "jmp qword ptr [rip + 96f]\n",
            "99:\n",
            $shadow,
            ".pushsection .data.rel.ro,\"aw\"\n",
            ".balign 8\n",
            "96:\n",
            ".quad 99b\n",
            ".popsection\n",
            ".pushsection .bss\n",
            ".balign 64\n",
            "97:\n",
            ".quad 0\n",
            ".popsection\n",
        )
    };
}

macro_rules! note {
    ($name:literal, $list:literal) => {
        leaf!(
            $name,
            concat!(
                "lea r10, [rip + {noted} + 3 * {list_bytes}]\n",
                "mov rax, [r10]\n",
                "cmp rax, {entries}\n",
                "jae 9f\n",
                "mov [r10 + 8 * rax + 8], rdx\n",
                "inc eax\n",
                "and eax, 63\n",
                "mov [r10], rax\n",
                "xor r10d, r10d\n",
                "ret\n",
            ),
            concat!(
                "lea r8, [rip + {noted} + ",
                $list,
                " * {list_bytes}]\n",
                "mov rax, [r8]\n",
                "cmp rax, {entries}\n",
                "jae 9f\n",
                "mov [r8 + 8 * rax + 8], rdx\n",
                "inc rax\n",
                "mov [r8], rax\n",
                "xor r8d, r8d\n",
                "ret\n",
            )
        )
    };
}

global_asm!(
    r#"
    .text
    .irp symbol, lab_leaf, lab_leaf_to_dispatch, lab_leaf_raise, lab_leaf_lower, lab_leaf_lower_to_second, lab_leaf_raise_queued, lab_leaf_lower_queued, lab_leaf_level
    .globl \symbol
    .hidden \symbol
    .endr
    .irp symbol, lab_leaf_nothing, lab_leaf_true, lab_leaf_counter, lab_leaf_time, lab_leaf_copy, lab_leaf_fill, lab_leaf_first, lab_leaf_second, lab_leaf_third, lab_leaf_end
    .globl \symbol
    .hidden \symbol
    .endr
    .balign 64
    .cfi_startproc
lab_leaf:
"#,
    leaf!(
        "to_dispatch",
        r#"
    movzx eax, byte ptr [rip + {shadow}]
    cmp al, {dispatch}
    jae 2f
    mov byte ptr [rip + {shadow}], {dispatch}
2:
    ret
"#,
        r#"
    movzx eax, byte ptr [rip + {irql}]
    cmp al, {dispatch}
    jae 2f
    mov byte ptr [rip + {irql}], {dispatch}
2:
    ret
"#
    ),
    leaf!(
        "raise",
        r#"
    movzx eax, byte ptr [rip + {shadow}]
    mov [rip + {shadow}], cl
    ret
"#,
        r#"
    movzx eax, byte ptr [rip + {irql}]
    mov [rip + {irql}], cl
    ret
"#
    ),
    leaf!(
        "lower",
        r#"
    mov [rip + {shadow}], cl
    ret
"#,
        r#"
    mov [rip + {irql}], cl
    ret
"#
    ),
    leaf!(
        "lower_to_second",
        r#"
    mov eax, edx
    mov [rip + {shadow}], al
    ret
"#,
        r#"
    mov ecx, edx
    mov [rip + {irql}], cl
    ret
"#
    ),
    leaf!(
        "raise_queued",
        r#"
    movzx eax, byte ptr [rip + {shadow}]
    mov [rip + {shadow} + 8], al
    mov byte ptr [rip + {shadow}], {dispatch}
    ret
"#,
        r#"
    movzx eax, byte ptr [rip + {irql}]
    mov [rdx + {old_irql}], al
    mov byte ptr [rip + {irql}], {dispatch}
    ret
"#
    ),
    leaf!(
        "lower_queued",
        r#"
    mov al, [rip + {shadow} + 8]
    mov [rip + {shadow}], al
    ret
"#,
        r#"
    mov cl, [rcx + {old_irql}]
    mov [rip + {irql}], cl
    ret
"#
    ),
    leaf!(
        "level",
        r#"
    movzx eax, byte ptr [rip + {shadow}]
    ret
"#,
        r#"
    movzx eax, byte ptr [rip + {irql}]
    ret
"#
    ),
    leaf!("nothing", "ret\n", "ret\n"),
    leaf!("true", "mov eax, 1\nret\n", "mov eax, 1\nret\n"),
    leaf!(
        "counter",
        r#"
    test rcx, rcx
    jz 3f
    mov qword ptr [rip + {shadow} + 16], {frequency}
3:
    mov rax, [rip + {now}]
    ret
"#,
        r#"
    test rcx, rcx
    jz 3f
    mov qword ptr [rcx], {frequency}
3:
    mov rax, [rip + {now}]
    ret
"#
    ),
    leaf!(
        "time",
        r#"
    mov rax, [rip + {now}]
    test rcx, rcx
    jz 4f
    mov [rip + {shadow} + 16], rax
4:
    ret
"#,
        r#"
    mov rax, [rip + {now}]
    test rcx, rcx
    jz 4f
    mov [rcx], rax
4:
    ret
"#
    ),
    leaf!(
        "copy",
        "ret\n",
        r#"
    mov rax, rcx
    mov r9, rcx
    sub r9, rdx
    cmp r9, r8
    jb 8f
    cmp r8, 16
    jb 4f
    // The last 16 bytes overlap those before, and may be overwritten by them.
    movups xmm1, [rdx + r8 - 16]
    lea r9, [rcx + r8 - 16]
    jmp 3f
2:
    movups xmm0, [rdx]
    movups [rcx], xmm0
    add rdx, 16
    add rcx, 16
3:
    cmp rcx, r9
    jb 2b
    movups [r9], xmm1
    ret
4:
    cmp r8, 8
    jb 5f
    mov r9, [rdx]
    mov r10, [rdx + r8 - 8]
    mov [rcx], r9
    mov [rcx + r8 - 8], r10
    ret
5:
    cmp r8, 4
    jb 6f
    mov r9d, [rdx]
    mov r10d, [rdx + r8 - 4]
    mov [rcx], r9d
    mov [rcx + r8 - 4], r10d
    ret
6:
    test r8, r8
    jz 7f
    mov r9b, [rdx]
    mov [rcx], r9b
    inc rdx
    inc rcx
    dec r8
    jmp 6b
7:
    ret
8:
    // The target begins within the source: from the end.
    mov r9b, [rdx + r8 - 1]
    mov [rcx + r8 - 1], r9b
    dec r8
    jnz 8b
    ret
"#
    ),
    leaf!(
        "fill",
        "ret\n",
        r#"
    mov rax, rcx
    movzx edx, dl
    mov r9, 0x0101010101010101
    imul rdx, r9
    cmp r8, 8
    jb 4f
    lea r9, [rcx + r8 - 8]
    jmp 3f
2:
    mov [rcx], rdx
    add rcx, 8
3:
    cmp rcx, r9
    jb 2b
    mov [r9], rdx
    ret
4:
    test r8, r8
    jz 5f
    mov [rcx], dl
    inc rcx
    dec r8
    jmp 4b
5:
    ret
"#
    ),
    note!("first", "0"),
    note!("second", "1"),
    note!("third", "2"),
    r#"
9:
    mov byte ptr [rip + {overfull}], 1
    xor r8d, r8d
    ret
lab_leaf_end:
    .cfi_endproc
"#,
    irql = sym IRQL,
    dispatch = const DISPATCH_LEVEL,
    old_irql = const KLOCK_QUEUE_HANDLE::OldIrql.offset(),
    frequency = const FREQUENCY,
    now = sym NOW_100NS,
    noted = sym NOTED,
    list_bytes = const size_of::<Noted>(),
    entries = const ENTRIES,
    overfull = sym IS_OVERFULL,
    shadow = sym SHADOW,
);

unsafe extern "sysv64" {
    fn lab_leaf();
    fn lab_leaf_to_dispatch();
    fn lab_leaf_raise();
    fn lab_leaf_lower();
    fn lab_leaf_lower_to_second();
    fn lab_leaf_raise_queued();
    fn lab_leaf_lower_queued();
    fn lab_leaf_level();
    fn lab_leaf_nothing();
    fn lab_leaf_true();
    fn lab_leaf_counter();
    fn lab_leaf_time();
    fn lab_leaf_copy();
    fn lab_leaf_fill();
    fn lab_leaf_first();
    fn lab_leaf_second();
    fn lab_leaf_third();
    fn lab_leaf_end();
}

impl Leaf {
    /// Where the code begins that calls the shadow so many times first.
    fn code(self, again: u8) -> u64 {
        let code = match self {
            Self::RaiseToDispatch => lab_leaf_to_dispatch as *const (),
            Self::Raise => lab_leaf_raise as *const (),
            Self::Lower => lab_leaf_lower as *const (),
            Self::LowerToSecond => lab_leaf_lower_to_second as *const (),
            Self::RaiseQueued => lab_leaf_raise_queued as *const (),
            Self::LowerQueued => lab_leaf_lower_queued as *const (),
            Self::Level => lab_leaf_level as *const (),
            Self::Nothing => lab_leaf_nothing as *const (),
            Self::True => lab_leaf_true as *const (),
            Self::Counter => lab_leaf_counter as *const (),
            Self::Time => lab_leaf_time as *const (),
            Self::Copy => lab_leaf_copy as *const (),
            Self::Fill => lab_leaf_fill as *const (),
            Self::Note(List::First) => lab_leaf_first as *const (),
            Self::Note(List::Second) => lab_leaf_second as *const (),
            Self::Note(List::Third) => lab_leaf_third as *const (),
        };
        code as u64 - AGAIN_BYTES * u64::from(again.min(AGAIN_MOST))
    }
}

/// Whether `rip` is in such an import.
pub(super) fn acts_for_driver(rip: u64) -> bool {
    (lab_leaf as *const () as u64..lab_leaf_end as *const () as u64).contains(&rip)
}

/// Sets the time that driver code reads, in 100 ns.
pub(crate) fn set_time(now_100ns: u64) {
    NOW_100NS.store(now_100ns, Ordering::Relaxed);
}

impl List {
    fn noted(self) -> &'static Noted {
        &NOTED[self as usize]
    }

    /// Notes something at the end.
    pub(crate) fn push(self, value: u64) {
        let noted = self.noted();
        let length = noted.length.load(Ordering::Relaxed);
        match noted.entries.get(length) {
            Some(entry) => {
                entry.store(value, Ordering::Relaxed);
                noted.length.store(length + 1, Ordering::Relaxed);
            }
            None => IS_OVERFULL.store(true, Ordering::Relaxed),
        }
    }

    /// Takes what was noted last.
    pub(crate) fn pop(self) -> Option<u64> {
        let noted = self.noted();
        let last = noted.length.load(Ordering::Relaxed).checked_sub(1)?;
        let value = noted.entries.get(last)?.load(Ordering::Relaxed);
        noted.length.store(last, Ordering::Relaxed);
        Some(value)
    }

    /// Whether nothing is noted.
    pub(crate) fn is_empty(self) -> bool {
        self.noted().length.load(Ordering::Relaxed) == 0
    }
}

/// Forgets what is noted; tells whether a list was full meanwhile.
pub(crate) fn clear() -> bool {
    for noted in &NOTED {
        noted.length.store(0, Ordering::Relaxed);
    }
    IS_OVERFULL.swap(false, Ordering::Relaxed)
}

/// Stubs that can be made leaves.
///
/// # Invariants
/// `room` holds a counter for each entry, and from [`Stubs::TARGETS`] on the address of each one's code once they are leaves.
#[derive(Debug)]
pub(super) struct Stubs {
    room: Mapping,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    stub: u64,
    leaf: Leaf,
    /// The stub's own bytes.
    plain: [u8; Self::BYTES],
}

impl Entry {
    const BYTES: usize = 13;

    /// `inc [counter]; jmp [target]`, both relative to the end of their instruction.
    fn counting(&self, counter: u64, target: u64) -> [u8; Self::BYTES] {
        let mut code = [0x48, 0xFF, 0x05, 0, 0, 0, 0, 0xFF, 0x25, 0, 0, 0, 0];
        let distance = |to: u64, end: u64| (to.wrapping_sub(self.stub + end) as u32).to_le_bytes();
        code[3..7].copy_from_slice(&distance(counter, 7));
        code[9..13].copy_from_slice(&distance(target, 13));
        code
    }
}

impl Stubs {
    const TARGETS: u64 = layout::PAGE / 2;

    /// Those of `imports`, as they are.
    pub(super) fn new(imports: &[LeafImport]) -> io::Result<Self> {
        let room = Mapping::private(layout::LEAVES, layout::PAGE as usize, Access::ReadWrite)?;
        let mut entries = Vec::new();
        for import in imports {
            let stub = import_address(import.module, import.name)
                .ok_or_else(|| io::Error::other(format!("there is no {}", import.name)))?;
            let mut plain = [0; Entry::BYTES];
            machine::with_registry(|registry| registry.read_stub(stub, &mut plain));
            let leaf = import.leaf;
            entries.push(Entry { stub, leaf, plain });
        }
        Ok(Self { room, entries })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Makes them leaves, with counters at 0 and with so many calls of their shadows (two at most), or what they were.
    pub(super) fn switch(&self, again: Option<u8>) -> io::Result<()> {
        if let Some(again) = again {
            self.room.fill(0, Self::TARGETS as usize, 0);
            for (target, entry) in (Self::TARGETS..).step_by(8).zip(&self.entries) {
                let code = entry.leaf.code(again);
                self.room.write(target, &code.to_le_bytes());
            }
        }
        let room = self.room.address();
        let at = |index: usize| 8 * index as u64;
        let codes = self.entries.iter().enumerate().map(|(index, entry)| {
            let code = if again.is_some() {
                entry.counting(room + at(index), room + Self::TARGETS + at(index))
            } else {
                entry.plain
            };
            (entry.stub, code)
        });
        machine::with_registry(|registry| registry.write_stubs(codes)).unwrap_or(Ok(()))
    }

    /// Calls of each since they became leaves.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        (0..self.len()).map(|index| {
            let mut bytes = [0; 8];
            self.room.read(8 * index as u64, &mut bytes);
            u64::from_le_bytes(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{IRQL, Leaf, List, Ordering, clear, machine, set_time};

    /// Calls a leaf as driver code does.
    fn call(leaf: Leaf, arguments: [u64; 3]) -> u64 {
        call_again(leaf, 0, arguments)
    }

    /// The same, with so many calls of its shadow.
    fn call_again(leaf: Leaf, again: u8, arguments: [u64; 3]) -> u64 {
        let code = std::ptr::with_exposed_provenance::<()>(leaf.code(again) as usize);
        // SAFETY: it is the code of a function that takes four words at most and keeps what win64 says.
        let code: extern "win64" fn(u64, u64, u64) -> u64 = unsafe { std::mem::transmute(code) };
        let [first, second, third] = arguments;
        code(first, second, third)
    }

    fn address(bytes: &mut [u8], offset: usize) -> u64 {
        bytes[offset..].as_mut_ptr().expose_provenance() as u64
    }

    #[test]
    fn shadows_change_nothing_that_anyone_looks_at() {
        let _only = machine::only();
        let level = || IRQL.load(Ordering::Relaxed);
        let old = level();
        let mut results = Vec::new();
        for again in 0..=2 {
            IRQL.store(1, Ordering::Relaxed);
            clear();
            set_time(77);
            let mut bytes: Vec<u8> = (0..64).collect();
            let (low, high) = (address(&mut bytes, 0), address(&mut bytes, 32));
            let mut found = Vec::new();
            for (leaf, arguments) in [
                (Leaf::RaiseToDispatch, [0; 3]),
                (Leaf::LowerToSecond, [5, 1, 7]),
                (Leaf::Raise, [3, 0, 0]),
                (Leaf::Lower, [1, 0, 0]),
                (Leaf::RaiseQueued, [0, low, 0]),
                (Leaf::LowerQueued, [low, 0, 0]),
                (Leaf::Level, [0; 3]),
                (Leaf::True, [0; 3]),
                (Leaf::Counter, [high, 0, 0]),
                (Leaf::Time, [high + 8, 0, 0]),
                (Leaf::Copy, [high + 16, low, 16]),
                (Leaf::Fill, [high, 9, 8]),
                (Leaf::Note(List::First), [0, 11, 0]),
                (Leaf::Note(List::Second), [0, 12, 0]),
                (Leaf::Note(List::Third), [0, 13, 0]),
            ] {
                let result = call_again(leaf, again, arguments);
                let is_told = !matches!(
                    leaf,
                    Leaf::LowerToSecond
                        | Leaf::Lower
                        | Leaf::RaiseQueued
                        | Leaf::LowerQueued
                        | Leaf::Copy
                        | Leaf::Fill
                        | Leaf::Note(_)
                );
                found.push((is_told.then_some(result), level()));
            }
            call_again(Leaf::Nothing, again, [0; 3]);
            let noted =
                [List::First, List::Second, List::Third].map(|list| (list.pop(), list.pop()));
            results.push((found, noted, bytes));
        }
        IRQL.store(old, Ordering::Relaxed);
        assert_eq!(
            results[0].1.map(|noted| noted.0),
            [Some(11), Some(12), Some(13)]
        );
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }

    #[test]
    fn copies_are_those_of_memmove() {
        for length in 0..70_usize {
            for (from, to) in [
                (0, 80),
                (80, 0),
                (40, 41),
                (41, 40),
                (40, 47),
                (60, 44),
                (40, 40),
            ] {
                let mut bytes: Vec<u8> = (0..160).collect();
                let mut expected = bytes.clone();
                expected.copy_within(from..from + length, to);
                let (source, target) = (address(&mut bytes, from), address(&mut bytes, to));
                let result = call(Leaf::Copy, [target, source, length as u64]);
                assert_eq!(result, target);
                assert_eq!(bytes, expected, "{length} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn all_is_filled_and_nothing_else() {
        for length in 0..70_usize {
            let mut bytes = vec![1; 80];
            let target = address(&mut bytes, 5);
            // Only the lowest byte counts.
            assert_eq!(call(Leaf::Fill, [target, 0xFFAB, length as u64]), target);
            let is_right = |(at, byte): (usize, &u8)| {
                *byte
                    == if (5..5 + length).contains(&at) {
                        0xAB
                    } else {
                        1
                    }
            };
            assert!(bytes.iter().enumerate().all(is_right), "{length} bytes");
        }
    }

    #[test]
    fn levels_times_and_lists_are_what_they_stand_for() {
        let _only = machine::only();
        let level = || IRQL.load(Ordering::Relaxed);
        let old = level();
        IRQL.store(0, Ordering::Relaxed);
        assert_eq!(call(Leaf::RaiseToDispatch, [0; 3]), 0);
        assert_eq!((level(), call(Leaf::Level, [0; 3])), (2, 2));
        call(Leaf::LowerToSecond, [0, 1, 0]);
        assert_eq!(level(), 1);
        let mut handle = [0_u8; 24];
        let queued = address(&mut handle, 0);
        call(Leaf::RaiseQueued, [0, queued, 0]);
        assert_eq!(level(), 2);
        call(Leaf::LowerQueued, [queued, 0, 0]);
        assert_eq!(level(), 1);
        assert_eq!(call(Leaf::Raise, [3, 0, 0]), 1);
        // Nothing goes down here, whatever is there.
        assert_eq!(call(Leaf::RaiseToDispatch, [0; 3]), 3);
        assert_eq!(level(), 3);
        call(Leaf::Lower, [0; 3]);
        assert_eq!(level(), 0);
        IRQL.store(old, Ordering::Relaxed);

        set_time(77);
        let mut word = [0_u8; 8];
        let at = address(&mut word, 0);
        assert_eq!(call(Leaf::Counter, [at, 0, 0]), 77);
        assert_eq!(u64::from_le_bytes(word), 10_000_000);
        assert_eq!(call(Leaf::Time, [at, 0, 0]), 77);
        assert_eq!(u64::from_le_bytes(word), 77);
        assert_eq!(call(Leaf::True, [0; 3]), 1);

        clear();
        let second = Leaf::Note(List::Second);
        for number in 1..=4096 {
            call(second, [0, number, 0]);
        }
        assert!(List::First.is_empty() && List::Third.is_empty());
        assert_eq!(List::Second.pop(), Some(4096));
        call(second, [0, 5000, 0]);
        assert_eq!(List::Second.pop(), Some(5000));
        assert!(!clear(), "none was full");
        assert!(List::Second.is_empty());
        for number in 0..=4096 {
            call(Leaf::Note(List::Third), [0, number, 0]);
        }
        assert!(clear(), "one was full");
    }
}
