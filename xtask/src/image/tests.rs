//! Each rule is broken once: by an edit of the bytes of a small image, or by linking it otherwise.

use std::{fs, path::PathBuf, process::Command};

use super::{Image, RULES, checksum, checksum_offset};
use crate::{architecture::Architecture, header_kit, import_library::ImportTable, tool};

/// A driver's code: an entry that calls a function which calls an import.
const X64: &str = "
    .globl DriverEntry
    .section .text$a,\"xr\",discard,DriverEntry
    .p2align 4
DriverEntry:
    subq $40, %rsp
    callq work
    addq $40, %rsp
    retq
    .globl work
    .section .text$b,\"xr\",discard,work
    .p2align 4
work:
    BODY
    jmpq *__imp_ExFreePool(%rip)
";
const ARM64: &str = "
    .globl DriverEntry
    .section .text$a,\"xr\",discard,DriverEntry
    .p2align 4
DriverEntry:
    b work
    .globl work
    .section .text$b,\"xr\",discard,work
    .p2align 4
work:
    BODY
    adrp x8, __imp_ExFreePool
    ldr x8, [x8, :lo12:__imp_ExFreePool]
    br x8
";

const IMPORTS: &str = r#"
floor = 19041
[[library]]
name = "ntoskrnl"
dll = "ntoskrnl.exe"
[library.functions]
ExFreePool = 6000
KeBugCheckEx = 6000
DbgPrint = 6000
TooNew = 22621
"#;

/// An image that was linked for a test.
struct Linked {
    bytes: Vec<u8>,
    map: String,
}

/// What differs from the image that breaks no rule.
#[derive(Default)]
struct Recipe<'a> {
    arm64: bool,
    body: &'a str,
    import: Option<&'a str>,
    more: &'a [&'a str],
    without_load_config: bool,
}

impl Recipe<'_> {
    fn link(&self, name: &str) -> Linked {
        let folder = scratch(name);
        let architecture = if self.arm64 {
            Architecture::Arm64
        } else {
            Architecture::X64
        };
        let table = ImportTable::parse(IMPORTS).unwrap();
        table.write_libraries(&folder, architecture).unwrap();
        header_kit::write_load_config(&folder, architecture).unwrap();
        let code = if self.arm64 { ARM64 } else { X64 };
        let code = code
            .replace("BODY", self.body)
            .replace("ExFreePool", self.import.unwrap_or("ExFreePool"));
        fs::write(folder.join("driver.s"), code).unwrap();
        let mut assembler = Command::new(tool::llvm("llvm-mc").unwrap());
        assembler.args([
            "-filetype=obj",
            "-triple",
            architecture.target(),
            "-o",
            "driver.obj",
            "driver.s",
        ]);
        execute(assembler.current_dir(&folder));
        let mut linker = Command::new(tool::llvm("lld-link").unwrap());
        linker.args([
            "/DRIVER",
            "/DRIVER:WDM",
            "/DLL",
            "/NODEFAULTLIB",
            "/SUBSYSTEM:NATIVE",
            "/ENTRY:DriverEntry",
        ]);
        linker.args([
            "/NXCOMPAT",
            "/DYNAMICBASE",
            "/INTEGRITYCHECK",
            "/MAP",
            "/OPT:REF",
            "/BREPRO",
            "/RELEASE",
        ]);
        linker.args(["/OUT:driver.sys", "driver.obj", "ntoskrnl.lib"]);
        if !self.without_load_config {
            linker.arg("BufferOverflowFastFailK.lib");
        }
        execute(linker.args(self.more).current_dir(&folder));
        let linked = Linked {
            bytes: fs::read(folder.join("driver.sys")).unwrap(),
            map: fs::read_to_string(folder.join("driver.map")).unwrap(),
        };
        fs::remove_dir_all(folder).unwrap();
        linked
    }
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("xtask-image-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn execute(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Linked {
    /// The rules that are broken, with what breaks each first.
    fn broken(&self) -> Vec<(&'static str, String)> {
        let table = ImportTable::parse(IMPORTS).unwrap();
        let image = Image::parse(&self.bytes, &self.map, &table).unwrap();
        let findings = RULES
            .iter()
            .map(|rule| (rule.name, (rule.check)(&image).unwrap()));
        findings
            .filter_map(|(name, list)| Some((name, list.first()?.clone())))
            .collect()
    }

    /// Asserts that the one rule whose name holds `rule` is broken, by something that holds `what`.
    fn assert_breaks(&self, rule: &str, what: &str) {
        let broken = self.broken();
        let [(name, finding)] = &broken[..] else {
            panic!("{broken:?}")
        };
        assert!(
            name.contains(rule) && finding.contains(what),
            "{name}: {finding}"
        );
    }

    fn signature(&self) -> usize {
        u32::from_le_bytes(self.bytes[0x3C..0x40].try_into().unwrap()) as usize
    }

    /// Changes a byte of the optional header and mends the checksum.
    fn edit(mut self, optional_header_offset: usize, change: impl Fn(u8) -> u8) -> Self {
        let at = self.signature() + 24 + optional_header_offset;
        self.bytes[at] = change(self.bytes[at]);
        self.mend()
    }

    fn mend(mut self) -> Self {
        let field = checksum_offset(self.signature());
        let sum = checksum(&self.bytes, field);
        self.bytes[field..field + 4].copy_from_slice(&sum.to_le_bytes());
        self
    }
}

