//! What the disk holds: folders and files by their full names. It is the lab's own, and lasts for a run.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::nt::full_name::{FullName, Tree};
use crate::per_image::per_image;

/// Folders that are there.
pub(super) const FOLDERS: &[&str] = &[
    "\\??\\C:",
    "\\??\\C:\\ProgramData",
    "\\??\\C:\\Windows",
    "\\??\\C:\\Windows\\System32",
    "\\??\\C:\\Windows\\System32\\drivers",
    "\\??\\C:\\Windows\\Temp",
];

/// The disk, which may have its other names in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disk {}

impl Tree for Disk {
    fn rename(upper: String) -> String {
        let others = [
            ("\\DOSDEVICES\\", "\\??\\"),
            ("\\GLOBAL??\\", "\\??\\"),
            ("\\SYSTEMROOT", "\\??\\C:\\WINDOWS"),
            ("\\DEVICE\\HARDDISKVOLUME1", "\\??\\C:"),
        ];
        let renamed = others.iter().find_map(|(other, name)| {
            let rest = upper.strip_prefix(other)?;
            Some(format!("{name}{rest}"))
        });
        renamed.unwrap_or(upper)
    }
}

/// A file or folder, by its full name.
pub(super) type FileName = FullName<Disk>;

/// A file or folder.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// What is in it; nothing for a folder.
    pub(super) data: Option<Vec<u8>>,
    /// When it was made, read and written, in virtual ns.
    pub(super) created_ns: u64,
    pub(super) read_ns: u64,
    pub(super) written_ns: u64,
    /// It is gone when nobody has it open any more.
    pub(super) is_doomed: bool,
    /// What those who have it open want to do, and let others do.
    pub(super) opens: Vec<Sharing>,
}

/// What is said of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// In bytes; 0 of a folder.
    pub(super) length: u64,
    pub(super) created_ns: u64,
    pub(super) read_ns: u64,
    pub(super) written_ns: u64,
    pub(super) is_doomed: bool,
    pub(super) is_folder: bool,
}

/// How a file is opened: bits for reading, writing and deleting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sharing {
    pub(super) wants: u32,
    pub(super) lets: u32,
}

impl Sharing {
    /// The bit for deleting, and all of them, as in `FILE_SHARE_DELETE` and its kin.
    const DELETE: u32 = 4;
    const ALL: u32 = 7;
}

impl Node {
    /// What is said of it.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            length: self.data.as_ref().map_or(0, |data| data.len() as u64),
            created_ns: self.created_ns,
            read_ns: self.read_ns,
            written_ns: self.written_ns,
            is_doomed: self.is_doomed,
            is_folder: self.data.is_none(),
        }
    }

    /// Whether somebody who has it open is in the way of this, or this of them.
    pub(super) fn refuses(&self, new: Sharing) -> bool {
        let is_in_the_way =
            |old: &Sharing| new.wants & !old.lets != 0 || old.wants & !new.lets != 0;
        self.opens.iter().any(is_in_the_way)
    }
}

type Nodes = BTreeMap<FileName, Node>;

per_image! {
    static NODES: RefCell<Nodes> = const { RefCell::new(BTreeMap::new()) };
}

/// The disk as a run begins.
pub(crate) fn reset() {
    let folder = |path: &&str| (FileName::new(path), Node::default());
    NODES.set(FOLDERS.iter().map(folder).collect());
}

/// Looks at a file or folder.
pub(super) fn with<T>(name: &FileName, look: impl FnOnce(&Node) -> T) -> Option<T> {
    NODES.with_borrow(|nodes| nodes.get(name).map(look))
}

/// Changes one.
pub(super) fn change<T>(name: &FileName, change: impl FnOnce(&mut Node) -> T) -> Option<T> {
    NODES.with_borrow_mut(|nodes| nodes.get_mut(name).map(change))
}

/// Whether there is a folder that a file of this name would be in.
pub(super) fn has_folder(name: &FileName) -> bool {
    let parent = name.parent();
    parent.is_some_and(|parent| with(&parent, |node| node.data.is_none()) == Some(true))
}

