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
    let mut features = Vec::new();
    for name in &arguments.package {
        if repository.package(name)?.features.contains_key("cross") {
            features.push(format!("{name}/cross"));
        }
    }
    let compilation = Compilation::prepare(&repository, &arguments.options)?;
    let subcommand = if arguments.no_clippy {
        "check"
    } else {
        compilation
            .toolchain()
            .require_clippy(arguments.options.yes)?;
        "clippy"
    };
    let mut command = compilation.cargo(subcommand, &arguments.package);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    compile::run(&mut command)
}
