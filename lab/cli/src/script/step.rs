//! Steps: what all of them have, and groups of them.

use std::collections::BTreeMap;
use std::path::Path;

use lab_kernel::{Act, FileCall, FileOperation, Operation, Step, Target};
use lab_rules::event::OidKind;
use toml::de::DeArray;

use super::expect::Expectation;
use super::source::{Keys, Source, Value, within, wrong};
use super::{Known, MOST_FRAME_BYTES, MOST_ROOM_BYTES, MOST_STEPS, MOST_WAITING_NS, operation};
use crate::error::Error;
use crate::run;

/// The most bytes that a buffer of a step has.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Sequences of one group, at most: each is a thread.
const MOST_BRANCHES: usize = 64;

/// Reads steps.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    /// Names of the adapters.
    adapters: &'a [String],
    /// File names of the images, from the top.
    images: Vec<String>,
    /// Numbers of files that are opened, by name.
    pub(super) files: BTreeMap<String, u32>,
    pub(super) captures: operation::Captures,
    known: Vec<Known>,
    /// How often all that is read now is done.
    times: u64,
    /// Whether a group is read now.
    is_inside: bool,
    total: u64,
    waiting_ns: u64,
    frame_bytes: u64,
    room_bytes: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, adapters: &'a [String], images: &[&Path]) -> Self {
        Self {
            source,
            adapters,
            images: images.iter().map(|path| run::file_name(path)).collect(),
            files: BTreeMap::new(),
            captures: operation::Captures::default(),
            known: Vec::new(),
            times: 1,
            is_inside: false,
            total: 0,
            waiting_ns: 0,
            frame_bytes: 0,
            room_bytes: 0,
        }
    }

    /// What is known of all steps that were read.
    pub(super) fn into_known(self) -> Vec<Known> {
        self.known
    }

    /// Steps that come one after the other.
    pub(super) fn steps(&mut self, array: &'a DeArray<'a>) -> Result<Vec<Step>, Error> {
        array.iter().map(|value| self.step(value)).collect()
    }

    fn step(&mut self, value: Value<'a>) -> Result<Step, Error> {
        let mut keys = Keys::of(self.source, "a step", value)?;
        let word = keys.text("do")?;
        let word = keys.need("do", word)?;
        keys.rename(format!("a step `{}`", word.text.escape_debug()));
        let times = keys.number_u32("times", 1..=100_000)?.unwrap_or(1);
        let outside = self.times;
        self.times = outside.saturating_mul(times.into());
        let what = if word.text == "parallel" {
            Act::Parallel(self.branches(&mut keys)?)
        } else {
            Act::One(self.target(&mut keys, &word)?)
        };
        self.times = outside;
        keys.finish()?;
        Ok(Step { times, what })
    }

    /// The sequences of a group.
    fn branches(&mut self, keys: &mut Keys<'a>) -> Result<Vec<Vec<Step>>, Error> {
        if self.is_inside {
            return Err(keys.refuse("a group within a group: there are none"));
        }
        let branches = keys.array("branches")?;
        let branches = keys.need("branches", branches)?;
        if !(2..=MOST_BRANCHES).contains(&branches.len()) {
            let count = branches.len();
            let why = format!("`branches` has {count} sequences: it has 2 to {MOST_BRANCHES}");
            return Err(keys.refuse(why));
        }
        self.is_inside = true;
        let read = |value: Value<'a>| {
            let array = value.get_ref().as_array();
            let array = array.ok_or_else(|| {
                wrong(
                    self.source,
                    "a sequence of `branches`",
                    value,
                    "an array of steps",
                )
            })?;
            self.steps(array)
        };
        let all = branches.iter().map(read).collect();
        self.is_inside = false;
        all
    }

    fn target(
        &mut self,
        keys: &mut Keys<'a>,
        word: &super::source::Text<'a>,
    ) -> Result<Target, Error> {
        self.total = self.total.saturating_add(self.times);
        if self.total > MOST_STEPS {
            return Err(keys.refuse(format!(
                "that makes {} steps, those that are done again included: {MOST_STEPS} at most",
                self.total
            )));
        }
        let adapters = Choice {
            is: "an adapter's name, or its number",
            order: "from 0",
            names: self.adapters,
        };
        let adapter = self.pick(keys, "adapter", adapters)?.unwrap_or(0);
        let images = Choice {
            is: "an image's file name, or its number",
            order: "from 0 at the top",
            names: &self.images,
        };
        let image = self.pick(keys, "image", images)?;
        let expected = keys.take("expect");
        let done = operation::read(self, keys, word, adapter)?;
        let expected = match expected {
            Some(value) => Expectation::read(self.source, value, word.text)?,
            None => Expectation::default(),
        };
        self.weigh(keys, &done.operation)?;
        self.known.push(Known {
            line: keys.line(),
            word: word.text.to_owned(),
            about: done.about,
            adapter,
            expected,
        });
        Ok(Target {
            number: u32::try_from(self.known.len()).unwrap_or(u32::MAX),
            adapter,
            image,
            operation: done.operation,
        })
    }

    /// Refuses what takes more than there is, with all that came before.
    fn weigh(&mut self, keys: &Keys<'_>, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::Sleep(ns) | Operation::Settle(ns) => {
                let all = ns.saturating_mul(self.times);
                self.waiting_ns = self.waiting_ns.saturating_add(all);
            }
            Operation::Traffic(traffic) => {
                let lengths = traffic.frames.iter().map(|frame| frame.data.len() as u64);
                self.frame_bytes += lengths.sum::<u64>();
            }
            other => {
                let all = u64::from(room(other)).saturating_mul(self.times);
                self.room_bytes = self.room_bytes.saturating_add(all);
            }
        }
        let limits = [
            (
                "all waits take",
                self.waiting_ns,
                MOST_WAITING_NS,
                1_000_000_000,
                "s",
            ),
            (
                "all frames hold",
                self.frame_bytes,
                MOST_FRAME_BYTES,
                1 << 20,
                "MiB",
            ),
            (
                "all steps have room for",
                self.room_bytes,
                MOST_ROOM_BYTES,
                1 << 20,
                "MiB",
            ),
        ];
        match limits.into_iter().find(|(_, found, most, ..)| found > most) {
            Some((what, _, most, unit, name)) => {
                let most = most / unit;
                Err(keys.refuse(format!("{what} more than {most} {name}, the limit")))
            }
            None => Ok(()),
        }
    }

    /// Which of `names` a step has under `key`: by name, or by number from 0.
    fn pick<T: TryFrom<u64>>(
        &self,
        keys: &mut Keys<'a>,
        key: &'static str,
        choice: Choice<'_>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = keys.take(key) else {
            return Ok(None);
        };
        let Choice { is, order, names } = choice;
        let refuse = |why: String| self.source.refuse(&value.span(), why);
        let count = names.len() as u64;
        let found = match (value.get_ref().as_str(), value.get_ref().as_integer()) {
            (Some(name), _) => {
                let mut same = (0_u64..).zip(names).filter(|(_, known)| *known == name);
                let first = same.next().map(|(at, _)| at);
                if same.next().is_some() {
                    let why = format!("several {key}s have this name: give its number, {order}");
                    return Err(refuse(why));
                }
                first
            }
            (None, Some(number)) => within(number, &(0..=count.saturating_sub(1))),
            (None, None) => return Err(wrong(self.source, &format!("`{key}`"), value, is)),
        };
        let found = found.and_then(|at| T::try_from(at).ok());
        found.map(Some).ok_or_else(|| {
            let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let all = all.join(", ");
            refuse(format!("there is no such {key}; {order} there are {all}"))
        })
    }
}

