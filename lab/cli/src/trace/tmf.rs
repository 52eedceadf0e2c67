//! TMF files: the texts of WPP messages, and how their values are laid out.
//!
//! Windows' own documentation calls the form internal; this reads what tracepdb writes and public readers understand.
//!
//! ```text
//! GUID component // SRC=file MJ= MN=
//! #typev symbol42 10 "%0text %10!d!" //   LEVEL=… FLAGS=… FUNC=…
//! {
//! name, ItemLong -- 10
//! }
//! #enumv NAME
//! {
//! Member,0x1
//! }
//! ```

mod item;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use super::decode::Value;
use item::Item;

/// The formats of all messages that are known.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    messages: BTreeMap<([u8; 16], u16), Message>,
    /// Of each file: two packages may have different ones of the same name.
    enumerations: Vec<BTreeMap<String, Vec<(u32, String)>>>,
    /// Why some messages cannot be shown, though their formats are there.
    skipped: BTreeMap<([u8; 16], u16), String>,
    /// Files of the folder that cannot be used, and why.
    unread: Vec<String>,
}

/// How a message is shown.
#[derive(Debug)]
struct Message {
    /// The file that it is of.
    file: usize,
    component: String,
    source: String,
    /// Of the source; 0 if its symbol has none.
    line: u32,
    level: String,
    flags: String,
    function: String,
    text: String,
    arguments: Vec<Argument>,
}

/// A value of a message.
#[derive(Debug)]
struct Argument {
    name: String,
    item: Item,
    number: u32,
}

/// A message with its values.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) component: String,
    pub(crate) source: String,
    pub(crate) line: u32,
    pub(crate) level: String,
    pub(crate) flags: String,
    pub(crate) function: String,
    pub(crate) text: String,
    pub(crate) fields: Vec<(String, Value)>,
    pub(crate) problem: Option<String>,
}

