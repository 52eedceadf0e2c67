//! Files that the simulated disk has from the beginning.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use lab_kernel::DiskFile;

use super::word;
use crate::error::Error;
use crate::run;

/// Bytes of a file, and of all of them, at most; and how many there are.
const MOST_BYTES: u64 = 16 << 20;
const MOST_ALL: usize = 64 << 20;
const MOST_FILES: usize = 256;

/// A file as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeededFile {
    /// All of `NT-PATH=FILE`.
    text: String,
    /// Its name on the simulated disk.
    name: String,
    /// Where its bytes are.
    path: PathBuf,
}

impl SeededFile {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let (name, path) = parts
            .filter(|(name, path)| !name.is_empty() && !path.is_empty())
            .ok_or_else(|| "expected NT-PATH=FILE".to_owned())?;
        lab_kernel::check_disk_name(name).map_err(|why| format!("{name} {why}"))?;
        Ok(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            path: path.into(),
        })
    }
}

/// Files that the simulated disk has from the beginning.
#[derive(Args, Clone, Debug, Default)]
pub struct FileArguments {
    /// Put a file of this machine on the simulated disk, where ZwCreateFile and its kin find it, such as
    /// '\SystemRoot\System32\drivers\my.dat=my.dat'; give it again for more. Folders on the way are made. 16 MiB a file, 64
    /// MiB and 256 files in all
    #[arg(long = "file", value_name = "NT-PATH=FILE", value_parser = SeededFile::parse)]
    files: Vec<SeededFile>,
}

impl FileArguments {
    /// Reads them, with those of a script behind.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or the disk cannot have them all.
    pub(crate) fn read(&self, others: &[DiskFile]) -> Result<Vec<DiskFile>, Error> {
        let mut files = Vec::new();
        for file in &self.files {
            files.push(DiskFile {
                name: file.name.clone(),
                data: read(&file.path)?,
            });
            check(&files)?;
        }
        files.extend_from_slice(others);
        check(&files)?;
        Ok(files)
    }

    /// As arguments of another lwf-lab.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let files = self.files.iter();
        files.flat_map(|file| ["--file".into(), file.text.clone().into()])
    }

    /// As words of a shell command.
    pub(super) fn words(&self) -> impl Iterator<Item = String> {
        let files = self.files.iter();
        files.flat_map(|file| ["--file".to_owned(), word(&file.text)])
    }
}

/// The bytes of a file for the disk.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    run::read_up_to(path, MOST_BYTES, "a file's limit")
}

pub(crate) fn check(files: &[DiskFile]) -> Result<(), Error> {
    let bad = |line| Err(Error::bad_input(line));
    if files.len() > MOST_FILES {
        let count = files.len();
        return bad(format!("{count} files for the disk: {MOST_FILES} at most"));
    }
    if files.iter().map(|file| file.data.len()).sum::<usize>() > MOST_ALL {
        let most = MOST_ALL >> 20;
        return bad(format!(
            "all files for the disk have more than {most} MiB, the limit"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_name_on_the_disk_and_a_path_here() {
        let file = SeededFile::parse("\\??\\C:\\x=a=b").unwrap();
        assert_eq!(
            (file.name.as_str(), file.path.as_path()),
            ("\\??\\C:\\x", "a=b".as_ref())
        );
        for text in ["", "x", "=x", "\\??\\C:\\x=", "C:\\x=y", "\\??\\D:\\x=y"] {
            assert!(SeededFile::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn there_are_limits() {
        let files = |count: usize, bytes| {
            let file = |number| DiskFile {
                name: format!("\\??\\C:\\{number}"),
                data: vec![0; bytes],
            };
            check(&(0..count).map(file).collect::<Vec<_>>())
        };
        assert!(files(256, 1).is_ok());
        assert!(files(257, 1).unwrap_err().line.contains("256 at most"));
        assert!(files(5, 14 << 20).unwrap_err().line.contains("64 MiB"));
    }
}
