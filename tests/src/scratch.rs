//! A folder for the files of one test.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A folder that is gone when the value is.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder; `name` keeps the tests of one program apart.
    ///
    /// # Panics
    ///
    /// When the folder cannot be made.
    pub fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("deferlwf-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// Writes a file into it.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays behind is no reason to fail a test.
        let _ = fs::remove_dir_all(&self.0);
    }
}
