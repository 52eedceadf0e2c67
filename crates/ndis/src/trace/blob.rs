//! What names an event: bytes that are made when the driver is compiled.
//!
//! The layouts are those of `TraceLoggingProvider.h`, which decoders read.

/// A field of an event: its name and how decoders read its bytes.
#[derive(Clone, Copy, Debug)]
pub struct FieldFacts {
    /// The name.
    pub name: &'static str,
    /// How the bytes are laid out (`TlgIn_t`).
    pub in_type: u8,
    /// How they are shown (`TlgOut_t`); 0 for as they are.
    pub out_type: u8,
}

/// Set in the layout's byte when a byte about showing follows.
const CHAIN: u8 = 0x80;

/// Length of [`event`].
#[must_use]
pub const fn event_length(name: &str, fields: &[FieldFacts]) -> usize {
    // Length, tag, name and its zero.
    let mut length = name.len().wrapping_add(4);
    let mut rest = fields;
    while let [field, behind @ ..] = rest {
        let types = if field.out_type == 0 { 1 } else { 2 };
        length = length
            .wrapping_add(field.name.len())
            .wrapping_add(1)
            .wrapping_add(types);
        rest = behind;
    }
    length
}

/// The metadata of an event: length, tag, name, and each field's name and types.
#[must_use]
pub const fn event<const N: usize>(name: &str, fields: &[FieldFacts]) -> [u8; N] {
    let mut bytes = Bytes::<N>::new();
    bytes.push(0); // no tag
    bytes.push_text(name);
    let mut rest = fields;
    while let [field, behind @ ..] = rest {
        bytes.push_text(field.name);
        if field.out_type == 0 {
            bytes.push(field.in_type);
        } else {
            bytes.push(field.in_type | CHAIN);
            bytes.push(field.out_type);
        }
        rest = behind;
    }
    bytes.finish()
}

/// Length of [`provider`].
#[must_use]
pub const fn provider_length(name: &str) -> usize {
    name.len().wrapping_add(3)
}

/// The metadata of a provider: length and name.
#[must_use]
pub const fn provider<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = Bytes::<N>::new();
    bytes.push_text(name);
    bytes.finish()
}

/// Bytes in the making; the first two are their number.
struct Bytes<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

#[expect(
    clippy::indexing_slicing,
    reason = "runs when the driver is compiled, where a panic is a compile error"
)]
impl<const N: usize> Bytes<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            used: 2,
        }
    }

    const fn push(&mut self, byte: u8) {
        self.bytes[self.used] = byte;
        self.used = self.used.wrapping_add(1);
    }

    const fn push_text(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        assert!(!rest.is_empty(), "a name is empty");
        while let [byte, behind @ ..] = rest {
            assert!(byte.is_ascii_graphic(), "names are ASCII without blanks");
            self.push(*byte);
            rest = behind;
        }
        self.push(0);
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    const fn finish(mut self) -> [u8; N] {
        assert!(self.used == N && N <= 0x7FFF, "wrong length");
        let [low, high] = (N as u16).to_le_bytes();
        self.bytes[0] = low;
        self.bytes[1] = high;
        self.bytes
    }
}

/// The namespace of provider names, which every implementation of TraceLogging and of `EventSource` uses.
const NAMESPACE: [u8; 16] = [
    0x48, 0x2C, 0x2D, 0xB2, 0xC3, 0x90, 0x47, 0xC8, 0x87, 0xF8, 0x1A, 0x15, 0xBF, 0xC1, 0x30, 0xFB,
];

