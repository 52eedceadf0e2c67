//! `Rtl*Bit*`: bitmaps, of which a driver sees the words.

use super::imports;
use crate::abi::nt::RTL_BITMAP as B;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlInitializeBitMap => initialize,
    RtlClearBit => clear_one,
    RtlSetBit => set_one,
    RtlTestBit => test,
    RtlClearAllBits => clear_all,
    RtlSetAllBits => set_all,
    RtlClearBits => clear_some,
    RtlSetBits => set_some,
    RtlAreBitsClear => are_clear,
    RtlAreBitsSet => are_set,
    RtlFindClearBits => find_clear,
    RtlFindSetBits => find_set,
    RtlFindClearBitsAndSet => find_clear_and_set,
    RtlFindSetBitsAndClear => find_set_and_clear,
    RtlFindFirstRunClear => first_clear_run,
    RtlFindLongestRunClear => longest_clear_run,
    RtlFindNextForwardRunClear => next_clear_run,
    RtlFindLastBackwardRunClear => last_clear_run,
    RtlFindClearRuns => clear_runs,
    RtlNumberOfClearBits => count_clear,
    RtlNumberOfSetBits => count_set,
    RtlNumberOfClearBitsInRange => count_clear_in_range,
    RtlNumberOfSetBitsInRange => count_set_in_range,
    RtlNumberOfSetBitsUlongPtr => count_of_word,
    RtlFindLeastSignificantBit => least_significant,
    RtlFindMostSignificantBit => most_significant,
}

/// What says that there is none.
const NONE: u64 = u32::MAX as u64;
/// The bits of a word.
const WORD: u32 = 32;

/// A bitmap of the driver's.
#[derive(Clone, Copy)]
struct Map {
    bits: u32,
    buffer: u64,
}

/// Bits in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    begin: u32,
    count: u32,
}

/// What a bitmap holds.
struct Bits {
    words: Vec<u8>,
    count: u32,
}

impl Bits {
    fn has(&self, index: u32) -> bool {
        let byte = self.words.get((index / 8) as usize);
        byte.is_some_and(|byte| byte >> (index % 8) & 1 != 0)
    }

    /// The runs of bits that are so.
    fn runs(&self, wanted: bool) -> impl Iterator<Item = Run> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let begin = (at..self.count).find(|index| self.has(*index) == wanted)?;
            let end = (begin..self.count).find(|index| self.has(*index) != wanted);
            at = end.unwrap_or(self.count);
            Some(Run {
                begin,
                count: at - begin,
            })
        })
    }

    /// Where so many bits are so, from `hint` on, or else from the beginning.
    fn find(&self, wanted: bool, count: u32, hint: u32) -> Option<u32> {
        let hint = if hint < self.count { hint } else { 0 };
        if count == 0 {
            return Some(hint);
        }
        let first = |from: u32| {
            self.runs(wanted).find_map(|run| {
                let end = run.begin + run.count;
                let begin = run.begin.max(from);
                (begin < end && end - begin >= count).then_some(begin)
            })
        };
        first(hint).or_else(|| first(0))
    }
}

impl Map {
    fn of(call: &Call<'_>) -> Self {
        let header = call.arg(0);
        Self {
            bits: B::SizeOfBitMap.read(header).or_fault(),
            buffer: B::Buffer.read(header).or_fault(),
        }
    }

    fn word(self, index: u32) -> u64 {
        self.buffer.wrapping_add(u64::from(index / WORD) * 4)
    }

    fn load(self) -> Bits {
        let bytes = self.bits.div_ceil(WORD) as usize * 4;
        Bits {
            words: mem::read_bytes(self.buffer, bytes).or_fault(),
            count: self.bits,
        }
    }

