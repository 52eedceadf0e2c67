//! Rust's tokens, as far as calls of macros have to be found among them.

/// A token and where it begins, counted from 1 in lines and characters as the compiler counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'s> {
    pub(crate) kind: TokenKind<'s>,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind<'s> {
    /// A name or keyword.
    Word(&'s str),
    /// What stands between the quotes of a plain string.
    Text(&'s str),
    /// A number.
    Number(&'s str),
    /// Any other literal, or a lifetime.
    Other,
    Mark(char),
    Open(char),
    Close(char),
}

/// All tokens of a source; comments are none.
///
/// # Errors
///
/// The line of a comment or literal without an end.
pub(crate) fn tokens(source: &str) -> Result<Vec<Token<'_>>, usize> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        let (line, column) = (lexer.line, lexer.column);
        match lexer.next() {
            Ok(Some(Some(kind))) => tokens.push(Token { kind, line, column }),
            Ok(Some(None)) => {}
            Ok(None) => return Ok(tokens),
            Err(NoEnd) => return Err(line),
        }
    }
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
    column: usize,
}

/// What was begun has no end.
struct NoEnd;

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

impl<'s> Lexer<'s> {
    /// Takes so many bytes.
    fn take(&mut self, length: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(length);
        for character in taken.chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let length = self.rest.find(|character| !wanted(character));
        self.take(length.unwrap_or(self.rest.len()))
    }

    /// A token; `Some(None)` for what lies between tokens, `None` at the end.
    fn next(&mut self) -> Result<Option<Option<TokenKind<'s>>>, NoEnd> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        if first.is_whitespace() || first == '\u{feff}' {
            self.take(first.len_utf8());
            return Ok(Some(None));
        }
        if self.rest.starts_with("//") {
            self.take_while(|character| character != '\n');
            return Ok(Some(None));
        }
        if self.rest.starts_with("/*") {
            self.block_comment()?;
            return Ok(Some(None));
        }
        let kind = match first {
            '"' => TokenKind::Text(self.quoted('"')?),
            '\'' => self.quote()?,
            '(' | '[' | '{' => {
                self.take(1);
                TokenKind::Open(first)
            }
            ')' | ']' | '}' => {
                self.take(1);
                TokenKind::Close(first)
            }
            _ if first.is_ascii_digit() => TokenKind::Number(self.take_while(is_word)),
            _ if is_word(first) => self.word()?,
            _ => {
                self.take(first.len_utf8());
                TokenKind::Mark(first)
            }
        };
        Ok(Some(Some(kind)))
    }

    fn block_comment(&mut self) -> Result<(), NoEnd> {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return Ok(());
                }
            } else {
                let character = self.rest.chars().next().ok_or(NoEnd)?;
                self.take(character.len_utf8());
            }
        }
    }

    /// A name, or a literal that begins like one: `r"…"`, `b'…'`, `c"…"`.
    fn word(&mut self) -> Result<TokenKind<'s>, NoEnd> {
        let word = self.take_while(is_word);
        let is_raw = matches!(word, "r" | "br" | "cr");
        if is_raw {
            let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
            if self.rest[hashes..].starts_with('"') {
                let end = format!("\"{}", "#".repeat(hashes));
                let begin = hashes + 1;
                let length = self.rest[begin..].find(&end).ok_or(NoEnd)?;
                self.take(begin + length + end.len());
                return Ok(TokenKind::Other);
            }
            if hashes == 1 {
                // `r#name`
                self.take(1);
                return Ok(TokenKind::Word(self.take_while(is_word)));
            }
        }
        if matches!(word, "b" | "c") && self.rest.starts_with('"') {
            self.quoted('"')?;
            return Ok(TokenKind::Other);
        }
        if word == "b" && self.rest.starts_with('\'') {
            self.quoted('\'')?;
            return Ok(TokenKind::Other);
        }
        Ok(TokenKind::Word(word))
    }

    /// What begins with a single quote: a character or a lifetime.
    fn quote(&mut self) -> Result<TokenKind<'s>, NoEnd> {
        let mut behind = self.rest.chars().skip(1);
        let (first, second) = (behind.next(), behind.next());
        if first == Some('\\') || second == Some('\'') {
            self.quoted('\'')?;
        } else {
            self.take(1);
            self.take_while(is_word);
        }
        Ok(TokenKind::Other)
    }

    /// Up to the quote that ends what a quote begins; what stands between them.
    fn quoted(&mut self, quote: char) -> Result<&'s str, NoEnd> {
        let mut is_escaped = false;
        for (at, character) in self.rest.char_indices().skip(1) {
            if is_escaped {
                is_escaped = false;
            } else if character == '\\' {
                is_escaped = true;
            } else if character == quote {
                let taken = self.take(at + 1);
                return Ok(&taken[1..at]);
            }
        }
        Err(NoEnd)
    }
}

#[cfg(test)]
mod tests {
    use super::TokenKind::{Close, Mark, Number, Open, Other, Text, Word};
    use super::*;

    fn kinds(source: &str) -> Vec<TokenKind<'_>> {
        let tokens = tokens(source).expect("it has ends");
        tokens.iter().map(|token| token.kind).collect()
    }

    #[test]
    fn tokens_are_told_apart() {
        assert_eq!(
            kinds("wpp!(A, \"a \\\" {b}\") // wpp!(\n/* /* \" */ */ 'a' '\\'' &'life x"),
            [
                Word("wpp"),
                Mark('!'),
                Open('('),
                Word("A"),
                Mark(','),
                Text("a \\\" {b}"),
                Close(')'),
                Other,
                Other,
                Mark('&'),
                Other,
                Word("x")
            ]
        );
        assert_eq!(
            kinds("r#\"a\"b\"# br\"x\" b'\\'' r#fn 0x1F_u8 c\"q\""),
            [Other, Other, Other, Word("fn"), Number("0x1F_u8"), Other]
        );
    }

    #[test]
    fn places_are_those_of_the_compiler() {
        let tokens = tokens("é a\n\t\"t\nu\" b").expect("it has ends");
        let places: Vec<_> = tokens
            .iter()
            .map(|token| (token.line, token.column))
            .collect();
        assert_eq!(places, [(1, 1), (1, 3), (2, 2), (3, 4)]);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for (source, line) in [("a\n\"", 2), ("/* /* */", 1), ("r#\"\"", 1)] {
            assert_eq!(tokens(source), Err(line), "{source}");
        }
    }
}
