//! What a driver and Windows agree on, from the facts table in `abi/`: layouts, constants, IRQL.
//!
//! Every record is a module under its C name: `SIZE`, `ALIGN`, and a constant per member, dots in
//! nested names as underscores. An integer or pointer is a `Field`; an embedded record is its
//! offset; an array is its first element, with a `_COUNT` beside it.

#![expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::upper_case_acronyms,
    reason = "C names, so that they can be looked up"
)]
#![expect(dead_code, reason = "the table is whole; the lab uses a part")]

pub(crate) mod constant;
pub(crate) mod irql;
pub(crate) mod name;
pub(crate) mod ndis;
pub(crate) mod nt;
