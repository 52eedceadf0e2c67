//! `Rtl*Ace`, `RtlCreateAcl`: access-control lists.

use super::sid::{self, Sid};
use crate::abi::constant::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_ACL, STATUS_INVALID_PARAMETER, STATUS_INVALID_SID,
    STATUS_REVISION_MISMATCH,
};
use crate::nt::{SUCCESS, imports, status};
use crate::rt::Call;
use crate::rt::mem::{self, Field};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlAddAccessAllowedAce => add_allowed,
    RtlAddAccessAllowedAceEx => add_allowed_ex,
    RtlAddAccessDeniedAce => add_denied,
    RtlAddAce => add,
    RtlCreateAcl => create,
    RtlDeleteAce => delete,
    RtlGetAce => find,
}

/// `ACL`.
const REVISION: Field<u8> = Field::at(0);
const SIZE: Field<u16> = Field::at(2);
const COUNT: Field<u16> = Field::at(4);
const HEADER: u64 = 8;
/// The revisions that there are.
const REVISIONS: std::ops::RangeInclusive<u8> = 2..=4;
/// `ACE_HEADER`, and where the entries that the lab knows have their rights and their identifier.
const KIND: Field<u8> = Field::at(0);
const FLAGS: Field<u8> = Field::at(1);
const ACE_SIZE: Field<u16> = Field::at(2);
const MASK: Field<u32> = Field::at(4);
const SID: u64 = 8;
const ACE_HEADER: u64 = 4;
/// `ACCESS_ALLOWED_ACE_TYPE`, `ACCESS_DENIED_ACE_TYPE`.
pub(super) const ALLOWED: u8 = 0;
pub(super) const DENIED: u8 = 1;
/// `ACCESS_ALLOWED_COMPOUND_ACE_TYPE`; above it are those for objects.
const COMPOUND: u8 = 4;
const LAST_OBJECT: u8 = 8;
/// `INHERIT_ONLY_ACE`, `VALID_INHERIT_FLAGS`.
pub(super) const INHERIT_ONLY: u8 = 8;
const INHERIT: u8 = 0x1F;

const STATUS_ALLOTTED_SPACE_EXCEEDED: u64 = 0xC000_0099;

/// An entry of a list.
#[derive(Clone, Copy)]
pub(super) struct Ace {
    /// Where it is, and its bytes.
    address: u64,
    size: u64,
}

impl Ace {
    pub(super) fn kind(self) -> u8 {
        KIND.read(self.address).or_fault()
    }

    pub(super) fn flags(self) -> u8 {
        FLAGS.read(self.address).or_fault()
    }

    pub(super) fn mask(self) -> u32 {
        MASK.read(self.address).or_fault()
    }

    /// Whom it is about, if it is one of the plain kinds and large enough for whom it names.
    pub(super) fn subject(self) -> Option<Sid> {
        let fits = self.size >= SID + 8 && self.size >= SID + sid::length_of(self.address + SID);
        fits.then(|| Sid::read(self.address + SID)).flatten()
    }

    /// What a list has to be for it.
    fn least_revision(self) -> u8 {
        match self.kind() {
            COMPOUND => 3,
            kind if kind > COMPOUND && kind <= LAST_OBJECT => 4,
            _ => 2,
        }
    }
}

/// The entries between two places; the last is none where one does not end before the second.
fn walk(begin: u64, end: u64) -> impl Iterator<Item = Option<Ace>> {
    let mut at = Some(begin);
    std::iter::from_fn(move || {
        let address = at.filter(|at| *at < end)?;
        let left = end - address;
        let size = if left < ACE_HEADER {
            0
        } else {
            u64::from(ACE_SIZE.read(address).or_fault())
        };
        let is_whole = size >= ACE_HEADER && size <= left;
        at = is_whole.then_some(address + size);
        Some(is_whole.then_some(Ace { address, size }))
    })
}

/// A list that is what it says.
#[derive(Clone, Copy)]
pub(super) struct Acl {
    address: u64,
    revision: u8,
    size: u64,
    count: u16,
    /// Where the entries end.
    free: u64,
}

impl Acl {
    /// The list at an address, unless it is structurally invalid.
    pub(super) fn read(address: u64) -> Option<Self> {
        let revision = REVISION.read(address).or_fault();
        let size = u64::from(SIZE.read(address).or_fault());
        let count = COUNT.read(address).or_fault();
        if !REVISIONS.contains(&revision) || size < HEADER || address.checked_add(size).is_none() {
            return None;
        }
        let mut free = address + HEADER;
        let mut entries = walk(free, address + size);
        for _ in 0..count {
            let ace = entries.next().flatten()?;
            free = ace.address + ace.size;
        }
        Some(Self {
            address,
            revision,
            size,
            count,
            free,
        })
    }

    /// Its bytes, with what is free.
    pub(super) fn size(self) -> u64 {
        self.size
    }

    pub(super) fn entries(self) -> impl Iterator<Item = Ace> {
        walk(self.address + HEADER, self.free).flatten()
    }

    fn room(self) -> u64 {
        self.address + self.size - self.free
    }

    /// Writes what has changed.
    fn note(self, count: u16, revision: u8) {
        COUNT.write(self.address, count).or_fault();
        REVISION.write(self.address, revision).or_fault();
    }
}

