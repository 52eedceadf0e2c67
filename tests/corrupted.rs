//! A corrupted image is refused or reported: it neither takes the lab down nor keeps it busy for ever.

use std::fs;

use tests::{Lab, Scratch, capture, driver};

/// Images that are tried.
const IMAGES: u64 = 100;

/// Numbers that look random and repeat.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Where the PE header starts.
fn pe_header(image: &[u8]) -> usize {
    u32::from_le_bytes(image[0x3C..0x40].try_into().unwrap()) as usize
}

/// Where the code lies in the file: the first section, and its bytes.
fn code(image: &[u8]) -> (usize, usize) {
    let header = pe_header(image);
    let optional = u16::from_le_bytes(image[header + 20..header + 22].try_into().unwrap());
    let section = header + 24 + usize::from(optional);
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    (word(section + 20), word(section + 16))
}

#[test]
fn damaged_code_does_not_take_the_lab_down() {
    let scratch = Scratch::new("corrupted");
    let sound = fs::read(driver("faulty")).unwrap();
    let (start, bytes) = code(&sound);
    for number in 0..IMAGES {
        let mut numbers = Numbers(number);
        let mut image = sound.clone();
        // An image whose checksum does not fit is refused at once.
        let checksum = pe_header(&image) + 24 + 64;
        image[checksum..checksum + 4].fill(0);
        for _ in 0..[1, 16, 256][numbers.below(3)] {
            let at = start + numbers.below(bytes);
            image[at] = numbers.below(256) as u8;
        }
        let path = scratch.path().join("corrupted.sys");
        fs::write(&path, &image).unwrap();
        let output = Lab::run(&path)
            .pcap(&capture("ping"))
            .set("Fault", "pool-whole")
            .output();
        assert!(
            (0..=2).contains(&output.exit),
            "image {number}: exit code {}: {}",
            output.exit,
            output.stderr
        );
    }
}