/// What a step names one of.
struct Choice<'a> {
    /// What the value of the key has to be.
    is: &'a str,
    /// Where the numbers begin.
    order: &'a str,
    names: &'a [String],
}

/// Bytes of output that an operation has room for.
fn room(operation: &Operation) -> u32 {
    match operation {
        Operation::Oid(Some(ask)) => match ask.kind {
            OidKind::Query => ask.length,
            OidKind::Method => ask.output_length,
            OidKind::Set => 0,
        },
        Operation::File(FileOperation {
            call: FileCall::Send(request),
            ..
        }) => request.output_len,
        _ => 0,
    }
}

/// A 32-bit value by its C name, which begins with one of `prefixes`, or as a number.
pub(super) fn code(
    source: &Source,
    key: &str,
    value: Value<'_>,
    prefixes: &[&str],
) -> Result<u32, Error> {
    let name = format!("`{key}`");
    if let Some(integer) = value.get_ref().as_integer() {
        let number = within(integer, &(0..=u32::MAX.into()));
        return number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| {
                let why = format!("{name} is {integer}: it is from 0 to 0xffffffff");
                source.refuse(&value.span(), why)
            });
    }
    let Some(text) = value.get_ref().as_str() else {
        return Err(wrong(source, &name, value, "a name, or a number"));
    };
    let is_of_kind = prefixes.iter().any(|prefix| text.starts_with(prefix));
    let known = lab_kernel::value_of(text).filter(|_| is_of_kind);
    known.ok_or_else(|| {
        let (text, prefixes) = (text.escape_debug(), prefixes.join("... or "));
        let why = format!(
            "{name} is `{text}`, which is no name of {prefixes}... that the lab knows: give its number"
        );
        source.refuse(&value.span(), why)
    })
}