    /// Sets or clears bits, word for word.
    fn change(self, begin: u32, count: u32, is_set: bool) {
        let (mut at, mut left) = (begin, count);
        while left > 0 {
            let first = at % WORD;
            let here = left.min(WORD - first);
            let mask = (u32::MAX >> (WORD - here)) << first;
            let word = mem::read::<u32>(self.word(at)).or_fault();
            let word = if is_set { word | mask } else { word & !mask };
            mem::write(self.word(at), word).or_fault();
            at = at.wrapping_add(here);
            left -= here;
        }
    }
}

fn initialize(call: &Call<'_>) -> u64 {
    B::Buffer.write(call.arg(0), call.arg(1)).or_fault();
    B::SizeOfBitMap
        .write(call.arg(0), call.arg_u32(2))
        .or_fault();
    0
}

fn clear_one(call: &Call<'_>) -> u64 {
    Map::of(call).change(call.arg_u32(1), 1, false);
    0
}

fn set_one(call: &Call<'_>) -> u64 {
    Map::of(call).change(call.arg_u32(1), 1, true);
    0
}

fn test(call: &Call<'_>) -> u64 {
    let index = call.arg_u32(1);
    let word = mem::read::<u32>(Map::of(call).word(index)).or_fault();
    (word >> (index % WORD) & 1).into()
}

fn clear_all(call: &Call<'_>) -> u64 {
    fill(call, 0)
}

fn set_all(call: &Call<'_>) -> u64 {
    fill(call, 0xFF)
}

/// All words, also what of the last is behind the last bit.
fn fill(call: &Call<'_>, byte: u8) -> u64 {
    let map = Map::of(call);
    let bytes = map.bits.div_ceil(WORD) as usize * 4;
    mem::fill(map.buffer, bytes, byte).or_fault();
    0
}

fn clear_some(call: &Call<'_>) -> u64 {
    Map::of(call).change(call.arg_u32(1), call.arg_u32(2), false);
    0
}

fn set_some(call: &Call<'_>) -> u64 {
    Map::of(call).change(call.arg_u32(1), call.arg_u32(2), true);
    0
}

fn are(call: &Call<'_>, wanted: bool) -> u64 {
    let bits = Map::of(call).load();
    let (begin, count) = (call.arg_u32(1), call.arg_u32(2));
    let is_inside = |end: &u32| count > 0 && *end <= bits.count;
    let end = begin.checked_add(count).filter(is_inside);
    u64::from(end.is_some_and(|end| (begin..end).all(|index| bits.has(index) == wanted)))
}

fn are_clear(call: &Call<'_>) -> u64 {
    are(call, false)
}

fn are_set(call: &Call<'_>) -> u64 {
    are(call, true)
}

fn find(call: &Call<'_>, wanted: bool) -> Option<u32> {
    Map::of(call)
        .load()
        .find(wanted, call.arg_u32(1), call.arg_u32(2))
}

/// Finds bits, and turns them.
fn find_and_turn(call: &Call<'_>, wanted: bool) -> u64 {
    let found = find(call, wanted);
    if let Some(begin) = found {
        Map::of(call).change(begin, call.arg_u32(1), !wanted);
    }
    found.map_or(NONE, u64::from)
}

fn find_clear(call: &Call<'_>) -> u64 {
    find(call, false).map_or(NONE, u64::from)
}

fn find_set(call: &Call<'_>) -> u64 {
    find(call, true).map_or(NONE, u64::from)
}

fn find_clear_and_set(call: &Call<'_>) -> u64 {
    find_and_turn(call, false)
}

fn find_set_and_clear(call: &Call<'_>) -> u64 {
    find_and_turn(call, true)
}

/// Tells where a run begins; gives its length.
fn tell(run: Option<Run>, begin: u64, otherwise: u32) -> u64 {
    let run = run.unwrap_or(Run {
        begin: otherwise,
        count: 0,
    });
    mem::write(begin, run.begin).or_fault();
    run.count.into()
}

fn first_clear_run(call: &Call<'_>) -> u64 {
    tell(Map::of(call).load().runs(false).next(), call.arg(1), 0)
}

/// The first of the longest.
fn longest(a: Run, b: Run) -> Run {
    if b.count > a.count { b } else { a }
}

