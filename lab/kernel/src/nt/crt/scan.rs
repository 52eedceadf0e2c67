//! `sscanf_s` and its kin: values in text. Of texts and characters the next argument tells the room.

use super::number::{self, is_space};
use super::{NARROW as N, WIDE as W, read, write};
use crate::nt::imports;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    sscanf_s => scan::<N>,
    swscanf_s => scan::<W>,
    _snscanf_s => scan_some::<N>,
    _snwscanf_s => scan_some::<W>,
}

/// -1: the text has ended before there was any value.
const EOF: u64 = u32::MAX as u64;

/// What stands between `%` and the end of a conversion.
#[derive(Default)]
struct Spec {
    is_dropped: bool,
    width: Option<u64>,
    /// Bytes of a number.
    bytes: u64,
    /// Whether a text is of UTF-16, where the format says so.
    is_wide: Option<bool>,
}

/// A text that is read, a format that is followed, and arguments that are filled.
struct Scan<'a, const X: u64> {
    call: &'a Call<'a>,
    text: u64,
    /// No character at or behind it is read.
    limit: u64,
    at: u64,
    format: u64,
    next: u64,
    argument: usize,
    stored: u64,
}

fn scan<const X: u64>(call: &Call<'_>) -> u64 {
    start::<X>(call, u64::MAX, 1).run()
}

fn scan_some<const X: u64>(call: &Call<'_>) -> u64 {
    start::<X>(call, call.arg(1), 2).run()
}

fn start<'a, const X: u64>(call: &'a Call<'a>, limit: u64, format: usize) -> Scan<'a, X> {
    Scan {
        call,
        text: call.arg(0),
        limit,
        at: 0,
        format: call.arg(format),
        next: 0,
        argument: format + 1,
        stored: 0,
    }
}

