//! A package's messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use crate::lexer::{self, Token, TokenKind};
use crate::text::{Kind, Text};
use crate::{FIRST_NUMBER, Guid, LEVELS};

/// What a package's sources say about its messages.
#[derive(Debug)]
pub struct Package {
    /// What the messages are from: the package's name.
    pub component: String,
    /// The GUID by which sessions enable the package's messages.
    pub control: Guid,
    /// The flags, each the bit of its place.
    pub flags: Vec<String>,
    files: Vec<File>,
    broken: Vec<Broken>,
    /// The types of `wpp::names!`, or why one cannot be used.
    names: BTreeMap<String, Result<Names, String>>,
}

/// A message that cannot be used; the others of its package can.
#[derive(Debug)]
struct Broken {
    path: String,
    line: usize,
    column: usize,
    error: Error,
}

/// A source file with messages.
#[derive(Debug)]
pub struct File {
    /// Below the folder `src`, with `/` between its parts.
    pub path: String,
    /// Of its messages; another one as soon as one of them is not what it was.
    pub id: Guid,
    /// Its messages, in the order in which they stand there.
    pub messages: Vec<Message>,
}

/// A message.
#[derive(Debug)]
pub struct Message {
    /// Its number in the file.
    pub number: u16,
    /// The line of its text.
    pub line: usize,
    /// The column of its text, in characters from 1.
    pub column: usize,
    /// As Windows names it.
    pub level: &'static str,
    /// The flag, without the path to it.
    pub flag: String,
    /// The function that it stands in; empty outside of functions.
    pub function: String,
    /// What it says.
    pub text: Text,
}

/// Numbers with names, of `names!`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Whether a value is one of them or a sum of them.
    pub(crate) kind: NamesKind,
    /// Names and numbers.
    pub(crate) members: Vec<(String, u32)>,
}

/// What values of named numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamesKind {
    /// One of the numbers.
    Enumeration,
    /// Any of the bits.
    Flags,
}

