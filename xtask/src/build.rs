//! `cargo xtask build`: a driver package becomes a `.sys` with its `.pdb` and map.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    check_image,
    compile::{self, Compilation, Options},
    import_library::ImportTable,
    repository::{Repository, create_folder},
    seal,
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
    compile::run(&mut compilation.cargo(&repository, "build", &arguments.package)?)?;

    let output = repository
        .target_folder()
        .join("driver")
        .join(arguments.options.arch.to_string())
        .join(compilation.profile());
    create_folder(&output)?;
    let table = ImportTable::read(repository.root())?;
    for name in &arguments.package {
        let product = collect(&compilation.output_folder(), &output, name)?;
        seal::seal(&product.image, &product.pdb)?;
        if arguments.options.release && ships(&repository, name)? {
            check_image::check(&product.image, &product.map, &table, false)?;
        }
        println!("{}", product.image.display());
    }
    Ok(())
}

/// Whether a driver has to pass the image checks: all but those that misbehave for tests.
fn ships(repository: &Repository, package: &str) -> Result<bool> {
    let manifest = &repository.package(package)?.manifest_path;
    Ok(!manifest
        .as_std_path()
        .starts_with(repository.root().join("tests")))
}

/// What a build leaves of one package.
struct Product {
    image: PathBuf,
    pdb: PathBuf,
    map: PathBuf,
}

/// Copies image, symbols and map of a package from Cargo's folder.
fn collect(from: &Path, to: &Path, package: &str) -> Result<Product> {
    let stem = package.replace('-', "_");
    let copy = |source: PathBuf, extension: &str| {
        let destination = to.join(format!("{package}.{extension}"));
        fs::copy(&source, &destination).with_context(|| {
            format!(
                "cannot copy {} to {}",
                source.display(),
                destination.display()
            )
        })?;
        anyhow::Ok(destination)
    };
    Ok(Product {
        image: copy(from.join(format!("{stem}.dll")), "sys")?,
        pdb: copy(from.join(format!("{stem}.pdb")), "pdb")?,
        map: copy(from.join("deps").join(format!("{stem}.map")), "map")?,
    })
}
