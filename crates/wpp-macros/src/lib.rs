//! The macro of `wpp`, which re-exports and documents it.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "runs where drivers are built; what the kernel side may not call is meant for drivers"
)]

use std::collections::HashMap;
use std::env;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use wpp_format::{Guid, Kind, LEVELS, Package, Text};

/// Writes a message of WPP; `wpp` documents it.
#[proc_macro]
pub fn wpp(input: TokenStream) -> TokenStream {
    expand(input).unwrap_or_else(|refusal| refusal.into_tokens())
}

/// What is wrong, and where.
struct Refusal {
    why: String,
    span: Span,
}

impl Refusal {
    fn new(span: Span, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            span,
        }
    }

    /// A compile error.
    fn into_tokens(self) -> TokenStream {
        let mut message = Literal::string(&self.why);
        message.set_span(self.span);
        let message = TokenTree::Literal(message);
        let tokens = [
            TokenTree::Ident(Ident::new("compile_error", self.span)),
            TokenTree::Punct(Punct::new('!', Spacing::Alone)),
            TokenTree::Group(Group::new(Delimiter::Brace, message.into())),
        ];
        let mut tokens: Vec<TokenTree> = tokens.into();
        for token in &mut tokens {
            token.set_span(self.span);
        }
        tokens.into_iter().collect()
    }
}

fn expand(input: TokenStream) -> Result<TokenStream, Refusal> {
    const FORM: &str = "write wpp!(Level, Flag, \"text {name:kind}\", value, …)";
    let here = Span::call_site();
    let mut parts = split(input);
    if parts.len() < 3 {
        return Err(Refusal::new(here, FORM));
    }
    let values: Vec<Vec<TokenTree>> = parts.split_off(3);
    let [level, flag, text] = parts.try_into().map_err(|_| Refusal::new(here, FORM))?;
    let level = match &level[..] {
        [TokenTree::Ident(level)] if is_level(level) => level.clone(),
        _ => {
            let names = LEVELS.map(|(name, _)| name).join(", ");
            return Err(Refusal::new(
                span(&level),
                format!("a level is one of {names}"),
            ));
        }
    };
    let literal = match &text[..] {
        [TokenTree::Literal(literal)] => literal.clone(),
        // Where another macro hands a text through.
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::None => {
            match group.stream().into_iter().next() {
                Some(TokenTree::Literal(literal)) => literal,
                _ => return Err(Refusal::new(span(&text), FORM)),
            }
        }
        _ => return Err(Refusal::new(span(&text), FORM)),
    };
    let written = literal.to_string();
    let content = written
        .strip_prefix('"')
        .and_then(|content| content.strip_suffix('"'))
        .ok_or_else(|| Refusal::new(literal.span(), "the text is a plain string"))?;
    let refuse = |why: String| Refusal::new(literal.span(), why);
    let text = Text::parse(content).map_err(refuse)?;
    let (id, number) = place(literal.span()).map_err(refuse)?;
    let wanted = text.values().count();
    if values.len() != wanted {
        let given = values.len();
        return Err(refuse(format!(
            "the text has {wanted} values, and {given} are given"
        )));
    }
    let bytes = id.in_memory();
    let parse = |text: String| {
        let parsed: Result<TokenStream, _> = text.parse();
        parsed.map_err(|error| refuse(error.to_string()))
    };
    let mut pairs = TokenStream::new();
    for (index, ((_, kind), value)) in text.values().zip(values).enumerate() {
        pairs.extend(parse(match kind {
            Kind::Known(known) => format!("value{index}: ::wpp::kind::{} =", known.type_name),
            Kind::Named(name) => format!("value{index}: {name} ="),
        })?);
        // As it stands there: what is wrong with its type is said about it alone.
        pairs.extend(group(Delimiter::Parenthesis, value.into_iter().collect()));
        pairs.extend([TokenTree::Punct(Punct::new(',', Spacing::Alone))]);
    }
    let mut output = parse("::wpp::made_message!".to_owned())?;
    let mut inside = group(Delimiter::Bracket, flag.into_iter().collect());
    inside.extend([TokenTree::Ident(level)]);
    inside.extend(parse(format!("{bytes:?} {number}"))?);
    inside.extend(group(Delimiter::Bracket, pairs));
    output.extend(group(Delimiter::Brace, inside));
    Ok(output)
}

fn group(delimiter: Delimiter, inside: TokenStream) -> TokenStream {
    TokenTree::Group(Group::new(delimiter, inside)).into()
}

fn is_level(name: &Ident) -> bool {
    LEVELS.iter().any(|(level, _)| name.to_string() == *level)
}

fn span(tokens: &[TokenTree]) -> Span {
    tokens.first().map_or_else(Span::call_site, TokenTree::span)
}

/// What stands between the commas; nothing behind the last.
fn split(input: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    // Commas between angle brackets of a path belong to it: `size_of::<(A, B)>` has none, `f::<A, B>()` has.
    let mut depth = 0_usize;
    let mut before = None;
    for token in input {
        if let TokenTree::Punct(punct) = &token {
            match (punct.as_char(), before) {
                // Only behind `::` does an angle bracket open a list.
                ('<', Some(':')) => depth += 1,
                ('<', _) if depth > 0 => depth += 1,
                ('>', Some('-' | '=')) => {}
                ('>', _) => depth = depth.saturating_sub(1),
                (',', _) if depth == 0 => {
                    parts.push(std::mem::take(&mut part));
                    before = None;
                    continue;
                }
                _ => {}
            }
            before = Some(punct.as_char());
        } else {
            before = None;
        }
        part.push(token);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// What each package's sources say. A compiler process compiles one package; an editor's server does several, for days.
static PACKAGES: Mutex<Option<HashMap<PathBuf, Package>>> = Mutex::new(None);

/// GUID and number of the message whose text begins at `span`.
fn place(span: Span) -> Result<(Guid, u16), String> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("Cargo has not set {name}"));
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let component = variable("CARGO_PKG_NAME")?;
    let path = span.local_file().ok_or("the text stands in no file")?;
    let path = env::current_dir()
        .map_err(|error| error.to_string())?
        .join(path);
    let below = path
        .strip_prefix(folder.join("src"))
        .map_err(|_| "messages stand in sources below the package's `src`".to_owned())?;
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    let below = parts.join("/");
    let (line, column) = (span.line(), span.column());
    let mut packages = PACKAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let packages = packages.get_or_insert_default();
    let mut refusal = None;
    for is_fresh in [false, true] {
        if is_fresh || !packages.contains_key(&folder) {
            let read = Package::read(&component, &folder).map_err(|error| error.to_string())?;
            packages.insert(
                folder.clone(),
                read.ok_or("the package has no `wpp::control!`")?,
            );
        }
        let package = packages.get(&folder);
        refusal = package.and_then(|package| package.refusal(&below, line, column));
        let file = package.and_then(|package| package.file(&below));
        let message = file.and_then(|file| {
            let mut messages = file.messages.iter();
            let found = messages.find(|message| (message.line, message.column) == (line, column));
            Some((file.id, found?.number))
        });
        if let Some(found) = message {
            return Ok(found);
        }
    }
    Err(refusal.unwrap_or_else(|| {
        format!(
            "{below}:{line}:{column} is not where a message is found: its level, flag and text are written out in `wpp!(…)`"
        )
    }))
}
