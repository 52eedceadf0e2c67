//! Other filters on the same adapters.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::path_word;

/// Other filters on the same adapters: each lives as the image does, and is judged by itself.
#[derive(Args, Clone, Debug, Default)]
pub struct StackArguments {
    /// Another filter, above the image on every adapter; give it again for more, each above the one before. The .pdb
    /// beside it has its symbols. Registry values (--set) are for all
    #[arg(long, value_name = "IMAGE")]
    pub above: Vec<PathBuf>,

    /// Another filter, below the image; give it again for more, each below the one before. Three others at most
    #[arg(long, value_name = "IMAGE")]
    pub below: Vec<PathBuf>,
}

impl StackArguments {
    /// The images from top to bottom, with `image` among them.
    pub(crate) fn images_with<'a>(&'a self, image: &'a PathBuf) -> Vec<&'a Path> {
        let above = self.above.iter().rev();
        let all = above.chain([image]).chain(&self.below);
        all.map(PathBuf::as_path).collect()
    }

    /// All of them, with the option that names each.
    fn options(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let above = self.above.iter().map(|path| ("--above", path));
        above.chain(self.below.iter().map(|path| ("--below", path)))
    }

    /// As arguments of another lwf-lab.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        self.options()
            .flat_map(|(name, path)| [name.into(), path.into()])
    }

    /// As words of a shell command.
    pub(super) fn words(&self) -> impl Iterator<Item = String> {
        self.options()
            .flat_map(|(name, path)| [name.to_owned(), path_word(path)])
    }
}
