//! `cargo xtask abi` against small headers of our own: what is the same, what differs, and what cannot be compared.
//!
//! Those that compare need the Python bindings of libclang from PyPI: `cargo xtask test` runs them with `--ignored`.

#![forbid(unsafe_code)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Headers that declare one of each, as a kit's would.
const HEADERS: &[(&str, &str)] = &[
    // A kit defines its annotations each time anew.
    (
        "shared/driverspecs.h",
        "#undef _IRQL_requires_max_\n#define _IRQL_requires_max_(level)\n",
    ),
    (
        "shared/kernelspecs.h",
        "#include <driverspecs.h>\n#define _When_(condition, what)\n",
    ),
    ("shared/evntrace.h", ""),
    ("shared/wmistr.h", ""),
    ("km/ntstrsafe.h", ""),
    ("km/ntddk.h", "#include <NTIFS.H>\n"),
    (
        "km/ntifs.h",
        "#pragma once
#include <kernelspecs.h>
#ifndef NTDDI_VERSION
#define NTDDI_VERSION 0x0A00000C
#endif
typedef unsigned long ULONG;
typedef void *PVOID;
typedef enum _COLOR { Red, Green = 5 } COLOR;
typedef struct _PAINT {
    struct _PAINT *Next;
    union {
        ULONG Value;
        struct { unsigned char Low : 3; unsigned char High : 5; } Parts;
    };
    COLOR Color;
} PAINT, *PPAINT;
#define PAINT_LIMIT (-1)
_IRQL_requires_max_(DISPATCH_LEVEL) ULONG Stir(PPAINT Paint, const PAINT *Other);
_When_(Deep != 0, _IRQL_requires_max_(APC_LEVEL)) PVOID Pour(ULONG Deep);
typedef _IRQL_requires_max_(PASSIVE_LEVEL) void DRY(PPAINT);
#if NTDDI_VERSION >= 0x06020000
ULONG Thin(PPAINT Paint);
#endif
",
    ),
    (
        "km/ndis.h",
        "#pragma once
#include <ntifs.h>
typedef struct _JAR {
    ULONG Size;
#if !defined(NDIS684) && !defined(NDIS685)
    ULONG Later;
#endif
} JAR;
#ifdef NDIS687
#define JAR_REVISION 2u
#endif
",
    ),
];

/// The facts that those headers hold, of `nt` and of `ndis`.
const NT: &str = r#"{
"structs": {"PAINT": {"kind": "struct", "size": 16, "align": 8, "fields": [
  {"name": "Next", "offset": 0, "size": 8, "type": "PAINT *", "abi": "ptr"},
  {"name": "Value", "offset": 8, "size": 4, "type": "ULONG", "abi": "u32"},
  {"name": "Parts", "offset": 8, "size": 1, "type": "<struct>", "abi": "record:1"},
  {"name": "Parts.Low", "offset": 8, "size": 1, "type": "unsigned char", "abi": "u8", "bits": [0, 3]},
  {"name": "Parts.High", "offset": 8, "size": 1, "type": "unsigned char", "abi": "u8", "bits": [3, 5]},
  {"name": "Color", "offset": 12, "size": 4, "type": "COLOR", "abi": "enum:i32"}]}},
"enums": {"COLOR": {"Red": 0, "Green": 5}},
"constants": {"PAINT_LIMIT": ["i32", -1]},
"scalars": {"PVOID": "ptr", "ULONG": "u32"},
"functions": {
  "Pour": {"ret": "PVOID", "ret_abi": "ptr", "params": [["Deep", "ULONG", "u32"]],
    "irql": {"when": [{"if": "Deep!=0", "max": "APC_LEVEL"}]}},
  "Stir": {"ret": "ULONG", "ret_abi": "u32",
    "params": [["Paint", "PPAINT", "ptr"], ["Other", "const PAINT *", "ptr"]], "irql": {"max": "DISPATCH_LEVEL"}},
  "Thin": {"ret": "ULONG", "ret_abi": "u32", "params": [["Paint", "PPAINT", "ptr"]], "since": "WIN8"}},
"callbacks": {"DRY": {"ret": "void", "ret_abi": "void", "params": [["Argument1", "PPAINT", "ptr"]],
  "irql": {"max": "PASSIVE_LEVEL"}}}}"#;
const NDIS: &str = r#"{
"structs": {"JAR": {"kind": "struct", "size": 8, "align": 4, "sizes": [[84, 4], [86, 8]], "fields": [
  {"name": "Size", "offset": 0, "size": 4, "type": "ULONG", "abi": "u32"},
  {"name": "Later", "offset": 4, "size": 4, "type": "ULONG", "abi": "u32", "since": 86}]}},
"enums": {}, "constants": {"JAR_REVISION": ["u32", 2, 87]}, "scalars": {}, "functions": {}, "callbacks": {}}"#;

/// A kit and its table in a folder that is removed at the end.
struct Sample(PathBuf);

