//! The texts of messages: `"attach {if_index:u32}: {status:ntstatus}"`.

/// A text, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its pieces, in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Plain(String),
    /// `{name:kind}`.
    Value {
        /// What the value is called.
        name: String,
        /// What it is.
        kind: Kind,
    },
    /// `{FUNC}`: the function that the message is in.
    Function,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that everybody knows.
    Known(&'static Known),
    /// One of `names!`.
    Named(String),
}

/// A kind that everybody knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// As it is written behind the name.
    pub keyword: &'static str,
    /// The type in `wpp::kind` that stands for it.
    pub type_name: &'static str,
    /// How its bytes are laid out: `Item` of TMF files.
    pub(crate) item: &'static str,
    /// How it is shown: what stands between the exclamation marks.
    pub(crate) style: &'static str,
}

/// The levels of x64 and ARM64; those of devices have numbers.
const IRQLS: &str = "ListLong(PASSIVE,APC,DISPATCH,DIRQL3,DIRQL4,DIRQL5,DIRQL6,DIRQL7,DIRQL8,DIRQL9,DIRQL10,DIRQL11,DIRQL12,CLOCK,IPI,HIGH)";

/// All of them. Narrow integers are written as 32 bits, which every reader shows: as `Long`, signed or not, for tracewpp
/// leaves that to the letter too, and public readers do not know `ULong`. `HEXDump` is spelt as by Microsoft's page about it:
/// <https://learn.microsoft.com/windows-hardware/drivers/devtest/how-do-i-create-custom-wpp-extended-format-specification-strings->
const KNOWN: &[Known] = &[
    known("i8", "I8", "Long", "d"),
    known("i16", "I16", "Long", "d"),
    known("i32", "I32", "Long", "d"),
    known("i64", "I64", "LongLong", "I64d"),
    known("isize", "Isize", "LongLong", "I64d"),
    known("u8", "U8", "Long", "u"),
    known("u16", "U16", "Long", "u"),
    known("u32", "U32", "Long", "u"),
    known("u64", "U64", "ULongLong", "I64u"),
    known("usize", "Usize", "ULongLong", "I64u"),
    known("x8", "U8", "Long", "x"),
    known("x16", "U16", "Long", "x"),
    known("x32", "U32", "Long", "x"),
    known("x64", "U64", "LongLongX", "I64x"),
    known("xsize", "Usize", "LongLongX", "I64x"),
    known("ptr", "Pointer", "Ptr", "p"),
    known("bool", "Bool", "ListLong(false,true)", "s"),
    known("irql", "Irql", IRQLS, "s"),
    known("ntstatus", "NtStatus", "NTSTATUS", "s"),
    known("ndis_status", "NdisStatus", "NDIS_STATUS", "s"),
    known("oid", "Oid", "NDIS_OID", "s"),
    known("guid", "GuidValue", "Guid", "s"),
    known("ipv4", "Ipv4", "IPAddr", "s"),
    known("ipv6", "Ipv6", "IPV6Addr", "s"),
    known("mac", "Mac", "MACAddr", "s"),
    known("port", "Port", "Port", "s"),
    known("str", "Str", "PString", "s"),
    known("wstr", "WideStr", "PWString", "s"),
    known("bytes", "Bytes", "HEXDump", "s"),
];

const fn known(
    keyword: &'static str,
    type_name: &'static str,
    item: &'static str,
    style: &'static str,
) -> Known {
    Known {
        keyword,
        type_name,
        item,
        style,
    }
}

impl Kind {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(known) = KNOWN.iter().find(|known| known.keyword == text) {
            return Ok(Self::Known(known));
        }
        if text.starts_with(|first: char| first.is_ascii_uppercase()) && is_name(text) {
            return Ok(Self::Named(text.to_owned()));
        }
        let keywords: Vec<&str> = KNOWN.iter().map(|known| known.keyword).collect();
        Err(format!(
            "`{text}` is no kind of value: {}, or a type of `names!`",
            keywords.join(", ")
        ))
    }
}

fn is_name(text: &str) -> bool {
    let is_first = |first: char| first == '_' || first.is_ascii_alphabetic();
    text.starts_with(is_first)
        && text
            .chars()
            .all(|character| character == '_' || character.is_ascii_alphanumeric())
}

impl Text {
    /// Takes a text apart: `{{` and `}}` are braces, `{FUNC}` is the function, `{name:kind}` a value.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_bad =
            |character: char| !matches!(character, ' '..='~') || matches!(character, '"' | '\\');
        if let Some(bad) = text.chars().find(|&character| is_bad(character)) {
            return Err(format!(
                "{bad:?} cannot stand in the text: it is ASCII without quotes, backslashes and line ends"
            ));
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (front, behind) = rest.split_at(at);
            plain.push_str(front);
            if behind.starts_with("{{") || behind.starts_with("}}") {
                plain.push_str(&behind[..1]);
                rest = &behind[2..];
                continue;
            }
            let inside = behind.strip_prefix('{');
            let (inside, behind) = inside
                .and_then(|inside| inside.split_once('}'))
                .ok_or("a brace without its partner; `{{` and `}}` stand for braces")?;
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            pieces.push(piece(inside)?);
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        Ok(Self { pieces })
    }

    /// The names and kinds of its values.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value { name, kind } => Some((name.as_str(), kind)),
            Piece::Plain(_) | Piece::Function => None,
        })
    }
}

fn piece(inside: &str) -> Result<Piece, String> {
    if inside == "FUNC" {
        return Ok(Piece::Function);
    }
    let (name, kind) = inside
        .split_once(':')
        .ok_or_else(|| format!("`{{{inside}}}` has no kind: write `{{name:kind}}`"))?;
    if !is_name(name) {
        return Err(format!("`{name}` is no name for a value"));
    }
    Ok(Piece::Value {
        name: name.to_owned(),
        kind: Kind::parse(kind)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart() {
        let text = Text::parse("{FUNC} a{{b}} {n:x32}{mode:Modes}%").expect("a text");
        let values: Vec<_> = text.values().map(|(name, _)| name).collect();
        assert_eq!(values, ["n", "mode"]);
        assert_eq!(text.pieces[0], Piece::Function);
        assert_eq!(text.pieces[1], Piece::Plain(" a{b} ".to_owned()));
        assert_eq!(text.pieces.last(), Some(&Piece::Plain("%".to_owned())));
        assert_eq!(Text::parse(""), Ok(Text { pieces: Vec::new() }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("{a}", "`{a}` has no kind"),
            ("{a:u31}", "`u31` is no kind"),
            ("{:u32}", "`` is no name"),
            ("{a b:u32}", "`a b` is no name"),
            ("{a:u32", "a brace"),
            ("a}", "a brace"),
            ("tab\t", "'\\t'"),
            ("say \\\"x\\\"", "'\\\\'"),
            ("é", "'é'"),
        ] {
            let error = Text::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn no_kind_has_a_blank_in_it() {
        for known in KNOWN {
            assert!(!known.item.contains(' '), "{}", known.keyword);
            assert_eq!(
                KNOWN
                    .iter()
                    .filter(|other| other.keyword == known.keyword)
                    .count(),
                1
            );
        }
    }
}
