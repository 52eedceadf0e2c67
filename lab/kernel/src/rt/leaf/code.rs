//! The code of leaves and of their shadows.

use std::arch::global_asm;

use super::{
    AGAIN_BYTES, AGAIN_MOST, ENTRIES, FREQUENCY, IS_OVERFULL, Leaf, List, NOTED, NOW_100NS, Noted,
    SHADOW,
};
use crate::abi::nt::KLOCK_QUEUE_HANDLE;
use crate::rt::sched::{DISPATCH_LEVEL, IRQL};

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
    pub(super) fn code(self, again: u8) -> u64 {
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
pub(in crate::rt) fn acts_for_driver(rip: u64) -> bool {
    (lab_leaf as *const () as u64..lab_leaf_end as *const () as u64).contains(&rip)
}
