//! Promise: every WPP message is shown as it was written, by formats that are in no image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Lab, Scratch, capture, driver};

fn text(message: &Value) -> &str {
    message["text"].as_str().expect("a text")
}

/// What stands between the values in the texts of a TMF file.
fn plain_texts(formats: &Path) -> Vec<String> {
    let content = fs::read_to_string(formats).expect("formats beside the image");
    let texts = content.lines().filter_map(|line| {
        let (_, text) = line.strip_prefix("#typev ")?.split_once("\"%0")?;
        Some(text.rsplit_once("\" //")?.0.to_owned())
    });
    texts
        .flat_map(|text| {
            let pieces: Vec<String> = text.split(['%', '!']).map(str::to_owned).collect();
            pieces
        })
        .filter(|piece| piece.len() > 6)
        .collect()
}

#[test]
fn no_text_of_a_message_is_in_an_image() {
    for (name, fewest) in [("traced", 10), ("deferlwf", 2)] {
        let image = driver(name);
        let content = fs::read(&image).expect("an image");
        let texts = plain_texts(&image.with_extension("tmf"));
        assert!(texts.len() >= fewest, "{name}: {texts:?}");
        for text in texts {
            let is_there = content
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            assert!(!is_there, "{name}: {text:?}");
        }
    }
}

#[test]
fn values_of_every_kind_are_shown() {
    let lab = Lab::run(&driver("traced")).with(["--trace", "all"]);
    let messages = lab.messages();
    let shown: Vec<&str> = messages.iter().map(text).collect();
    let long = format!("str {}...", "x".repeat(512));
    for wanted in [
        "i8 -128 127 i16 -32768 32767",
        "x8 fe x16 fedc x32 fedcba98 x64 fedcba9876543210",
        "truth false true",
        "irql PASSIVE DISPATCH HIGH",
        "status 0xc000009a 0x4001000b 0x00010106",
        "guid 00112233-4455-6677-8899-aabbccddeeff 00000000-0000-0000-0000-000000000000",
        "v4 192.0.2.1 255.255.255.255 v6 2001:db8::1 ::",
        "mac 02-00-00-00-00-ff port 0 65535",
        "str [] [some text]",
        &long,
        "state Broken",
        "abilities (0x0) Receive | Wake(0x80000001) Receive | Send | Wake(0x80000003)",
        "100% {nothing}",
    ] {
        assert!(shown.contains(&wanted), "{wanted}");
    }
    assert!(
        messages
            .iter()
            .all(|message| message.get("problem").is_none())
    );
    // What does not fit is refused and counted, and the driver goes on.
    assert!(!shown.iter().any(|text| text.starts_with("does not fit")));
    assert!(
        shown
            .iter()
            .any(|text| text.ends_with(", 1 messages refused"))
    );
}

#[test]
fn level_and_flags_choose() {
    let lab = Lab::run(&driver("traced"));
    let wanted = |options: &[&str]| lab.clone().with(options).messages().len();
    let all = wanted(&["--trace", "all"]);
    let life = wanted(&["--trace", "0x1"]);
    let values = wanted(&["--trace", "0x2"]);
    let long = wanted(&["--trace", "0x4"]);
    assert!(life > 0 && values > life && long > 0);
    assert_eq!(life + values + long, all);
    assert_eq!(wanted(&["--trace", "0x2", "--trace-level", "warning"]), 1);
    assert_eq!(wanted(&["--trace", "0x100"]), 0);
}

