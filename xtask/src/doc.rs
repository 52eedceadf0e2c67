//! `cargo xtask doc`: what is public is documented without gaps, and the examples of kernel crates compile.
//!
//! Kernel crates exist for Windows only, so both happen for that target: rustdoc in the workspace of the other tasks, and
//! the examples through `cargo test --doc`. All of those are `no_run`, because nothing here can run them.

use anyhow::{Result, bail};

use crate::{
    architecture::Architecture,
    compile::{self, Compilation, Options},
    failure::Failed,
    lint::{self, Side},
    repository::Repository,
    toolchain::Origin,
};

/// What rustdoc refuses.
const FLAGS: [&str; 2] = ["-Dwarnings", "-Dmissing_docs"];
/// What the kernel side gets besides: its examples have no more to unwind with than the drivers.
const KERNEL_FLAG: &str = "-Cpanic=abort";
/// The packages with examples that a filter author reads.
const WITH_EXAMPLES: &[&str] = &["ndis"];

/// Make the documentation of all crates, and compile the examples in it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the Rust toolchain of the kernel side comes from.
    #[arg(long, value_enum)]
    toolchain: Option<Origin>,
    /// Install missing Debian packages without asking.
    #[arg(long, short)]
    yes: bool,
}

/// Documents both sides, then compiles the examples.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let options = Options {
        arch: Architecture::X64,
        release: false,
        toolchain: arguments.toolchain,
        yes: arguments.yes,
    };
    let compilation = Compilation::prepare(&repository, &options)?;
    let kernel = lint::packages(&repository, Side::Kernel);
    let examples: Vec<String> = WITH_EXAMPLES
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let mut commands = [
        compilation.cargo(&repository, "doc", &kernel)?,
        compilation.cargo(&repository, "test", &examples)?,
        lint::outer_cargo(&repository),
    ];
    let [kernel_doc, kernel_examples, host_doc] = &mut commands;
    kernel_doc.arg("--no-deps");
    kernel_examples.arg("--doc");
    host_doc.args(["doc", "--locked", "--no-deps"]);
    // What is of both sides is documented as the kernel has it: off Windows, part of it is missing.
    for name in lint::packages(&repository, Side::Host) {
        if !kernel.contains(&name) {
            host_doc.args(["--package", &name]);
        }
    }
    let mut failed = Vec::new();
    for ((what, extra), command) in [
        ("documentation of the kernel side", Some(KERNEL_FLAG)),
        ("examples of the kernel side", Some(KERNEL_FLAG)),
        ("documentation of the host side", None),
    ]
    .into_iter()
    .zip(&mut commands)
    {
        let flags: Vec<&str> = FLAGS.into_iter().chain(extra).collect();
        command.env("CARGO_ENCODED_RUSTDOCFLAGS", flags.join("\u{1f}"));
        match compile::run(command) {
            Err(error) if error.is::<Failed>() => failed.push(what),
            other => other?,
        }
    }
    if !failed.is_empty() {
        bail!(Failed(format!("doc: {}", failed.join(", "))));
    }
    Ok(())
}