impl Formats {
    /// Reads a file, or every `.tmf` file of a folder, of which those that cannot be used are left out.
    ///
    /// # Errors
    ///
    /// Why the file cannot be used, or the folder has none, with its name.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let refuse = |path: &Path, why: String| format!("{}: {why}", path.display());
        let mut formats = Self::default();
        let mut files = Vec::new();
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(|error| refuse(path, error.to_string()))? {
                let entry = entry.map_err(|error| refuse(path, error.to_string()))?;
                files.push(entry.path());
            }
            files.retain(|file| file.extension().is_some_and(|extension| extension == "tmf"));
            files.sort();
            if files.is_empty() {
                return Err(refuse(path, "holds no .tmf file".to_owned()));
            }
        } else {
            files.push(path.to_owned());
        }
        for file in files {
            let read = std::fs::read(&file).map_err(|error| error.to_string());
            let added = read.and_then(|bytes| formats.add(&String::from_utf8_lossy(&bytes)));
            match added {
                Err(why) if path.is_dir() => formats.unread.push(refuse(&file, why)),
                added => added.map_err(|why| refuse(&file, why))?,
            }
        }
        Ok(formats)
    }

    /// That some formats are left out, in one line, if so.
    pub(crate) fn skipped(&self) -> Option<String> {
        if let Some(first) = self.unread.first() {
            let others = match self.unread.len() {
                1 => String::new(),
                count => format!(", and {} more", count - 1),
            };
            return Some(format!("left out: {first}{others}"));
        }
        let why = self.skipped.values().next()?;
        let count = self.skipped.len();
        let (formats, have) = match count {
            1 => ("format", "has"),
            _ => ("formats", "have"),
        };
        Some(format!(
            "{count} {formats} {have} values that are not known here ({why}): messages are shown as bytes"
        ))
    }

    /// Why a message cannot be shown.
    pub(crate) fn refusal(&self, guid: &[u8; 16], number: u16) -> String {
        let why = self.skipped.get(&(*guid, number));
        why.map_or_else(
            || "no format of it is known: name a folder with --tmf".to_owned(),
            |why| format!("its format has a value that is not known here: {why}"),
        )
    }

    /// Adds the content of a file. A message with a value of an unknown item is left out.
    ///
    /// # Errors
    ///
    /// The first line that is not as it should be.
    pub(crate) fn add(&mut self, content: &str) -> Result<(), String> {
        let mut lines = (1..).zip(content.lines()).peekable();
        let mut block: Option<([u8; 16], String, String)> = None;
        let file = self.enumerations.len();
        let mut enumerations: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
        while let Some((number, line)) = lines.next() {
            let bad = |what: &str| format!("line {number}: {what}");
            let line = line.trim_end();
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            if let Some(rest) = line.strip_prefix("#typev ") {
                let (guid, component, source) = block
                    .as_ref()
                    .ok_or_else(|| bad("a message before any GUID"))?;
                let (id, mut message) =
                    Message::parse(rest).ok_or_else(|| bad("a message that cannot be read"))?;
                message.file = file;
                message.component.clone_from(component);
                message.source.clone_from(source);
                let mut unknown = None;
                for line in braced(&mut lines).ok_or_else(|| bad("no braces behind a message"))? {
                    match Argument::parse(line) {
                        Ok(mut argument) => {
                            if text::is_unsigned(&message.text, argument.number) {
                                argument.item = argument.item.unsigned();
                            }
                            message.arguments.push(argument);
                        }
                        Err(Some(item)) => unknown = unknown.or(Some(item)),
                        Err(None) => return Err(bad(&format!("no argument: {line}"))),
                    }
                }
                match unknown {
                    None => {
                        self.skipped.remove(&(*guid, id));
                        self.messages.insert((*guid, id), message);
                    }
                    Some(item) => {
                        let _ = self.skipped.insert((*guid, id), item);
                    }
                }
            } else if let Some(name) = line.strip_prefix("#enumv ") {
                let mut members = Vec::new();
                for line in braced(&mut lines).ok_or_else(|| bad("no braces behind #enumv"))? {
                    let member = line.rsplit_once(",0x").and_then(|(name, value)| {
                        Some((u32::from_str_radix(value, 16).ok()?, name.to_owned()))
                    });
                    members.push(member.ok_or_else(|| bad(&format!("no member: {line}")))?);
                }
                let name = name.trim();
                let known = enumerations.insert(name.to_owned(), members.clone());
                if known.is_some_and(|known| known != members) {
                    return Err(bad(&format!("another #enumv {name} than before")));
                }
            } else {
                block = Some(block_of(line).ok_or_else(|| bad("neither GUID nor message"))?);
            }
        }
        self.enumerations.push(enumerations);
        Ok(())
    }

    /// The message of this number of a source file, with its values; `None` if its format is not known.
    pub(crate) fn show(&self, guid: &[u8; 16], number: u16, mut values: &[u8]) -> Option<Shown> {
        let message = self.messages.get(&(*guid, number))?;
        let enumerations = self.enumerations.get(message.file)?;
        let mut fields = Vec::new();
        let mut texts = BTreeMap::new();
        let mut problem = None;
        for argument in &message.arguments {
            let Some((value, rest)) = argument.item.read(values) else {
                problem = Some(format!("its value {} is cut off", argument.name));
                break;
            };
            values = rest;
            let value = argument.item.name(value, enumerations);
            texts.insert(argument.number, value.clone());
            fields.push((argument.name.clone(), value));
        }
        if problem.is_none() && !values.is_empty() {
            problem = Some("it has more than its values".to_owned());
        }
        let specials = [
            ("FUNC", &message.function),
            ("LEVEL", &message.level),
            ("FLAGS", &message.flags),
            ("FILE", &message.source),
            ("COMPNAME", &message.component),
        ];
        Some(Shown {
            component: message.component.clone(),
            source: message.source.clone(),
            line: message.line,
            level: message.level.clone(),
            flags: message.flags.clone(),
            function: message.function.clone(),
            text: text::format(&message.text, &texts, &specials),
            fields,
            problem,
        })
    }
}

/// The lines between braces.
fn braced<'t>(lines: &mut impl Iterator<Item = (u32, &'t str)>) -> Option<Vec<&'t str>> {
    let (_, open) = lines.next()?;
    if open.trim() != "{" {
        return None;
    }
    let mut inside = Vec::new();
    loop {
        let (_, line) = lines.next()?;
        match line.trim() {
            "}" => return Some(inside),
            line => inside.push(line),
        }
    }
}

/// GUID, component and source of the messages that follow.
fn block_of(line: &str) -> Option<([u8; 16], String, String)> {
    let (guid, rest) = line.split_once(' ')?;
    let (component, about) = rest.split_once(" // ")?;
    let source = about
        .split_whitespace()
        .find_map(|word| word.strip_prefix("SRC="))?;
    Some((guid_of(guid)?, component.to_owned(), source.to_owned()))
}