#[test]
fn callbacks_of_the_driver_begin_and_end() {
    /// All that the system can call of this driver, which has no OID handlers, DPCs or threads of its own.
    const CALLS: [&str; 21] = [
        "DriverEntry",
        "DriverUnload",
        "FilterSetOptions",
        "FilterAttach",
        "FilterSetModuleOptions",
        "FilterRestart",
        "FilterPause",
        "FilterDetach",
        "FilterSendNetBufferLists",
        "FilterSendNetBufferListsComplete",
        "FilterCancelSendNetBufferLists",
        "FilterReceiveNetBufferLists",
        "FilterReturnNetBufferLists",
        "FilterStatus",
        "WorkItem",
        "Timer",
        "DispatchCreate",
        "DispatchCleanup",
        "DispatchClose",
        "DispatchDeviceControl",
        "Cancel",
    ];
    let mut seen = BTreeSet::new();
    // Until all has been called. Where nobody switches sessions, what begins ends.
    for seed in 1..40 {
        let lab = Lab::run(&driver("deferlwf"))
            .set("Mode", 2)
            .set("MaxHoldMs", 1)
            .with(["--hard"]);
        let lab = lab.with(["--trace", "all", "--seed", &seed.to_string()]);
        let messages = lab.messages();
        // What has begun and not ended, by thread: a call ends after those that began in it.
        let mut open: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut is_switched = false;
        let mut calls = BTreeSet::new();
        for message in &messages {
            let text = text(message);
            let thread = message["thread"].as_u64().expect("a thread");
            let Some((call, what)) = text.split_once(' ') else {
                continue;
            };
            if call == "WppEnableCallback" {
                is_switched |= what.starts_with("begins");
            } else if what.starts_with("begins") {
                open.entry(thread).or_default().push(call.to_owned());
                calls.insert(call.to_owned());
            } else if what.starts_with("ends") {
                let last = open.entry(thread).or_default().pop();
                assert!(
                    is_switched || last.as_deref() == Some(call),
                    "{seed}: {message}"
                );
            }
            let is_refusal = text.contains("is refused");
            assert_eq!(
                message["level"],
                if is_refusal { 3 } else { 5 },
                "{message}"
            );
        }
        if !is_switched {
            assert!(open.values().all(Vec::is_empty), "{seed}: {open:?}");
        }
        seen.append(&mut calls);
        if CALLS.iter().all(|call| seen.contains(*call)) {
            break;
        }
    }
    let is_known = |call: &String| CALLS.contains(&call.as_str()) || call == "EtwEnableCallback";
    assert!(seen.iter().all(is_known), "{seen:?}");
    let missing: Vec<_> = CALLS.iter().filter(|call| !seen.contains(**call)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Not switched, the callback of the events comes too, and that of the messages ends when the session has come.
    assert!(seen.contains("EtwEnableCallback"));
}

#[test]
fn a_request_that_is_refused_is_a_warning() {
    let lab = Lab::run(&driver("deferlwf")).with(["--hard", "--seed", "3", "--trace", "0x8"]);
    let lab = lab.with(["--trace-level", "warning"]);
    let messages = lab.messages();
    let refused = |message: &&Value| text(message).contains("is refused: 0x");
    assert!(messages.iter().any(|message| refused(&message)));
    assert!(messages.iter().all(|message| message["level"] == 3));
    // Each is an event too, whoever has refused it.
    let lab = Lab::run(&driver("deferlwf")).with(["--hard", "--seed", "3", "--trace", "all"]);
    let records = lab.records();
    let status = |record: &Value| record["fields"]["Status"].as_str().map(str::to_owned);
    let told = records
        .iter()
        .filter(|record| record["name"] == "RequestRefused");
    let told: Vec<String> = told.filter_map(status).collect();
    let written = records.iter().filter_map(|record| {
        let text = record["text"].as_str()?;
        text.split_once("is refused: ")
            .map(|(_, status)| status.to_owned())
    });
    assert_eq!(written.collect::<Vec<_>>(), told);
    // The driver's own code never sees a create with a file name, whose function is 0.
    let is_named = |record: &Value| {
        let fields = &record["fields"];
        record["name"] == "RequestRefused"
            && fields["Function"] == 0
            && fields["Status"] == "0xc0000033"
    };
    assert!(records.iter().any(is_named));
}

#[test]
fn a_driver_that_cannot_be_registered_runs_untraced() {
    for import in ["EtwRegisterClassicProvider", "MmGetSystemRoutineAddress"] {
        let lab = Lab::run(&driver("deferlwf"))
            .pcap(&capture("ping"))
            .with(["--trace", "all", "--fail", import]);
        assert_eq!(lab.messages().len(), 0, "{import}");
        let lab = Lab::run(&driver("deferlwf")).with(["--fail", import]);
        let notes = lab.clean().notes;
        let is_said = |note: &String| note == "the driver could not register its messages (WPP)";
        assert!(notes.iter().any(is_said), "{notes:?}");
    }
}

#[test]
fn a_log_that_is_damaged_is_read_as_far_as_it_goes() {
    let scratch = Scratch::new("wpp-damaged");
    let image = driver("traced");
    let log = scratch.path().join("run.etl");
    let lab = Lab::run(&image).with(["--trace", "all", "--etl"]);
    let printed = lab.with([log.as_os_str()]).records();
    let bytes = fs::read(&log).expect("a log");
    let formats = image.with_extension("tmf");
    let decode = |bytes: &[u8], formats: &Path| {
        let damaged = scratch.file("damaged.etl", bytes);
        Lab::decode(&damaged)
            .with(["--json", "--tmf"])
            .with([formats.as_os_str()])
            .output()
    };
    // A message's text, an event's name.
    let shown = |record: &Value| {
        let text = record.get("text").unwrap_or(&record["name"]);
        text.as_str().expect("a text").to_owned()
    };
    let known: Vec<String> = printed.iter().map(shown).collect();
    // What is printed was written, and what is wrong is said in a line.
    let check = |what: &str, bytes: &[u8]| {
        let output = decode(bytes, &formats);
        let is_whole = output.exit == 0 && output.stderr.is_empty();
        let is_told = output.exit == 2 && output.stderr.lines().count() == 1;
        assert!(is_whole || is_told, "{what}: {}", output.stderr);
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("an object a line");
        let found: Vec<Value> = output.stdout.lines().map(parse).collect();
        for message in &found {
            let is_known = known.contains(&shown(message));
            assert!(
                is_known || message.get("problem").is_some(),
                "{what}: {message}"
            );
        }
        (output.exit, found.len())
    };
    assert_eq!(check("whole", &bytes), (0, printed.len()));
    let mut most = 0;
    for length in (0..bytes.len()).step_by(1_777) {
        let (exit, found) = check(&format!("{length} bytes"), &bytes[..length]);
        assert_eq!(exit, 2, "{length}");
        assert!(found >= most && found <= printed.len(), "{length}: {found}");
        most = found;
    }
    assert!(most > printed.len() / 2, "{most}");
    // The length of each record in turn is one that none has, and one that leads out of the buffer.
    let records = message_offsets(&bytes);
    let messages = printed.iter().filter(|record| record.get("text").is_some());
    assert_eq!(records.len(), messages.count());
    for at in records {
        for length in [0_u16, 7, 0xFFFF] {
            let mut broken = bytes.clone();
            broken[at..at + 2].copy_from_slice(&length.to_le_bytes());
            let (exit, found) = check(&format!("{length} at {at}"), &broken);
            assert_eq!(exit, 2, "{length} at {at}");
            assert!(found < printed.len(), "{length} at {at}");
        }
        // Cut within its values, or within what stands in front of them: it is told where it stands.
        let mut cut = bytes.clone();
        cut[at..at + 2].copy_from_slice(&24_u16.to_le_bytes());
        assert_eq!(check(&format!("cut at {at}"), &cut).0, 2);
        cut[at..at + 2].copy_from_slice(&41_u16.to_le_bytes());
        check(&format!("cut in its values at {at}"), &cut);
    }
    // The messages of another package have no format here: their bytes are shown.
    let foreign = decode(&bytes, &driver("deferlwf").with_extension("tmf"));
    assert_eq!((foreign.exit, foreign.stderr.as_str()), (0, ""));
    assert_eq!(foreign.stdout.lines().count(), printed.len());
    let is_shown =
        |line: &str| line.contains("\"Arguments\"") || line.contains("\"DeferlwfTraced\"");
    assert!(foreign.stdout.lines().all(is_shown));
}

/// Where the records of messages begin in a log that the lab has written.
fn message_offsets(log: &[u8]) -> Vec<usize> {
    const BUFFER: usize = 0x1_0000;
    let word = |at: usize| usize::from(u16::from_le_bytes([log[at], log[at + 1]]));
    let mut found = Vec::new();
    for start in (0..log.len()).step_by(BUFFER) {
        let used = word(start + 0x30) | word(start + 0x32) << 16;
        let mut at = start + 0x48;
        while at + 8 <= start + used {
            let (length, kind) = (word(at), word(at + 2));
            if kind == 0x9000 {
                found.push(at);
            }
            let length = if kind < 0xC005 && kind > 0xC000 {
                word(at + 4)
            } else {
                length
            };
            at += length.next_multiple_of(8);
        }
    }
    found
}

/// What a driver of WPP's writes, with the text for it.
const FORMATS: &str = "\
6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411 faulty // SRC=trace.rs MJ= MN=
#typev trace_rs42 10 \"%0[%!FUNC!] %10!u! of %11!s! in %12!s!\" //   LEVEL=TRACE_LEVEL_WARNING FLAGS=ALL FUNC=write
{
count, ItemLong -- 10
status, ItemNTSTATUS -- 11
text, ItemPString -- 12
}
";

#[test]
fn messages_of_wpp_are_shown_by_their_formats() {
    let scratch = Scratch::new("wpp");
    let formats = scratch.file("formats.tmf", FORMATS.as_bytes());
    let log = scratch.path().join("run.etl");
    let lab = Lab::run(&driver("faulty"))
        .set("Fault", "wpp-messages")
        .with(["--trace", "all", "--etl"])
        .with([log.as_os_str()])
        .with(["--tmf"])
        .with([formats.as_os_str()]);
    let mut printed = lab.records();
    assert_eq!(printed.len(), 1, "{printed:?}");
    let event = &printed[0];
    assert_eq!(event["text"], "[write] 31 of 0xc000009a in ab");
    assert_eq!(event["provider"], "faulty");
    assert_eq!(event["name"], "trace.rs:42");
    assert_eq!(event["level"], 3);
    assert_eq!(event["fields"]["count"], 31);
    assert_eq!(event["fields"]["text"], "ab");
    printed[0]
        .as_object_mut()
        .expect("an object")
        .remove("irql");
    let decode = Lab::decode(&log).with(["--json"]);
    let output = decode
        .clone()
        .with(["--tmf".as_ref(), formats.as_os_str()])
        .output();
    let decoded: Value = serde_json::from_str(output.stdout.trim()).expect("an object");
    assert_eq!((output.exit, &decoded), (0, &printed[0]));
    // Without formats its bytes are shown.
    let decoded: Value = serde_json::from_str(decode.output().stdout.trim()).expect("an object");
    assert_eq!(decoded["fields"]["Arguments"], "1f0000009a0000c002006162");
    // So is what cannot be used of a folder.
    let folder = Scratch::new("wpp-folder");
    folder.file("formats.tmf", FORMATS.as_bytes());
    folder.file("odd.tmf", b"junk");
    let output = decode
        .clone()
        .with(["--tmf".as_ref(), folder.path().as_os_str()])
        .output();
    let decoded: Value = serde_json::from_str(output.stdout.trim()).expect("an object");
    assert_eq!((output.exit, &decoded), (0, &printed[0]));
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("odd.tmf: "), "{}", output.stderr);
    // A format with a value that nobody knows is left out, and named in one line; the others are used.
    let odd = FORMATS.replace("text, ItemPString", "text, ItemOdd")
        + "\
#typev trace_rs43 11 \"%0other\" //   LEVEL=TRACE_LEVEL_WARNING FLAGS=ALL FUNC=write
{
}
";
    let odd = scratch.file("odd.tmf", odd.as_bytes());
    let output = decode
        .clone()
        .with(["--tmf".as_ref(), odd.as_os_str()])
        .output();
    assert_eq!((output.exit, output.stderr.lines().count()), (0, 1));
    assert!(
        output.stderr.contains("odd.tmf: 1 format has"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("ItemOdd"), "{}", output.stderr);
    let decoded: Value = serde_json::from_str(output.stdout.trim()).expect("an object");
    assert_eq!(decoded["fields"]["Arguments"], "1f0000009a0000c002006162");
    let problem = decoded["problem"].as_str().expect("a problem");
    assert!(problem.contains("ItemOdd"), "{problem}");
    // Formats that cannot be read are named in one line.
    let bad = scratch.file("bad.tmf", b"nonsense");
    let output = decode.with(["--tmf".as_ref(), bad.as_os_str()]).output();
    assert_eq!((output.exit, output.stderr.lines().count()), (2, 1));
    assert!(
        output.stderr.contains("bad.tmf: line 1"),
        "{}",
        output.stderr
    );
}