fn longest_clear_run(call: &Call<'_>) -> u64 {
    let run = Map::of(call).load().runs(false).reduce(longest);
    tell(run, call.arg(1), 0)
}

fn next_clear_run(call: &Call<'_>) -> u64 {
    let (from, bits) = (call.arg_u32(1), Map::of(call).load());
    let run = bits.runs(false).find(|run| run.begin + run.count > from);
    let run = run.map(|run| Run {
        begin: run.begin.max(from),
        count: run.begin + run.count - run.begin.max(from),
    });
    tell(run, call.arg(2), from)
}

fn last_clear_run(call: &Call<'_>) -> u64 {
    let (from, bits) = (call.arg_u32(1), Map::of(call).load());
    let run = bits.runs(false).take_while(|run| run.begin <= from).last();
    let run = run.map(|run| Run {
        begin: run.begin,
        count: run.count.min((from - run.begin).saturating_add(1)),
    });
    tell(run, call.arg(2), from)
}

fn clear_runs(call: &Call<'_>) -> u64 {
    let (array, room, wants_longest) = (call.arg(1), call.arg_u32(2), call.arg_u8(3) != 0);
    let bits = Map::of(call).load();
    let mut runs: Vec<Run> = bits.runs(false).collect();
    if wants_longest {
        runs.sort_by_key(|run| std::cmp::Reverse(run.count));
    }
    runs.truncate(room as usize);
    for (at, run) in (array..).step_by(8).zip(&runs) {
        mem::write(at, run.begin).or_fault();
        mem::write(at + 4, run.count).or_fault();
    }
    runs.len() as u64
}

fn count(call: &Call<'_>, wanted: bool) -> u64 {
    let bits = Map::of(call).load();
    bits.runs(wanted).map(|run| u64::from(run.count)).sum()
}

fn count_clear(call: &Call<'_>) -> u64 {
    count(call, false)
}

fn count_set(call: &Call<'_>) -> u64 {
    count(call, true)
}

/// What of a range is outside counts as nothing.
fn count_in_range(call: &Call<'_>, wanted: bool) -> u64 {
    let bits = Map::of(call).load();
    let (begin, length) = (call.arg_u32(1), call.arg_u32(2));
    let end = begin.saturating_add(length).min(bits.count);
    (begin..end)
        .filter(|index| bits.has(*index) == wanted)
        .count() as u64
}

fn count_clear_in_range(call: &Call<'_>) -> u64 {
    count_in_range(call, false)
}

fn count_set_in_range(call: &Call<'_>) -> u64 {
    count_in_range(call, true)
}

fn count_of_word(call: &Call<'_>) -> u64 {
    call.arg(0).count_ones().into()
}

/// A CCHAR: -1 for none.
const NO_BIT: u64 = 0xFF;

fn least_significant(call: &Call<'_>) -> u64 {
    match call.arg(0) {
        0 => NO_BIT,
        word => word.trailing_zeros().into(),
    }
}

fn most_significant(call: &Call<'_>) -> u64 {
    call.arg(0).checked_ilog2().map_or(NO_BIT, u64::from)
}

#[cfg(test)]
mod tests {
    use super::{Bits, Run};

    #[test]
    fn runs_are_found() {
        let bits = Bits {
            words: vec![0b1001_1100, 0b0000_0110, 0, 0],
            count: 13,
        };
        let run = |begin, count| Run { begin, count };
        let clear: Vec<Run> = bits.runs(false).collect();
        assert_eq!(clear, [run(0, 2), run(5, 2), run(8, 1), run(11, 2)]);
        assert_eq!(bits.find(false, 2, 0), Some(0));
        assert_eq!(bits.find(false, 2, 1), Some(5));
        assert_eq!(bits.find(false, 2, 12), Some(0));
        assert_eq!(bits.find(false, 2, 99), Some(0));
        assert_eq!(bits.find(true, 3, 0), Some(2));
        assert_eq!(bits.find(false, 3, 0), None);
    }
}
