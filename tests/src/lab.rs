//! Running `lwf-lab`.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lab_cli::summary::{Finding, Summary};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::artefact;

/// A call of `lwf-lab run`, not made yet.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `output`, `clean` or `broken`"]
pub struct Lab(Vec<OsString>);

/// What a call ended with.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code.
    pub exit: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Lab {
    /// Any command.
    pub fn command(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self(Vec::new()).with(words)
    }

    /// Runs `image`, with JSON.
    pub fn run(image: &Path) -> Self {
        Self::screen(image).with(["--json"])
    }

    /// Runs `image`, with the screen for people.
    pub fn screen(image: &Path) -> Self {
        Self(vec!["run".into(), image.into()])
    }

    /// The call that a line such as `lwf-lab run …` makes, with JSON. Its words hold no blanks.
    pub fn command_line(line: &str) -> Self {
        let words = line.split_whitespace().skip(1).map(Into::into);
        Self(words.collect()).with(["--json"])
    }

    /// Plays many seeds of `image`, with JSON.
    pub fn stress(image: &Path) -> Self {
        Self(vec!["stress".into(), image.into()]).with(["--json"])
    }

    /// Fails every call of `image` that can fail, with JSON.
    pub fn sweep(image: &Path) -> Self {
        Self(vec!["sweep".into(), image.into()]).with(["--json"])
    }

    /// Prints the trace log `log`.
    pub fn decode(log: &Path) -> Self {
        Self(vec!["decode".into(), log.into()])
    }

    /// Adds arguments.
    pub fn with<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Adds an adapter that replays `capture`.
    pub fn pcap(self, capture: &Path) -> Self {
        self.with([OsStr::new("--pcap"), capture.as_os_str()])
    }

    /// Plays the script `path`.
    pub fn script(self, path: &Path) -> Self {
        self.with([OsStr::new("--script"), path.as_os_str()])
    }

    /// Chooses the seed.
    pub fn seed(self, seed: u64) -> Self {
        self.with(["--seed", &seed.to_string()])
    }

    /// Sets a registry value of the driver's parameters.
    pub fn set(self, name: &str, value: impl std::fmt::Display) -> Self {
        self.with(["--set", &format!("{name}={value}")])
    }

    /// Makes the call.
    ///
    /// # Panics
    ///
    /// When `lwf-lab` is not there or ends by a signal.
    pub fn output(&self) -> Output {
        self.finish(&mut self.process())
    }

    /// Makes the call and does not wait for its end.
    ///
    /// # Panics
    ///
    /// When `lwf-lab` is not there.
    pub fn start(&self) -> Child {
        self.process().spawn().expect("lwf-lab can be started")
    }

    /// Makes the call with its standard output going to `target`, a file or a pipe.
    ///
    /// # Panics
    ///
    /// As [`output`](Self::output).
    pub fn output_to(&self, target: impl Into<Stdio>) -> Output {
        self.finish(self.process().stdout(target))
    }

    /// Makes the call in `folder`, which is also the place for temporary files.
    ///
    /// # Panics
    ///
    /// As [`output`](Self::output).
    pub fn output_in(&self, folder: &Path) -> Output {
        self.finish(self.process().current_dir(folder).env("TMPDIR", folder))
    }

    fn process(&self) -> Command {
        let mut command = Command::new(artefact::lwf_lab());
        command
            .args(&self.0)
            .current_dir(artefact::repository())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn finish(&self, command: &mut Command) -> Output {
        let child = command.spawn().expect("lwf-lab can be started");
        let output = child.wait_with_output().expect("lwf-lab ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Output {
            exit: output
                .status
                .code()
                .unwrap_or_else(|| panic!("{self:?}: {}", output.status)),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Makes the call, expects exit code 0, and gives all that it has printed.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub fn passed(&self) -> Output {
        let output = self.output();
        assert_eq!(
            output.exit, 0,
            "{self:?}\n{}{}",
            output.stdout, output.stderr
        );
        output
    }

    /// Makes the call and expects exit code 0.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub fn clean(&self) -> Summary {
        self.passed().summary()
    }

    /// Makes the call with `--trace`, expects exit code 0, and gives all records that the session got.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub fn records(&self) -> Vec<Value> {
        self.passed().records()
    }

    /// Of these the events.
    ///
    /// # Panics
    ///
    /// As [`records`](Self::records).
    pub fn events(&self) -> Vec<Value> {
        self.passed().events()
    }

    /// Of these the messages of WPP.
    ///
    /// # Panics
    ///
    /// As [`records`](Self::records).
    pub fn messages(&self) -> Vec<Value> {
        self.passed().messages()
    }

    /// Makes the call, expects a broken rule, and gives it.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub fn broken(&self) -> Finding {
        let output = self.output();
        assert_eq!(
            output.exit, 1,
            "{self:?}\n{}{}",
            output.stdout, output.stderr
        );
        let summary = output.summary();
        summary
            .violation
            .unwrap_or_else(|| panic!("{self:?}: {:?}", summary.disagreements))
    }
}

impl Output {
    /// All records that the session of a run with `--trace` got: a line each, before the run's own.
    ///
    /// # Panics
    ///
    /// When a line is no object.
    pub fn records(&self) -> Vec<Value> {
        let (records, _) = self.stdout.trim_end().rsplit_once('\n').unwrap_or_default();
        let parse = |line| serde_json::from_str(line).expect("an object a line");
        records.lines().map(parse).collect()
    }

    /// Of these the events.
    ///
    /// # Panics
    ///
    /// As [`records`](Self::records).
    pub fn events(&self) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| !is_message(record));
        records
    }

    /// Of these the messages of WPP.
    ///
    /// # Panics
    ///
    /// As [`records`](Self::records).
    pub fn messages(&self) -> Vec<Value> {
        let mut records = self.records();
        records.retain(is_message);
        records
    }

    /// The object on the last line of standard output of `lwf-lab run`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn summary(&self) -> Summary {
        self.object()
    }

    /// The object on the last line of standard output.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn object<T: DeserializeOwned>(&self) -> T {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}"))
    }
}

/// Whether a record is a message of WPP's, and no event.
fn is_message(record: &Value) -> bool {
    record.get("text").is_some()
}

/// The events of this name.
#[must_use]
pub fn named<'a>(events: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["name"] == wanted)
        .collect()
}
