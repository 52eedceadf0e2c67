//! Promise: every WPP message is shown as it was written, by formats that are in no image.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Lab, driver};

/// All that a session gets.
fn records(lab: &Lab) -> Vec<Value> {
    let output = lab.output();
    assert_eq!(output.exit, 0, "{lab:?}\n{}", output.stderr);
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    lines.pop();
    let parse = |line: &&str| serde_json::from_str(line).expect("an object a line");
    lines.iter().map(parse).collect()
}

/// The messages of WPP among them.
fn messages(lab: &Lab) -> Vec<Value> {
    let mut records = records(lab);
    records.retain(|record| record.get("text").is_some());
    records
}

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
    let image = driver("traced");
    let content = fs::read(&image).expect("an image");
    let texts = plain_texts(&image.with_extension("tmf"));
    assert!(texts.len() >= 10, "{texts:?}");
    for text in texts {
        let is_there = content
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!is_there, "{text:?}");
    }
}

#[test]
fn values_of_every_kind_are_shown() {
    let lab = Lab::run(&driver("traced")).with(["--trace", "all"]);
    let messages = messages(&lab);
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
    let wanted = |options: &[&str]| messages(&lab.clone().with(options)).len();
    let all = wanted(&["--trace", "all"]);
    let life = wanted(&["--trace", "0x1"]);
    let values = wanted(&["--trace", "0x2"]);
    let long = wanted(&["--trace", "0x4"]);
    assert!(life > 0 && values > life && long > 0);
    assert_eq!(life + values + long, all);
    assert_eq!(wanted(&["--trace", "0x2", "--trace-level", "warning"]), 1);
    assert_eq!(wanted(&["--trace", "0x100"]), 0);
}