/// A GUID as it lies in memory.
fn guid_of(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let digits: String = text.split('-').collect();
    if digits.len() != 32 || text.split('-').map(str::len).ne([8, 4, 4, 4, 12]) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Some(bytes)
}

impl Message {
    /// Number and message of what stands behind `#typev`.
    fn parse(line: &str) -> Option<(u16, Self)> {
        let (symbol, rest) = line.split_once(' ')?;
        let (number, rest) = rest.split_once(' ')?;
        let rest = rest.strip_prefix('"')?;
        let (text, about) = rest.rsplit_once("\" //")?;
        let value = |key: &str| {
            about
                .split_whitespace()
                .find_map(|word| word.strip_prefix(key))
                .unwrap_or_default()
                .to_owned()
        };
        let digits = symbol.trim_end_matches(|character: char| character.is_ascii_digit());
        let message = Self {
            file: 0,
            component: String::new(),
            source: String::new(),
            line: symbol[digits.len()..].parse().unwrap_or(0),
            level: value("LEVEL="),
            flags: value("FLAGS="),
            function: value("FUNC="),
            text: text.strip_prefix("%0").unwrap_or(text).to_owned(),
            arguments: Vec::new(),
        };
        Some((number.parse().ok()?, message))
    }
}

impl Argument {
    /// The argument of a line.
    ///
    /// # Errors
    ///
    /// The name of its item, if nothing else is wrong but that nobody knows it.
    fn parse(line: &str) -> Result<Self, Option<String>> {
        let (front, number) = line.rsplit_once(" -- ").ok_or(None)?;
        let (name, item) = front.rsplit_once(", Item").ok_or(None)?;
        let number = number.trim().parse().map_err(|_| None)?;
        Ok(Self {
            name: name.to_owned(),
            item: Item::parse(item).ok_or_else(|| Some(format!("Item{item}")))?,
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
// PDB:  filter.pdb
// PDB:  Last Updated :2026-11-29:00:00:00:000 (UTC) [nobody]
6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411 filter // SRC=send.rs MJ= MN=
#typev send_rs101 10 \"%0[%!FUNC!] %10!s! -> %11!s!:%12!s! status %13!s! %14!04x! %%\" //   LEVEL=TRACE_LEVEL_WARNING FLAGS=DATA FUNC=send
{
mac, ItemMACAddr -- 10
dst, ItemIPAddr -- 11
port, ItemPort -- 12
status, ItemNTSTATUS -- 13
count, ItemLong -- 14
}
#typev send_rs120 11 \"%0nothing\" //   LEVEL=TRACE_LEVEL_VERBOSE FLAGS=DATA FUNC=send
{
}
#typev send_rs130 12 \"%0%10!s! %11!s! %12!s! %13!s! %14!p! %15!I64d!\" //   LEVEL=TRACE_LEVEL_VERBOSE FLAGS=DATA FUNC=send
{
state, ItemEnum(STATE) -- 10
caps, ItemFlagsEnum(CAPS) -- 11
ok, ItemListByte(FALSE,TRUE) -- 12
name, ItemPString -- 13
at, ItemPtr -- 14
big, ItemLongLong -- 15
}
#enumv STATE
{
Detached,0x0
Running,0x1
}
#enumv CAPS
{
Rx,0x1
Tx,0x2
}
";

    fn formats() -> Formats {
        let mut formats = Formats::default();
        formats.add(FILE).expect("it is as it should be");
        formats
    }

    fn guid() -> [u8; 16] {
        guid_of("6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411").expect("a GUID")
    }

    #[test]
    fn values_are_put_into_the_text() {
        let values = [
            &[2, 0, 0, 0, 0, 1][..],
            &[10, 0, 0, 7],
            &[0x01, 0xBB],
            &0xC000_009A_u32.to_le_bytes(),
            &31_u32.to_le_bytes(),
        ]
        .concat();
        let shown = formats().show(&guid(), 10, &values).expect("known");
        assert_eq!(
            shown.text,
            "[send] 02-00-00-00-00-01 -> 10.0.0.7:443 status 0xc000009a 001f %"
        );
        assert_eq!((shown.line, shown.source.as_str()), (101, "send.rs"));
        assert_eq!((shown.problem, shown.fields.len()), (None, 5));
        let shown = formats().show(&guid(), 11, &[]).expect("known");
        assert_eq!(shown.text, "nothing");
    }

    #[test]
    fn names_of_enumerations_and_sets() {
        let values = [
            &1_u32.to_le_bytes()[..],
            &3_u32.to_le_bytes(),
            &[1],
            &[2, 0],
            b"ab",
            &0x1234_u64.to_le_bytes(),
            &i64::MIN.to_le_bytes(),
        ]
        .concat();
        let shown = formats().show(&guid(), 12, &values).expect("known");
        assert_eq!(
            shown.text,
            "Running Rx | Tx(0x3) TRUE ab 0000000000001234 -9223372036854775808"
        );
        assert_eq!(shown.problem, None);
    }

    #[test]
    fn files_do_not_change_the_names_of_others() {
        let other = FILE
            .replace("6f0d3a52", "7f0d3a52")
            .replace("Running,0x1", "Paused,0x1");
        let mut both = formats();
        both.add(&other).expect("it is as it should be");
        let values = [
            &1_u32.to_le_bytes()[..],
            &[0; 4],
            &[0],
            &[0, 0],
            &[0; 8],
            &[0; 8],
        ]
        .concat();
        let state = |formats: &Formats, first: u8| {
            let guid = [&guid()[..3], &[first], &guid()[4..]].concat();
            let guid = guid.try_into().expect("16 bytes");
            formats.show(&guid, 12, &values).expect("known").text
        };
        assert!(state(&both, 0x6F).starts_with("Running "));
        assert!(state(&both, 0x7F).starts_with("Paused "));
        let joined = Formats::default().add(&(FILE.to_owned() + &other));
        assert!(joined.is_err_and(|why| why.contains("STATE")));
        assert!(Formats::default().add(&(FILE.to_owned() + FILE)).is_ok());
    }

    #[test]
    fn the_letter_says_whether_a_long_has_a_sign() {
        let file = "\
6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411 filter // SRC=a.rs MJ= MN=
#typev a_rs1 10 \"%0%10!u! %11!d! %12!08x!\" //   LEVEL=TRACE_LEVEL_VERBOSE FLAGS=A FUNC=a
{
a, ItemLong -- 10
b, ItemLong -- 11
c, ItemLong -- 12
}
";
        let mut formats = Formats::default();
        formats.add(file).expect("it is as it should be");
        let shown = formats.show(&guid(), 10, &[0xFF; 12]).expect("known");
        assert_eq!(shown.text, "4294967295 -1 ffffffff");
        let values: Vec<&Value> = shown.fields.iter().map(|(_, value)| value).collect();
        let all = Value::Unsigned(u32::MAX.into());
        assert_eq!(values, [&all, &Value::Signed(-1), &all]);
    }

    #[test]
    fn a_format_with_an_unknown_item_is_left_out_alone() {
        let odd = FILE.replace("mac, ItemMACAddr", "mac, ItemOdd(1,2)");
        let mut formats = Formats::default();
        formats.add(&odd).expect("it is as it should be");
        assert_eq!(formats.show(&guid(), 10, &[0; 64]), None);
        assert!(formats.show(&guid(), 11, &[]).is_some());
        let line = formats.skipped().expect("one is left out");
        assert!(line.starts_with("1 format has") && line.contains("ItemOdd(1,2)"));
        assert!(formats.refusal(&guid(), 10).contains("ItemOdd"));
        assert!(formats.refusal(&guid(), 99).contains("--tmf"));
        // Another file may have it as it should be.
        formats.add(FILE).expect("it is as it should be");
        assert_eq!(formats.skipped(), None);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let shown = formats().show(&guid(), 10, &[1, 2]).expect("known");
        assert!(shown.problem.is_some_and(|problem| problem.contains("mac")));
        let shown = formats().show(&guid(), 11, &[1]).expect("known");
        assert!(shown.problem.is_some());
        assert_eq!(formats().show(&guid(), 99, &[]), None);
        for content in [
            "nonsense",
            "#typev a1 10 \"%0\" //\n{\n}\n",
            "6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411 f // SRC=a\n#typev a1 10 \"%0x\" // L\n",
            "6f0d3a52-1c44-5a0b-9d6e-2b7a51c0e411 f // SRC=a\n#typev a1 10 \"%0x\" // L\n{\na, ItemLong -- x\n}\n",
        ] {
            assert!(Formats::default().add(content).is_err(), "{content}");
        }
    }
}
