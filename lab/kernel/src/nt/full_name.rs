//! Full names of keys and files, which do not tell case.

use std::marker::PhantomData;

/// A tree of objects with such names.
pub(crate) trait Tree {
    /// The one name of an object that may have others; both are in upper case.
    fn rename(upper: String) -> String;
}

/// The full name of an object of a tree, in upper case, its parts with `\` before them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FullName<T>(String, PhantomData<T>);

impl<T: Tree> FullName<T> {
    /// That of a path.
    pub(super) fn new(path: &str) -> Self {
        let upper = path.trim_end_matches('\\').to_uppercase();
        Self(T::rename(upper), PhantomData)
    }

    /// An object below this one, or itself without a path.
    pub(super) fn below(&self, path: &str) -> Self {
        Self::new(&format!("{}\\{path}", self.0))
    }

    /// Whether it is right below `other`.
    pub(super) fn is_child_of(&self, other: &Self) -> bool {
        let parent = self.0.rsplit_once('\\').map(|(parent, _)| parent);
        parent == Some(other.as_str())
    }

    /// The object that it is right below, unless there is none.
    pub(super) fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('\\')?;
        (!parent.is_empty()).then(|| Self(parent.to_owned(), PhantomData))
    }

    /// The text of it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
