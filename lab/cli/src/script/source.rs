//! The text of a script, and its tables with the lines that they are from.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeTable, DeValue};

use crate::error::Error;

/// A value with its place.
pub(super) type Value<'a> = &'a Spanned<DeValue<'a>>;

/// A file of TOML.
pub(super) struct Source {
    pub(super) path: PathBuf,
    text: String,
    /// Where the lines begin.
    lines: Vec<usize>,
}

impl Source {
    /// The largest script that is read, in bytes.
    const MAX_LENGTH: usize = 16 << 20;

    /// A script of this text.
    pub(super) fn new(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        let bad = |why: &dyn Display| Error::bad_input(format!("{}: {why}", path.display()));
        if bytes.len() > Self::MAX_LENGTH {
            let most = Self::MAX_LENGTH;
            return Err(bad(&format!(
                "has more than {most} bytes, a script's limit"
            )));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            bad(&format!("is not UTF-8 at byte {at}"))
        })?;
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
        Ok(Self {
            path: path.to_owned(),
            lines: lines.collect(),
            text,
        })
    }

    /// Its root table.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, Error> {
        DeTable::parse(&self.text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            self.refuse(&error.span().unwrap_or(0..0), message)
        })
    }

    /// The number of the line that a place begins in.
    pub(super) fn line(&self, place: &Range<usize>) -> u32 {
        let begun = self.lines.partition_point(|begin| *begin <= place.start);
        u32::try_from(begun).unwrap_or(u32::MAX)
    }

    /// The error that what is written at a place cannot be used.
    pub(super) fn refuse(&self, place: &Range<usize>, why: impl Display) -> Error {
        let (path, line) = (self.path.display(), self.line(place));
        Error::bad_input(format!("{path}:{line}: {why}"))
    }
}

/// The keys of a table, each of which is to be taken.
pub(super) struct Keys<'a> {
    pub(super) source: &'a Source,
    /// Where the table begins.
    pub(super) place: Range<usize>,
    /// What people call it.
    name: String,
    left: BTreeMap<&'a str, (Range<usize>, Value<'a>)>,
    taken: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        source: &'a Source,
        name: impl Into<String>,
        place: Range<usize>,
        table: &'a DeTable<'a>,
    ) -> Self {
        let key = |(key, value): (&'a Spanned<DeString<'a>>, Value<'a>)| {
            (key.get_ref().as_ref(), (key.span(), value))
        };
        Self {
            source,
            place,
            name: name.into(),
            left: table.iter().map(key).collect(),
            taken: Vec::new(),
        }
    }

    /// Those of a value that has to be a table.
    pub(super) fn of(
        source: &'a Source,
        name: impl Into<String>,
        value: Value<'a>,
    ) -> Result<Self, Error> {
        let name = name.into();
        let table = value.get_ref().as_table();
        let table = table.ok_or_else(|| wrong(source, &name, value, "a table"))?;
        Ok(Self::new(source, name, value.span(), table))
    }

    /// What is called by another name from here on.
    pub(super) fn rename(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// The line in which the table begins.
    pub(super) fn line(&self) -> u32 {
        self.source.line(&self.place)
    }

    /// The error that something of this table cannot be used.
    pub(super) fn refuse(&self, why: impl Display) -> Error {
        self.source.refuse(&self.place, why)
    }

    /// Where a key stands that is not yet taken.
    pub(super) fn place_of(&self, key: &str) -> Option<Range<usize>> {
        self.left.get(key).map(|(place, _)| place.clone())
    }

    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.taken.push(key);
        self.left.remove(key).map(|(_, value)| value)
    }

    /// The value of a key that has to be there.
    pub(super) fn need<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.refuse(format!("{} has no `{key}`", self.name)))
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<Text<'a>>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let text = value.get_ref().as_str();
        let text = text.ok_or_else(|| wrong(self.source, &quoted(key), value, "a string"))?;
        Ok(Some(Text {
            text,
            place: value.span(),
        }))
    }

    /// Whether something is so.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let flag = value.get_ref().as_bool();
        let is = "true or false";
        flag.map(Some)
            .ok_or_else(|| wrong(self.source, &quoted(key), value, is))
    }

    /// A number within `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let integer = value.get_ref().as_integer();
        let integer = integer.ok_or_else(|| wrong(self.source, &quoted(key), value, "a number"))?;
        within(integer, &range).map(Some).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let why = format!("`{key}` is {integer}: it is from {least} to {most}");
            self.source.refuse(&value.span(), why)
        })
    }

    /// The same of 32 bits.
    pub(super) fn number_u32(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Error> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        let number = self.number(key, range)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    /// Bytes in hexadecimal, `most` of them at most.
    pub(super) fn bytes(
        &mut self,
        key: &'static str,
        most: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let bytes = hexadecimal(text.text, most);
        bytes
            .map(Some)
            .map_err(|why| self.source.refuse(&text.place, format!("`{key}` {why}")))
    }

    /// The values of an array, or one value.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<Value<'a>>> {
        let value = self.take(key)?;
        Some(match value.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => vec![value],
        })
    }

    /// The values of an array that has to be one.
    pub(super) fn array(&mut self, key: &'static str) -> Result<Option<&'a DeArray<'a>>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let array = value.get_ref().as_array();
        array
            .map(Some)
            .ok_or_else(|| wrong(self.source, &quoted(key), value, "an array"))
    }

    /// Nothing is left, or the first key that nobody knows.
    pub(super) fn finish(self) -> Result<(), Error> {
        let first = self.left.iter().min_by_key(|(_, (place, _))| place.start);
        let Some((key, (place, _))) = first else {
            return Ok(());
        };
        let known: Vec<String> = self.taken.iter().map(|key| quoted(key)).collect();
        let (name, known) = (&self.name, known.join(", "));
        let why = format!("{name} has no key `{key}`; it has {known}");
        Err(self.source.refuse(place, why))
    }
}

