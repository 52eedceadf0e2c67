//! Files that the disk has when a run begins.

use super::store::{self, FileName, Node};
use crate::DiskFile;

/// What every one of them is below of.
const DRIVE: &str = "\\??\\C:";
/// The longest name of a file, and of a part of it, in characters.
const NAME_MOST: usize = 1024;
const PART_MOST: usize = 255;
/// Characters that no name of NTFS has.
const REFUSED: &str = "\"*/:<>?|";

/// Why no file can have this name, if so.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let full = FileName::new(name);
    let inside = full.as_str().strip_prefix(DRIVE);
    let inside = inside.and_then(|rest| rest.strip_prefix('\\'));
    let Some(inside) = inside.filter(|inside| !inside.is_empty()) else {
        return Err(
            "is no file of the lab's disk: its name begins with \\??\\C:\\, \\DosDevices\\C:\\, \\SystemRoot\\ or \\Device\\HarddiskVolume1\\"
                .to_owned(),
        );
    };
    if name.ends_with('\\') {
        return Err("ends with \\, which no file does".to_owned());
    }
    if name.chars().count() > NAME_MOST {
        return Err(format!("has more than {NAME_MOST} characters"));
    }
    for part in inside.split('\\') {
        let is_refused = |character: char| character.is_control() || REFUSED.contains(character);
        if part.is_empty() || part == "." || part == ".." {
            return Err(format!("has a part `{part}`, which is no name"));
        }
        if part.chars().count() > PART_MOST {
            return Err(format!("has a part of more than {PART_MOST} characters"));
        }
        if let Some(character) = part.chars().find(|it| is_refused(*it)) {
            let character = character.escape_default();
            return Err(format!("has a `{character}`, which no name has"));
        }
    }
    Ok(())
}

/// Why the disk cannot have all of these, if so. Names were checked.
pub(crate) fn check_all(files: &[DiskFile]) -> Result<(), String> {
    let names: Vec<FileName> = files.iter().map(|file| FileName::new(&file.name)).collect();
    for (at, (file, name)) in files.iter().zip(&names).enumerate() {
        if names.iter().take(at).any(|other| other == name) {
            return Err(format!("{}: there are two of it", file.name));
        }
        let is_within = |other: &FileName| ancestors(other).any(|folder| folder == *name);
        let of_disk = store::FOLDERS.iter().map(|folder| FileName::new(folder));
        if names.iter().any(is_within) || of_disk.into_iter().any(|folder| folder == *name) {
            return Err(format!("{}: is a folder, and cannot be a file", file.name));
        }
    }
    Ok(())
}

/// Puts them there, with the folders that they are in. They have been checked.
pub(crate) fn put(files: &[DiskFile]) {
    for file in files {
        let name = FileName::new(&file.name);
        for folder in ancestors(&name) {
            if store::with(&folder, |_| ()).is_none() {
                store::insert(&folder, Node::default());
            }
        }
        let data = Some(file.data.clone());
        store::insert(
            &name,
            Node {
                data,
                ..Node::default()
            },
        );
    }
}

/// The folders that a file is in, the nearest first, up to the drive.
fn ancestors(name: &FileName) -> impl Iterator<Item = FileName> {
    std::iter::successors(name.parent(), FileName::parent)
        .take_while(|folder| folder.as_str().starts_with(DRIVE))
}

#[cfg(test)]
mod tests {
    use super::{DiskFile, FileName, check, check_all, put, store};

    fn file(name: &str) -> DiskFile {
        DiskFile {
            name: name.to_owned(),
            data: vec![1, 2, 3],
        }
    }

    #[test]
    fn names_are_of_the_disk_or_refused() {
        for name in [
            "\\??\\C:\\x",
            "\\DosDevices\\c:\\a\\b.txt",
            "\\SystemRoot\\Temp\\my file.bin",
            "\\Device\\HarddiskVolume1\\x",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let long = format!("\\??\\C:\\{}", "x".repeat(256));
        for (name, why) in [
            ("", "no file of the lab's disk"),
            ("C:\\x", "no file of the lab's disk"),
            ("\\??\\D:\\x", "no file of the lab's disk"),
            ("\\??\\C:", "no file of the lab's disk"),
            ("\\??\\C:x", "no file of the lab's disk"),
            ("\\??\\C:\\", "no file of the lab's disk"),
            ("\\??\\C:\\x\\", "ends with"),
            ("\\??\\C:\\a\\\\b", "a part ``"),
            ("\\??\\C:\\a\\..\\b", "a part `..`"),
            ("\\??\\C:\\a:b", "a `:`"),
            ("\\??\\C:\\a\nb", "a `\\n`"),
            (&long, "more than 255"),
        ] {
            let error = check(name).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn two_of_one_name_and_a_file_for_a_folder_are_refused() {
        let check_names =
            |names: &[&str]| check_all(&names.iter().map(|name| file(name)).collect::<Vec<_>>());
        assert_eq!(check_names(&["\\??\\C:\\a\\b", "\\??\\C:\\a\\c"]), Ok(()));
        let error = check_names(&["\\SystemRoot\\x", "\\??\\C:\\windows\\X"]).unwrap_err();
        assert_eq!(error, "\\??\\C:\\windows\\X: there are two of it");
        for names in [
            &["\\??\\C:\\a", "\\??\\C:\\a\\b"][..],
            &["\\??\\C:\\Windows"],
            &["\\SystemRoot\\System32"],
        ] {
            let error = check_names(names).unwrap_err();
            assert!(
                error.ends_with("is a folder, and cannot be a file"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_is_there_with_its_folders() {
        store::reset();
        put(&[file("\\DosDevices\\C:\\ProgramData\\My\\deep\\x.bin")]);
        let data = store::with(
            &FileName::new("\\??\\C:\\programdata\\my\\DEEP\\X.BIN"),
            |node| node.data.clone(),
        );
        assert_eq!(data, Some(Some(vec![1, 2, 3])));
        let folder = FileName::new("\\??\\C:\\ProgramData\\My");
        assert_eq!(store::with(&folder, |node| node.data.is_none()), Some(true));
    }
}
