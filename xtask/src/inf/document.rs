//! An INF file as text: sections of lines, continuations joined, comments gone, quotes taken off.

use std::collections::BTreeMap;

/// A line of a section: `key = field, field` or `field, field`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// What stands before the `=`.
    pub(crate) key: Option<String>,
    /// What stands after it, split at commas; strings are not yet substituted.
    pub(crate) fields: Vec<String>,
}

impl Entry {
    /// A field, or the empty string where there is none.
    pub(crate) fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", String::as_str)
    }

    /// Whether the key is `name`, in whatever case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.key
            .as_deref()
            .is_some_and(|key| key.eq_ignore_ascii_case(name))
    }
}

/// A section; the same name again adds to it.
#[derive(Debug)]
pub(crate) struct Section {
    /// As it is first spelled.
    pub(crate) name: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// Where the same name stands again.
    pub(crate) again: Vec<usize>,
    /// Its lines.
    pub(crate) entries: Vec<Entry>,
}

impl Section {
    /// The entries with the key `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.is(name))
    }

    /// The first entry with the key `name`.
    pub(crate) fn first(&self, name: &str) -> Option<&Entry> {
        self.all(name).next()
    }
}

/// A whole file.
#[derive(Debug)]
pub(crate) struct Document {
    /// In the order of the file.
    pub(crate) sections: Vec<Section>,
    /// `[Strings]`: lower-case name to text.
    strings: BTreeMap<String, String>,
}

/// Text that is no INF: where, and why.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Document {
    /// Reads a file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut sections: Vec<Section> = Vec::new();
        let mut current = None;
        for (line, text) in logical_lines(text)? {
            if let Some(rest) = text.strip_prefix('[') {
                let Some(name) = rest.strip_suffix(']') else {
                    return error(line, "a section's name has no `]`");
                };
                current = Some(open(&mut sections, name.trim(), line));
                continue;
            }
            let Some(section) = current.and_then(|index: usize| sections.get_mut(index)) else {
                return error(line, "text before the first section");
            };
            section.entries.push(entry(line, &text)?);
        }
        let strings = sections
            .iter()
            .find(|section| section.name.eq_ignore_ascii_case("Strings"))
            .into_iter()
            .flat_map(|section| &section.entries)
            .filter_map(|entry| {
                Some((entry.key.as_deref()?.to_lowercase(), entry.fields.join(",")))
            })
            .collect();
        Ok(Self { sections, strings })
    }

    /// The section `name`, in whatever case.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// The names that `[Strings]` defines, in lower case.
    pub(crate) fn string_names(&self) -> impl Iterator<Item = &str> {
        self.strings.keys().map(String::as_str)
    }

    /// `text` with its `%name%` replaced where they are defined; `%13%` and what is undefined stay.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = token(rest) {
            expanded.push_str(before);
            match self.strings.get(&name.to_lowercase()) {
                Some(value) => expanded.push_str(value),
                None if name.is_empty() => expanded.push('%'),
                None => expanded.push_str(&format!("%{name}%")),
            }
            rest = after;
        }
        expanded + rest
    }
}

/// The names between `%` in `text`; `%%` is a percent sign.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, name, after)) = token(rest) {
        if !name.is_empty() {
            names.push(name);
        }
        rest = after;
    }
    names
}

/// Splits at the first `%name%`.
fn token(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('%')?;
    let (name, after) = rest.split_once('%')?;
    Some((before, name, after))
}

fn error<T>(line: usize, what: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError {
        line,
        what: what.into(),
    })
}

fn open(sections: &mut Vec<Section>, name: &str, line: usize) -> usize {
    let found = sections
        .iter()
        .position(|section| section.name.eq_ignore_ascii_case(name));
    if let Some(index) = found {
        sections[index].again.push(line);
        return index;
    }
    sections.push(Section {
        name: name.to_owned(),
        line,
        again: Vec::new(),
        entries: Vec::new(),
    });
    sections.len() - 1
}

/// Lines without comments and blanks at their ends, joined where a backslash ends one, with the number of the first.
fn logical_lines(text: &str) -> Result<Vec<(usize, String)>, SyntaxError> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let Some(bare) = without_comment(raw) else {
            return error(line, "a quote is not closed");
        };
        let (first, mut joined) = open.take().unwrap_or((line, String::new()));
        if let Some(part) = bare.strip_suffix('\\') {
            joined.push_str(part);
            open = Some((first, joined));
            continue;
        }
        joined.push_str(bare);
        if !joined.is_empty() {
            lines.push((first, joined));
        }
    }
    lines.extend(open);
    Ok(lines)
}

/// The line up to a `;` outside quotes; nothing when a quote stays open.
fn without_comment(line: &str) -> Option<&str> {
    let mut quoted = false;
    for (index, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return Some(line[..index].trim()),
            _ => {}
        }
    }
    (!quoted).then(|| line.trim())
}

fn entry(line: usize, text: &str) -> Result<Entry, SyntaxError> {
    let (key, value) = match split_outside_quotes(text, '=') {
        Some((key, value)) => (Some(unquote(key)), value),
        None => (None, text),
    };
    if key.as_deref() == Some("") {
        return error(line, "nothing stands before `=`");
    }
    let mut fields = Vec::new();
    let mut rest = value;
    while let Some((field, after)) = split_outside_quotes(rest, ',') {
        fields.push(unquote(field));
        rest = after;
    }
    if !(rest.trim().is_empty() && fields.is_empty()) {
        fields.push(unquote(rest));
    }
    Ok(Entry { line, key, fields })
}

fn split_outside_quotes(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if character == separator && !quoted {
            return Some((&text[..index], &text[index + 1..]));
        }
    }
    None
}

/// Takes off the quotes around a field; a doubled quote inside is one.
fn unquote(text: &str) -> String {
    let text = text.trim();
    match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\"\"", "\""),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_quotes_and_continuations_are_taken_off() {
        let document = Document::parse(
            "; first\n[A] ; one\nKey = \"x; \"\"y\"\"\", \\\n z ; end\n[a]\nplain,,2\n",
        )
        .expect("an INF");
        assert_eq!(document.sections.len(), 1);
        let section = document.section("A").expect("A");
        assert_eq!(section.again, [5]);
        assert_eq!(section.entries[0].fields, ["x; \"y\"", "z"]);
        assert_eq!(section.entries[1].fields, ["plain", "", "2"]);
        assert_eq!(section.entries[1].line, 6);
    }

    #[test]
    fn strings_are_replaced_and_directories_kept() {
        let document = Document::parse("[Strings]\nName=\"a, b\"\n").expect("an INF");
        assert_eq!(document.expand("%name% %13%\\x %%"), "a, b %13%\\x %");
        assert_eq!(tokens("%name% %13%\\x %%"), ["name", "13"]);
    }

    #[test]
    fn what_is_no_inf_is_refused_with_its_line() {
        for (text, line) in [
            ("x=1\n", 1),
            ("[a\n", 1),
            ("[a]\n\nb=\"c\n", 3),
            ("[a]\n=1\n", 2),
        ] {
            assert_eq!(Document::parse(text).expect_err(text).line, line, "{text}");
        }
    }
}
