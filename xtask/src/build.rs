//! `cargo xtask build`: a driver package becomes a `.sys` with its `.pdb` and map.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    compile::{self, Compilation, Options},
    repository::{Repository, create_folder},
};

/// The root package.
const DRIVER: &str = "deferlwf";

/// Build drivers: `.sys`, `.pdb` and map, into `target/driver/<arch>/<debug|release>/`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Driver package to build; may be repeated.
    #[arg(long, short, value_name = "NAME", default_value = DRIVER)]
    package: Vec<String>,
}

/// Builds what `arguments` ask for.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let repository = Repository::open()?;
    for name in &arguments.package {
        Repository::require_driver(repository.package(name)?)?;
    }
    let compilation = Compilation::prepare(&repository, &arguments.options)?;
    let features: Vec<_> = arguments
        .package
        .iter()
        .map(|name| format!("{name}/cross"))
        .collect();
    let mut command = compilation.cargo("build", &arguments.package);
    compile::run(command.args(["--features", &features.join(",")]))?;

    let output = repository
        .target_folder()
        .join("driver")
        .join(arguments.options.arch.to_string())
        .join(compilation.profile());
    create_folder(&output)?;
    for name in &arguments.package {
        let image = collect(&compilation.output_folder(), &output, name)?;
        println!("{}", image.display());
    }
    Ok(())
}

/// Copies image, symbols and map of a package from Cargo's folder.
fn collect(from: &Path, to: &Path, package: &str) -> Result<PathBuf> {
    let stem = package.replace('-', "_");
    for (source, extension) in [
        (from.join(format!("{stem}.dll")), "sys"),
        (from.join(format!("{stem}.pdb")), "pdb"),
        (from.join("deps").join(format!("{stem}.map")), "map"),
    ] {
        let destination = to.join(format!("{package}.{extension}"));
        fs::copy(&source, &destination).with_context(|| {
            format!(
                "cannot copy {} to {}",
                source.display(),
                destination.display()
            )
        })?;
    }
    Ok(to.join(format!("{package}.sys")))
}