/// Makes a file or folder.
pub(super) fn insert(name: &FileName, node: Node) {
    NODES.with_borrow_mut(|nodes| nodes.insert(name.clone(), node));
}

/// Whether a folder has something in it.
pub(super) fn is_full(name: &FileName) -> bool {
    NODES.with_borrow(|nodes| {
        let mut names = nodes.keys();
        names.any(|it| it.is_child_of(name))
    })
}

/// What a folder has in it: the last parts of the names, and what is said of each.
pub(super) fn children(name: &FileName) -> Vec<(String, Facts)> {
    let last = |it: &FileName| {
        let parts = it.as_str().rsplit('\\');
        parts.into_iter().next().unwrap_or_default().to_owned()
    };
    NODES.with_borrow(|nodes| {
        let inside = nodes.iter().filter(|(it, _)| it.is_child_of(name));
        inside.map(|(it, node)| (last(it), node.facts())).collect()
    })
}

/// Somebody who had it open so does not any more; tells nothing of it where it is gone.
pub(super) fn close(name: &FileName, sharing: Sharing) {
    NODES.with_borrow_mut(|nodes| {
        let Some(node) = nodes.get_mut(name) else {
            return;
        };
        if let Some(at) = node.opens.iter().position(|it| *it == sharing) {
            node.opens.swap_remove(at);
        }
        if node.is_doomed && node.opens.is_empty() {
            nodes.remove(name);
        }
    });
}

/// Opens one to delete it, and closes it again: it is gone when nobody else has it open any more. Tells whether those who
/// have it open let that be.
pub(super) fn delete(name: &FileName) -> Option<bool> {
    let sharing = Sharing {
        wants: Sharing::DELETE,
        lets: Sharing::ALL,
    };
    let is_let = change(name, |node| {
        let is_let = !node.refuses(sharing);
        if is_let {
            node.opens.push(sharing);
            node.is_doomed = true;
        }
        is_let
    })?;
    if is_let {
        close(name, sharing);
    }
    Some(is_let)
}

#[cfg(test)]
mod tests {
    use super::{FileName, Node, Sharing};

    #[test]
    fn the_disk_has_several_names() {
        let name = FileName::new("\\??\\C:\\Windows\\Temp\\x.log");
        for other in [
            "\\SystemRoot\\Temp\\X.LOG",
            "\\DosDevices\\c:\\windows\\temp\\x.log",
            "\\Device\\HarddiskVolume1\\Windows\\Temp\\x.log",
        ] {
            assert_eq!(FileName::new(other), name, "{other}");
        }
    }

    #[test]
    fn a_doomed_file_goes_with_its_last_user() {
        super::reset();
        let name = FileName::new("\\SystemRoot\\Temp\\x");
        assert!(super::has_folder(&name));
        let sharing = Sharing { wants: 2, lets: 1 };
        let node = Node {
            data: Some(Vec::new()),
            is_doomed: true,
            opens: vec![sharing, sharing],
            ..Node::default()
        };
        assert!(node.refuses(Sharing { wants: 2, lets: 3 }));
        assert!(node.refuses(Sharing { wants: 1, lets: 1 }));
        assert!(!node.refuses(Sharing { wants: 1, lets: 3 }));
        super::insert(&name, node);
        super::close(&name, sharing);
        assert!(super::with(&name, |_| ()).is_some());
        super::close(&name, sharing);
        assert!(super::with(&name, |_| ()).is_none());
    }

    #[test]
    fn a_deleted_file_stays_for_who_has_it_open() {
        super::reset();
        let name = FileName::new("\\SystemRoot\\Temp\\x");
        assert_eq!(super::delete(&name), None);
        let lets_all = Sharing { wants: 4, lets: 7 };
        let node = Node {
            data: Some(vec![1, 2]),
            opens: vec![lets_all],
            ..Node::default()
        };
        super::insert(&name, node);
        assert_eq!(super::delete(&name), Some(true));
        let left = super::with(&name, |node| (node.facts().length, node.opens.len()));
        assert_eq!(left, Some((2, 1)));
        super::close(&name, lets_all);
        assert!(super::with(&name, |_| ()).is_none());
    }
}
