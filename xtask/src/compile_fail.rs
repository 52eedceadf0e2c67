//! `cargo xtask compile-fail`: misuse of `ndis` and `wpp` that the compiler has to refuse, and the reason it has to give.
//!
//! The cases of `ndis` are compiled for the Windows target, against the API that ships; those of `wpp` each as a package of
//! its own, whose sources the macro reads. The first lines of a case say what has to happen, and what of the
//! compiler's words a reader needs; `crates/ndis/tests/compile_fail/frame.rs` has the form.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{
    Message,
    diagnostic::{Diagnostic, DiagnosticLevel},
};

use crate::{
    compile::{Compilation, Options},
    failure::Failed,
    lint,
    output::say,
    repository::{Repository, create_folder, write_if_changed},
};

/// The package whose misuse is tried in the frame.
const PACKAGE: &str = "ndis";
/// The folders of the cases, and the file that is none.
const CASES: &str = "crates/ndis/tests/compile_fail";
const WPP_CASES: &str = "crates/wpp/tests/compile_fail";
const FRAME: &str = "frame.rs";
/// How the frame learns which case it is to include.
const CASE_VARIABLE: &str = "NDIS_COMPILE_FAIL_CASE";

/// Try the misuse of `ndis` and `wpp` that has to be refused.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// Tries every case and prints one line for each.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let compilation = Compilation::prepare(&repository, &arguments.options)?;
    let mut failed = 0_usize;
    for path in cases(&repository.root().join(CASES))? {
        let command = in_frame(&repository, &compilation, &path)?;
        failed += usize::from(!try_case(command, &path)?);
    }
    for path in cases(&repository.root().join(WPP_CASES))? {
        let command = as_package(&repository, &path)?;
        failed += usize::from(!try_case(command, &path)?);
    }
    if failed > 0 {
        bail!(Failed(format!(
            "{failed} cases were not refused as they should be"
        )));
    }
    Ok(())
}

/// Compiles a case, and prints a line about it; whether what has to happen does.
fn try_case(command: Command, path: &Path) -> Result<bool> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let expected = Outcome::expected(path, &text)?;
    let errors = compile(command, path)?;
    let found = Outcome::of(&errors);
    let mut wrong = Vec::new();
    if found != expected {
        let (expected, found) = (expected.describe(), found.describe());
        wrong.push(format!("expected {expected}, found {found}"));
    }
    wrong.extend(unsaid(&words(&text), &errors));
    for place in text.lines().filter_map(|line| line.strip_prefix("// at: ")) {
        if !errors.iter().any(|error| error.marked == place) {
            wrong.push(format!("no error points at `{place}` alone"));
        }
    }
    if wrong.is_empty() {
        say!("ok      {name}: {}", found.describe())?;
        return Ok(true);
    }
    say!("FAILED  {name}: {}", wrong.join("; "))?;
    for error in &errors {
        crate::output::write(format_args!("{}", error.rendered))?;
    }
    Ok(false)
}

/// The cases in the order of their names.
fn cases(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut cases = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with(FRAME) {
            cases.insert(path);
        }
    }
    Ok(cases)
}

/// What a case wants to be said: its lines `// says: ...`.
fn words(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("// says: "))
        .collect()
}

/// What is wanted and not said, and errors that say nothing of what is wanted.
fn unsaid(words: &[&str], errors: &[Said]) -> Vec<String> {
    let missing = words
        .iter()
        .filter(|words| !errors.iter().any(|error| error.says(words)))
        .map(|words| format!("nothing says \"{words}\""));
    let silent = errors
        .iter()
        .filter(|error| !words.iter().any(|words| error.says(words)))
        .map(|error| format!("no `// says: ` for \"{}\"", error.message));
    missing.chain(silent).collect()
}

/// One error of the compiler.
#[derive(Default)]
struct Said {
    /// Its code, or an empty string.
    code: String,
    message: String,
    /// Message, labels, notes and suggestions, a line each.
    text: String,
    /// What of the source it points at.
    marked: String,
    rendered: String,
}

impl Said {
    fn new(diagnostic: Diagnostic) -> Self {
        let mut text = diagnostic.message.clone();
        let labels = diagnostic
            .spans
            .iter()
            .filter_map(|span| span.label.as_ref());
        let notes = diagnostic.children.iter().map(|child| &child.message);
        for line in labels.chain(notes) {
            text.push('\n');
            text.push_str(line);
        }
        let place = diagnostic.spans.iter().find(|span| span.is_primary);
        let marked = place.and_then(|span| {
            let line = span.text.first()?;
            let marked = line.highlight_start.checked_sub(1)?..line.highlight_end.checked_sub(1)?;
            Some(line.text.get(marked)?.to_owned())
        });
        Self {
            marked: marked.unwrap_or_default(),
            code: diagnostic.code.map(|code| code.code).unwrap_or_default(),
            message: diagnostic.message,
            text,
            rendered: diagnostic.rendered.unwrap_or_default(),
        }
    }

