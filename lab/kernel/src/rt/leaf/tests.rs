//! Leaves called as driver code calls them.

use super::{Leaf, List, Ordering, clear, machine, set_time};
use crate::rt::sched::IRQL;

/// Calls a leaf as driver code does.
fn call(leaf: Leaf, arguments: [u64; 3]) -> u64 {
    call_again(leaf, 0, arguments)
}

/// The same, with so many calls of its shadow.
fn call_again(leaf: Leaf, again: u8, arguments: [u64; 3]) -> u64 {
    let code = std::ptr::with_exposed_provenance::<()>(leaf.code(again) as usize);
    // SAFETY: it is the code of a function that takes four words at most and keeps what win64 says.
    let code: extern "win64" fn(u64, u64, u64) -> u64 = unsafe { std::mem::transmute(code) };
    let [first, second, third] = arguments;
    code(first, second, third)
}

fn address(bytes: &mut [u8], offset: usize) -> u64 {
    bytes[offset..].as_mut_ptr().expose_provenance() as u64
}

#[test]
fn shadows_change_nothing_that_anyone_looks_at() {
    let _only = machine::only();
    let level = || IRQL.load(Ordering::Relaxed);
    let old = level();
    let mut results = Vec::new();
    for again in 0..=2 {
        IRQL.store(1, Ordering::Relaxed);
        clear();
        set_time(77);
        let mut bytes: Vec<u8> = (0..64).collect();
        let (low, high) = (address(&mut bytes, 0), address(&mut bytes, 32));
        let mut found = Vec::new();
        for (leaf, arguments) in [
            (Leaf::RaiseToDispatch, [0; 3]),
            (Leaf::LowerToSecond, [5, 1, 7]),
            (Leaf::Raise, [3, 0, 0]),
            (Leaf::Lower, [1, 0, 0]),
            (Leaf::RaiseQueued, [0, low, 0]),
            (Leaf::LowerQueued, [low, 0, 0]),
            (Leaf::Level, [0; 3]),
            (Leaf::True, [0; 3]),
            (Leaf::Counter, [high, 0, 0]),
            (Leaf::Time, [high + 8, 0, 0]),
            (Leaf::Copy, [high + 16, low, 16]),
            (Leaf::Fill, [high, 9, 8]),
            (Leaf::Note(List::First), [0, 11, 0]),
            (Leaf::Note(List::Second), [0, 12, 0]),
            (Leaf::Note(List::Third), [0, 13, 0]),
        ] {
            let result = call_again(leaf, again, arguments);
            let is_told = !matches!(
                leaf,
                Leaf::LowerToSecond
                    | Leaf::Lower
                    | Leaf::RaiseQueued
                    | Leaf::LowerQueued
                    | Leaf::Copy
                    | Leaf::Fill
                    | Leaf::Note(_)
            );
            found.push((is_told.then_some(result), level()));
        }
        call_again(Leaf::Nothing, again, [0; 3]);
        let noted = [List::First, List::Second, List::Third].map(|list| (list.pop(), list.pop()));
        results.push((found, noted, bytes));
    }
    IRQL.store(old, Ordering::Relaxed);
    assert_eq!(
        results[0].1.map(|noted| noted.0),
        [Some(11), Some(12), Some(13)]
    );
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[test]
fn copies_are_those_of_memmove() {
    for length in 0..70_usize {
        for (from, to) in [
            (0, 80),
            (80, 0),
            (40, 41),
            (41, 40),
            (40, 47),
            (60, 44),
            (40, 40),
        ] {
            let mut bytes: Vec<u8> = (0..160).collect();
            let mut expected = bytes.clone();
            expected.copy_within(from..from + length, to);
            let (source, target) = (address(&mut bytes, from), address(&mut bytes, to));
            let result = call(Leaf::Copy, [target, source, length as u64]);
            assert_eq!(result, target);
            assert_eq!(bytes, expected, "{length} bytes from {from} to {to}");
        }
    }
}

#[test]
fn all_is_filled_and_nothing_else() {
    for length in 0..70_usize {
        let mut bytes = vec![1; 80];
        let target = address(&mut bytes, 5);
        // Only the lowest byte counts.
        assert_eq!(call(Leaf::Fill, [target, 0xFFAB, length as u64]), target);
        let is_right = |(at, byte): (usize, &u8)| {
            *byte
                == if (5..5 + length).contains(&at) {
                    0xAB
                } else {
                    1
                }
        };
        assert!(bytes.iter().enumerate().all(is_right), "{length} bytes");
    }
}

#[test]
fn levels_times_and_lists_are_what_they_stand_for() {
    let _only = machine::only();
    let level = || IRQL.load(Ordering::Relaxed);
    let old = level();
    IRQL.store(0, Ordering::Relaxed);
    assert_eq!(call(Leaf::RaiseToDispatch, [0; 3]), 0);
    assert_eq!((level(), call(Leaf::Level, [0; 3])), (2, 2));
    call(Leaf::LowerToSecond, [0, 1, 0]);
    assert_eq!(level(), 1);
    let mut handle = [0_u8; 24];
    let queued = address(&mut handle, 0);
    call(Leaf::RaiseQueued, [0, queued, 0]);
    assert_eq!(level(), 2);
    call(Leaf::LowerQueued, [queued, 0, 0]);
    assert_eq!(level(), 1);
    assert_eq!(call(Leaf::Raise, [3, 0, 0]), 1);
    // Nothing goes down here, whatever is there.
    assert_eq!(call(Leaf::RaiseToDispatch, [0; 3]), 3);
    assert_eq!(level(), 3);
    call(Leaf::Lower, [0; 3]);
    assert_eq!(level(), 0);
    IRQL.store(old, Ordering::Relaxed);

    set_time(77);
    let mut word = [0_u8; 8];
    let at = address(&mut word, 0);
    assert_eq!(call(Leaf::Counter, [at, 0, 0]), 77);
    assert_eq!(u64::from_le_bytes(word), 10_000_000);
    assert_eq!(call(Leaf::Time, [at, 0, 0]), 77);
    assert_eq!(u64::from_le_bytes(word), 77);
    assert_eq!(call(Leaf::True, [0; 3]), 1);

    clear();
    let second = Leaf::Note(List::Second);
    for number in 1..=4096 {
        call(second, [0, number, 0]);
    }
    assert!(List::First.is_empty() && List::Third.is_empty());
    assert_eq!(List::Second.pop(), Some(4096));
    call(second, [0, 5000, 0]);
    assert_eq!(List::Second.pop(), Some(5000));
    assert!(!clear(), "none was full");
    assert!(List::Second.is_empty());
    for number in 0..=4096 {
        call(Leaf::Note(List::Third), [0, number, 0]);
    }
    assert!(clear(), "one was full");
}