/// The first 16 bytes of the GUID that belongs to a provider's name, as tools compute it for `*Name`: a SHA-1 of the
/// name in upper case, as a GUID lies in memory.
#[must_use]
#[expect(
    clippy::indexing_slicing,
    reason = "runs when the driver is compiled, where a panic is a compile error"
)]
pub const fn id_of_name(name: &str) -> [u8; 16] {
    // One block of SHA-1: namespace, name in UTF-16BE, padding.
    let mut block = [0_u8; 64];
    let mut used = 0;
    while used < NAMESPACE.len() {
        block[used] = NAMESPACE[used];
        used = used.wrapping_add(1);
    }
    let mut rest = name.as_bytes();
    while let [byte, behind @ ..] = rest {
        block[used.wrapping_add(1)] = byte.to_ascii_uppercase();
        used = used.wrapping_add(2);
        rest = behind;
    }
    block[used] = 0x80;
    assert!(used <= 55, "the name is longer than 19 characters");
    let [.., high, low] = (used.wrapping_mul(8) as u64).to_be_bytes();
    block[62] = high;
    block[63] = low;
    let mut id = [0; 16];
    let words = sha1(&block);
    let mut index = 0;
    while index < id.len() {
        id[index] = words[index / 4].to_be_bytes()[index % 4];
        index = index.wrapping_add(1);
    }
    id[7] = id[7] & 0x0F | 0x50;
    id
}

/// SHA-1 of one block that is padded already.
#[expect(
    clippy::indexing_slicing,
    reason = "runs when the driver is compiled, where a panic is a compile error"
)]
const fn sha1(block: &[u8; 64]) -> [u32; 5] {
    const START: [u32; 5] = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    let mut words = [0_u32; 80];
    let mut t: usize = 0;
    while t < 80 {
        words[t] = if t < 16 {
            let at = t.wrapping_mul(4);
            u32::from_be_bytes([
                block[at],
                block[at.wrapping_add(1)],
                block[at.wrapping_add(2)],
                block[at.wrapping_add(3)],
            ])
        } else {
            (words[t.wrapping_sub(3)]
                ^ words[t.wrapping_sub(8)]
                ^ words[t.wrapping_sub(14)]
                ^ words[t.wrapping_sub(16)])
            .rotate_left(1)
        };
        t = t.wrapping_add(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = START;
    t = 0;
    while t < 80 {
        let (mixed, constant) = match t {
            0..20 => (b & c | !b & d, 0x5A82_7999),
            20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
            40..60 => (b & c | b & d | c & d, 0x8F1B_BCDC),
            _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
        };
        let next = a
            .rotate_left(5)
            .wrapping_add(mixed)
            .wrapping_add(e)
            .wrapping_add(constant)
            .wrapping_add(words[t]);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        t = t.wrapping_add(1);
    }
    [
        START[0].wrapping_add(a),
        START[1].wrapping_add(b),
        START[2].wrapping_add(c),
        START[3].wrapping_add(d),
        START[4].wrapping_add(e),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_one_that_tools_compute() {
        // b3864c38-4273-58c5-545b-8b3608343471, from Microsoft's documentation of the algorithm.
        let id = id_of_name("MyProvider");
        assert_eq!(
            id,
            [
                0x38, 0x4C, 0x86, 0xB3, 0x73, 0x42, 0xC5, 0x58, 0x54, 0x5B, 0x8B, 0x36, 0x08, 0x34,
                0x34, 0x71
            ]
        );
        assert_eq!(id, id_of_name("MYPROVIDER"));
        assert_ne!(id, id_of_name("MyProvides"));
    }

    #[test]
    fn names_and_types_stand_in_the_metadata() {
        const FIELDS: &[FieldFacts] = &[
            FieldFacts {
                name: "A",
                in_type: 8,
                out_type: 0,
            },
            FieldFacts {
                name: "Bc",
                in_type: 7,
                out_type: 14,
            },
        ];
        const LENGTH: usize = event_length("Ev", FIELDS);
        assert_eq!(
            event::<LENGTH>("Ev", FIELDS),
            *b"\x0E\x00\x00Ev\0A\0\x08Bc\0\x87\x0E"
        );
        assert_eq!(provider::<{ provider_length("P") }>("P"), *b"\x04\x00P\0");
    }
}
