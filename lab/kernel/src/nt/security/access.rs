//! `Se*`: who may do what. A captured context is the token of the running process, also while a thread impersonates.

use super::acl::{self, Acl};
use super::descriptor::{Descriptor, List};
use super::token::Token;
use super::well_known::{ADMINISTRATORS, OWNER_RIGHTS, SECURITY, TAKE_OWNERSHIP};
use crate::abi::constant::{
    ACCESS_SYSTEM_SECURITY, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE,
    MAXIMUM_ALLOWED, READ_CONTROL, STATUS_ACCESS_DENIED, STATUS_NO_MEMORY,
    STATUS_PRIVILEGE_NOT_HELD, STATUS_UNKNOWN_REVISION, WRITE_DAC, WRITE_OWNER,
};
use crate::abi::nt::SECURITY_SUBJECT_CONTEXT as C;
use crate::memory;
use crate::nt::{SUCCESS, imports, status};
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::pool::Kind;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlMapGenericMask => map_generic,
    SeAccessCheck => check,
    SeCaptureSubjectContext => capture,
    SeCaptureSubjectContextEx => capture_of,
    SeFreePrivileges => free_privileges,
    SeLockSubjectContext => nothing,
    SePrivilegeCheck => has_privileges,
    SeQueryAuthenticationIdToken => authentication_id,
    SeReleaseSubjectContext => release,
    SeSinglePrivilegeCheck => has_privilege,
    SeTokenIsAdmin => is_administrator,
    SeTokenIsRestricted => no,
    SeTokenType => primary,
    SeUnlockSubjectContext => nothing,
}

/// The generic rights, in the order of `GENERIC_MAPPING`.
const GENERIC: [u32; 4] = [GENERIC_READ, GENERIC_WRITE, GENERIC_EXECUTE, GENERIC_ALL];
/// `KernelMode`.
pub(super) const KERNEL_MODE: u8 = 0;
/// `SE_PRIVILEGE_USED_FOR_ACCESS`.
const USED_FOR_ACCESS: u32 = 0x8000_0000;
/// `PRIVILEGE_SET`: the number of privileges, how they count, and each with its attributes.
const CONTROL: u64 = 4;
const PRIVILEGES: u64 = 8;
const PRIVILEGE: u64 = 12;
const ATTRIBUTES: u64 = 8;
/// `PRIVILEGE_SET_ALL_NECESSARY`.
const ALL_NECESSARY: u32 = 1;
/// Tag of the sets that a check gives.
const TAG: u32 = u32::from_le_bytes(*b"Sepr");
const STATUS_NO_TOKEN: u64 = 0xC000_007C;

fn nothing(_: &Call<'_>) -> u64 {
    0
}

fn no(_: &Call<'_>) -> u64 {
    0
}

/// `TokenPrimary`.
fn primary(_: &Call<'_>) -> u64 {
    1
}

fn capture(call: &Call<'_>) -> u64 {
    write_context(call.arg(0))
}

fn capture_of(call: &Call<'_>) -> u64 {
    write_context(call.arg(2))
}

fn write_context(context: u64) -> u64 {
    mem::fill(context, C::SIZE, 0).or_fault();
    C::PrimaryToken
        .write(context, Token::current().address())
        .or_fault();
    0
}

fn release(call: &Call<'_>) -> u64 {
    mem::fill(call.arg(0), C::SIZE, 0).or_fault();
    0
}

/// For whom a captured context is.
fn token_of(context: u64) -> Option<Token> {
    let client = C::ClientToken.read(context).or_fault();
    let primary = C::PrimaryToken.read(context).or_fault();
    Token::at(if client == 0 { primary } else { client })
}

/// A mask with what an object's generic rights are.
fn mapped(mask: u32, mapping: u64) -> u32 {
    let mut specific = mask;
    for (at, generic) in (mapping..).step_by(4).zip(GENERIC) {
        if mask & generic != 0 {
            specific = specific & !generic | mem::read::<u32>(at).or_fault();
        }
    }
    specific
}

fn map_generic(call: &Call<'_>) -> u64 {
    let mask = mem::read(call.arg(0)).or_fault();
    mem::write(call.arg(0), mapped(mask, call.arg(1))).or_fault();
    0
}

/// What a check has come to.
struct Answer {
    granted: u32,
    /// The privileges that were used.
    used: Vec<u32>,
    status: u64,
}

impl Answer {
    fn refused(status: u64) -> Self {
        Self {
            granted: 0,
            used: Vec::new(),
            status,
        }
    }
}

fn check(call: &Call<'_>) -> u64 {
    let (descriptor, context, wanted) = (call.arg(0), call.arg(1), call.arg_u32(3));
    let (previous, privileges, mapping) = (call.arg_u32(4), call.arg(5), call.arg(6));
    let mut answer = if call.arg_u8(7) == KERNEL_MODE {
        // The kernel may do everything.
        let granted = if wanted & MAXIMUM_ALLOWED == 0 {
            mapped(wanted, mapping)
        } else {
            mapped(wanted & !MAXIMUM_ALLOWED | GENERIC_ALL, mapping)
        };
        Answer {
            granted: granted | previous,
            used: Vec::new(),
            status: SUCCESS,
        }
    } else {
        judge(
            descriptor,
            context,
            mapped(wanted, mapping),
            previous,
            mapped(GENERIC_ALL, mapping),
        )
    };
    if privileges != 0 {
        let set = privilege_set(&answer.used);
        if set == 0 && !answer.used.is_empty() {
            answer = Answer::refused(status(STATUS_NO_MEMORY));
        }
        mem::write(privileges, set).or_fault();
    }
    mem::write(call.arg(8), answer.granted).or_fault();
    mem::write(call.arg(9), answer.status as u32).or_fault();
    u64::from(answer.status == SUCCESS)
}

