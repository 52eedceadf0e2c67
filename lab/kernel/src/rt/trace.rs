//! Driver stacks: captured as addresses, shown as functions and source lines.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    context::{self, Context},
    layout, machine, symbol,
    unwind::{self, Level},
};

/// A captured stack. Equal stacks have equal ids within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StackId(u32);

/// A function on a driver stack; several share an offset where they were inlined into each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Offset of the code from the image base.
    pub(crate) offset: u32,
    /// Function, if symbols know it.
    pub(crate) function: Option<String>,
    /// Source file, as the compiler wrote it.
    pub(crate) file: Option<String>,
    /// Source line.
    pub(crate) line: Option<u32>,
}

/// Stacks by content and by id.
#[derive(Default)]
struct Stacks {
    ids: BTreeMap<Vec<Level>, StackId>,
    levels: Vec<Vec<Level>>,
}

thread_local! {
    static STACKS: RefCell<Stacks> = RefCell::default();
    static PDB: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Begins a run: no stacks yet, and symbols from there.
pub(super) fn reset(pdb: Option<&Path>) {
    STACKS.take();
    PDB.replace(pdb.map(Path::to_owned));
}

fn intern(levels: Vec<Level>) -> StackId {
    STACKS.with_borrow_mut(|stacks| {
        if let Some(id) = stacks.ids.get(&levels) {
            return *id;
        }
        let id = StackId(stacks.levels.len() as u32);
        stacks.levels.push(levels.clone());
        stacks.ids.insert(levels, id);
        id
    })
}

/// Captures the driver's stack: from inside an import, a hook or a fault; empty elsewhere.
pub(crate) fn capture() -> StackId {
    intern(context::current().map_or_else(Vec::new, levels))
}

/// Whether a captured stack has no level.
pub(crate) fn is_empty(stack: StackId) -> bool {
    STACKS.with_borrow(|stacks| {
        stacks
            .levels
            .get(stack.0 as usize)
            .is_none_or(Vec::is_empty)
    })
}

/// A stack of one frame: the code at `address` in the image.
pub(crate) fn of_code(address: u64) -> StackId {
    intern(vec![Level {
        address,
        is_return: false,
    }])
}

/// The driver stack of a coroutine that is not in driver code right now.
pub(super) fn capture_of(context: &Context) -> StackId {
    intern(levels(context))
}

/// The levels of a captured stack as offsets in the image, innermost first: equal in every run.
pub(crate) fn offsets(stack: StackId) -> Vec<u32> {
    STACKS.with_borrow(|stacks| {
        let levels = stacks.levels.get(stack.0 as usize).into_iter().flatten();
        levels
            .map(|level| (level.address - layout::IMAGE) as u32)
            .collect()
    })
}

fn levels(context: &Context) -> Vec<Level> {
    machine::with_image(|image| unwind::walk(image, context)).unwrap_or_default()
}

/// The frames of a captured stack, innermost first.
pub(crate) fn frames(stack: StackId) -> Vec<Frame> {
    let levels = STACKS.with_borrow(|stacks| stacks.levels.get(stack.0 as usize).cloned());
    let levels = levels.unwrap_or_default();
    let offset = |level: &Level| (level.address - layout::IMAGE) as u32;
    // A return address stands for the call before it.
    let places: Vec<u32> = levels
        .iter()
        .map(|level| offset(level) - u32::from(level.is_return))
        .collect();
    let symbols = PDB.with_borrow(|pdb| match pdb {
        Some(pdb) => symbol::look_up(pdb, &places),
        None => vec![Vec::new(); places.len()],
    });
    let mut frames = Vec::new();
    for (level, symbols) in levels.iter().zip(symbols) {
        let unknown = symbols.is_empty().then(symbol::Symbol::default);
        for symbol in symbols.into_iter().chain(unknown) {
            frames.push(Frame {
                offset: offset(level),
                function: symbol.function,
                file: symbol.file,
                line: symbol.line,
            });
        }
    }
    frames
}
