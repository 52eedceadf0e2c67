//! Objects with names: events, folders of objects, symbolic links. A name lasts as long as somebody has a handle of the
//! object, unless that is permanent.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::per_image::per_image;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A folder of objects.
    Folder,
    /// A symbolic link, and what it points to.
    Link(String),
    /// A structure at this address: an event.
    Address(u64),
}

struct Node {
    named: Named,
    is_permanent: bool,
    /// Open handles.
    handles: u32,
}

per_image! {
    /// By full name, in upper case.
    static NODES: RefCell<BTreeMap<String, Node>> = const { RefCell::new(BTreeMap::new()) };
}

/// Folders that are there.
const FOLDERS: &[&str] = &[
    "",
    "\\??",
    "\\BASENAMEDOBJECTS",
    "\\CALLBACK",
    "\\DEVICE",
    "\\DRIVER",
    "\\KERNELOBJECTS",
];

/// What is there as a run begins.
pub(super) fn reset() {
    let folder = |name: &&str| {
        let node = Node {
            named: Named::Folder,
            is_permanent: true,
            handles: 0,
        };
        ((*name).to_owned(), node)
    };
    NODES.set(FOLDERS.iter().map(folder).collect());
}

/// The one name of an object, in upper case: the folder of links has several.
pub(super) fn canonical(name: &str) -> String {
    let upper = name.trim_end_matches('\\').to_uppercase();
    let others = ["\\DOSDEVICES", "\\GLOBAL??"];
    let renamed = others.iter().find_map(|folder| {
        let rest = upper.strip_prefix(folder)?;
        (rest.is_empty() || rest.starts_with('\\')).then(|| format!("\\??{rest}"))
    });
    renamed.unwrap_or(upper)
}

/// What a name stands for.
pub(super) fn find(name: &str) -> Option<Named> {
    NODES.with_borrow(|nodes| nodes.get(name).map(|node| node.named.clone()))
}

/// Whether there is a folder for an object of this name.
pub(super) fn has_folder(name: &str) -> bool {
    let folder = name.rsplit_once('\\').map(|(folder, _)| folder);
    folder.is_some_and(|folder| find(folder) == Some(Named::Folder))
}

/// Gives an object a name that is free.
pub(super) fn insert(name: &str, named: Named, is_permanent: bool) {
    let node = Node {
        named,
        is_permanent,
        handles: 0,
    };
    NODES.with_borrow_mut(|nodes| nodes.insert(name.to_owned(), node));
}

/// Takes a name away; tells whether it was there.
pub(super) fn remove(name: &str) -> bool {
    NODES.with_borrow_mut(|nodes| nodes.remove(name).is_some())
}

/// Somebody has a handle of a named object.
pub(super) fn open(name: &str) {
    NODES.with_borrow_mut(|nodes| {
        if let Some(node) = nodes.get_mut(name) {
            node.handles += 1;
        }
    });
}

/// A handle of a named object is closed.
pub(super) fn close(name: &str) {
    NODES.with_borrow_mut(|nodes| {
        let Some(node) = nodes.get_mut(name) else {
            return;
        };
        node.handles = node.handles.saturating_sub(1);
        if node.handles == 0 && !node.is_permanent {
            nodes.remove(name);
        }
    });
}

/// From now on the object goes with its last handle.
pub(super) fn make_temporary(name: &str) {
    NODES.with_borrow_mut(|nodes| {
        if let Some(node) = nodes.get_mut(name) {
            node.is_permanent = false;
        }
    });
}

/// The name of the object at an address, if it has one.
pub(super) fn name_of(address: u64) -> Option<String> {
    NODES.with_borrow(|nodes| {
        let is_it = |(_, node): &(&String, &Node)| node.named == Named::Address(address);
        nodes.iter().find(is_it).map(|(name, _)| name.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::Named;

    #[test]
    fn a_name_lasts_as_long_as_its_handles() {
        super::reset();
        let name = super::canonical("\\BaseNamedObjects\\Trial");
        assert!(super::has_folder(&name));
        assert!(!super::has_folder("\\NOWHERE\\TRIAL"));
        super::insert(&name, Named::Address(16), false);
        super::open(&name);
        super::open(&name);
        super::close(&name);
        assert_eq!(super::find(&name), Some(Named::Address(16)));
        assert_eq!(super::name_of(16), Some(name.clone()));
        super::close(&name);
        assert_eq!(super::find(&name), None);
    }

    #[test]
    fn what_is_permanent_stays() {
        super::reset();
        let name = super::canonical("\\DosDevices\\Trial");
        assert_eq!(name, super::canonical("\\??\\TRIAL"));
        super::insert(&name, Named::Link("\\Device\\Null".into()), true);
        super::open(&name);
        super::close(&name);
        assert!(super::find(&name).is_some());
        super::make_temporary(&name);
        super::open(&name);
        super::close(&name);
        assert!(super::find(&name).is_none());
    }
}