/// What the subject of a context may do with an object; `all` is all that there is.
fn judge(descriptor: u64, context: u64, wanted: u32, previous: u32, all: u32) -> Answer {
    let denied = Answer::refused(status(STATUS_ACCESS_DENIED));
    if descriptor == 0 {
        return denied;
    }
    let Some(token) = token_of(context) else {
        return Answer::refused(STATUS_NO_TOKEN);
    };
    let Some(descriptor) = Descriptor::read(descriptor) else {
        return Answer::refused(status(STATUS_UNKNOWN_REVISION));
    };
    let maximum = wanted & MAXIMUM_ALLOWED != 0;
    let mut left = wanted & !(MAXIMUM_ALLOWED | previous);
    let (mut granted, mut used) = (previous, Vec::new());
    if left & ACCESS_SYSTEM_SECURITY != 0 {
        if !token.is_privileged(SECURITY.into()) {
            return Answer::refused(status(STATUS_PRIVILEGE_NOT_HELD));
        }
        (granted, left) = (
            granted | ACCESS_SYSTEM_SECURITY,
            left & !ACCESS_SYSTEM_SECURITY,
        );
        used.push(SECURITY);
    }
    let owner = descriptor.owner();
    match descriptor.dacl() {
        List::Invalid => return denied,
        List::Nothing => {
            let all = if maximum { all } else { 0 };
            return Answer {
                granted: granted | left | all,
                used,
                status: SUCCESS,
            };
        }
        List::Entries(list) => {
            let names_owner = list
                .entries()
                .filter_map(acl::Ace::subject)
                .any(|subject| subject == OWNER_RIGHTS);
            let is_owner = owner.is_some_and(|owner| token.has(&owner));
            // Who owns an object may say who else may do what with it.
            let mut may = if is_owner && !names_owner {
                READ_CONTROL | WRITE_DAC
            } else {
                0
            };
            may |= allowed(list, token, is_owner);
            granted |= if maximum { may } else { may & left };
            left &= !may;
        }
    }
    if left & WRITE_OWNER != 0 && token.is_privileged(TAKE_OWNERSHIP.into()) {
        (granted, left) = (granted | WRITE_OWNER, left & !WRITE_OWNER);
        used.push(TAKE_OWNERSHIP);
    }
    if left != 0 || granted == 0 {
        return denied;
    }
    Answer {
        granted,
        used,
        status: SUCCESS,
    }
}

/// What a list allows; of each right the first entry about the subject decides.
fn allowed(list: Acl, token: Token, is_owner: bool) -> u32 {
    let (mut allowed, mut denied) = (0, 0);
    for ace in list.entries() {
        let kind = ace.kind();
        if ace.flags() & acl::INHERIT_ONLY != 0 || ![acl::ALLOWED, acl::DENIED].contains(&kind) {
            continue;
        }
        let is_about = |subject| token.has(&subject) || is_owner && subject == OWNER_RIGHTS;
        if !ace.subject().is_some_and(is_about) {
            continue;
        }
        if kind == acl::ALLOWED {
            allowed |= ace.mask() & !denied;
        } else {
            denied |= ace.mask() & !allowed;
        }
    }
    allowed
}

/// A set of privileges, from paged pool; 0 for none, and where there is no memory.
fn privilege_set(privileges: &[u32]) -> u64 {
    if privileges.is_empty() {
        return 0;
    }
    let count = privileges.len() as u64;
    let set = memory::allocate(TAG, PRIVILEGES + PRIVILEGE * count, Kind::Paged, true);
    if set != 0 {
        mem::write(set, count as u32).or_fault();
        let places = (set + PRIVILEGES..).step_by(PRIVILEGE as usize);
        for (place, privilege) in places.zip(privileges) {
            mem::write(place, u64::from(*privilege)).or_fault();
            mem::write(place + ATTRIBUTES, USED_FOR_ACCESS).or_fault();
        }
    }
    set
}

fn free_privileges(call: &Call<'_>) -> u64 {
    memory::free(call.arg(0), Some(TAG));
    0
}

fn has_privileges(call: &Call<'_>) -> u64 {
    let (set, context, mode) = (call.arg(0), call.arg(1), call.arg_u8(2));
    let count = mem::read::<u32>(set).or_fault();
    let needs_all = mem::read::<u32>(set + CONTROL).or_fault() & ALL_NECESSARY != 0;
    let token = token_of(context);
    let mut held = 0;
    for index in 0..u64::from(count) {
        let at = set + PRIVILEGES + PRIVILEGE * index;
        let privilege = mem::read(at).or_fault();
        if mode == KERNEL_MODE || token.is_some_and(|token| token.is_privileged(privilege)) {
            held += 1;
            let attributes = mem::read::<u32>(at + ATTRIBUTES).or_fault();
            mem::write(at + ATTRIBUTES, attributes | USED_FOR_ACCESS).or_fault();
        }
    }
    u64::from(if needs_all { held == count } else { held > 0 })
}

/// The privilege is a structure of eight bytes, which is passed as a number.
fn has_privilege(call: &Call<'_>) -> u64 {
    let is_held = || Token::current().is_privileged(call.arg(0));
    u64::from(call.arg_u8(1) == KERNEL_MODE || is_held())
}

fn is_administrator(call: &Call<'_>) -> u64 {
    u64::from(Token::at(call.arg(0)).is_some_and(|token| token.has(&ADMINISTRATORS)))
}

fn authentication_id(call: &Call<'_>) -> u64 {
    match Token::at(call.arg(0)) {
        Some(token) => {
            mem::write(call.arg(1), token.logon()).or_fault();
            SUCCESS
        }
        None => STATUS_NO_TOKEN,
    }
}
