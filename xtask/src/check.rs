//! `cargo xtask check`: kernel-side packages through `cargo check` or clippy for the Windows target.

use anyhow::Result;

use crate::{
    compile::{self, Compilation, Options},
    repository::Repository,
};

/// Check kernel-side packages for the Windows target, with clippy.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Package to check; may be repeated.
    #[arg(long, short, value_name = "NAME", default_value = "deferlwf")]
    package: Vec<String>,
    /// Only `cargo check`, no lints.
    #[arg(long)]
    no_clippy: bool,
}

/// Checks what `arguments` ask for.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    let compilation = Compilation::prepare(&repository, &arguments.options)?;
    let subcommand = if arguments.no_clippy {
        "check"
    } else {
        compilation
            .toolchain()
            .require_clippy(arguments.options.yes)?;
        "clippy"
    };
    compile::run(&mut compilation.cargo(&repository, subcommand, &arguments.package)?)
}
