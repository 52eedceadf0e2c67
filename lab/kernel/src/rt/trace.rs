//! Driver stacks: captured as addresses, shown as functions and source lines.

/// A captured stack. Equal stacks have equal ids within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StackId(u32);

/// One level of a driver stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Image file name.
    pub(crate) module: String,
    /// Offset of the code from the image base.
    pub(crate) offset: u32,
    /// Function, if symbols know it.
    pub(crate) function: Option<String>,
    /// Source file, as the compiler wrote it.
    pub(crate) file: Option<String>,
    /// Source line.
    pub(crate) line: Option<u32>,
    /// Whether this level was inlined into the next one.
    pub(crate) inlined: bool,
}

impl std::fmt::Display for Frame {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.function {
            Some(function) => write!(out, "{function}")?,
            None => write!(out, "{}+{:#x}", self.module, self.offset)?,
        }
        if let (Some(file), Some(line)) = (&self.file, self.line) {
            write!(out, " ({file}:{line})")?;
        }
        Ok(())
    }
}

/// Captures the driver's stack: from inside an import, a hook or a fault; empty elsewhere.
pub(crate) fn capture() -> StackId {
    unreachable!("next commit")
}

/// The frames of a captured stack, innermost first.
pub(crate) fn frames(stack: StackId) -> Vec<Frame> {
    let _ = stack;
    unreachable!("next commit")
}

/// The driver's stack at this moment, innermost frame first.
pub(crate) fn stack_trace() -> Vec<Frame> {
    frames(capture())
}