impl Sample {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("xtask-abi-{name}-{}", std::process::id()));
        for (file, text) in HEADERS {
            write(&folder.join("wdk/Include/10.0.1.0").join(file), text);
        }
        for arch in ["x64", "arm64"] {
            write(&folder.join(format!("abi/{arch}/nt.json")), NT);
            write(&folder.join(format!("abi/{arch}/ndis.json")), NDIS);
        }
        Self(folder)
    }

    fn header(&self, name: &str) -> PathBuf {
        self.0.join("wdk/Include/10.0.1.0").join(name)
    }

    fn edit(path: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .args(["abi", "--yes", "--wdk"])
            .arg(self.0.join("wdk"))
            .arg("--table")
            .arg(self.0.join("abi"));
        command
    }

    fn lines(&self, code: i32) -> Vec<String> {
        let output = self.command().output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{errors}{text}");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Asserts that the one line of complaint of an exit with code 2 holds `what`.
fn assert_refused(output: &Output, what: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains(what) && errors.lines().count() == 1,
        "{errors}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
#[ignore = "asks PyPI"]
fn headers_that_say_the_same_have_no_difference() {
    assert_eq!(Sample::new("same").lines(0), ["146 facts, 0 differences"]);
}

#[test]
#[ignore = "asks PyPI"]
fn each_kind_of_fact_that_differs_is_a_line() {
    for (index, (file, from, to, line)) in [
        (
            "km/ntifs.h",
            "Green = 5",
            "Green = 6",
            "x64 nt enums.COLOR.Green: abi 5, headers 6",
        ),
        (
            "km/ntifs.h",
            "Low : 3; unsigned char High : 5",
            "Low : 2; unsigned char High : 6",
            "x64 nt structs.PAINT.fields.Parts.Low.bits: abi [0,3], headers [0,2]",
        ),
        (
            "km/ntifs.h",
            "PAINT_LIMIT (-1)",
            "PAINT_LIMIT 1ull",
            "x64 nt constants.PAINT_LIMIT: abi [\"i32\",-1], headers [\"u64\",1]",
        ),
        (
            "km/ntifs.h",
            "max_(APC_LEVEL)",
            "max_(DISPATCH_LEVEL)",
            "x64 nt functions.Pour.irql.when.0.max: abi \"APC_LEVEL\", headers \"DISPATCH_LEVEL\"",
        ),
        (
            "km/ntifs.h",
            "0x06020000",
            "0x06030000",
            "x64 nt functions.Thin.since: abi \"WIN8\", headers \"WINBLUE\"",
        ),
        (
            "km/ntifs.h",
            "void DRY(PPAINT)",
            "void DRY(ULONG)",
            "x64 nt callbacks.DRY.params: abi [[\"Argument1\",\"PPAINT\",\"ptr\"]], headers [[\"Argument1\",\"ULONG\",\"u32\"]]",
        ),
        ("km/ntifs.h", "ULONG Stir(", "ULONG Shake(", "x64 nt functions.Stir: not in the headers"),
        (
            "km/ndis.h",
            "ULONG Size;",
            "ULONG Size, Weight;",
            "x64 ndis structs.JAR.fields.Weight.offset: abi nothing, headers 4",
        ),
        (
            "km/ndis.h",
            "!defined(NDIS684)",
            "!defined(NDIS686) && !defined(NDIS684)",
            "x64 ndis structs.JAR.sizes: abi [[84,4],[86,8]], headers [[84,4],[87,8]]",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let sample = Sample::new(&format!("differs-{index}"));
        Sample::edit(&sample.header(file), from, to);
        let lines = sample.lines(1);
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
        assert!(lines.iter().any(|found| found.starts_with("arm64 ")), "{lines:?}");
    }
}

#[test]
#[ignore = "asks PyPI"]
fn headers_that_do_not_compile_are_named() {
    let sample = Sample::new("wrong");
    Sample::edit(&sample.header("km/ndis.h"), "JAR;", "JAR");
    let output = sample.command().output().unwrap();
    assert_refused(&output, "ndis.h");
    Sample::edit(
        &sample.header("km/ndis.h"),
        "#pragma once",
        "#include <gone.h>",
    );
    assert_refused(
        &sample.command().output().unwrap(),
        "'gone.h' file not found",
    );
}

#[test]
#[ignore = "asks PyPI"]
fn headers_of_something_else_are_no_wdk() {
    let sample = Sample::new("junk");
    for (file, _) in HEADERS {
        fs::write(sample.header(file), "/* nothing of a WDK */\n").unwrap();
    }
    let output = sample.command().output().unwrap();
    assert_refused(
        &output,
        "is no WDK: its headers lack 2 of the 2 declarations",
    );
}

#[test]
fn what_cannot_be_compared_gets_one_line() {
    let sample = Sample::new("refused");
    let mut command = sample.command();
    command.env("LIBCLANG_PATH", &sample.0);
    assert_refused(&command.output().unwrap(), "LIBCLANG_PATH: no libclang in ");

    fs::remove_file(sample.header("km/ntstrsafe.h")).unwrap();
    assert_refused(
        &sample.command().output().unwrap(),
        "lacks the header ntstrsafe.h",
    );

    fs::remove_dir_all(sample.header("km")).unwrap();
    assert_refused(
        &sample.command().output().unwrap(),
        "wdk is no WDK: it has neither km and shared nor Include/<version> with them",
    );
}
