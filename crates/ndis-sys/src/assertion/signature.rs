//! The ABI class of a type, and of a function's result and parameters.

/// A type that can be passed or returned.
pub(super) trait Abi {
    /// Its class as the facts table writes it.
    const CLASS: &'static str;
}

macro_rules! class {
    ($($rust:ty = $class:literal),* $(,)?) => {
        $(impl Abi for $rust { const CLASS: &'static str = $class; })*
    };
}

class! {
    () = "void",
    u8 = "u8",
    i8 = "i8",
    u16 = "u16",
    i16 = "i16",
    u32 = "u32",
    i32 = "i32",
    u64 = "u64",
    i64 = "i64",
    wdk_sys::LARGE_INTEGER = "record:8",
    wdk_sys::PROCESSOR_NUMBER = "record:4",
    crate::types::NET_LUID_LH = "record:8",
}

impl<T> Abi for *mut T {
    const CLASS: &'static str = "ptr";
}

impl<T> Abi for *const T {
    const CLASS: &'static str = "ptr";
}

impl<F: Signature> Abi for Option<F> {
    const CLASS: &'static str = "ptr";
}

/// A pointer to a function.
pub(super) trait Signature: Copy {
    /// Classes of the result and the parameters.
    const CLASSES: &'static [&'static str];
}

macro_rules! signature {
    ($($parameter:ident)*) => {
        signature!("system" $($parameter)*);
        signature!("C" $($parameter)*);
    };
    ($abi:literal $($parameter:ident)*) => {
        impl<R: Abi, $($parameter: Abi),*> Signature
            for unsafe extern $abi fn($($parameter),*) -> R
        {
            const CLASSES: &'static [&'static str] = &[R::CLASS, $($parameter::CLASS),*];
        }
    };
}

signature!();
signature!(A);
signature!(A B);
signature!(A B C);
signature!(A B C D);
signature!(A B C D E);
signature!(A B C D E F);
signature!(A B C D E F G);
signature!(A B C D E F G H);
signature!(A B C D E F G H I);

/// The classes of a nullable callback type.
pub(super) const fn of<T: Callback>() -> &'static [&'static str] {
    T::CLASSES
}

/// A nullable pointer to a function.
pub(super) trait Callback {
    /// Classes of the result and the parameters.
    const CLASSES: &'static [&'static str];
}

impl<F: Signature> Callback for Option<F> {
    const CLASSES: &'static [&'static str] = F::CLASSES;
}

/// The classes of a function.
pub(super) const fn function<F: Signature>(_: F) -> &'static [&'static str] {
    F::CLASSES
}

/// Whether two lists of classes are equal; an `enum` is expected as either `i32` or `u32`.
pub(super) const fn same(found: &[&str], expected: &[&str]) -> bool {
    let (mut found, mut expected) = (found, expected);
    while let ([class, found_rest @ ..], [other, expected_rest @ ..]) = (found, expected) {
        let is_enum = same_bytes(other.as_bytes(), b"enum")
            && (same_bytes(class.as_bytes(), b"i32") || same_bytes(class.as_bytes(), b"u32"));
        if !is_enum && !same_bytes(class.as_bytes(), other.as_bytes()) {
            return false;
        }
        (found, expected) = (found_rest, expected_rest);
    }
    found.is_empty() && expected.is_empty()
}

const fn same_bytes(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
        if *a != *b {
            return false;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.is_empty() && right.is_empty()
}
