//! Handles of objects: keys, files, threads.

/// What a driver does with handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandleEvent {
    /// One was opened.
    Opened {
        /// Its value.
        handle: u64,
        /// Whether it is the kernel's (`OBJ_KERNEL_HANDLE`), rather than the running process's.
        is_kernel: bool,
        /// Whether that process is one of user mode.
        in_user_process: bool,
    },
    /// The driver took a reference to an object.
    Referenced {
        /// Its address.
        object: u64,
    },
    /// It gave one up.
    Dereferenced {
        /// Its address.
        object: u64,
    },
    /// A function was given one that is not open, or is another process's.
    Invalid {
        /// Its value.
        handle: u64,
        /// The function.
        function: &'static str,
    },
    /// A `Zw` function was given an address of user mode.
    UserAddress {
        /// The function.
        function: &'static str,
        /// The address.
        address: u64,
    },
}
