//! What the parser makes of a sound image, and of every damaged one: an error or an image, never a
//! panic.

use lab_pe::{
    Error, Image, ImportName,
    unwind::{Operation, UnwindInfo},
};

const FILE_ALIGNMENT: usize = 0x200;
const BASE: u64 = 0x1_4000_0000;
const TEXT: u32 = 0x1000;
const RDATA: u32 = 0x2000;
const RELOC: u32 = 0x3000;
const CHECKSUM_AT: usize = 0x98 + 64;

struct Bytes(Vec<u8>);

impl Bytes {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    fn put_u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}

/// A sound image with one of everything. `.rdata` is at file offset 0x400.
fn sound() -> Bytes {
    let mut file = Bytes(vec![0; 0x400 + 0x400 + FILE_ALIGNMENT]);
    file.put(0, b"MZ");
    file.put_u32(0x3C, 0x80);
    file.put(0x80, b"PE\0\0");
    file.put_u16(0x84, 0x8664);
    file.put_u16(0x86, 3);
    file.put_u16(0x94, 240);
    file.put_u16(0x96, 0x22);
    let optional = 0x98;
    file.put_u16(optional, 0x20B);
    file.put_u32(optional + 16, TEXT);
    file.put_u64(optional + 24, BASE);
    file.put_u32(optional + 32, 0x1000);
    file.put_u32(optional + 36, FILE_ALIGNMENT as u32);
    file.put_u32(optional + 56, 0x4000);
    file.put_u32(optional + 60, 0x200);
    file.put_u16(optional + 68, 1);
    file.put_u32(optional + 108, 16);
    let mut directory = |index: usize, rva: u32, bytes: u32| {
        file.put_u32(optional + 112 + 8 * index, rva);
        file.put_u32(optional + 116 + 8 * index, bytes);
    };
    directory(0, RDATA + 0x180, 40);
    directory(1, RDATA, 40);
    directory(3, RDATA + 0x200, 12);
    directory(5, RELOC, 12);
    directory(6, RDATA + 0x280, 28);
    directory(10, RDATA + 0x300, 148);
    for (index, (name, rva, offset, bytes, flags)) in [
        (b".text\0\0\0", TEXT, 0x200, 0x200, 0x6000_0020),
        (b".rdata\0\0", RDATA, 0x400, 0x400, 0x4000_0040),
        (b".reloc\0\0", RELOC, 0x800, 0x200, 0x4200_0040),
    ]
    .into_iter()
    .enumerate()
    {
        let at = optional + 240 + 40 * index;
        file.put(at, name);
        file.put_u32(at + 8, bytes);
        file.put_u32(at + 12, rva);
        file.put_u32(at + 16, bytes);
        file.put_u32(at + 20, offset);
        file.put_u32(at + 36, flags);
    }
    file.put(
        0x200,
        &[
            0x48, 0x83, 0xEC, 0x28, 0x31, 0xC0, 0x48, 0x83, 0xC4, 0x28, 0xC3,
        ],
    );

    let rdata = 0x400;
    // Imports: NDIS.SYS!NdisFDeregisterFilterDriver and NDIS.SYS!#7.
    file.put_u32(rdata, RDATA + 0x80);
    file.put_u32(rdata + 12, RDATA + 0xE0);
    file.put_u32(rdata + 16, RDATA + 0xA0);
    for table in [0x80, 0xA0] {
        file.put_u64(rdata + table, u64::from(RDATA + 0xC0));
        file.put_u64(rdata + table + 8, 1 << 63 | 7);
    }
    file.put(rdata + 0xC2, b"NdisFDeregisterFilterDriver\0");
    file.put(rdata + 0xE0, b"NDIS.SYS\0");
    // Exports: DriverEntry.
    file.put_u32(rdata + 0x180 + 20, 1);
    file.put_u32(rdata + 0x180 + 24, 1);
    file.put_u32(rdata + 0x180 + 28, RDATA + 0x1B0);
    file.put_u32(rdata + 0x180 + 32, RDATA + 0x1B4);
    file.put_u32(rdata + 0x180 + 36, RDATA + 0x1B8);
    file.put_u32(rdata + 0x1B0, TEXT);
    file.put_u32(rdata + 0x1B4, RDATA + 0x1C0);
    file.put(rdata + 0x1C0, b"DriverEntry\0");
    // One function: sub rsp, 28h; three slots, so padded, then a handler.
    file.put_u32(rdata + 0x200, TEXT);
    file.put_u32(rdata + 0x204, TEXT + 11);
    file.put_u32(rdata + 0x208, RDATA + 0x210);
    file.put(
        rdata + 0x210,
        &[0x09, 4, 3, 0, 4, 0x42, 2, 0x30, 1, 0x50, 0, 0],
    );
    file.put_u32(rdata + 0x21C, TEXT + 4);
    // Debug directory.
    file.put_u32(rdata + 0x280 + 12, 2);
    file.put_u32(rdata + 0x280 + 16, 34);
    file.put_u32(rdata + 0x280 + 20, RDATA + 0x2A0);
    file.put(rdata + 0x2A0, b"RSDS0123456789abcdef\x01\0\0\0sound.pdb\0");
    // Load configuration.
    file.put_u32(rdata + 0x300, 148);
    file.put_u64(rdata + 0x300 + 88, BASE + u64::from(RDATA) + 0x3A0);

    file.put_u32(0x800, RDATA);
    file.put_u32(0x804, 12);
    file.put_u16(0x808, 10 << 12 | 0x358);
    file
}