impl<const X: u64> Scan<'_, X> {
    /// A character of the text; zero at its end.
    fn unit(&self, at: u64) -> u16 {
        if at < self.limit {
            read::<X>(self.text, at)
        } else {
            0
        }
    }

    fn peek(&self) -> u16 {
        read::<X>(self.format, self.next)
    }

    /// Takes a character of the format if it is this.
    fn take(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == wanted.into();
        self.next += u64::from(is_next);
        is_next
    }

    fn argument(&mut self) -> u64 {
        self.argument += 1;
        self.call.arg(self.argument - 1)
    }

    fn pass_space(&mut self) {
        while is_space(self.unit(self.at)) {
            self.at += 1;
        }
    }

    fn run(mut self) -> u64 {
        loop {
            let unit = self.peek();
            if unit == 0 {
                return self.stored;
            }
            if is_space(unit) {
                self.next += 1;
                self.pass_space();
            } else if self.take(b'%') {
                if self.convert().is_none() {
                    break;
                }
            } else if self.unit(self.at) == unit {
                self.next += 1;
                self.at += 1;
            } else {
                break;
            }
        }
        if self.stored == 0 && self.unit(self.at) == 0 {
            return EOF;
        }
        self.stored
    }

    fn spec(&mut self) -> Spec {
        let mut spec = Spec {
            is_dropped: self.take(b'*'),
            bytes: 4,
            ..Spec::default()
        };
        while let Some(digit) =
            char::from_u32(self.peek().into()).and_then(|unit| unit.to_digit(10))
        {
            let width = spec.width.unwrap_or(0).saturating_mul(10);
            spec.width = Some(width.saturating_add(digit.into()));
            self.next += 1;
        }
        if self.take(b'h') {
            (spec.bytes, spec.is_wide) = (2, Some(false));
            if self.take(b'h') {
                spec.bytes = 1;
            }
        } else if self.take(b'l') {
            spec.is_wide = Some(true);
            if self.take(b'l') {
                spec.bytes = 8;
            }
        } else if self.take(b'w') {
            spec.is_wide = Some(true);
        } else if self.take(b'I') {
            let is_short = self.take(b'3') && self.take(b'2');
            let _ = self.take(b'6') && self.take(b'4');
            spec.bytes = if is_short { 4 } else { 8 };
        }
        spec
    }

    /// One conversion; none where the text is not what it wants.
    fn convert(&mut self) -> Option<()> {
        let spec = self.spec();
        let letter = u8::try_from(self.peek()).ok()?;
        self.next += 1;
        match letter {
            b'%' => {
                self.pass_space();
                (self.unit(self.at) == b'%'.into()).then(|| self.at += 1)
            }
            b'd' | b'u' => self.number(&spec, 10),
            b'i' => self.number(&spec, 0),
            b'x' | b'X' => self.number(&spec, 16),
            // A pointer, whatever is said of its size.
            b'p' => self.number(&Spec { bytes: 8, ..spec }, 16),
            b'o' => self.number(&spec, 8),
            b's' | b'S' => {
                self.pass_space();
                let is_wide = spec.is_wide.unwrap_or((X == W) != (letter == b'S'));
                self.string(&spec, is_wide, |unit| !is_space(unit))
            }
            b'c' | b'C' => {
                let is_wide = spec.is_wide.unwrap_or((X == W) != (letter == b'C'));
                self.characters(&spec, is_wide)
            }
            b'[' => {
                let set = self.set();
                let is_wide = spec.is_wide.unwrap_or(X == W);
                self.string(&spec, is_wide, |unit| set.has(unit))
            }
            b'n' => {
                // Nothing is taken from the text, and it counts as no value.
                let target = self.argument();
                mem::write(target, self.at as u32).or_fault();
                Some(())
            }
            _ => None,
        }
    }

    fn number(&mut self, spec: &Spec, base: u32) -> Option<()> {
        self.pass_space();
        let begin = self.at;
        let end = spec
            .width
            .map_or(u64::MAX, |width| begin.saturating_add(width));
        let unit = |at: u64| {
            if begin + at < end {
                self.unit(begin + at)
            } else {
                0
            }
        };
        let parsed = number::parse(unit, base);
        if parsed.end == 0 {
            return None;
        }
        self.at += parsed.end;
        if !spec.is_dropped {
            let value = parsed.unsigned_64().to_le_bytes();
            let target = self.argument();
            mem::write_bytes(target, &value[..spec.bytes as usize]).or_fault();
            self.stored += 1;
        }
        Some(())
    }

    /// A text of at least one such character. What does not fit into its room is none, and leaves an empty text.
    fn string(&mut self, spec: &Spec, is_wide: bool, belongs: impl Fn(u16) -> bool) -> Option<()> {
        let most = spec.width.unwrap_or(u64::MAX);
        let is_in = |index: &u64| {
            let unit = self.unit(self.at + index);
            *index < most && unit != 0 && belongs(unit)
        };
        let count = (0..).take_while(is_in).count() as u64;
        if count == 0 {
            return None;
        }
        self.store(spec, is_wide, count, true)
    }

    fn characters(&mut self, spec: &Spec, is_wide: bool) -> Option<()> {
        let count = spec.width.unwrap_or(1);
        let is_whole = (0..count).all(|index| self.unit(self.at + index) != 0);
        is_whole.then_some(())?;
        self.store(spec, is_wide, count, false)
    }

    fn store(&mut self, spec: &Spec, is_wide: bool, count: u64, has_end: bool) -> Option<()> {
        let begin = self.at;
        if spec.is_dropped {
            self.at += count;
            return Some(());
        }
        let target = self.argument();
        // The room is an `unsigned`.
        let room = self.argument() & 0xFFFF_FFFF;
        let put = |index, unit| {
            if is_wide {
                write::<W>(target, index, unit);
            } else {
                write::<N>(target, index, unit);
            }
        };
        if count + u64::from(has_end) > room {
            if room > 0 {
                put(0, 0);
            }
            return None;
        }
        for index in 0..count {
            put(index, self.unit(begin + index));
        }
        if has_end {
            put(count, 0);
        }
        self.at += count;
        self.stored += 1;
        Some(())
    }

    /// The characters between brackets; a bracket that is the first is one of them.
    fn set(&mut self) -> Set {
        let is_other = self.take(b'^');
        let mut units = Vec::new();
        while self.peek() != 0 && (units.is_empty() || self.peek() != b']'.into()) {
            units.push(self.peek());
            self.next += 1;
        }
        self.next += u64::from(self.peek() != 0);
        Set { is_other, units }
    }
}

/// A set of characters, with ranges.
struct Set {
    is_other: bool,
    units: Vec<u16>,
}

impl Set {
    fn has(&self, unit: u16) -> bool {
        let in_range =
            |range: &[u16]| range[1] == b'-'.into() && (range[0]..=range[2]).contains(&unit);
        let is_in = self.units.contains(&unit) || self.units.windows(3).any(in_range);
        is_in != self.is_other
    }
}
