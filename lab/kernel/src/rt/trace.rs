//! Driver stacks: captured as addresses, shown as functions and source lines.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroU32};

use super::{
    context::{self, Context},
    layout, machine, symbol,
    unwind::{self, Level},
};

/// A captured stack. Equal stacks have equal ids within a run.
///
/// # Invariants
/// It is one more than its index in `Stacks::levels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct StackId(NonZeroU32);

impl StackId {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A function on a driver stack; several share an offset where they were inlined into each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The number of the image that has the code.
    pub(crate) image: usize,
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
}

/// Begins a run: no stacks yet.
pub(super) fn reset() {
    STACKS.take();
}

/// The number of the image that a place is in, and the offset there.
fn place(address: u64) -> (usize, u32) {
    machine::with_images(|images| {
        let mut numbered = images.0.iter().enumerate();
        numbered.find_map(|(number, image)| Some((number, image.rva(address)?)))
    })
    .flatten()
    .unwrap_or((0, address.wrapping_sub(layout::IMAGE) as u32))
}

fn intern(levels: Vec<Level>) -> StackId {
    STACKS.with_borrow_mut(|stacks| {
        if let Some(id) = stacks.ids.get(&levels) {
            return *id;
        }
        let number = NonZeroU32::MIN.saturating_add(stacks.levels.len() as u32);
        // INVARIANT: the levels are added below.
        let id = StackId(number);
        stacks.levels.push(levels.clone());
        stacks.ids.insert(levels, id);
        id
    })
}

/// Captures the driver's stack: from inside an import, a hook or a fault; empty elsewhere.
pub(crate) fn capture() -> StackId {
    match context::current() {
        None => intern(Vec::new()),
        Some(context) if context.is_trapped.get() => capture_of(context),
        Some(context) => context.captured.get().unwrap_or_else(|| {
            let stack = capture_of(context);
            context.captured.set(Some(stack));
            stack
        }),
    }
}

/// Whether a captured stack has no level.
pub(crate) fn is_empty(stack: StackId) -> bool {
    STACKS.with_borrow(|stacks| stacks.levels.get(stack.index()).is_none_or(Vec::is_empty))
}

/// A stack of one frame: the code at `address` in the image.
pub(crate) fn of_code(address: u64) -> StackId {
    intern(vec![Level {
        address,
        is_return: false,
    }])
}

/// The innermost part of a stack that is of one image: what another image called it from is left out.
pub(crate) fn innermost_image(stack: StackId) -> StackId {
    let levels = STACKS.with_borrow(|stacks| stacks.levels.get(stack.index()).cloned());
    let mut levels = levels.unwrap_or_default();
    let first = levels.first().map(|level| place(level.address).0);
    let is_of_other = |level: &Level| Some(place(level.address).0) != first;
    match levels.iter().position(is_of_other) {
        None => stack,
        Some(others) => {
            levels.truncate(others);
            intern(levels)
        }
    }
}

/// The driver stack of a coroutine that is not in driver code right now.
pub(super) fn capture_of(context: &Context) -> StackId {
    intern(levels(context))
}

/// The levels of a captured stack as offsets in the image, innermost first: equal in every run.
pub(crate) fn offsets(stack: StackId) -> Vec<u32> {
    STACKS.with_borrow(|stacks| {
        let levels = stacks.levels.get(stack.index()).into_iter().flatten();
        levels.map(|level| place(level.address).1).collect()
    })
}

/// The levels of a captured stack as addresses, innermost first.
pub(crate) fn addresses(stack: StackId) -> Vec<u64> {
    STACKS.with_borrow(|stacks| {
        let levels = stacks.levels.get(stack.index()).into_iter().flatten();
        levels.map(|level| level.address).collect()
    })
}

fn levels(context: &Context) -> Vec<Level> {
    machine::with_images(|images| unwind::walk(images, context)).unwrap_or_default()
}

/// The frames of a captured stack, innermost first.
pub(crate) fn frames(stack: StackId) -> Vec<Frame> {
    frames_of(&[stack]).pop().unwrap_or_default()
}

/// The frames of several stacks; the symbols are read once.
pub(crate) fn frames_of(wanted: &[StackId]) -> Vec<Vec<Frame>> {
    let levels = |id: &StackId| {
        STACKS.with_borrow(|stacks| stacks.levels.get(id.index()).cloned().unwrap_or_default())
    };
    let stacks: Vec<Vec<Level>> = wanted.iter().map(levels).collect();
    // A return address stands for the call before it.
    let mut wanted: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for level in stacks.iter().flatten() {
        let (image, offset) = place(level.address);
        let code = offset.wrapping_sub(level.is_return.into());
        wanted.entry(image).or_default().push(code);
    }
    let look_up = |(image, rvas): (usize, Vec<u32>)| {
        let found = symbol::look_up(image, &rvas);
        (image, found.into_iter())
    };
    let mut symbols: BTreeMap<usize, _> = wanted.into_iter().map(look_up).collect();
    let mut resolve = |level: &Level| {
        let (image, offset) = place(level.address);
        let next = symbols.get_mut(&image).and_then(Iterator::next);
        let mut found = next.unwrap_or_default();
        if found.is_empty() {
            found.push(symbol::Symbol::default());
        }
        let frame = |symbol: symbol::Symbol| Frame {
            image,
            offset,
            function: symbol.function,
            file: symbol.file,
            line: symbol.line,
        };
        found.into_iter().map(frame).collect::<Vec<_>>()
    };
    let mut resolve_all = |levels: &Vec<Level>| levels.iter().flat_map(&mut resolve).collect();
    stacks.iter().map(&mut resolve_all).collect()
}
