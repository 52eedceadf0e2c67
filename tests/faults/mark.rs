//! The marks in the source of the driver that misbehaves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What comes of a play.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The run ends with this rule.
    Caught(String),
    /// The run is clean, with a warning by this rule.
    Warned(String),
    /// The run is clean without a warning; the play is a neighbour of these rules.
    Legal(Vec<String>),
    /// `DriverEntry` fails, and no rule is broken; a neighbour as well.
    Declined(Vec<String>),
    /// `DriverEntry` fails, and what is told of that warns of this rule.
    DeclinedWith(String),
}

impl Outcome {
    /// The rule that the play breaks.
    pub(crate) fn broken(&self) -> Option<&String> {
        match self {
            Self::Caught(rule) | Self::Warned(rule) | Self::DeclinedWith(rule) => Some(rule),
            Self::Legal(_) | Self::Declined(_) => None,
        }
    }

    /// The rules that the play nearly breaks.
    pub(crate) fn near(&self) -> &[String] {
        match self {
            Self::Caught(_) | Self::Warned(_) | Self::DeclinedWith(_) => &[],
            Self::Legal(rules) | Self::Declined(rules) => rules,
        }
    }

    /// The word of the mark.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Caught(_) => "caught",
            Self::Warned(_) => "warned",
            Self::Legal(_) => "legal",
            Self::Declined(_) | Self::DeclinedWith(_) => "declined",
        }
    }
}

/// One mark.
#[derive(Debug)]
pub(crate) struct Mark {
    /// The play's name.
    pub(crate) play: String,
    /// The file (in `src`) and the line of the mark.
    pub(crate) place: (PathBuf, u32),
    /// What comes of it.
    pub(crate) outcome: Outcome,
    /// What else the command line of its runs has.
    pub(crate) arguments: Vec<String>,
}

/// All marks.
///
/// # Panics
///
/// When the source cannot be read, or a mark not be understood.
pub(crate) fn all() -> Vec<Mark> {
    let mut marks = Vec::new();
    for (path, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            let place = (path.clone(), index as u32 + 1);
            marks.extend(
                read(line)
                    .into_iter()
                    .map(|(play, outcome, arguments)| Mark {
                        play,
                        place: place.clone(),
                        outcome,
                        arguments,
                    }),
            );
        }
    }
    marks
}

/// What a mark says: play, outcome, arguments.
type Told = (String, Outcome, Vec<String>);

/// The marks of a line.
fn read(line: &str) -> Vec<Told> {
    // What documents the marks is no mark.
    if line.trim_start().starts_with("//!") {
        return Vec::new();
    }
    line.split("// ").skip(1).flat_map(marks).collect()
}

/// The marks of a comment.
fn marks(comment: &str) -> Vec<Told> {
    let Some((kind, rest)) = comment.trim().split_once(": ") else {
        return Vec::new();
    };
    let (rest, arguments) = rest.split_once(" with ").unwrap_or((rest, ""));
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let by = |outcome: fn(String) -> Outcome| {
        let broken = rest.split("; ").map(|one| {
            let (play, rule) = one
                .split_once(" by ")
                .unwrap_or_else(|| panic!("no rule: {comment}"));
            let outcome = outcome(rule.to_owned());
            (play.to_owned(), outcome, arguments.clone())
        });
        broken.collect()
    };
    let near = |outcome: fn(Vec<String>) -> Outcome| {
        let (play, rules) = rest.split_once(" near ").unwrap_or((rest, ""));
        let rules = rules.split(',').map(str::trim);
        let rules = rules.filter(|rule| !rule.is_empty()).map(str::to_owned);
        let outcome = outcome(rules.collect());
        vec![(play.trim().to_owned(), outcome, arguments.clone())]
    };
    match kind {
        "caught" => by(Outcome::Caught),
        "warned" => by(Outcome::Warned),
        "legal" => near(Outcome::Legal),
        "declined" if rest.contains(" by ") => by(Outcome::DeclinedWith),
        "declined" => near(Outcome::Declined),
        _ => Vec::new(),
    }
}

/// The names of all plays: the texts in the tables, and what follows `name: ` elsewhere.
pub(crate) fn plays() -> BTreeSet<String> {
    let mut plays = BTreeSet::new();
    for (_, text) in sources() {
        let tables = text.split("PLAYS: &[Play] = &[").skip(1);
        let tables = tables.filter_map(|rest| Some(rest.split_once("\n];")?.0));
        let in_tables = tables.flat_map(|table| table.split('"').skip(1).step_by(2));
        let elsewhere = text.split("name: \"").skip(1);
        let elsewhere = elsewhere.filter_map(|rest| Some(rest.split_once('"')?.0));
        plays.extend(in_tables.chain(elsewhere).map(str::to_owned));
    }
    plays
}

/// The files of the driver, by their path in the package, and their texts.
fn sources() -> Vec<(PathBuf, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/faulty");
    let files = files(&package.join("src")).into_iter();
    files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let path = path.strip_prefix(&package).expect("a file of the package");
            (path.to_owned(), text)
        })
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("a folder that can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