/// The unwind information that `bytes` are, in a sound image.
fn unwind_info(bytes: &[u8]) -> Result<UnwindInfo, Error> {
    let mut file = sound();
    file.put(0x400 + 0x210, bytes);
    Image::parse(&file.0)
        .expect("the image is sound")
        .unwind_info(RDATA + 0x210)
}

#[test]
fn unwind_information_of_other_compilers_is_read() {
    // Chained, with an odd number of codes: the entry comes after the padding.
    let mut chained = vec![0x21, 2, 1, 0, 2, 0x30, 0, 0];
    for word in [TEXT, TEXT + 11, RDATA + 0x210] {
        chained.extend(word.to_le_bytes());
    }
    let info = unwind_info(&chained).expect("it is sound");
    assert_eq!(info.chained.expect("it is chained").end_rva, TEXT + 11);
    // Version 2: epilog markers are no operations. Then a large frame, and a frame register.
    let epilogs = [
        0x02, 9, 6, 0x25, 1, 0x06, 0, 0x06, 9, 0x01, 0x10, 0, 4, 0x03, 1, 0x50, 0, 0,
    ];
    let info = unwind_info(&epilogs).expect("it is sound");
    assert_eq!(info.frame, Some((5, 0x20)));
    let operations: Vec<_> = info.codes.iter().map(|code| code.operation).collect();
    assert_eq!(
        operations,
        [
            Operation::Allocate(0x80),
            Operation::SetFrame,
            Operation::Push(5)
        ]
    );
    assert!(unwind_info(&[0x07, 0, 0, 0]).is_err(), "version 7");
    assert!(unwind_info(&[0x01, 0, 1, 0, 0, 0x0F]).is_err(), "code 15");
}

fn refusal(file: &Bytes) -> String {
    Image::parse(&file.0)
        .expect_err("the image is not sound")
        .to_string()
}

#[test]
fn a_sound_image_is_read_completely() {
    let image = Image::parse(&sound().0).expect("a sound image");
    assert_eq!(image.size_bytes(), 0x4000);
    assert_eq!((image.preferred_base, image.entry_rva), (BASE, TEXT));
    assert_eq!(image.imports[0].name, "ndis.sys");
    let functions = &image.imports[0].functions;
    assert_eq!(
        functions[0].name,
        ImportName::Name("NdisFDeregisterFilterDriver".into())
    );
    assert_eq!(
        (&functions[1].name, functions[1].slot_rva),
        (&ImportName::Ordinal(7), RDATA + 0xA8)
    );
    assert_eq!(
        (image.exports[0].name.as_str(), image.exports[0].rva),
        ("DriverEntry", TEXT)
    );
    assert_eq!(image.relocations, [RDATA + 0x358]);
    assert_eq!(
        image.load_config.as_ref().unwrap().security_cookie_rva,
        Some(RDATA + 0x3A0)
    );
    assert_eq!(image.pdb.as_ref().unwrap().path, "sound.pdb");
    assert!(image.section_at(TEXT).unwrap().protection.execute);
    assert!(image.section_at(RELOC).unwrap().discardable);
    assert_eq!(image.function_at(TEXT + 11), None);
    let info = image
        .unwind_info(image.function_at(TEXT + 10).unwrap().unwind_rva)
        .unwrap();
    let operations: Vec<_> = info.codes.iter().map(|code| code.operation).collect();
    assert_eq!(
        operations,
        [
            Operation::Allocate(40),
            Operation::Push(3),
            Operation::Push(5)
        ]
    );
    assert_eq!(
        info.handler.unwrap().rva,
        TEXT + 4,
        "the padding is skipped"
    );
}

