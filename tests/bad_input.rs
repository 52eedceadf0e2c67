//! What cannot be used gives one clear line and exit code 2, leaves nothing behind, and never looks like a crash.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;

use tests::{Lab, Output, Scratch, captures, driver};

/// The one line on standard error of a run that could not be made.
fn refusal(output: &Output) -> &str {
    assert_eq!(output.exit, 2, "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    single_line(output)
}

fn single_line(output: &Output) -> &str {
    let mut lines = output.stderr.lines();
    let line = lines.next().unwrap_or_default();
    assert_eq!(lines.next(), None, "{output:?}");
    assert!(line.starts_with("lwf-lab: "), "{line}");
    assert!(!line.contains("panicked"), "{line}");
    line
}

#[track_caller]
fn assert_names(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
}

/// Replaces every occurrence of `from` by the equally long `to`.
fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "no {from} in the image");
}

/// Where the PE header starts.
fn pe_header(image: &[u8]) -> usize {
    u32::from_le_bytes(image[0x3C..0x40].try_into().unwrap()) as usize
}

/// Takes the checksum out of an image, as one that was changed on purpose.
fn clear_checksum(image: &mut [u8]) {
    let at = pe_header(image) + 24 + 64;
    image[at..at + 4].fill(0);
}

#[test]
fn images_that_are_none() {
    let scratch = Scratch::new("images");
    let image = fs::read(driver("deferlwf")).unwrap();
    let header = pe_header(&image);
    let mut for_32_bit = image.clone();
    for_32_bit[header + 4..header + 6].copy_from_slice(&0x014C_u16.to_le_bytes());
    let mut for_arm64 = image.clone();
    for_arm64[header + 4..header + 6].copy_from_slice(&0xAA64_u16.to_le_bytes());
    let mut one_bit = image.clone();
    one_bit[image.len() / 2] ^= 0x10;

    for (name, contents) in [
        ("empty.sys", &[][..]),
        ("text.sys", b"This is no image.\n"),
        ("x86.sys", &for_32_bit),
        ("arm64.sys", &for_arm64),
        ("header.sys", &image[..header + 10]),
        ("half.sys", &image[..image.len() / 2]),
        ("cut.sys", &image[..image.len() - 1]),
        ("checksum.sys", &one_bit),
    ] {
        let path = scratch.file(name, contents);
        let output = Lab::run(&path).pcap(&captures()[0]).output();
        assert_names(refusal(&output), &[name]);
    }
}

#[test]
fn a_driver_that_is_no_filter() {
    let output = Lab::run(&driver("plain")).pcap(&captures()[0]).output();
    assert_names(refusal(&output), &["plain.sys", "filter"]);
}

#[test]
fn an_image_that_is_not_there() {
    let output = Lab::run(Path::new("no-such.sys"))
        .pcap(&captures()[0])
        .output();
    assert_names(refusal(&output), &["no-such.sys", "No such file"]);
}

#[test]
fn unknown_imports_are_all_listed() {
    let scratch = Scratch::new("imports");
    let mut image = fs::read(driver("deferlwf")).unwrap();
    replace(&mut image, "NdisQueueIoWorkItem", "NdisQueueIoWorkIteX");
    replace(&mut image, "NdisFreeIoWorkItem", "NdisFreeIoWorkIteX");
    clear_checksum(&mut image);
    let path = scratch.file("imports.sys", &image);
    let output = Lab::run(&path).pcap(&captures()[0]).output();
    let names = ["imports.sys", "NdisQueueIoWorkIteX", "NdisFreeIoWorkIteX"];
    assert_names(refusal(&output), &names);
}

#[test]
fn captures_that_are_none() {
    let scratch = Scratch::new("captures");
    let capture = fs::read(&captures()[0]).unwrap();
    let blocks = blocks(&capture);
    let (interface, _) = *blocks.iter().find(|(_, kind)| *kind == INTERFACE).unwrap();
    let (first_packet, _) = *blocks.iter().find(|(_, kind)| *kind == PACKET).unwrap();
    let mut wifi = capture.clone();
    wifi[interface + 8..interface + 10].copy_from_slice(&105_u16.to_le_bytes());

    for (name, contents, words) in [
        ("empty.pcapng", &[][..], &["empty"][..]),
        ("text.pcapng", b"This is no capture, and it says so.\n", &[]),
        ("wifi.pcapng", &wifi, &["Ethernet"]),
        ("nothing.pcapng", &capture[..first_packet], &["no packets"]),
    ] {
        let path = scratch.file(name, contents);
        let line = Lab::run(&driver("deferlwf")).pcap(&path).output();
        assert_names(refusal(&line), &[name]);
        assert_names(refusal(&line), words);
    }
}

