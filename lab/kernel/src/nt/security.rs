//! Security: identifiers, access-control lists, descriptors, and who may do what by them.

pub(super) mod access;
pub(super) mod acl;
pub(super) mod capture;
pub(super) mod descriptor;
pub(super) mod object;
pub(super) mod sid;
pub(super) mod token;
mod well_known;

pub(crate) use well_known::export;
