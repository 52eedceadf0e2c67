extern crate std;

use std::vec::Vec;

use super::*;

/// The bytes that a value of a kind has in a message.
fn bytes<'a, K: Kind>(given: impl Argument<'a, K>) -> Vec<u8> {
    let value = given.into_value();
    let mut message = Message::new();
    K::describe(&value, &mut message);
    message.bytes().collect()
}

#[test]
fn integers_keep_their_values() {
    assert_eq!(bytes::<I8>(i8::MIN), (-128_i32).to_le_bytes());
    assert_eq!(bytes::<I16>(i16::MIN), (-32_768_i32).to_le_bytes());
    assert_eq!(bytes::<U8>(u8::MAX), 255_u32.to_le_bytes());
    assert_eq!(bytes::<U16>(u16::MAX), 65_535_u32.to_le_bytes());
    assert_eq!(bytes::<I32>(i32::MIN), i32::MIN.to_le_bytes());
    assert_eq!(bytes::<Isize>(-1), [0xFF; 8]);
    assert_eq!(bytes::<Usize>(1), 1_u64.to_le_bytes());
    assert_eq!(
        bytes::<Pointer>(std::ptr::without_provenance::<u8>(0x1234)),
        0x1234_u64.to_le_bytes()
    );
    assert_eq!(bytes::<Bool>(true), 1_u32.to_le_bytes());
    assert_eq!(bytes::<Port>(443), [0x01, 0xBB]);
}

#[test]
fn texts_have_their_length_and_are_cut_with_a_mark() {
    assert_eq!(bytes::<Str>("ab"), b"\x02\0ab");
    assert_eq!(bytes::<Str>(""), [0, 0]);
    let long = [b'x'; LONGEST_TEXT + 1];
    assert_eq!(bytes::<Str>(&long[1..]).len(), 2 + LONGEST_TEXT);
    let cut = bytes::<Str>(&long);
    assert_eq!(cut[..2], 515_u16.to_le_bytes());
    assert!(cut.ends_with(b"x..."));
    assert_eq!(cut.len(), 2 + 515);
    assert_eq!(bytes::<Bytes>(&[1, 2, 3]), [3, 0, 1, 2, 3]);
}

#[test]
fn wide_texts_are_counted_in_bytes_and_cut_between_characters() {
    assert_eq!(
        bytes::<WideStr>(&[0x41, 0x20AC]),
        [4, 0, 0x41, 0, 0xAC, 0x20]
    );
    let mut long = [0x41; LONGEST_TEXT + 1];
    let cut = bytes::<WideStr>(&long);
    assert_eq!(cut.len(), 2 + 2 * LONGEST_TEXT + 6);
    assert!(cut.ends_with(b"A\0.\0.\0.\0"));
    // 😀 would be cut in the middle.
    [long[LONGEST_TEXT - 1], long[LONGEST_TEXT]] = [0xD83D, 0xDE00];
    let cut = bytes::<WideStr>(&long);
    assert_eq!(cut.len(), 2 + 2 * (LONGEST_TEXT - 1) + 6);
    assert!(cut.ends_with(b"A\0.\0.\0.\0"));
}

enum State {
    Stopped,
    Running,
}

crate::names! {
    /// States.
    enumeration States(State) { Stopped = 5, Running = 0x10 }
    flags Abilities { A = 1, B = 2 }
}

#[test]
fn names_have_their_numbers() {
    assert_eq!(bytes::<States>(State::Stopped), 5_u32.to_le_bytes());
    assert_eq!(bytes::<States>(State::Running), 16_u32.to_le_bytes());
    assert_eq!(bytes::<Abilities>(3_u32), 3_u32.to_le_bytes());
}

#[test]
fn a_declared_kind_is_known_by_its_name_alone() {
    crate::names! {
        /// What can be.
        flags Abilities { Receive = 1 }
    }
    assert!(has_its_name::<Abilities>("Abilities"));
    for other in ["", "Abilit", "AbilitiesOf", "abilities"] {
        assert!(!has_its_name::<Abilities>(other), "{other}");
    }
    assert!(has_its_name::<U32>("kind :: U32"));
}