#[test]
fn a_sound_image_breaks_no_rule() {
    assert_eq!(Recipe::default().link("sound").broken(), []);
    assert_eq!(
        Recipe {
            arm64: true,
            ..Recipe::default()
        }
        .link("sound-arm64")
        .broken(),
        []
    );
}

#[test]
fn header_flags_are_missed_one_by_one() {
    for (offset, bit, name) in [
        (71, 0x20, "WDM_DRIVER"),
        (71, 0x01, "NX_COMPAT"),
        (70, 0x40, "DYNAMIC_BASE"),
        (70, 0x20, "HIGH_ENTROPY_VA"),
        (70, 0x80, "FORCE_INTEGRITY"),
    ] {
        Recipe::default()
            .link(name)
            .edit(offset, |byte| byte & !bit)
            .assert_breaks("flags", name);
    }
}

#[test]
fn another_subsystem_is_refused() {
    Recipe::default()
        .link("subsystem")
        .edit(68, |_| 3)
        .assert_breaks("subsystem", "3");
}

#[test]
fn a_writable_and_executable_section_is_refused() {
    Recipe {
        more: &["/SECTION:.text,ERW"],
        ..Recipe::default()
    }
    .link("section")
    .assert_breaks("section", ".text");
}

#[test]
fn a_checksum_of_zero_or_of_other_bytes_is_refused() {
    let mut linked = Recipe::default().link("checksum");
    let field = checksum_offset(linked.signature());
    linked.bytes[field] ^= 1;
    linked.assert_breaks("checksum", "the bytes give");
    linked.bytes[field..field + 4].fill(0);
    linked.assert_breaks("checksum", "is 0");
}

#[test]
fn a_missing_load_configuration_or_cookie_is_refused() {
    Recipe {
        without_load_config: true,
        ..Recipe::default()
    }
    .link("no-config")
    .assert_breaks("load configuration", "there is no");
    let mut linked = Recipe::default().link("no-cookie");
    let default = 0x0000_2B99_2DDF_A232_u64.to_le_bytes();
    let at = linked
        .bytes
        .windows(8)
        .position(|window| window == default)
        .unwrap();
    linked.bytes[at] ^= 1;
    linked
        .mend()
        .assert_breaks("load configuration", "does not hold");
}

#[test]
fn an_export_is_refused_but_of_the_entry() {
    assert_eq!(
        Recipe {
            more: &["/EXPORT:DriverEntry"],
            ..Recipe::default()
        }
        .link("entry")
        .broken(),
        []
    );
    Recipe {
        more: &["/EXPORT:work"],
        ..Recipe::default()
    }
    .link("export")
    .assert_breaks("exported", "work");
}

#[test]
fn an_import_is_refused_that_is_unknown_new_or_a_panics() {
    let unknown = Recipe::default().link("unknown");
    let mut renamed = Linked {
        bytes: unknown.bytes,
        map: unknown.map,
    };
    let at = renamed
        .bytes
        .windows(10)
        .position(|window| window == b"ExFreePool")
        .unwrap();
    renamed.bytes[at] = b'X';
    renamed
        .mend()
        .assert_breaks("imports", "XxFreePool from ntoskrnl.exe is not in");
    for (name, what) in [
        ("TooNew", "22621, newer than the floor 19041"),
        ("KeBugCheckEx", "does not stop the machine"),
        ("DbgPrint", "for debug builds"),
    ] {
        Recipe {
            import: Some(name),
            ..Recipe::default()
        }
        .link(name)
        .assert_breaks("imports", what);
    }
}

#[test]
fn a_symbol_of_a_panic_is_refused() {
    let mut linked = Recipe::default().link("symbol");
    linked.map = linked
        .map
        .replace(" work ", " _RNvNtCs1_4core9panicking5panic ");
    linked.assert_breaks("panic", "core::panicking");
    Recipe {
        body: "callq deferlwf_unreachable",
        ..Recipe::default()
    }
    .link("unreachable")
    .assert_breaks("panic", "stand-in");
}