/// Why a package's messages cannot be known.
#[derive(Debug)]
pub enum Error {
    /// A file or folder cannot be read.
    Io(PathBuf, io::Error),
    /// Something in a source is not as it must be.
    Source {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// There are messages, but no `control!`.
    NoControl(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Source { path, line, why } => write!(f, "{}:{line}: {why}", path.display()),
            Self::NoControl(path) => {
                write!(f, "{}: messages, but no `wpp::control!`", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

impl Package {
    /// Reads the sources below `src` of the package in `folder`; `None` if they have neither messages nor `control!`.
    ///
    /// What is wrong with one message is that message's: [`problem`](Self::problem) and [`refusal`](Self::refusal) tell it.
    ///
    /// # Errors
    ///
    /// What cannot be read, and what is wrong for all messages.
    pub fn read(component: &str, folder: &Path) -> Result<Option<Self>, Error> {
        let source_folder = folder.join("src");
        let mut paths = Vec::new();
        sources(&source_folder, &mut paths)?;
        paths.sort();
        let mut found = Found::default();
        for path in &paths {
            let content =
                fs::read_to_string(path).map_err(|error| Error::Io(path.clone(), error))?;
            let below = path.strip_prefix(&source_folder).unwrap_or(path);
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
            found.add(path, &parts.join("/"), &content)?;
        }
        found.finish(component, folder)
    }

    /// The files that have messages.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The first message that cannot be used, and why.
    #[must_use]
    pub fn problem(&self) -> Option<&Error> {
        self.broken.first().map(|broken| &broken.error)
    }

    /// Why the message whose text stands at this place of a file cannot be used, if it is there and cannot.
    #[must_use]
    pub fn refusal(&self, path: &str, line: usize, column: usize) -> Option<String> {
        let mut broken = self.broken.iter();
        let place = (path, line, column);
        let broken =
            broken.find(|broken| (broken.path.as_str(), broken.line, broken.column) == place)?;
        Some(match &broken.error {
            Error::Source { why, .. } => why.clone(),
            other => other.to_string(),
        })
    }

    /// The file at a path below `src`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// All Rust sources below a folder.
fn sources(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    let refuse = |error| Error::Io(folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        if path.is_dir() {
            sources(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// What was found so far.
#[derive(Default)]
struct Found {
    control: Option<(Guid, Vec<String>)>,
    /// What is declared, or why that cannot be used.
    names: BTreeMap<String, Result<Names, String>>,
    files: Vec<(String, Vec<Message>)>,
    broken: Vec<Broken>,
}

impl Found {
    fn add(&mut self, path: &Path, below: &str, content: &str) -> Result<(), Error> {
        let refuse = |line, why: String| Error::Source {
            path: path.to_owned(),
            line,
            why,
        };
        let tokens = lexer::tokens(content)
            .map_err(|line| refuse(line, "a comment or literal without an end".to_owned()))?;
        let mut messages = Vec::new();
        for (macro_name, at, inside) in calls(&tokens) {
            let refuse = |why| refuse(tokens[at].line, why);
            match macro_name {
                "wpp" => {
                    // What is no message is for the compiler to refuse, or part of another macro.
                    if let Some(call) = Call::parse(inside) {
                        let number = u16::try_from(messages.len())
                            .ok()
                            .and_then(|count| FIRST_NUMBER.checked_add(count))
                            .ok_or_else(|| refuse("too many messages in one file".to_owned()))?;
                        match call.message(number, &function(&tokens[..at])) {
                            Ok(message) => messages.push(message),
                            Err(why) => self.broken.push(Broken {
                                path: below.to_owned(),
                                line: call.line,
                                column: call.column,
                                error: refuse(why),
                            }),
                        }
                    }
                }
                "control" => {
                    if let Some(control) = control(inside).map_err(refuse)? {
                        if self.control.is_some() {
                            return Err(refuse("a package has one `wpp::control!`".to_owned()));
                        }
                        self.control = Some(control);
                    }
                }
                _ => {
                    for (name, names) in names(inside) {
                        let twice = || Err(format!("two `wpp::names!` are called `{name}`"));
                        self.names
                            .entry(name.clone())
                            .and_modify(|known| *known = twice())
                            .or_insert(names);
                    }
                }
            }
        }
        if !messages.is_empty() {
            self.files.push((below.to_owned(), messages));
        }
        Ok(())
    }

    fn finish(self, component: &str, folder: &Path) -> Result<Option<Package>, Error> {
        let (control, flags) = match self.control {
            Some(control) => control,
            None if self.files.is_empty() && self.broken.is_empty() => return Ok(None),
            None => return Err(Error::NoControl(folder.to_owned())),
        };
        let mut package = Package {
            component: component.to_owned(),
            control,
            flags,
            files: Vec::new(),
            broken: self.broken,
            names: self.names,
        };
        for (path, messages) in self.files {
            let mut good = Vec::new();
            for message in messages {
                match package.check(&message) {
                    Ok(()) => good.push(message),
                    Err(why) => package.broken.push(Broken {
                        path: path.clone(),
                        line: message.line,
                        column: message.column,
                        error: Error::Source {
                            path: folder.join("src").join(&path),
                            line: message.line,
                            why,
                        },
                    }),
                }
            }
            let messages = good;
            let mut content = format!("{component}/{path}\n");
            for message in &messages {
                package.describe(message, &mut content);
            }
            package.files.push(File {
                id: Guid::of_name(&package.control, &content),
                path,
                messages,
            });
        }
        Ok(Some(package))
    }
}

impl Package {
    /// A type of `wpp::names!`.
    pub(crate) fn named(&self, name: &str) -> Option<&Names> {
        self.names.get(name)?.as_ref().ok()
    }

    /// Whether flag and names of a message are there.
    fn check(&self, message: &Message) -> Result<(), String> {
        if !self.flags.contains(&message.flag) {
            return Err(format!("`wpp::control!` has no flag `{}`", message.flag));
        }
        for (_, kind) in message.text.values() {
            if let Kind::Named(name) = kind {
                match self.names.get(name) {
                    Some(Ok(_)) => {}
                    Some(Err(why)) => return Err(why.clone()),
                    None => return Err(format!("no `wpp::names!` has a type `{name}`")),
                }
            }
        }
        Ok(())
    }

    /// All that tells how a message is shown, but for its line: what has another one is another message.
    fn describe(&self, message: &Message, content: &mut String) {
        let Message {
            number,
            level,
            flag,
            function,
            text,
            ..
        } = message;
        let _ = writeln!(content, "{number} {level} {flag} {function} {text:?}");
        for (_, kind) in text.values() {
            if let Kind::Named(name) = kind {
                let _ = writeln!(content, "{name} {:?}", self.named(name));
            }
        }
    }
}

/// The calls of our macros: the name, the place of the token before which it begins, and what stands inside.
fn calls<'t, 's>(tokens: &'t [Token<'s>]) -> Vec<(&'s str, usize, &'t [Token<'s>])> {
    let mut calls = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        if let [
            Token {
                kind: TokenKind::Word(name @ ("wpp" | "control" | "names")),
                ..
            },
            Token {
                kind: TokenKind::Mark('!'),
                ..
            },
            Token {
                kind: TokenKind::Open(_),
                ..
            },
        ] = window
        {
            calls.push((*name, at, group(&tokens[at + 2..])));
        }
    }
    calls
}

/// What stands inside the brackets that `tokens` begin with.
fn group<'t, 's>(tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Open(_) => depth += 1,
            TokenKind::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &tokens[1..at];
        }
    }
    &[]
}

/// The function whose body is open at the end of `tokens`.
fn function(tokens: &[Token<'_>]) -> String {
    let mut open: Vec<Option<&str>> = Vec::new();
    // The name of a function whose body has not begun, and how deep it stands.
    let mut next: Option<(&str, usize)> = None;
    let mut before = TokenKind::Other;
    for token in tokens {
        match token.kind {
            TokenKind::Word(name) if before == TokenKind::Word("fn") => {
                next = Some((name, open.len()));
            }
            TokenKind::Open(bracket) => {
                let is_body = bracket == '{' && next.is_some_and(|(_, depth)| depth == open.len());
                let name = if is_body { next.take() } else { None };
                open.push(name.map(|(name, _)| name));
            }
            TokenKind::Close(_) => {
                open.pop();
            }
            TokenKind::Mark(';') if next.is_some_and(|(_, depth)| depth == open.len()) => {
                next = None;
            }
            _ => {}
        }
        before = token.kind;
    }
    open.into_iter()
        .flatten()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

/// A call of `wpp!`, so far as it matters here.
struct Call<'s> {
    level: &'s str,
    flag: &'s str,
    text: &'s str,
    line: usize,
    column: usize,
}

impl<'s> Call<'s> {
    fn parse(inside: &[Token<'s>]) -> Option<Self> {
        let [level, comma, rest @ ..] = inside else {
            return None;
        };
        let (TokenKind::Word(level), TokenKind::Mark(',')) = (level.kind, comma.kind) else {
            return None;
        };
        let end = rest
            .iter()
            .position(|token| token.kind == TokenKind::Mark(','))?;
        let (path, rest) = rest.split_at(end);
        let (TokenKind::Word(flag), Some(token)) = (path.last()?.kind, rest.get(1)) else {
            return None;
        };
        let TokenKind::Text(text) = token.kind else {
            return None;
        };
        Some(Self {
            level,
            flag,
            text,
            line: token.line,
            column: token.column,
        })
    }

    fn message(&self, number: u16, function: &str) -> Result<Message, String> {
        let level = LEVELS.iter().find(|(name, _)| *name == self.level);
        let (_, level) = level.ok_or_else(|| {
            let names = LEVELS.map(|(name, _)| name).join(", ");
            format!("`{}` is no level: {names}", self.level)
        })?;
        Ok(Message {
            number,
            line: self.line,
            column: self.column,
            level,
            flag: self.flag.to_owned(),
            function: function.to_owned(),
            text: Text::parse(self.text)?,
        })
    }
}

/// GUID and flags of `control!`; another macro of that name has none.
fn control(inside: &[Token<'_>]) -> Result<Option<(Guid, Vec<String>)>, String> {
    let mut guid = None;
    let mut flags = Vec::new();
    for window in inside.windows(4) {
        match window.iter().map(|token| token.kind).collect::<Vec<_>>()[..] {
            [
                TokenKind::Word("static"),
                TokenKind::Word(_),
                TokenKind::Mark('='),
                TokenKind::Text(text),
            ] => {
                let parsed = Guid::parse(text);
                guid = Some(parsed.ok_or_else(|| format!("`{text}` is no GUID"))?);
            }
            [
                ..,
                TokenKind::Word("flag"),
                TokenKind::Word(name),
                TokenKind::Mark(';'),
            ] => {
                flags.push(name.to_owned());
            }
            _ => {}
        }
    }
    Ok(guid.map(|guid| (guid, flags)))
}

/// What `names!` declares, or why that cannot be used.
fn names(inside: &[Token<'_>]) -> Vec<(String, Result<Names, String>)> {
    let mut found = Vec::new();
    for (at, window) in inside.windows(2).enumerate() {
        let kind = match window[0].kind {
            TokenKind::Word("enumeration") => NamesKind::Enumeration,
            TokenKind::Word("flags") => NamesKind::Flags,
            _ => continue,
        };
        let TokenKind::Word(name) = window[1].kind else {
            continue;
        };
        let Some(open) = inside[at..]
            .iter()
            .position(|token| token.kind == TokenKind::Open('{'))
        else {
            continue;
        };
        let members = members(group(&inside[at + open..]));
        let names = members.map(|members| Names { kind, members });
        found.push((name.to_owned(), names));
    }
    found
}

fn members(inside: &[Token<'_>]) -> Result<Vec<(String, u32)>, String> {
    let mut members: Vec<(String, u32)> = Vec::new();
    for member in inside.split(|token| token.kind == TokenKind::Mark(',')) {
        match member.iter().map(|token| token.kind).collect::<Vec<_>>()[..] {
            [] => {}
            [
                TokenKind::Word(name),
                TokenKind::Mark('='),
                TokenKind::Number(number),
            ] => {
                let value =
                    value(number).ok_or_else(|| format!("`{number}` is no number of 32 bits"))?;
                members.push((name.to_owned(), value));
            }
            _ => return Err("a member is written `Name = number`".to_owned()),
        }
    }
    Ok(members)
}

fn value(number: &str) -> Option<u32> {
    let digits = number.replace('_', "");
    match digits.split_at_checked(2) {
        Some(("0x", digits)) => u32::from_str_radix(digits, 16).ok(),
        Some(("0b", digits)) => u32::from_str_radix(digits, 2).ok(),
        Some(("0o", digits)) => u32::from_str_radix(digits, 8).ok(),
        _ => digits.parse().ok(),
    }
}

#[cfg(test)]
#[path = "package/tests.rs"]
mod tests;