/// A text with its place.
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) place: Range<usize>,
}

fn quoted(key: &str) -> String {
    format!("`{key}`")
}

/// The error that a value is of another kind.
pub(super) fn wrong(source: &Source, name: &str, value: Value<'_>, expected: &str) -> Error {
    let found = value.get_ref().type_str();
    let why = format!("{name} is of type {found}: it is {expected}");
    source.refuse(&value.span(), why)
}

/// The value of an integer, if it is within `range`.
pub(super) fn within(integer: &DeInteger<'_>, range: &RangeInclusive<u64>) -> Option<u64> {
    let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    range.contains(&number).then_some(number)
}

/// Bytes in hexadecimal; blanks and `:`, `-`, `_` between them do not count.
pub(super) fn hexadecimal(text: &str, most: usize) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for (at, character) in (1_u32..).zip(text.chars()) {
        match character.to_digit(16) {
            Some(digit) => digits.push(digit as u8),
            None if character.is_whitespace() || ":-_".contains(character) => {}
            None => {
                let character = character.escape_debug();
                return Err(format!(
                    "has `{character}`, character {at}, which is no hexadecimal digit"
                ));
            }
        }
    }
    if !digits.len().is_multiple_of(2) {
        let count = digits.len();
        return Err(format!(
            "has {count} hexadecimal digits, an odd number: a byte has two"
        ));
    }
    if digits.len() / 2 > most {
        let count = digits.len() / 2;
        return Err(format!("has {count} bytes: {most} at most"));
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_refused() {
        assert_eq!(
            hexadecimal("00 ff:1A-2_b\n", 4),
            Ok(vec![0, 0xFF, 0x1A, 0x2B])
        );
        assert_eq!(hexadecimal("", 0), Ok(Vec::new()));
        for (text, why) in [
            ("0", "odd"),
            ("012", "odd"),
            ("0x01", "`x`, character 2"),
            ("0\u{e4}", "character 2"),
            ("0102030405", "5 bytes: 4 at most"),
        ] {
            let error = hexadecimal(text, 4).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        let source = Source::new("s.toml".as_ref(), b"a = 1\nb = 2\n".to_vec()).unwrap();
        let root = source.parse().unwrap();
        let mut keys = Keys::new(&source, "the script", root.span(), root.get_ref());
        assert_eq!(keys.number("a", 0..=9).unwrap(), Some(1));
        let error = keys.finish().unwrap_err();
        assert_eq!(
            error.line,
            "s.toml:2: the script has no key `b`; it has `a`"
        );
    }
}
