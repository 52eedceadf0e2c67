//! `cargo xtask check-image`: what has to hold for an image that ships.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    failure::Failed,
    image::{Image, RULES},
    import_library::ImportTable,
    output::say,
    repository::Repository,
};

/// Check a linked driver image against what has to hold for one that ships.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The image.
    image: PathBuf,
    /// The linker's map of it [default: beside the image, with the extension .map].
    #[arg(long)]
    map: Option<PathBuf>,
}

/// Checks the image that `arguments` name and lists every rule.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let table = ImportTable::read(Repository::open()?.root())?;
    let map = arguments.map.clone().unwrap_or_else(|| {
        // A build that was refused has its map where that of another would be.
        let image = &arguments.image;
        let is_refused = image.extension() == Some("refused".as_ref());
        let image = if is_refused {
            image.with_extension("")
        } else {
            image.clone()
        };
        image.with_extension("map")
    });
    check(&arguments.image, &map, &table, true)
}

/// Checks `image`; `is_verbose` lists the rules that hold as well.
pub(crate) fn check(image: &Path, map: &Path, table: &ImportTable, is_verbose: bool) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let map_bytes =
        fs::read(map).with_context(|| format!("cannot read the map {}", map.display()))?;
    let text = String::from_utf8_lossy(&map_bytes);
    let parsed = Image::parse(&bytes, &text, table).with_context(|| image.display().to_string())?;
    let mut broken = 0;
    for rule in RULES {
        let findings =
            (rule.check)(&parsed).with_context(|| format!("{}: {}", image.display(), rule.name))?;
        if findings.is_empty() {
            if is_verbose {
                say!("ok      {}", rule.name)?;
            }
            continue;
        }
        broken += 1;
        eprintln!("broken  {}", rule.name);
        for finding in findings {
            eprintln!("        {finding}");
        }
    }
    if broken > 0 {
        bail!(Failed(format!(
            "{} breaks {broken} of {} rules",
            image.display(),
            RULES.len()
        )));
    }
    Ok(())
}
