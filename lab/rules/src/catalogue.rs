//! The facts of every rule: identifier, severity, strength, names, page, statement.
//!
//! One table for all of them, whether a monitor watches a rule or something else does;
//! `coverage.toml` says which.

use crate::Rule;

/// Makes a constant of each rule, and one of all of them together.
macro_rules! rules {
    (@option None) => { None };
    (@option $text:literal) => { Some($text) };
    ($all:ident: $($name:ident = $id:literal: $severity:ident $strength:ident,
        name $official:tt, stop $stop:tt, page $page:literal, $statement:literal;)*) => {
        $(
            #[doc = $statement]
            pub(crate) const $name: crate::Rule = crate::Rule {
                id: $id,
                official_name: super::rules!(@option $official),
                statement: $statement,
                page: $page,
                severity: crate::Severity::$severity,
                strength: crate::Strength::$strength,
                stop: super::rules!(@option $stop),
            };
        )*
        pub(crate) const $all: &[&crate::Rule] = &[$(&$name),*];
    };
}
use rules;

mod device;
mod frame;
mod inf;
mod lab;
mod lock;
mod memory;
mod module;
mod nbl;
mod oid;
mod registration;
mod trace;
mod verifier;
mod work_item;

pub(crate) use device::*;
pub(crate) use frame::*;
pub(crate) use inf::*;
pub(crate) use lab::*;
pub(crate) use lock::*;
pub(crate) use memory::*;
pub(crate) use module::*;
pub(crate) use nbl::*;
pub(crate) use oid::*;
pub(crate) use registration::*;
pub(crate) use trace::*;
pub(crate) use verifier::*;
pub(crate) use work_item::*;

/// Every rule.
pub fn catalogue() -> impl Iterator<Item = &'static Rule> {
    [
        DEVICE,
        FRAME,
        INF,
        LAB,
        LOCK,
        MEMORY,
        MODULE,
        NBL,
        OID,
        REGISTRATION,
        TRACE,
        VERIFIER,
        WORK_ITEM,
    ]
    .into_iter()
    .flatten()
    .copied()
}
