//! What a step is expected to come to.

use lab_kernel::Outcome;

use super::source::{Keys, Source, Value};
use super::step;
use crate::error::Error;

/// What the author of a step expects of it; without anything, that it was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    /// `false` for a step that cannot be done.
    done: Option<bool>,
    status: Option<u32>,
    output: Option<Vec<u8>>,
    output_start: Option<Vec<u8>>,
    bytes: Option<u64>,
    passed: Option<u64>,
    dropped: Option<u64>,
}

/// What a step of this word tells, by the keys of `expect`, beside whether it was done.
fn told(word: &str) -> &'static [&'static str] {
    match word {
        "send" | "receive" => &["passed", "dropped"],
        "oid" | "mode" | "ioctl" | "read" => &["status", "bytes", "output", "output-start"],
        "write" => &["status", "bytes"],
        "open" | "net-event" | "device-event" => &["status"],
        _ => &[],
    }
}

/// The keys that [`told`] speaks of.
const TOLD: [&str; 6] = [
    "status",
    "bytes",
    "output",
    "output-start",
    "passed",
    "dropped",
];

impl Expectation {
    /// What is expected of a step of this word.
    pub(super) fn read(source: &Source, value: Value<'_>, word: &str) -> Result<Self, Error> {
        let mut keys = Keys::of(source, format!("`expect` of a step `{word}`"), value)?;
        let told = told(word);
        let given: Vec<_> = TOLD
            .into_iter()
            .filter_map(|key| Some((key, keys.place_of(key)?)))
            .collect();
        if let Some((key, place)) = given.iter().find(|(key, _)| !told.contains(key)) {
            let all: Vec<String> = told
                .iter()
                .chain(&["done"])
                .map(|key| format!("`{key}`"))
                .collect();
            let why = format!(
                "a step `{word}` tells no `{key}`: its `expect` has {}",
                all.join(", ")
            );
            return Err(source.refuse(place, why));
        }
        let status = match keys.take("status") {
            Some(value) => Some(step::code(
                source,
                "status",
                value,
                &["STATUS_", "NDIS_STATUS_"],
            )?),
            None => None,
        };
        let expected = Self {
            done: keys.flag("done")?,
            status,
            output: keys.bytes("output", step::MOST_BYTES)?,
            output_start: keys.bytes("output-start", step::MOST_BYTES)?,
            bytes: keys.number("bytes", 0..=u64::MAX)?,
            passed: keys.number("passed", 0..=u64::MAX)?,
            dropped: keys.number("dropped", 0..=u64::MAX)?,
        };
        if let (Some((key, place)), Some(false)) = (given.first(), expected.done) {
            let why = format!("a step `{word}` that is not done has no `{key}`");
            return Err(source.refuse(place, why));
        }
        keys.finish()?;
        Ok(expected)
    }

    /// What of the outcome of a step, which is known by its word, is not as expected, if anything is.
    pub(super) fn failure(&self, word: &str, outcome: &Outcome) -> Option<String> {
        match (self.done.unwrap_or(true), outcome.undone) {
            (true, Some(why)) => return Some(format!("not done: {why}")),
            (false, None) => return Some("done, and expected not to be".to_owned()),
            (false, Some(_)) => return None,
            (true, None) => {}
        }
        let packets = |part: fn(&lab_kernel::Packets) -> u64| outcome.packets.as_ref().map(part);
        differs("status", self.status, outcome.status, |status| {
            status_text(word, *status)
        })
        .or_else(|| {
            differs("bytes", self.bytes, outcome.bytes, |bytes| {
                bytes.to_string()
            })
        })
        .or_else(|| {
            let output = Some(&outcome.output);
            differs("output", self.output.as_ref(), output, |bytes| shown(bytes))
        })
        .or_else(|| {
            let expected = self.output_start.as_ref()?;
            let there = outcome.output.len().min(expected.len());
            let start = outcome.output[..there].to_vec();
            let name = "start of the output";
            differs(name, Some(expected), Some(&start), |bytes| shown(bytes))
        })
        .or_else(|| {
            let passed = packets(|packets| packets.passed);
            differs("packets passed", self.passed, passed, |count| {
                count.to_string()
            })
        })
        .or_else(|| {
            let dropped = packets(|packets| packets.dropped);
            differs("packets dropped", self.dropped, dropped, |count| {
                count.to_string()
            })
        })
    }
}

/// What is to be said if something is not as expected.
fn differs<T: PartialEq>(
    what: &str,
    expected: Option<T>,
    found: Option<T>,
    text: impl Fn(&T) -> String,
) -> Option<String> {
    let expected = expected?;
    match found {
        Some(found) if found == expected => None,
        Some(found) => Some(format!(
            "{what} is {}, expected {}",
            text(&found),
            text(&expected)
        )),
        None => Some(format!("no {what}, expected {}", text(&expected))),
    }
}

fn status_text(word: &str, status: u32) -> String {
    match status_name(word, status) {
        Some(name) => format!("{status:#010x} ({name})"),
        None => format!("{status:#010x}"),
    }
}

/// The name of what a step has ended with: of NDIS for its requests, else of NT.
pub(super) fn status_name(word: &str, status: u32) -> Option<&'static str> {
    let prefixes = if matches!(word, "oid" | "net-event") {
        ["NDIS_STATUS_", "STATUS_"]
    } else {
        ["STATUS_", "NDIS_STATUS_"]
    };
    lab_kernel::name_of(status, &prefixes)
}

/// Bytes in hexadecimal.
pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same, of many the first ones.
fn shown(bytes: &[u8]) -> String {
    /// Bytes that a line has room for.
    const ROOM: usize = 32;
    match bytes.len() {
        0 => "empty".to_owned(),
        length if length > ROOM => format!("{}... ({length} bytes)", digits(&bytes[..ROOM])),
        _ => digits(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_expected_is_told() {
        let outcome = Outcome {
            status: Some(0xC000_00BB),
            output: vec![1, 2, 3],
            bytes: Some(3),
            ..Outcome::default()
        };
        let expected = |change: fn(&mut Expectation)| {
            let mut expected = Expectation::default();
            change(&mut expected);
            expected.failure("oid", &outcome)
        };
        assert_eq!(expected(|_| {}), None);
        assert_eq!(expected(|it| it.status = Some(0xC000_00BB)), None);
        assert_eq!(
            expected(|it| it.status = Some(0)).as_deref(),
            Some(
                "status is 0xc00000bb (NDIS_STATUS_NOT_SUPPORTED), expected 0x00000000 (NDIS_STATUS_SUCCESS)"
            )
        );
        assert_eq!(expected(|it| it.output_start = Some(vec![1, 2])), None);
        assert_eq!(
            expected(|it| it.output = Some(vec![1, 2])).as_deref(),
            Some("output is 010203, expected 0102")
        );
        assert_eq!(
            expected(|it| it.passed = Some(4)).as_deref(),
            Some("no packets passed, expected 4")
        );
        assert!(expected(|it| it.done = Some(false)).is_some());
        let undone = Outcome {
            undone: Some("the file is not open"),
            ..Outcome::default()
        };
        let failure = Expectation::default().failure("ioctl", &undone);
        assert_eq!(failure.as_deref(), Some("not done: the file is not open"));
    }
}
