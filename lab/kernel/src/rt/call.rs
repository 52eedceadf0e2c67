//! Calls between the image and the lab.

/// A function that the lab offers to the image.
#[derive(Debug)]
pub(crate) struct Import {
    /// File that Windows exports it from, lower case: `ntoskrnl.exe`, `ndis.sys`, `hal.dll`.
    pub(crate) module: &'static str,
    /// Its export name.
    pub(crate) name: &'static str,
    /// What it does; the result goes to RAX.
    pub(crate) run: fn(&Call<'_>) -> u64,
}

/// A variable that the lab offers to the image.
#[derive(Debug)]
pub(crate) struct DataExport {
    /// File that Windows exports it from, lower case.
    pub(crate) module: &'static str,
    /// Its export name.
    pub(crate) name: &'static str,
    /// What it holds at first; the image may read and write it.
    pub(crate) words: &'static [u64],
}

/// One call of an [`Import`] by the image.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    import: &'static Import,
    index: usize,
    arguments: &'a [u64; 4],
    stack_arguments: u64,
    return_address: u64,
}

impl Call<'_> {
    /// The function called.
    pub(crate) fn import(&self) -> &'static Import {
        self.import
    }

    /// Its position in the registry slices of [`super::Config::imports`], joined.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Argument `i` (from 0), as a register holds it: narrower arguments have rubbish above.
    pub(crate) fn arg(&self, i: usize) -> u64 {
        match self.arguments.get(i) {
            Some(value) => *value,
            // The caller's stack above its return address is always readable (see `stack`).
            None => super::mem::read(self.stack_arguments + 8 * (i as u64 - 4)).unwrap_or(0),
        }
    }

    /// Argument `i` as a 32-bit integer.
    pub(crate) fn arg_u32(&self, i: usize) -> u32 {
        self.arg(i) as u32
    }

    /// Argument `i` as a 16-bit integer.
    pub(crate) fn arg_u16(&self, i: usize) -> u16 {
        self.arg(i) as u16
    }

    /// Argument `i` as a byte (BOOLEAN, KIRQL, KPROCESSOR_MODE).
    pub(crate) fn arg_u8(&self, i: usize) -> u8 {
        self.arg(i) as u8
    }

    /// Where the image will go on: an address in the image.
    pub(crate) fn return_address(&self) -> u64 {
        self.return_address
    }
}

/// Calls code of the image on its own stack and gives back RAX. Nests; the call may suspend inside.
///
/// Must be called from a kernel thread or a DPC body, see the rule of the cut in [`super`].
pub(crate) fn call_driver(address: u64, arguments: &[u64]) -> u64 {
    let _ = (address, arguments);
    unreachable!("next commit")
}

/// Address of a registered import's stub, as `MmGetSystemRoutineAddress` gives it.
pub(crate) fn import_address(name: &str) -> Option<u64> {
    let _ = name;
    unreachable!("next commit")
}

/// Address of a registered variable.
pub(crate) fn data_address(name: &str) -> Option<u64> {
    let _ = name;
    unreachable!("next commit")
}