#[test]
fn each_refusal_names_what_is_wrong() {
    let changed = |at: usize, value: u16| {
        let mut file = sound();
        file.put_u16(at, value);
        refusal(&file)
    };
    assert_eq!(
        changed(0, 0),
        "is not a PE image: it does not begin with MZ"
    );
    assert_eq!(
        changed(0x84, 0xAA64),
        "is built for ARM64, and the lab runs x64 only"
    );
    assert_eq!(
        changed(0x84, 0x14C),
        "is built for 32-bit x86, and the lab runs x64 only"
    );
    assert_eq!(
        changed(0x98 + 68, 3),
        "is no kernel image: its subsystem is WINDOWS_CUI, not NATIVE"
    );
    assert_eq!(
        changed(0x98 + 16, RDATA as u16),
        "is damaged: entry point: it is not in an executable section"
    );
    assert_eq!(
        changed(0x400 + 14, 1),
        "is damaged: import directory: a module's name is outside the image"
    );
    let mut file = sound();
    file.0.truncate(0x700);
    assert_eq!(
        refusal(&file),
        "is truncated: section .rdata needs 2048 bytes, the file has 1792"
    );
    assert!(matches!(Image::parse(b""), Err(Error::NotPe(_))));
}

/// Reads everything that is read later.
fn explore(file: &[u8]) {
    if let Ok(image) = Image::parse(file) {
        for function in &image.functions {
            let _ = image.unwind_info(function.unwind_rva);
        }
        for relocation in &image.relocations {
            assert!(*relocation as usize + 8 <= image.size_bytes());
        }
    }
}

/// Writes the checksum that the bytes have, and gives it.
fn put_checksum(file: &mut Bytes) -> u32 {
    file.put_u32(CHECKSUM_AT, 0);
    let words = file
        .0
        .chunks(2)
        .map(|pair| u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 8);
    // Adding every carry back is what a remainder by 2^16 - 1 does, but for the sum that is a multiple of it.
    let sum = match words.sum::<u64>() {
        0 => 0,
        sum => (sum - 1) % 0xFFFF + 1,
    };
    let checksum = sum as u32 + file.0.len() as u32;
    file.put_u32(CHECKSUM_AT, checksum);
    checksum
}

#[test]
fn a_wrong_checksum_is_damage() {
    let mut file = sound();
    // An odd length, as a file with something behind its sections can have.
    file.0.push(0x77);
    let checksum = put_checksum(&mut file);
    assert!(Image::parse(&file.0).is_ok());
    for at in (0x210..file.0.len()).step_by(97) {
        file.0[at] ^= 0x10;
        let line = refusal(&file);
        assert!(
            line.starts_with(&format!(
                "is damaged: its checksum is {checksum:#010x}, its"
            )),
            "byte {at:#x}: {line}"
        );
        file.0[at] ^= 0x10;
    }
    file.0.pop();
    assert!(matches!(Image::parse(&file.0), Err(Error::Checksum { .. })));
    file.put_u32(CHECKSUM_AT, 0);
    assert!(Image::parse(&file.0).is_ok(), "zero is no checksum");
}

#[test]
fn every_truncation_is_an_error() {
    let mut file = sound();
    // A section of which memory has less than the file: what is missing is padding only.
    file.put_u32(0x98 + 240 + 2 * 40 + 8, 0x20);
    let file = file.0;
    assert!(Image::parse(&file).is_ok());
    for length in 0..file.len() {
        assert!(
            Image::parse(&file[..length]).is_err(),
            "cut to {length} bytes"
        );
    }
}

#[test]
fn no_damage_makes_the_parser_panic() {
    let file = sound().0;
    let mut damaged = file.clone();
    for at in 0..file.len() {
        for byte in [0, 0x7F, 0x80, 0xFF, file[at] ^ 1, file[at].wrapping_add(1)] {
            damaged[at] = byte;
            explore(&damaged);
        }
        // A whole word of it, too: offsets and counts are words.
        if let Some(word) = damaged.get_mut(at..at + 4) {
            word.fill(0xFF);
            explore(&damaged);
            damaged[at..at + 4].copy_from_slice(&file[at..at + 4]);
        }
        damaged[at] = file[at];
    }
}