#[test]
fn a_damaged_capture_is_replayed_up_to_the_damage() {
    let scratch = Scratch::new("damage");
    let capture = fs::read(&captures()[0]).unwrap();
    let packets: Vec<usize> = blocks(&capture)
        .iter()
        .filter(|(_, kind)| *kind == PACKET)
        .map(|(at, _)| *at)
        .collect();
    let whole = packets.len() / 2;
    let damage = packets[whole];
    let mut broken = capture.clone();
    broken[damage + 4..damage + 8].copy_from_slice(&7_u32.to_le_bytes());

    for (name, contents) in [
        ("broken.pcapng", &broken[..]),
        ("cut.pcapng", &capture[..damage + 20]),
    ] {
        let path = scratch.file(name, contents);
        let output = Lab::run(&driver("deferlwf")).pcap(&path).output();
        assert_eq!(output.exit, 2, "{output:?}");
        assert_names(single_line(&output), &[name]);
        let summary = output.summary();
        let counted = summary.packets.ndis;
        assert_eq!(counted.send + counted.receive, whole as u64, "{name}");
        assert!(summary.is_clean());
    }
}

#[test]
fn options_that_mean_nothing() {
    let image = driver("deferlwf");
    for (arguments, words) in [
        (&["--ndis", "6.30"][..], &["6.30", "6.84", "6.89"][..]),
        (&["--local", "nobody"], &["nobody"]),
        (&["--set", "RingEntries"], &["NAME=VALUE"]),
        (&["--processors", "17"], &["--processors", "17", "1..=16"]),
        (
            &["--without", "no-such-rule"],
            &["no-such-rule", "no monitor"],
        ),
        (&["--without", "lab-fault"], &["lab-fault", "cannot go on"]),
        (&["--pdb", "no-such.pdb"], &["no-such.pdb"]),
        (&["--pdb", "README.md"], &["README.md", "not a PDB"]),
        (&["--pcap", "/dev/zero"], &["/dev/zero", "limit"]),
        (&["--pcap", "no-such.pcap"], &["no-such.pcap"]),
    ] {
        let output = Lab::run(&image)
            .pcap(&captures()[0])
            .with(arguments)
            .output();
        assert_eq!(output.exit, 2, "{output:?}");
        assert_names(&output.stderr, words);
        assert!(!output.stderr.contains("panicked"), "{output:?}");
    }
}

#[test]
fn output_that_cannot_be_written() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Lab::run(&driver("deferlwf"))
        .pcap(&captures()[0])
        .output_to(full);
    assert_names(refusal(&output), &["standard output"]);
}

#[test]
fn a_reader_that_left_is_an_error_for_programs_only() {
    for (lab, exit) in [
        (Lab::run(&driver("deferlwf")), 2),
        (Lab::screen(&driver("deferlwf")), 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = lab.output_to(writer);
        assert_eq!(output.exit, exit, "{output:?}");
        assert_eq!(output.stderr.is_empty(), exit == 0, "{output:?}");
    }
}

#[test]
fn symbols_of_another_build() {
    let scratch = Scratch::new("symbols");
    let image = fs::read(driver("deferlwf")).unwrap();
    let path = scratch.file("a.sys", &image);
    // Named, they must fit; where they merely lie beside the image, it is said.
    let other = driver("faulty").with_extension("pdb");
    let output = Lab::run(&path)
        .with([OsStr::new("--pdb"), other.as_os_str()])
        .output();
    assert_names(refusal(&output), &["faulty.pdb", "another build"]);
    scratch.file("a.pdb", &fs::read(&other).unwrap());
    let notes = Lab::run(&path).clean().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_names(&notes[0], &["a.pdb", "another build"]);
    assert_eq!(Lab::run(&driver("deferlwf")).clean().notes, [""; 0]);
}

#[test]
fn nothing_is_left_behind() {
    let scratch = Scratch::new("left");
    let text = scratch.file("text.sys", b"This is no image.\n");
    for image in [&driver("deferlwf"), &text] {
        let work = Scratch::new("work");
        Lab::run(image).pcap(&captures()[0]).output_in(work.path());
        assert_eq!(
            fs::read_dir(work.path()).unwrap().count(),
            0,
            "{}",
            image.display()
        );
    }
}

const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// Offset and type of every block of a little-endian pcapng file.
fn blocks(capture: &[u8]) -> Vec<(usize, u32)> {
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < capture.len() {
        blocks.push((at, word(at)));
        at += word(at + 4) as usize;
    }
    blocks
}
