//! `cargo xtask build`: a driver package becomes a `.sys` with its `.pdb` and map.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    c_driver, check_image,
    compile::{self, Compilation, Options},
    import_library::ImportTable,
    output::say,
    repository::{Repository, create_folder},
    seal, tmf,
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
    let (in_c, packages): (Vec<String>, Vec<String>) = arguments
        .package
        .iter()
        .cloned()
        .partition(|name| c_driver::find(name).is_some());
    for name in &packages {
        Repository::require_driver(repository.package(name)?)?;
    }
    let options = &arguments.options;
    let output = repository
        .target_folder()
        .join("driver")
        .join(options.arch.to_string())
        .join(options.profile());
    create_folder(&output)?;
    for driver in in_c.iter().filter_map(|name| c_driver::find(name)) {
        forget(&output, driver.name)?;
        let product = driver.build(&repository, options, &output)?;
        seal::seal(&product.image, &product.pdb)?;
        say!("{}", product.admit()?.display())?;
    }
    if packages.is_empty() {
        return Ok(());
    }
    let compilation = Compilation::prepare(&repository, options)?;
    compile::run(&mut compilation.cargo(&repository, "build", &packages)?)?;
    let table = ImportTable::read(repository.root())?;
    for name in &packages {
        let product = collect(&compilation.output_folder(), &output, name)?;
        seal::seal(&product.image, &product.pdb)?;
        if options.release && ships(&repository, name)? {
            check_image::check(&product.image, &product.map, &table, false)?;
        }
        tmf::write(&repository, name, &product.image, &output)?;
        say!("{}", product.admit()?.display())?;
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
pub(crate) struct Product {
    /// Where the image waits until it has passed the checks; it stays there when it does not.
    pub(crate) image: PathBuf,
    pub(crate) pdb: PathBuf,
    pub(crate) map: PathBuf,
}

impl Product {
    /// Gives the image the name by which others find it.
    fn admit(&self) -> Result<PathBuf> {
        let admitted = self.image.with_extension("");
        fs::rename(&self.image, &admitted)
            .with_context(|| format!("cannot rename {}", self.image.display()))?;
        Ok(admitted)
    }
}

/// Copies image, symbols and map of a package from Cargo's folder, and removes the image of an earlier build: until this
/// one is admitted there is none.
fn collect(from: &Path, to: &Path, package: &str) -> Result<Product> {
    let stem = package.replace('-', "_");
    forget(to, package)?;
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
        image: copy(from.join(format!("{stem}.dll")), "sys.refused")?,
        pdb: copy(from.join(format!("{stem}.pdb")), "pdb")?,
        map: copy(from.join("deps").join(format!("{stem}.map")), "map")?,
    })
}

/// Removes the image that an earlier build of `package` left in `folder`.
fn forget(folder: &Path, package: &str) -> Result<()> {
    let admitted = folder.join(format!("{package}.sys"));
    match fs::remove_file(&admitted) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", admitted.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_admitted_image_has_its_name() {
        let folder = std::env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        create_folder(&folder.join("deps")).expect("a folder");
        for name in ["a_b.dll", "a_b.pdb", "deps/a_b.map"] {
            fs::write(folder.join(name), "new").expect("a file");
        }
        let admitted = folder.join("a-b.sys");
        fs::write(&admitted, "old").expect("a file");

        let product = collect(&folder, &folder, "a-b").expect("a product");
        assert!(
            !admitted.exists(),
            "the old image is no result of this build"
        );
        assert_eq!(product.admit().expect("a name"), admitted);
        assert_eq!(fs::read(&admitted).expect("an image"), b"new");
        assert!(!product.image.exists());
        fs::remove_dir_all(folder).expect("its own folder");
    }
}