/// A list that allows these rights.
pub(super) fn allowing(allowed: &[(Sid, u32)]) -> Vec<u8> {
    let mut list = vec![0; HEADER as usize];
    for (subject, mask) in allowed {
        let size = (SID as usize + subject.bytes().len()) as u16;
        list.extend([ALLOWED, 0]);
        list.extend(size.to_le_bytes());
        list.extend(mask.to_le_bytes());
        list.extend(subject.bytes());
    }
    list[0] = *REVISIONS.start();
    let (size, count) = (list.len() as u16, allowed.len() as u16);
    list[2..4].copy_from_slice(&size.to_le_bytes());
    list[4..6].copy_from_slice(&count.to_le_bytes());
    list
}

fn create(call: &Call<'_>) -> u64 {
    let (address, length, revision) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    if u64::from(length) < HEADER {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    let revision = u8::try_from(revision)
        .ok()
        .filter(|r| REVISIONS.contains(r));
    let (Some(revision), Ok(size)) = (revision, u16::try_from(length)) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    mem::fill(address, HEADER as usize, 0).or_fault();
    REVISION.write(address, revision).or_fault();
    SIZE.write(address, size & !3).or_fault();
    SUCCESS
}

fn add_allowed(call: &Call<'_>) -> u64 {
    append(call, ALLOWED, 0, 2)
}

fn add_denied(call: &Call<'_>) -> u64 {
    append(call, DENIED, 0, 2)
}

fn add_allowed_ex(call: &Call<'_>) -> u64 {
    // Only the lowest byte of the flags is an entry's.
    match u8::try_from(call.arg_u32(2)) {
        Ok(flags) if flags & !INHERIT == 0 => append(call, ALLOWED, flags, 3),
        _ => status(STATUS_INVALID_PARAMETER),
    }
}

/// Adds an entry of one of the plain kinds; the rights are this argument, the identifier the next.
fn append(call: &Call<'_>, kind: u8, flags: u8, mask: usize) -> u64 {
    let (address, revision) = (call.arg(0), call.arg_u32(1));
    let (mask, subject) = (call.arg_u32(mask), call.arg(mask + 1));
    let Some(subject) = Sid::read(subject) else {
        return status(STATUS_INVALID_SID);
    };
    let current = REVISION.read(address).or_fault();
    let wanted = u8::try_from(revision)
        .ok()
        .filter(|r| REVISIONS.contains(r));
    let Some(wanted) = wanted.filter(|_| current <= *REVISIONS.end()) else {
        return status(STATUS_REVISION_MISMATCH);
    };
    let Some(acl) = Acl::read(address) else {
        return status(STATUS_INVALID_ACL);
    };
    let size = SID + subject.bytes().len() as u64;
    if acl.room() < size {
        return STATUS_ALLOTTED_SPACE_EXCEEDED;
    }
    KIND.write(acl.free, kind).or_fault();
    FLAGS.write(acl.free, flags).or_fault();
    ACE_SIZE.write(acl.free, size as u16).or_fault();
    MASK.write(acl.free, mask).or_fault();
    mem::write_bytes(acl.free + SID, subject.bytes()).or_fault();
    acl.note(acl.count + 1, acl.revision.max(wanted));
    SUCCESS
}

/// Copies entries, if any.
fn shift(target: u64, source: u64, bytes: u64) {
    if bytes > 0 {
        mem::copy(target, source, bytes as usize).or_fault();
    }
}

fn add(call: &Call<'_>) -> u64 {
    let (address, revision, index) = (call.arg(0), call.arg_u32(1), call.arg_u32(2));
    let (list, length) = (call.arg(3), u64::from(call.arg_u32(4)));
    let wanted = u8::try_from(revision)
        .ok()
        .filter(|r| REVISIONS.contains(r));
    let (Some(wanted), Some(acl)) = (wanted, Acl::read(address)) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    let mut added = 0u16;
    for ace in walk(list, list.saturating_add(length)) {
        let fits = ace.is_some_and(|ace| ace.least_revision() <= wanted);
        let Some(next) = added.checked_add(1).filter(|_| fits) else {
            return status(STATUS_INVALID_PARAMETER);
        };
        added = next;
    }
    let Some(count) = acl.count.checked_add(added) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    if acl.room() < length {
        return status(STATUS_BUFFER_TOO_SMALL);
    }
    let entry = acl.entries().nth(index as usize);
    let place = entry.map_or(acl.free, |ace| ace.address);
    shift(place + length, place, acl.free - place);
    shift(place, list, length);
    acl.note(count, acl.revision.max(wanted));
    SUCCESS
}

/// The entry with this number.
fn entry(call: &Call<'_>) -> Option<(Acl, Ace)> {
    let acl = Acl::read(call.arg(0))?;
    let ace = acl.entries().nth(call.arg_u32(1) as usize)?;
    Some((acl, ace))
}

fn find(call: &Call<'_>) -> u64 {
    let Some((_, ace)) = entry(call) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    mem::write(call.arg(2), ace.address).or_fault();
    SUCCESS
}

fn delete(call: &Call<'_>) -> u64 {
    let Some((acl, ace)) = entry(call) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    let next = ace.address + ace.size;
    shift(ace.address, next, acl.free - next);
    mem::fill(acl.free - ace.size, ace.size as usize, 0).or_fault();
    acl.note(acl.count - 1, acl.revision);
    SUCCESS
}
