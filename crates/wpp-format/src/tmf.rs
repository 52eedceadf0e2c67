//! TMF files. Windows' documentation calls their form internal; this is the form of tracepdb's, as strictly as public
//! readers want it: braces also where there is nothing, symbols that end in the line, one blank between parts.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::package::{File, Message, NamesKind, Package};
use crate::text::{Kind, Piece};

/// The number by which texts name the first value; those below are of what stands in front of a message.
const FIRST_VALUE: usize = 10;

impl File {
    /// Its name, without folders.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl Package {
    /// The TMF of one file; its name is the file's GUID with `.tmf`.
    #[must_use]
    pub fn tmf(&self, file: &File) -> String {
        self.joined_tmf([file])
    }

    /// A TMF of several files.
    #[must_use]
    pub fn joined_tmf<'f>(&self, files: impl IntoIterator<Item = &'f File>) -> String {
        let mut out = format!("// PDB:  {}.pdb\n", self.component);
        let mut named = BTreeSet::new();
        for file in files {
            // The GUID's line is read up to the next blank. The source is named without folders, as tracepdb does.
            let _ = writeln!(
                out,
                "{} {} // SRC={} MJ= MN=",
                file.id,
                self.component,
                file.name()
            );
            for message in &file.messages {
                self.write_message(file, message, &mut out);
            }
            for message in &file.messages {
                for (_, kind) in message.text.values() {
                    if let Kind::Named(name) = kind
                        && named.insert(name)
                    {
                        self.write_names(name, &mut out);
                    }
                }
            }
        }
        out
    }

    fn write_message(&self, file: &File, message: &Message, out: &mut String) {
        let symbol = file
            .name()
            .replace(|character: char| !character.is_ascii_alphanumeric(), "_");
        let _ = write!(
            out,
            "#typev {symbol}{} {} \"%0",
            message.line, message.number
        );
        let mut arguments = String::new();
        let mut place = FIRST_VALUE;
        for piece in &message.text.pieces {
            match piece {
                Piece::Plain(plain) => out.push_str(&plain.replace('%', "%%")),
                Piece::Function => out.push_str("%!FUNC!"),
                Piece::Value { name, kind } => {
                    let (item, style) = self.item(kind);
                    let _ = write!(out, "%{place}!{style}!");
                    let _ = writeln!(arguments, "{name}, Item{item} -- {place}");
                    place += 1;
                }
            }
        }
        let _ = writeln!(
            out,
            "\" //   LEVEL={} FLAGS={} FUNC={}\n{{\n{arguments}}}",
            message.level, message.flag, message.function
        );
    }

    /// How a value's bytes are laid out, and how it is shown.
    fn item(&self, kind: &Kind) -> (String, &'static str) {
        match kind {
            Kind::Known(known) => (known.item.to_owned(), known.style),
            Kind::Named(name) => {
                let item = match self.named(name).map(|names| names.kind) {
                    Some(NamesKind::Flags) => "FlagsEnum",
                    _ => "Enum",
                };
                (format!("{item}({name})"), "s")
            }
        }
    }

    fn write_names(&self, name: &str, out: &mut String) {
        let _ = writeln!(out, "#enumv {name}\n{{");
        for (member, value) in self
            .named(name)
            .into_iter()
            .flat_map(|names| &names.members)
        {
            let _ = writeln!(out, "{member},{value:#x}");
        }
        out.push_str("}\n");
    }
}