#[test]
fn a_trap_is_refused_where_something_leads_to_it() {
    for (index, body, what) in [
        (0, "ud2", "ud2 at work+0x0"),
        (1, "nop\n ud2", "ud2 at work+0x1"),
        (
            2,
            "testl %ecx, %ecx\n jne 1f\n retq\n1: ud2",
            "ud2 at work+0x5",
        ),
        (3, "callq DriverEntry\n ud2\n nop", "ud2 at work+0x5"),
        (4, "nop\n int3", "int3 at work+0x1"),
        (5, "nop\n int $0x29", "a software interrupt at work+0x1"),
    ] {
        Recipe {
            body,
            ..Recipe::default()
        }
        .link(&format!("trap-{index}"))
        .assert_breaks("trap", what);
    }
    for (index, body, what) in [
        (0, "brk #1", "brk at work+0x0"),
        (1, "nop\n brk #0xf003", "brk at work+0x4"),
        (2, "cbz x0, 1f\n ret\n1: udf #0", "udf at work+0x8"),
        (3, "tbnz x0, #3, 1f\n ret\n1: brk #1", "brk at work+0x8"),
    ] {
        let recipe = Recipe {
            arm64: true,
            body,
            ..Recipe::default()
        };
        recipe
            .link(&format!("trap-arm64-{index}"))
            .assert_breaks("trap", what);
    }
}

#[test]
fn a_halt_or_a_loop_without_an_exit_is_refused() {
    for (index, body, what) in [
        (0, "jmp .", "a loop without an exit at work+0x0"),
        (
            1,
            "nop\n1: pause\n jmp 1b",
            "a loop without an exit at work+0x1",
        ),
        (
            2,
            "1: testl %ecx, %ecx\n je 1b\n jmp 1b",
            "a loop without an exit at work+0x0",
        ),
        (
            3,
            "testl %ecx, %ecx\n je 2f\n1: pause\n jmp 1b\n2: nop",
            "a loop without an exit at work+0x4",
        ),
        (4, "hlt", "hlt at work+0x0"),
        (5, "1: hlt\n jmp 1b", "hlt at work+0x0"),
    ] {
        let recipe = Recipe {
            body,
            ..Recipe::default()
        };
        recipe
            .link(&format!("endless-{index}"))
            .assert_breaks("trap", what);
    }
    for (index, body, what) in [
        (0, "b .", "a loop without an exit at work+0x0"),
        (
            1,
            "nop\n1: isb\n b 1b",
            "a loop without an exit at work+0x4",
        ),
        (
            2,
            "1: cbz x0, 1b\n wfe\n b 1b",
            "a loop without an exit at work+0x0",
        ),
        (3, "1: wfi\n b 1b", "wfi at work+0x0"),
        (4, "hlt #1", "hlt at work+0x0"),
    ] {
        let recipe = Recipe {
            arm64: true,
            body,
            ..Recipe::default()
        };
        recipe
            .link(&format!("endless-arm64-{index}"))
            .assert_breaks("trap", what);
    }
}

#[test]
fn a_loop_that_waits_calls_or_returns_is_allowed() {
    for (index, body) in [
        // A spin lock: exchange, wait while taken, try again.
        "1: movl $1, %eax\n xchgl %eax, (%rcx)\n testl %eax, %eax\n je 3f\n2: pause\n cmpl $0, (%rcx)\n jne 2b\n jmp 1b\n3: nop",
        "1: lock decl (%rcx)\n je 2f\n jmp 1b\n2: retq",
        // A thread that ends where it is told to, inside what it calls.
        "1: callq DriverEntry\n jmp 1b",
        "1: jmpq *(%rcx)\n jmp 1b",
    ]
    .into_iter()
    .enumerate()
    {
        let recipe = Recipe {
            body,
            ..Recipe::default()
        };
        assert_eq!(recipe.link(&format!("waits-{index}")).broken(), [], "{body}");
    }
    for (index, body) in [
        "1: ldaxr w8, [x0]\n cbz w8, 2f\n wfe\n b 1b\n2: nop",
        "1: bl DriverEntry\n b 1b",
        "1: br x8\n b 1b",
    ]
    .into_iter()
    .enumerate()
    {
        let recipe = Recipe {
            arm64: true,
            body,
            ..Recipe::default()
        };
        assert_eq!(
            recipe.link(&format!("waits-arm64-{index}")).broken(),
            [],
            "{body}"
        );
    }
}

#[test]
fn padding_after_a_call_that_does_not_return_is_allowed() {
    let body = "testl %ecx, %ecx\n je 1f\n callq DriverEntry\n ud2\n1: nop";
    assert_eq!(
        Recipe {
            body,
            ..Recipe::default()
        }
        .link("padding")
        .broken(),
        []
    );
    let body = "cbz x0, 1f\n bl DriverEntry\n brk #1\n1: nop";
    assert_eq!(
        Recipe {
            arm64: true,
            body,
            ..Recipe::default()
        }
        .link("padding-arm64")
        .broken(),
        []
    );
}

#[test]
fn what_is_no_image_is_bad_input() {
    let table = ImportTable::parse(IMPORTS).unwrap();
    let sound = Recipe::default().link("bad");
    for bytes in [&b""[..], b"MZ", &[0; 4096], &sound.bytes[..200]] {
        assert!(Image::parse(bytes, &sound.map, &table).is_err());
    }
    assert!(Image::parse(&sound.bytes, "no map", &table).is_err());
}