    fn says(&self, words: &str) -> bool {
        self.text.contains(words)
    }
}

/// What the compiler says about a case.
#[derive(PartialEq, Eq)]
enum Outcome {
    Compiles,
    /// The codes of its errors; one that has no code is an empty string.
    Errors(BTreeSet<String>),
}

impl Outcome {
    /// What the errors amount to.
    fn of(errors: &[Said]) -> Self {
        if errors.is_empty() {
            return Self::Compiles;
        }
        Self::Errors(errors.iter().map(|error| error.code.clone()).collect())
    }

    /// What the first line of the case says.
    fn expected(path: &Path, text: &str) -> Result<Self> {
        let line = text.lines().next().unwrap_or_default();
        let codes = line
            .strip_prefix("// error[")
            .and_then(|rest| rest.split_once("]: "))
            .map(|(codes, _)| codes);
        match codes {
            Some(codes) => Ok(Self::Errors(codes.split(", ").map(str::to_owned).collect())),
            None if line.starts_with("// error: ") => Ok(Self::Errors([String::new()].into())),
            None if line.starts_with("// compiles: ") => Ok(Self::Compiles),
            None => bail!(
                "{}: the first line does not say what has to happen",
                path.display()
            ),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Compiles => "compiles".to_owned(),
            Self::Errors(codes) => {
                let codes: Vec<_> = codes
                    .iter()
                    .map(|code| if code.is_empty() { "error" } else { code })
                    .collect();
                codes.join(", ")
            }
        }
    }
}

/// What compiles a case of `ndis`.
fn in_frame(repository: &Repository, compilation: &Compilation, case: &Path) -> Result<Command> {
    let mut command = compilation.cargo(repository, "check", &[PACKAGE.to_owned()])?;
    command
        .args(["--example", "compile_fail"])
        .args(["--features", "ndis/compile-fail"])
        .env(CASE_VARIABLE, case);
    Ok(command)
}

/// What compiles a case of `wpp`: a package for this host, with what the workspace has locked.
fn as_package(repository: &Repository, case: &Path) -> Result<Command> {
    let folder = repository.target_folder().join("compile-fail");
    create_folder(&folder.join("src"))?;
    let wpp = repository.root().join("crates/wpp");
    // A literal string of TOML takes the separators of Windows as they are.
    let manifest = format!(
        "[package]\nname = \"case\"\nedition = \"2024\"\n\n[dependencies]\nwpp.path = '{}'\n\n[workspace]\n",
        wpp.display()
    );
    write_if_changed(&folder.join("Cargo.toml"), manifest)?;
    let locked = repository.root().join("Cargo.lock");
    let lock = fs::read(&locked).with_context(|| format!("cannot read {}", locked.display()))?;
    fs::write(folder.join("Cargo.lock"), lock).context("cannot lock the case's packages")?;
    let text = fs::read(case).with_context(|| format!("cannot read {}", case.display()))?;
    fs::write(folder.join("src/lib.rs"), text).context("cannot write the case")?;
    let mut command = lint::outer_cargo(repository);
    command
        .current_dir(&folder)
        .args(["check", "--offline", "--target-dir", "target"]);
    Ok(command)
}

/// Compiles a case; gives the compiler's errors.
fn compile(mut command: Command, case: &Path) -> Result<Vec<Said>> {
    let output = command
        .args(["--quiet", "--message-format=json"])
        .output()
        .context("cannot run cargo")?;
    let mut errors = Vec::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerMessage(message) = message.context("cargo's messages")? else {
            continue;
        };
        let diagnostic = message.message;
        // The summary at the end has no place.
        if diagnostic.level == DiagnosticLevel::Error && !diagnostic.spans.is_empty() {
            errors.push(Said::new(diagnostic));
        }
    }
    if output.status.success() == errors.is_empty() {
        return Ok(errors);
    }
    bail!(
        "cargo check of {} failed by itself: {}",
        case.display(),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[cfg(test)]
mod tests {
    use super::{Said, unsaid, words};

    #[test]
    fn each_error_says_what_is_wanted_and_nothing_else_is() {
        let error = |text: &str| Said {
            message: text.to_owned(),
            text: text.to_owned(),
            ..Said::default()
        };
        let case = "// error[E0277]: why.\n// says: of the token\n// says: too\nfn case() {}\n";
        let words = words(case);
        assert_eq!(words, ["of the token", "too"]);
        assert!(unsaid(&words, &[error("use of the token"), error("this too")]).is_empty());
        assert_eq!(
            unsaid(&words, &[error("use of the token"), error("that")]),
            ["nothing says \"too\"", "no `// says: ` for \"that\""]
        );
    }
}
