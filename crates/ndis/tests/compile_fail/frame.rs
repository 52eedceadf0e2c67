//! What every case of this folder is compiled in; `cargo xtask compile-fail` names the case.
//!
//! The first line of a case says what has to happen: `// error[E0000, E0001]: why`, `// error: why` for errors without a code,
//! or `// compiles: why`. Below it, `// says: words` for what the compiler says of it, in message, labels or notes: each error
//! has to have some of these words, and all of the words have to be in some error.

#![no_std]
#![forbid(unsafe_code)]

include!(env!("NDIS_COMPILE_FAIL_CASE"));
