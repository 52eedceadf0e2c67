//! `cargo xtask compile-fail`: misuse of `ndis` that the compiler has to refuse, and the reason it has to give.
//!
//! The cases are compiled for the Windows target, against the API that ships. The first line of a case says what has to
//! happen; `crates/ndis/tests/compile_fail/frame.rs` has the form.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, diagnostic::DiagnosticLevel};

use crate::{
    compile::{Compilation, Options},
    failure::Failed,
    output::say,
    repository::Repository,
};

/// The package whose misuse is tried.
const PACKAGE: &str = "ndis";
/// The folder of the cases, and the file in it that is none.
const CASES: &str = "crates/ndis/tests/compile_fail";
const FRAME: &str = "frame.rs";
/// How the frame learns which case it is to include.
const CASE_VARIABLE: &str = "NDIS_COMPILE_FAIL_CASE";

/// Try the misuse of `ndis` that has to be refused.
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
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let expected = Outcome::expected(&path)?;
        let (found, rendered) = compile(&repository, &compilation, &path)?;
        if found == expected {
            say!("ok      {name}: {}", found.describe())?;
        } else {
            failed += 1;
            say!(
                "FAILED  {name}: expected {}, found {}",
                expected.describe(),
                found.describe()
            )?;
            crate::output::write(format_args!("{rendered}"))?;
        }
    }
    if failed > 0 {
        bail!(Failed(format!(
            "{failed} cases were not refused as they should be"
        )));
    }
    Ok(())
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

/// What the compiler says about a case.
#[derive(PartialEq, Eq)]
enum Outcome {
    Compiles,
    /// The codes of its errors; one that has no code is an empty string.
    Errors(BTreeSet<String>),
}

impl Outcome {
    /// What the first line of the case says.
    fn expected(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
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

/// Compiles a case; gives what the compiler says, in short and in full.
fn compile(
    repository: &Repository,
    compilation: &Compilation,
    case: &Path,
) -> Result<(Outcome, String)> {
    let output = compilation
        .cargo(repository, "check", &[PACKAGE.to_owned()])?
        .args(["--example", "compile_fail"])
        .args(["--features", "ndis/compile-fail"])
        .args(["--quiet", "--message-format=json"])
        .env(CASE_VARIABLE, case)
        .output()
        .context("cannot run cargo")?;
    let mut codes = BTreeSet::new();
    let mut rendered = String::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerMessage(message) = message.context("cargo's messages")? else {
            continue;
        };
        let diagnostic = message.message;
        // The summary at the end has no place.
        if diagnostic.level == DiagnosticLevel::Error && !diagnostic.spans.is_empty() {
            codes.insert(diagnostic.code.map(|code| code.code).unwrap_or_default());
            rendered.push_str(&diagnostic.rendered.unwrap_or_default());
        }
    }
    match (output.status.success(), codes.is_empty()) {
        (true, true) => Ok((Outcome::Compiles, rendered)),
        (false, false) => Ok((Outcome::Errors(codes), rendered)),
        _ => bail!(
            "cargo check of {} failed by itself: {}",
            case.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}
